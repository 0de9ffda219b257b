package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/internal/s3test"
	"convoso-archiver/manifest"
)

// bucket is a destination on a real S3 server, behind a proxy that records the program's requests.
type bucket struct {
	*archive
	server    *s3test.Server
	endpoint  string
	versioned bool

	mu       sync.Mutex
	puts     []http.Header // of every PUT
	keys     []string
	number   int                                                      // of the last request
	answer   func(w http.ResponseWriter, r *http.Request, n int) bool // replaces answers
	answered func(r *http.Request)                                    // is called after the server's answer
	lose     int                                                      // number of replies to PUTs to drop, every third one
}

// trouble lets a function answer instead of the server, nil for none.
func (b *bucket) trouble(answer func(w http.ResponseWriter, r *http.Request, n int) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = answer
}

// hasPut returns a function that tells whether the server has answered such a PUT.
func (b *bucket) hasPut(is func(r *http.Request) bool) func() bool {
	var done atomic.Bool
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answered = func(r *http.Request) {
		if r.Method == http.MethodPut && is(r) {
			done.Store(true)
		}
	}
	return done.Load
}

// loseReplies drops the replies to some PUTs after the server has executed them.
func (b *bucket) loseReplies(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lose = n
}

// serve replaces the answer or forwards the request.
func (b *bucket) serve(proxy http.Handler, w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.number++
	number, answer, answered := b.number, b.answer, b.answered
	lose := b.lose > 0 && r.Method == http.MethodPut && r.Header.Get("X-Amz-Meta-Recording-Id") != "" && number%3 == 0
	if lose {
		b.lose--
	}
	b.mu.Unlock()
	if answer != nil && answer(w, r, number) {
		return
	}
	if lose {
		proxy.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
	proxy.ServeHTTP(w, r)
	if answered != nil {
		answered(r)
	}
}

// onS3 returns an archive in an empty bucket, on a server that it starts or that the environment names.
func onS3(t *testing.T, source *convosotest.Server, withTLS bool, flags ...string) *bucket {
	t.Helper()
	b := &bucket{server: s3test.FromEnv(t)}
	if b.server == nil {
		b.server = s3test.Start(t, withTLS)
	} else {
		b.server.Bucket = b.server.NewBucket(t, "e2e")
	}
	target, err := url.Parse(b.server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		ErrorLog:  log.New(io.Discard, "", 0), // tests kill the program during requests
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: b.server.CAs}, MaxIdleConnsPerHost: 16},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is part of the signature
			if r.In.Method == http.MethodPut {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.puts = append(b.puts, r.In.Header.Clone())
				b.keys = append(b.keys, r.In.URL.Path)
			}
		},
	}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.serve(proxy, w, r) }))
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	b.archive = &archive{
		t: t, server: source, dest: "s3://" + b.server.Bucket + "/pre fix", state: filepath.Join(t.TempDir(), "state"),
		env: b.server.Env(), bucket: b,
	}
	b.in(b.server.Bucket)
	if withTLS {
		front.StartTLS()
		b.env = append(b.env, "AWS_CA_BUNDLE="+writeCertificate(t, front.Certificate()))
	} else {
		front.Start()
	}
	t.Cleanup(front.Close)
	b.endpoint = front.URL
	b.flags = append([]string{"--s3-endpoint", front.URL, "--s3-path-style", "--s3-region", s3test.Region}, flags...)
	return b
}

// in returns the archive in another bucket of the server.
func (b *bucket) in(bucket string) {
	server := *b.server
	server.Bucket = bucket
	b.server, b.dest, b.folder = &server, "s3://"+bucket+"/pre fix", ""
	if server.Dir != "" {
		b.folder = filepath.Join(server.Dir, bucket, "pre fix")
	}
}

// keepsVersions notes that the bucket keeps versions, and adds the flag for a server whose versioned buckets ignore
// conditions.
func (b *bucket) keepsVersions() {
	b.versioned = true
	if b.server.IgnoresConditions {
		b.env = append(b.env, "CONVOSO_ARCHIVER_S3_NO_CONDITIONAL_WRITES=true")
	}
}

func writeCertificate(t *testing.T, certificate *x509.Certificate) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// check fails unless the objects are exactly those in the manifest, byte for byte the simulator's,
// and every recording was put once, create-only and with its checksum.
func (b *bucket) check(wanted func(convosotest.Recording) bool) contents {
	t := b.t
	t.Helper()
	c := b.readBucket()
	files := b.files()
	truth := truthOf(t, b.archive.server, wanted)
	for key, line := range c.archived {
		if files[key] != line.SHA256 {
			t.Errorf("recording %s: the object's hash is %q, the line's %q", line.RecordingID, files[key], line.SHA256)
		}
		if _, known := truth[line.SHA256]; !known {
			t.Errorf("recording %s: no such body at the source", line.RecordingID)
		}
		delete(files, key)
		delete(truth, line.SHA256)
	}
	for name := range files {
		t.Errorf("object %q is not in the manifest", name)
	}
	for _, r := range truth {
		t.Errorf("recording %s of %s is missing", r.Ref, r.Day)
	}
	return c
}

