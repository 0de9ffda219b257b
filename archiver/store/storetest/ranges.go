// Tests reading parts of an object.

package storetest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"testing"
)

// testRanges reads parts of an object, at its edges and beyond them.
func testRanges(t *testing.T, p Place) {
	body := Body(3, 1<<20+17)
	s := open(t, p)
	put(t, s, Object("rec", body, "folder/a.mp3"))
	size := int64(len(body))
	for _, r := range []struct{ offset, length int64 }{
		{0, 1}, {0, size}, {0, size + 1}, {1, 2}, {4095, 4097}, {size - 1, 1}, {size - 1, 100}, {size / 2, math.MaxInt32},
	} {
		end := min(r.offset+r.length, size)
		part, err := s.OpenRange(t.Context(), "folder/a.mp3", r.offset, r.length)
		if err != nil {
			t.Errorf("%+v: %v", r, err)
			continue
		}
		got, err := io.ReadAll(part)
		if err := errors.Join(err, part.Close()); err != nil || !bytes.Equal(got, body[r.offset:end]) {
			t.Errorf("%+v: %d bytes, not those from %d to %d: %v", r, len(got), r.offset, end, err)
		}
	}
	for _, r := range []struct{ offset, length int64 }{{size, 1}, {size + 1, 1}, {-1, 2}, {0, 0}, {0, -1}, {1, math.MaxInt64}} {
		part, err := s.OpenRange(t.Context(), "folder/a.mp3", r.offset, r.length)
		if r.offset == 1 && err == nil { // an overflowing length may be truncated
			_ = part.Close()
			continue
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	for _, key := range []string{"missing.mp3", "folder", "folder/a.mp3/below"} {
		if part, err := s.OpenRange(t.Context(), key, 0, 1); part != nil || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open range: %v, %v, want fs.ErrNotExist", part, err)
		}
	}
	for _, key := range []string{"", "../a.mp3", "/a.mp3", "folder/../folder/a.mp3", "manifest/archive.json"} {
		if part, err := s.OpenRange(t.Context(), key, 0, 1); part != nil || err == nil {
			t.Errorf("a bad key is opened: %v, %v", part, err)
		}
	}
}
