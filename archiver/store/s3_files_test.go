package store_test

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"convoso-archiver/archiver/store"
)

// testReplace: a file of an export can replace an existing one, and can be removed.
func testReplace(t *testing.T, s *store.S3) {
	t.Helper()
	ctx := t.Context()
	const name = "calls/day=2025-05-01/part-0.csv"
	for _, text := range []string{"first", "the second, longer one", "x"} {
		if err := s.ReplaceFile(ctx, name, strings.NewReader(text), int64(len(text)), sha256.Sum256([]byte(text))); err != nil {
			t.Fatal(err)
		}
		wantText(t, s, name, text)
	}
	if err := s.ReplaceFile(ctx, name, strings.NewReader("torn"), 4, sha256.Sum256([]byte("whole"))); err == nil {
		t.Error("a body with another hash is taken")
	}
	wantText(t, s, name, "x")
	for range 2 { // a missing file is not an error
		if err := s.RemoveFile(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.GetFile(ctx, name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that was removed: %v", err)
	}
	for _, bad := range []string{"", "../x", "/x"} {
		if s.RemoveFile(ctx, bad) == nil || s.ReplaceFile(ctx, bad, strings.NewReader(""), 0, [32]byte{}) == nil {
			t.Errorf("the name %q is taken", bad)
		}
	}
}
