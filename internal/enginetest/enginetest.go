// Package enginetest holds the shared parts of tests on real engines: the built program, a
// simulated account, an S3 server, and the proof that all runs together stored everything once.
package enginetest

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/internal/s3test"
	"convoso-archiver/manifest"
)

// Account is a simulated account, and its destination bucket.
type Account struct {
	*convosotest.Server
	Program string // path of the program, built like a release
	Bucket  *s3test.Server

	first, last string // days
}

// Build builds the program from the module with the given root, and returns its path.
func Build(t testing.TB, root string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "convoso-archiver")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "convoso-archiver")
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	return program
}

// New starts an account of n settled days, with a recording for each call, and a bucket.
func New(t testing.TB, program string, days, callsPerDay int, latency time.Duration) *Account {
	t.Helper()
	day := func(ago int) string { return time.Now().UTC().AddDate(0, 0, -ago).Format(time.DateOnly) }
	server, err := convosotest.New(convosotest.Config{
		Seed: 1, FirstDay: day(days + 4), Days: days, CallsPerDay: callsPerDay, RecordedShare: 1, MedianSize: 8_000, MaxSize: 40_000,
		APILatency: latency, MediaLatency: latency,
	})
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return &Account{Server: server, Program: program, Bucket: s3test.Start(t, false), first: day(days + 4), last: day(5)}
}

// where returns the flags of the archive.
func (a *Account) where() []string {
	return []string{"--dest", "s3://" + a.Bucket.Bucket + "/calls", "--s3-endpoint", a.Bucket.Endpoint, "--s3-region", s3test.Region, "--s3-path-style"}
}

// Archive returns the arguments of a run over all days, without state folder and shard.
func (a *Account) Archive() []string {
	return append([]string{"archive", "--json", "--start-time", a.first, "--end-time", a.last, "--workers", "2",
		"--api-url", a.APIURL(), "--allow-host", a.MediaURL(), "--api-rate", "0", "--media-rate", "0"}, a.where()...)
}

// Env is the environment of a run. It only inherits the test's PATH.
func (a *Account) Env() []string {
	return append(a.Bucket.Env(), "PATH="+os.Getenv("PATH"), "CONVOSO_AUTH_TOKEN="+a.Token())
}

// run runs another command of the program, which must succeed.
func (a *Account) run(t testing.TB, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), a.Program, args...)
	cmd.Env = append(a.Env(), "HOME="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", args[0], err, out)
	}
}

// Noted returns how many times each recording is noted as archived, by id, and the days that
// are closed.
func (a *Account) Noted(t testing.TB) (archived map[string]int, closed []string) {
	t.Helper()
	a.Bucket.Setenv(t)
	objects, err := store.OpenS3(t.Context(), store.S3Options{
		Bucket: a.Bucket.Bucket, Prefix: "calls", Endpoint: a.Bucket.Endpoint, Region: s3test.Region, PathStyle: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	ledger, err := manifest.OpenBucket(objects, manifest.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	archived = map[string]int{}
	for name, err := range ledger.Days(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		d, err := ledger.Read(t.Context(), name, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for id, s := range d.Recordings() {
			if s.Outcome == manifest.Archived {
				archived[id]++
			}
		}
		if slices.ContainsFunc(d.Lines(), func(line manifest.DayLine) bool { return line.Filter == "" }) {
			closed = append(closed, name)
		}
	}
	return archived, closed
}

// CheckStored fails unless each of the account's recordings except the given ones is stored once,
// byte for byte, and noted once, and nothing else is stored.
func (a *Account) CheckStored(t testing.TB, but ...string) {
	t.Helper()
	truth := map[string]string{} // by hash
	for r := range a.Recordings() {
		if !slices.Contains(but, r.Ref) {
			truth[r.SHA256()] = r.Ref
		}
	}
	wanted := len(truth)
	root := filepath.Join(a.Bucket.Dir, a.Bucket.Bucket, "calls")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == "manifest" || name == "calls"):
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		body, err := os.ReadFile(path)
		sum := sha256.Sum256(body)
		if _, missing := truth[hex.EncodeToString(sum[:])]; !missing {
			t.Errorf("%s is no recording of the account, or stored twice", name)
		}
		delete(truth, hex.EncodeToString(sum[:]))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range truth {
		t.Errorf("recording %s is not stored", ref)
	}
	archived, _ := a.Noted(t)
	for id, n := range archived {
		if n != 1 {
			t.Errorf("recording %s is noted under %d days", id, n)
		}
	}
	if len(archived) != wanted {
		t.Errorf("%d recordings are noted, want %d", len(archived), wanted)
	}
}

// CheckReport fails unless the program itself calls the archive complete and undamaged.
func (a *Account) CheckReport(t testing.TB) {
	t.Helper()
	a.run(t, append([]string{"report", "--strict", "--start-time", a.first, "--end-time", a.last}, a.where()...)...)
	a.run(t, append([]string{"verify", "--state-dir", t.TempDir()}, a.where()...)...)
}

// CheckRequests fails if a noted recording was requested again: before are those that were noted
// when a run was killed; all others may have been in flight.
func (a *Account) CheckRequests(t testing.TB, before map[string]int) (again int) {
	t.Helper()
	for ref, stats := range a.Stats().Recordings {
		if stats.Requests > 1 {
			again++
			if before[ref] > 0 {
				t.Errorf("recording %s was noted and is asked for again: %d requests", ref, stats.Requests)
			}
		}
	}
	return again
}

// Variable returns a variable that an engine set for a process, "" for a process of another
// program.
func (a *Account) Variable(pid int, variable string) string {
	folder := filepath.Join("/proc", strconv.Itoa(pid))
	if exe, err := os.Readlink(filepath.Join(folder, "exe")); err != nil || exe != a.Program {
		return ""
	}
	environ, err := os.ReadFile(filepath.Join(folder, "environ"))
	if err != nil {
		return ""
	}
	for pair := range strings.SplitSeq(string(environ), "\x00") {
		if value, found := strings.CutPrefix(pair, variable+"="); found {
			return value
		}
	}
	return ""
}

// ShardOf returns the shard of a day.
func (a *Account) ShardOf(day string, shards int) string {
	return strconv.Itoa(fetcher.Date(day).Ordinal() % shards)
}
