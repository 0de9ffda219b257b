// Tests removing objects.

package storetest

import (
	"errors"
	"io/fs"
	"slices"
	"testing"

	"convoso-archiver/archiver/store"
)

func remove(t *testing.T, s Store, key string) {
	t.Helper()
	if err := s.Remove(t.Context(), key); err != nil {
		t.Fatalf("remove: %v", err)
	}
}

// testRemove: a freed key can be used again, and its neighbours stay.
func testRemove(t *testing.T, p Place) {
	s := open(t, p)
	keys := []string{"a/b/one.mp3", "a/b/one.mp3.mp3", "a/two.mp3", "quarantine/2025-05-01/7.bin"}
	for i, key := range keys {
		put(t, s, Object("rec", Body(uint64(i), 100), key))
	}
	remove(t, s, keys[0])
	remove(t, s, keys[0])
	remove(t, s, "never/was/there.mp3")
	wantKeys(t, s, "", keys[1:]...)
	if _, err := s.Stat(t.Context(), keys[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat after remove: %v", err)
	}
	if !p.RemembersRemoved {
		body := Body(9, 200)
		put(t, s, Object("another", body, keys[0]))
		wantObject(t, s, keys[0], body)
	}
	for _, key := range keys {
		remove(t, s, key)
	}
	wantKeys(t, s, "")
	wantNames(t, s, "a/")
}

// testRefusedRemoval: the archive's own files cannot be removed.
func testRefusedRemoval(t *testing.T, p Place) {
	s := open(t, p)
	for _, key := range []string{
		"", ".", "../x", "/x", "manifest/archive.json", "manifest/2025-05-01/closed.json", "calls/2025-05-01/a.jsonl",
		"seals/000001.json", "seals/000001.sig", "evidence/erase-1.jsonl", "Evidence/erase-1.jsonl", ".tmp/x.part",
	} {
		if err := s.Remove(t.Context(), key); !errors.Is(err, store.ErrBadKey) {
			t.Errorf("remove %q: %v, want ErrBadKey", key, err)
		}
	}
	for _, name := range []string{
		"", "manifest/archive.json", "manifest/2025-05-01/closed.json", "calls/2025-05-01/a.jsonl", "calls/2025-05-01/a.jsonl.gz",
		"manifest/lock", "a/b.jsonl.torn", "calls/../x.jsonl.torn", "seals/000001.json.part",
	} {
		if err := s.RemoveAside(t.Context(), name); !errors.Is(err, store.ErrBadKey) {
			t.Errorf("remove %q from beside the segments: %v, want ErrBadKey", name, err)
		}
	}
	for _, name := range []string{"calls/2025-05-01/a.jsonl.gz.torn", "manifest/2025-05-01.jsonl.bad-20250502T090003Z-1f0c9a3e", "manifest/2025-05-01/closed.json.part"} {
		if err := s.RemoveAside(t.Context(), name); err != nil {
			t.Errorf("remove %q, which is not there: %v", name, err)
		}
	}
}

func testNames(t *testing.T, p Place) {
	s := open(t, p)
	for i, key := range []string{"q/1.bin", "q/1_ab.bin", "q/12.bin", "q1/1.bin", "z.mp3"} {
		put(t, s, Object("rec", Body(uint64(i), 10), key))
	}
	wantNames(t, s, "q/1", "q/1.bin", "q/12.bin", "q/1_ab.bin")
	wantNames(t, s, "q/", "q/1.bin", "q/12.bin", "q/1_ab.bin")
	wantNames(t, s, "none/")
	wantNames(t, s, "z", "z.mp3")
}

func wantNames(t *testing.T, s Store, prefix string, want ...string) {
	t.Helper()
	var got []string
	for name, err := range s.Names(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("names: %v", err)
		}
		got = append(got, name)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("names below %q: %q, want %q", prefix, got, want)
	}
}
