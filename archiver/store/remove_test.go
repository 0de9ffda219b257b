package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/archiver/store/storetest"
	"convoso-archiver/internal/s3test"
)

// testVersionsRemoved: nothing is left of a key with any history; the current versions of the ledger's files
// stay.
func testVersionsRemoved(t *testing.T, s *store.S3) {
	const key, neighbour, file, gone = "a/1.mp3", "a/1.mp3x", "calls/2025-05-01/R-000001.jsonl.gz", "manifest/2025-05-01/R-000001.jsonl.torn"
	for _, name := range []string{key, neighbour, file, gone} {
		for _, text := range []string{"first", "second"} {
			if err := s.PutForeign(t.Context(), name, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{key, gone} {
		if err := s.RemoveFile(t.Context(), name); err != nil { // leaves a delete marker in a bucket with versions
			t.Fatal(err)
		}
	}
	all, err := s.Versions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		s.Remove(t.Context(), key), s.RemoveAside(t.Context(), gone), s.RemoveOlder(t.Context(), "calls/2025-05-01/"), s.RemoveOlder(t.Context(), "manifest/2025-05-01.jsonl"),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	want := 2 // the neighbour and the file
	if all > 2 {
		want = 3 // the neighbour's older version too
	}
	if n, err := s.Versions(t.Context()); err != nil || n != want {
		t.Errorf("%d of %d versions are left, want %d; %v", n, all, want, err)
	}
	for _, name := range []string{neighbour, file} {
		if body, _, err := s.GetFile(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if err := body.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRemoveProtected: an object under retention, or on legal hold, stays, and the error says why.
func TestRemoveProtected(t *testing.T) {
	server := s3test.Start(t, false)
	server.Setenv(t)
	s := openS3(t, store.S3Options{Bucket: server.NewLockBucket(t, "locked", 0), Endpoint: server.Endpoint})
	for key, protect := range map[string]func(string) error{
		"retained.mp3": func(key string) error {
			return s.SetLock(t.Context(), key, store.Governance, time.Now().Add(time.Minute))
		},
		"held.mp3": func(key string) error { return s.SetLegalHold(t.Context(), key, true) },
	} {
		put(t, s, storetest.Object("rec", []byte("audio"), key))
		if err := protect(key); err != nil {
			t.Fatal(err)
		}
		err := s.Remove(t.Context(), key)
		if !errors.Is(err, store.ErrLocked) || store.IsRetriable(err) || strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "hold") {
			t.Errorf("%s: %v", key, err)
		}
		if _, err := s.Stat(t.Context(), key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// TestRemoveFollowsNoLink: the target of a link stays, and so does another name of the same file.
func TestRemoveFollowsNoLink(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("making symbolic links needs a privilege on Windows")
	}
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "elsewhere.mp3")
	d, err := store.OpenDisk(dir, store.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	put(t, d, storetest.Object("rec", []byte("audio"), "a/one.mp3"))
	for _, err := range []error{
		os.WriteFile(elsewhere, []byte("audio"), 0o600),
		os.Symlink(elsewhere, filepath.Join(dir, "link.mp3")),
		os.Symlink("a", filepath.Join(dir, "b")),
		os.Link(filepath.Join(dir, "a", "one.mp3"), filepath.Join(dir, "hard.mp3")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Remove(t.Context(), "b/one.mp3"); !errors.Is(err, store.ErrLinkedFolder) {
		t.Errorf("through a linked folder: %v", err)
	}
	for _, key := range []string{"link.mp3", "hard.mp3", "a"} {
		if err := d.Remove(t.Context(), key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "link.mp3")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link: %v", err)
	}
	for _, name := range []string{elsewhere, filepath.Join(dir, "a", "one.mp3")} {
		if text, err := os.ReadFile(name); err != nil || string(text) != "audio" {
			t.Errorf("%q, %v", text, err)
		}
	}
}
