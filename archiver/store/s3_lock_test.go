package store_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"convoso-archiver/archiver/store"
	"convoso-archiver/archiver/store/storetest"
	"convoso-archiver/internal/s3test"
)

// lockServer returns options for a bucket of a real server with Object Lock.
func lockServer(t *testing.T, days int32) store.S3Options {
	t.Helper()
	server := s3test.FromEnv(t)
	if server == nil {
		server = s3test.Start(t, false)
	}
	server.Setenv(t)
	bucket := server.NewLockBucket(t, fmt.Sprintf("locks-%d", time.Now().UnixNano()), days)
	return store.S3Options{Bucket: bucket, Endpoint: server.Endpoint, Prefix: "a/prefix"}
}

func TestLocks(t *testing.T) {
	o := lockServer(t, 0)
	s := openS3(t, o)
	const key = "2025/a b.mp3"
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	object := storetest.Object("rec", storetest.Body(1, 1000), key)
	if _, err := s.Put(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	body := []byte("another version")
	if err := s.ReplaceFile(t.Context(), key, bytes.NewReader(body), int64(len(body)), sha256.Sum256(body)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), storetest.Object("other", storetest.Body(2, 10), key+"-1")); err != nil {
		t.Fatal(err)
	}
	if err := s.SetLock(t.Context(), key, store.Governance, until); err != nil {
		t.Fatal(err)
	}
	check := func(when string, held bool) {
		t.Helper()
		locks, err := s.Locks(t.Context(), key)
		if err != nil || len(locks) != 2 {
			t.Fatalf("%s: %d versions, want 2: %v", when, len(locks), err)
		}
		newest, older := locks[0], locks[1]
		if newest.Mode != store.Governance || !newest.Until.Equal(until) || newest.LegalHold != held {
			t.Errorf("%s: the newest version has %+v", when, newest)
		}
		if older.Mode != store.Unlocked || older.LegalHold != held || older.Version == newest.Version {
			t.Errorf("%s: the older version has %+v", when, older)
		}
	}
	check("locked", false)
	if err := s.SetLegalHold(t.Context(), key, true); err != nil {
		t.Fatal(err)
	}
	check("held", true)
	for _, lock := range must(t)(s.Locks(t.Context(), key)) {
		_, err := s.Client().DeleteObject(t.Context(), &s3.DeleteObjectInput{
			Bucket: &o.Bucket, Key: aws.String("a/prefix/" + key), VersionId: &lock.Version, BypassGovernanceRetention: aws.Bool(true),
		})
		if err == nil {
			t.Errorf("version %s was deleted under a legal hold", lock.Version)
		}
	}
	if err := s.SetLegalHold(t.Context(), key, false); err != nil {
		t.Fatal(err)
	}
	check("released", false)
	if locks, err := s.Locks(t.Context(), "missing.mp3"); err != nil || len(locks) > 0 {
		t.Errorf("a missing key has %v, %v", locks, err)
	}
	if locks, err := s.Locks(t.Context(), key+"-1"); err != nil || len(locks) != 1 || locks[0].LegalHold {
		t.Errorf("the other key has %v, %v", locks, err)
	}
	// No lock is made shorter or weaker, with any rights.
	if err := s.SetLock(t.Context(), key, store.Governance, until.Add(-time.Minute)); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a shorter lock: %v", err)
	}
	check("not made shorter", false)
	if err := s.SetLock(t.Context(), key+"-1", store.Compliance, until); err != nil {
		t.Fatal(err)
	}
	if err := s.SetLock(t.Context(), key+"-1", store.Governance, until.Add(time.Hour)); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a weaker lock: %v", err)
	}
	if lock, _, err := s.LockOf(t.Context(), key+"-1"); err != nil || lock.Mode != store.Compliance || !lock.Until.Equal(until) {
		t.Errorf("after a weaker lock: %+v, %v", lock, err)
	}
}

