package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"convoso-archiver/archiver/verify"
)

// TestVerifyStopped: a signal ends it at once, with what was found so far. It says of how many days, and promises no
// resumption.
func TestVerifyStopped(t *testing.T) {
	t.Parallel()
	b := onS3(t, threeDays(t, 53), false)
	b.env = append(b.env, quickExit)
	b.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	asked := make(chan struct{}, 1000)
	var reads atomic.Int64
	b.trouble(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		// Two days of 20 are read in parallel, so the 41st read means that one day is done, and the third is not.
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, ".mp3") && reads.Add(1) > 40 {
			asked <- struct{}{}
			<-r.Context().Done()
		}
		return false
	})
	cmd := b.command(t.Context())
	cmd.Args = append([]string{cmd.Path, "verify", "--json", "--dest", b.dest, "--log-level", "debug"}, b.flags...)
	r := b.finish(cmd, func(p *os.Process) {
		<-asked
		if err := p.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
	})
	if r.code != 130 || !strings.Contains(r.stdout, `"stopped":"stopped by SIGINT"`) {
		t.Errorf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
	var found verify.Summary
	if err := json.Unmarshal([]byte(r.stdout), &found); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("not verified: stopped after %d recordings and %d of 3 whole days, without damage", found.Checked, found.DaysDone)
	if found.Answer != want || found.Days != 3 || found.DaysDone < 1 || found.DaysDone > 2 || found.Checked < 20 {
		t.Errorf("%+v", found)
	}
	if !strings.Contains(r.stderr, "stopped by SIGINT: the next verify checks everything anew") || strings.Contains(r.stderr, "resume") {
		t.Errorf("stderr %s", r.stderr)
	}
}

// object returns the file behind a recording's object.
func (b *bucket) object(key string) string {
	return filepath.Join(b.server.Dir, b.server.Bucket, "pre fix", filepath.FromSlash(key))
}

// TestVerifyS3: on S3, by downloading every byte and by listing only; then repaired and downloaded
// again.
func TestVerifyS3(t *testing.T) {
	t.Parallel()
	b := onS3(t, threeDays(t, 54), false)
	b.env = append(b.env, quickExit)
	b.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	if v := b.verify().want(t, 0); v.found.Checked != 60 || v.found.BytesRead != v.found.Bytes {
		t.Errorf("found %s", v.stdout)
	}
	gets := 0
	b.trouble(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		if strings.HasSuffix(r.URL.Path, ".mp3") {
			gets++
		}
		return false
	})
	if v := b.verify("--quick").want(t, 0); v.found.Checked != 60 || gets > 0 {
		t.Errorf("%d requests for single objects, found %s", gets, v.stdout)
	}
	b.trouble(nil)

	recordings := b.readBucket().archived
	keys := slices.Sorted(maps.Keys(recordings))
	edit(t, b.object(keys[0]), flip)
	edit(t, b.object(keys[1]), func(data []byte) []byte { return data[1:] })
	remove(t, b.object(keys[2]))
	if err := os.WriteFile(b.object("added.mp3"), []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.verify().want(t, 4, verify.WrongHash, verify.WrongSize, verify.Missing, verify.Unknown)
	b.verify("--quick").want(t, 4, verify.WrongSize, verify.Missing, verify.Unknown)
	b.verify("--repair").want(t, 4, verify.WrongHash, verify.WrongSize, verify.Missing, verify.Unknown)
	again := b.run("--last", "1d").want(t, 0)
	if again.summary.Archived != 3 {
		t.Errorf("%d recordings were fetched again, want 3", again.summary.Archived)
	}
	b.verify().want(t, 0, verify.Unknown)
	b.verify("--quick").want(t, 0, verify.Unknown)

	b.spoilSegment()
	b.verify("--quick").want(t, 4, verify.BadLine, verify.ChangedSegment, verify.Unknown)
	repaired := b.verify("--repair", "--quick").want(t, 4, verify.BadLine, verify.ChangedSegment, verify.Unknown)
	if len(repaired.found.KeptAside) != 1 {
		t.Errorf("kept aside %q", repaired.found.KeptAside)
	}
	b.run("--last", "1d").want(t, 0)
	b.verify().want(t, 0, verify.Unknown)
}

// spoilSegment truncates the first line of a segment.
func (b *bucket) spoilSegment() {
	b.t.Helper()
	segments, err := filepath.Glob(b.object("manifest/" + daysAgo(9) + "/*.jsonl"))
	if err != nil || len(segments) == 0 {
		b.t.Fatal("no segment", err)
	}
	size := func(name string) int64 {
		info, err := os.Stat(name)
		if err != nil {
			b.t.Fatal(err)
		}
		return info.Size()
	}
	// The segment of the first run: runs within one second are unordered, and a later one has the repeated
	// downloads.
	first := slices.MaxFunc(segments, func(a, c string) int { return cmp.Compare(size(a), size(c)) })
	edit(b.t, first, func(data []byte) []byte {
		first, rest, _ := bytes.Cut(data, []byte("\n"))
		return append(append(first[:len(first)/2:len(first)/2], '\n'), rest...)
	})
}

// TestVerifyS3Trouble: objects in an archive class are not readable, which is neither intact nor damaged, and
// requests to a failing server are retried.
func TestVerifyS3Trouble(t *testing.T) {
	t.Parallel()
	b := onS3(t, threeDays(t, 55), false)
	b.env = append(b.env, quickExit)
	b.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	key := slices.Min(slices.Collect(maps.Keys(b.readBucket().archived)))
	var slowed sync.Map // paths: a request that is refused again and again is not readable
	b.trouble(func(w http.ResponseWriter, r *http.Request, n int) bool {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, key) {
			s3Error(w, http.StatusForbidden, "InvalidObjectState")
			return true
		}
		if n%10 != 0 {
			return false
		}
		_, again := slowed.LoadOrStore(r.URL.Path, true)
		if !again {
			s3Error(w, http.StatusServiceUnavailable, "SlowDown")
		}
		return !again
	})
	v := b.verify().want(t, 3, verify.NotReadable)
	if v.found.Unreadable != 1 || v.found.Checked != 59 || !strings.Contains(v.found.Findings[0].Detail, "restore it") {
		t.Errorf("found %s", v.stdout)
	}
	b.trouble(func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if strings.HasSuffix(r.URL.Path, ".mp3") {
			s3Error(w, http.StatusForbidden, "AccessDenied")
			return true
		}
		return false
	})
	if v := b.verify(); v.code != 1 || !strings.Contains(v.stderr, "s3:GetObject") {
		t.Errorf("exit code %d where nothing may be read\n%s", v.code, v.stderr)
	}
}
