package verify

import (
	"fmt"
	"testing"
)

// TestIndexInPasses takes in more keys than it may hold: each is found in exactly one pass, and no pass holds more.
func TestIndexInPasses(t *testing.T) {
	const keys, limit = 5000, 300
	x := newIndex(limit)
	found := make([]int, keys)
	unknown := 0
	for pass := 0; pass < x.passes; pass++ {
		x.begin(pass)
		for i := range keys {
			x.add(fmt.Sprintf("key %d", i), fmt.Sprintf("recording %d", i), isCurrent|isWanted, int64(i), "tag")
		}
		x.complete()
		if pass == 0 && len(x.entries) > limit || len(x.entries) > 2*limit {
			t.Errorf("pass %d holds %d entries", pass, len(x.entries))
		}
		for i := range keys + 100 {
			key := x.hash(fmt.Sprintf("key %d", i))
			if !x.takes(key) {
				continue
			}
			known := x.of(key)
			if known == nil {
				unknown++
				continue
			}
			found[i] += x.see(known, int64(i), "tag")
		}
		if x.unseen() {
			t.Errorf("pass %d: %d unseen", pass, x.missing)
		}
	}
	for i, n := range found {
		if n != 1 {
			t.Fatalf("key %d was found %d times", i, n)
		}
	}
	if unknown != 100 || x.passes < keys/limit {
		t.Errorf("%d unknown, %d passes", unknown, x.passes)
	}
}

func TestIndexProofs(t *testing.T) {
	x := newIndex(0)
	x.begin(0)
	x.add("tagged", "a", isCurrent|isWanted, 10, "tag")
	x.add("untagged", "b", isCurrent|isWanted, 10, "")
	x.add("old", "c", 0, 0, "")
	x.add("twice", "d", isCurrent, 0, "")
	x.add("twice", "e", isCurrent, 0, "")
	x.add("moved", "f", isCurrent, 0, "") // one recording on two days
	x.add("moved", "f", isCurrent, 0, "")
	x.add("handed on", "g", 0, 0, "") // its older key, free since
	x.add("handed on", "h", isCurrent, 0, "")
	x.complete()
	see := func(key string, size int64, etag string) int { return x.see(x.of(x.hash(key)), size, etag) }
	if see("tagged", 10, "other") != 0 || see("tagged", 11, "tag") != 0 || !x.isUnseen("tagged", "a") || x.isUnseen("tagged", "b") {
		t.Error("another object was taken for the recording's")
	}
	if see("tagged", 10, "tag") != 1 || see("tagged", 10, "tag") != 0 || x.isUnseen("tagged", "a") {
		t.Error("the recording's object was not seen once")
	}
	if see("untagged", 10, "whatever") != 1 || see("old", 1, "") != 0 || x.unseen() {
		t.Error("an object without a noted tag")
	}
	if x.of(x.hash("nothing")) != nil || x.isUnseen("nothing", "a") {
		t.Error("an unknown key is known")
	}
	var shared []uint64
	for key := range x.shared {
		shared = append(shared, key)
	}
	if len(shared) != 1 || shared[0] != x.hash("twice") {
		t.Errorf("%d keys are shared", len(shared))
	}
}

func TestIsDropped(t *testing.T) {
	for key, want := range map[string]bool{
		".DS_Store": true, "a/b/.DS_Store": true, "a/Thumbs.db": true, "desktop.ini": true, "a/._b.mp3": true, "a/": true,
		"a/b.mp3": false, "DS_Store": false, "thumbs.db.mp3": false,
	} {
		if isDropped(key) != want {
			t.Errorf("%q: %t", key, !want)
		}
	}
}