// Without Object Lock, and without versions, nothing is locked, which is not an error.
func TestLocksOfPlainBucket(t *testing.T) {
	server := s3test.Start(t, false)
	server.Setenv(t)
	if s3test.FromEnv(t) != nil {
		return // its buckets are not folders
	}
	for name, versioned := range map[string]bool{"plain": false, "versioned": true} {
		t.Run(name, func(t *testing.T) {
			o := store.S3Options{Bucket: server.NewBucket(t, name), Endpoint: server.Endpoint}
			if versioned {
				keepVersions(t, o)
			}
			s := openS3(t, o)
			if _, err := s.Put(t.Context(), storetest.Object("rec", storetest.Body(1, 10), "a.mp3")); err != nil {
				t.Fatal(err)
			}
			locks, err := s.Locks(t.Context(), "a.mp3")
			if err != nil || len(locks) != 1 || locks[0].Mode != store.Unlocked || locks[0].LegalHold {
				t.Errorf("got %+v, %v", locks, err)
			}
			if err := s.SetLegalHold(t.Context(), "a.mp3", true); !errors.Is(err, store.ErrNoObjectLock) {
				t.Errorf("a legal hold where there is none: %v", err)
			}
			if err := s.SetLegalHold(t.Context(), "missing.mp3", true); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a legal hold of nothing: %v", err)
			}
		})
	}
}

// TestLockProof: a bucket that enforces locks passes repeatedly, and leaves at most a still locked probe, which a later
// proof removes.
func TestLockProof(t *testing.T) {
	server := s3test.FromEnv(t)
	if server != nil && server.IgnoresConditions {
		return // TestLocksRefused of internal/e2e
	}
	s := openS3(t, lockServer(t, 0))
	for range 2 {
		if hasDefault, err := s.ProveLocks(t.Context(), false); err != nil || hasDefault {
			t.Errorf("a good bucket: %t, %v", hasDefault, err)
		}
		if n, err := s.Versions(t.Context()); err != nil || n != 0 {
			t.Errorf("%d versions are left, %v", n, err)
		}
	}
	byDefault := openS3(t, lockServer(t, 1))
	if _, err := byDefault.ProveLocks(t.Context(), false); !errors.Is(err, store.ErrUnusable) || !strings.Contains(err.Error(), "--accept-default-retention") {
		t.Errorf("a default retention: %v", err)
	}
	if hasDefault, err := byDefault.ProveLocks(t.Context(), true); err != nil || !hasDefault {
		t.Errorf("an accepted default retention: %t, %v", hasDefault, err)
	}
}