// store opens the bucket with the program's own S3 client.
func (b *bucket) store() *store.S3 {
	b.t.Helper()
	s, err := store.OpenS3(b.t.Context(), store.S3Options{
		Bucket: b.server.Bucket, Prefix: "pre fix", Endpoint: b.server.Endpoint, Region: s3test.Region, PathStyle: true,
		TempDir: b.t.TempDir(), Workers: 4, RootCAs: b.server.CAs,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// readBucket reads the manifest.
func (b *bucket) readBucket() contents {
	t := b.t
	t.Helper()
	objects := b.store()
	defer objects.Close()
	ledger, err := manifest.OpenBucket(objects, manifest.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close(t.Context())
	return readLedger(t, ledger)
}

// checkPuts fails if a recording was put without a checksum, or in a way that could overwrite.
func (b *bucket) checkPuts() (recordings int) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, header := range b.puts {
		if header.Get("X-Amz-Meta-Recording-Id") == "" {
			continue
		}
		recordings++
		if header.Get("If-None-Match") != "*" || header.Get("X-Amz-Checksum-Sha256") == "" ||
			strings.Contains(header.Get("Content-Encoding"), "aws-chunked") {
			b.t.Errorf("PUT of object %d: %v", i, header)
		}
		if strings.Contains(b.keys[i], "canary") {
			b.t.Error("a key holds a secret")
		}
	}
	return recordings
}

// TestArchiveToS3 is the main job into a real S3 server, then a run with an empty state folder that
// finds nothing to do, and one more day.
func TestArchiveToS3(t *testing.T) {
	t.Parallel()
	for name, withTLS := range map[string]bool{"http": false, "https": true} {
		t.Run(name, func(t *testing.T) {
			source := simulate(t, convosotest.Config{
				Seed: 30, FirstDay: daysAgo(10), Days: 4, CallsPerDay: 150, RecordedShare: 0.9, SeveralShare: 0.2,
				MedianSize: 4_000, Oddities: convosotest.AllBenign(),
			})
			b := onS3(t, source, withTLS)
			three := []string{"--start-time", daysAgo(10), "--end-time", daysAgo(8)}
			first := b.run(three...).want(t, 0)
			c := b.check(func(r convosotest.Recording) bool { return r.Day <= daysAgo(8) })
			checkOnce(t, source)
			if puts := b.checkPuts(); puts < len(c.archived) {
				t.Errorf("%d PUTs for %d recordings", puts, len(c.archived))
			}
			if len(c.closed) != 3 || first.summary.Archived != len(c.archived) {
				t.Errorf("%d closed, summary %+v", len(c.closed), first.summary)
			}
			b.state = filepath.Join(t.TempDir(), "another")
			source.ResetStats()
			again := b.run(three...).want(t, 0)
			if stats := source.Stats(); stats.API.Requests+stats.Media.Requests != 0 || again.summary.DaysSkipped != 3 {
				t.Errorf("%d API and %d media requests, summary %+v", stats.API.Requests, stats.Media.Requests, again.summary)
			}
			b.state = filepath.Join(t.TempDir(), "a third")
			b.run("--start-time", daysAgo(10), "--end-time", daysAgo(7)).want(t, 0)
			for _, w := range source.Stats().Windows {
				if w.EndTime[:10] < daysAgo(7) {
					t.Errorf("a closed day was listed: %s to %s", w.StartTime, w.EndTime)
				}
			}
			b.check(nil)
			checkOnce(t, source)
			if left := leftIn(t, b.state); len(left) > 0 {
				t.Errorf("the state folder keeps %v", left)
			}
		})
	}
}

// leftIn returns the files in a state folder that a finished run should not leave.
func leftIn(t *testing.T, state string) []string {
	t.Helper()
	var left []string
	_ = filepath.WalkDir(state, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && entry.Name() != "rates.json" && !strings.Contains(entry.Name(), "lock") {
			left = append(left, path)
		}
		return nil
	})
	return left
}

// TestS3HostileNames: file names that could escape the prefix.
func TestS3HostileNames(t *testing.T) {
	t.Parallel()
	source := simulate(t, convosotest.Config{
		Seed: 31, FirstDay: daysAgo(5), CallsPerDay: 40, RecordedShare: 1, MedianSize: 4_000,
		Oddities: convosotest.Oddities{HostileNames: convosotest.HostileNames()},
	})
	b := onS3(t, source, false, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
	b.run().want(t, 0)
	b.check(nil)
	entries, err := os.ReadDir(filepath.Join(b.server.Dir, b.server.Bucket))
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return e.Name() == ".sgwtmp" }) // a folder of the server
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the prefix stand %v, %v", entries, err)
	}
}

// TestS3Killed kills a run in the middle and continues with the same state folder, then with an
// empty one: the recordings stored by the killed run are adopted.
func TestS3Killed(t *testing.T) {
	t.Parallel()
	for name, keepState := range map[string]bool{"with its state": true, "with an empty state": false} {
		t.Run(name, func(t *testing.T) {
			source := simulate(t, convosotest.Config{
				Seed: 32, FirstDay: daysAgo(5), CallsPerDay: 200, RecordedShare: 1, MedianSize: 8_000,
			})
			b := onS3(t, source, false, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
			r := b.finish(b.command(t.Context()), func(p *os.Process) {
				waitFor(t, func() bool { return source.Stats().Media.Requests > 100 })
				_ = p.Kill()
			})
			if r.code == 0 {
				t.Fatal("the run ended before it could be killed")
			}
			if !keepState {
				b.state = filepath.Join(t.TempDir(), "empty")
			}
			next := b.run().want(t, 0)
			c := b.check(nil)
			if len(c.closed) != 1 {
				t.Error("the day stays open")
			}
			if !keepState && next.summary.Adopted == 0 {
				t.Error("nothing was adopted")
			}
			if left := leftIn(t, b.state); len(left) > 0 {
				t.Errorf("the state folder keeps %v", left)
			}
		})
	}
}