// TestLockProofOfBadServer: a real server behind a proxy that ignores a part of locking, or refuses it.
func TestLockProofOfBadServer(t *testing.T) {
	if s3test.FromEnv(t) != nil {
		return // the proxy signs with versitygw's account
	}
	server := s3test.Start(t, false)
	server.Setenv(t)
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	isProbe := func(r *http.Request, method string) bool {
		return r.Method == method && strings.HasSuffix(r.URL.Path, "/manifest/lock-probe")
	}
	for name, c := range map[string]struct {
		spoil func(*http.Request)                               // modifies forwarded requests
		serve func(w http.ResponseWriter, r *http.Request) bool // answers instead of the server
		want  string
		left  int // versions that can only be removed after their lock
	}{
		"ignores the lock": {spoil: func(r *http.Request) {
			for name := range r.Header {
				if strings.HasPrefix(name, "X-Amz-Object-Lock-") {
					r.Header.Del(name)
				}
			}
		}, want: "does not show it"},
		"shows no lock, and deletes": {spoil: func(r *http.Request) {
			if isProbe(r, http.MethodDelete) {
				r.Header.Set("X-Amz-Bypass-Governance-Retention", "true")
			}
		}, want: "deleted a locked version"},
		"ignores conditions": {spoil: func(r *http.Request) { r.Header.Del("If-None-Match") }, want: "ignores If-None-Match"},
		"refuses the bypass": {serve: func(w http.ResponseWriter, r *http.Request) bool {
			refused := isProbe(r, http.MethodDelete)
			if refused {
				w.WriteHeader(http.StatusForbidden)
			}
			return refused
		}, left: 1},
		"demands an MD5": {serve: func(w http.ResponseWriter, r *http.Request) bool {
			refused := isProbe(r, http.MethodPut) && r.Header.Get("Content-Md5") == ""
			if refused {
				w.WriteHeader(http.StatusBadRequest)
			}
			return refused
		}, want: "--s3-checksum md5"},
		"may not see locks": {serve: func(w http.ResponseWriter, r *http.Request) bool {
			refused := r.URL.Query().Has("object-lock")
			if refused {
				w.WriteHeader(http.StatusForbidden)
			}
			return refused
		}, want: "s3:GetBucketObjectLockConfiguration"},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				if c.spoil != nil {
					c.spoil(r.Out)
				}
				signAnew(t, r.Out)
			}}
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c.serve == nil || !c.serve(w, r) {
					proxy.ServeHTTP(w, r)
				}
			}))
			t.Cleanup(front.Close)
			o := store.S3Options{Bucket: server.NewLockBucket(t, strings.ReplaceAll(strings.ToLower("b "+strings.ReplaceAll(name, ",", "")), " ", "-"), 0), Endpoint: front.URL}
			_, err := openS3(t, o).ProveLocks(t.Context(), false)
			if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, store.ErrUnusable) && c.want != "--s3-checksum md5" || err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			o.Endpoint = server.Endpoint
			s := openS3(t, o)
			if n, err := s.Versions(t.Context()); err != nil || n != c.left {
				t.Errorf("%d versions are left, want %d: %v", n, c.left, err)
			}
			if c.left == 0 {
				return
			}
			left := must(t)(s.Locks(t.Context(), "manifest/lock-probe"))
			prove := func() int {
				if _, err := s.ProveLocks(t.Context(), false); err != nil {
					t.Error(err)
				}
				return len(must(t)(s.Locks(t.Context(), "manifest/lock-probe")))
			}
			if n := prove(); n != 1 { // another run's probe must stay
				t.Errorf("another proof, with the right to bypass, leaves %d versions", n)
			}
			_, err = s.Client().PutObjectRetention(t.Context(), &s3.PutObjectRetentionInput{ // shortens the minute
				Bucket: &o.Bucket, Key: aws.String("manifest/lock-probe"), VersionId: &left[0].Version, BypassGovernanceRetention: aws.Bool(true),
				Retention: &types.ObjectLockRetention{Mode: types.ObjectLockRetentionModeGovernance, RetainUntilDate: aws.Time(time.Now().Add(time.Second))},
			})
			if err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(time.Minute); prove() > 0; {
				if time.Now().After(deadline) {
					t.Fatal("the version of an earlier proof is never removed")
				}
			}
		})
	}
}

func must(t *testing.T) func(locks []store.Lock, err error) []store.Lock {
	return func(locks []store.Lock, err error) []store.Lock {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return locks
	}
}

func TestPeriod(t *testing.T) {
	start := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ text, end, again string }{
		{"10y", "2034-03-01T12:00:00Z", "10y"},
		{"1y", "2025-03-01T12:00:00Z", "1y"},
		{"4y", "2028-02-29T12:00:00Z", "4y"},
		{"30d", "2024-03-30T12:00:00Z", "30d"},
		{"1w", "2024-03-07T12:00:00Z", "7d"},
		{"1y1d12h", "2025-03-03T00:00:00Z", "1y1d12h"},
		{"36h", "2024-03-02T00:00:00Z", "1d12h"},
		{"90s", "2024-02-29T12:01:30Z", "90s"},
		{"100y", "2124-02-29T12:00:00Z", "100y"},
		{"36524d", "2124-02-29T12:00:00Z", "36524d"},
		{"0s", "2024-02-29T12:00:00Z", "0s"},
	} {
		p, err := store.ParsePeriod(c.text)
		if got := p.After(start).Format(time.RFC3339); err != nil || got != c.end || p.String() != c.again {
			t.Errorf("%s: ends %s, written %s, %v; want %s, %s", c.text, got, p, err, c.end, c.again)
		}
	}
	for _, text := range []string{"", "10", "y", "6m", "10 y", "-1y", "1.5y", "101y", "99y400d", "100y1s", "40000d", "99999999999999999999y", "1y2", "1000000h", "1Y"} {
		if p, err := store.ParsePeriod(text); err == nil {
			t.Errorf("%q is read as %s", text, p)
		}
	}
}
