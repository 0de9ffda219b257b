package verify

import (
	"fmt"
	"testing"

	"convoso-archiver/manifest"
)

// TestIndexInPasses adds more keys than the capacity: each is found in exactly one pass, and no pass holds more.
func TestIndexInPasses(t *testing.T) {
	const keys, limit = 5000, 300
	x := newIndex(limit)
	found := make([]int, keys)
	unknown := 0
	for pass := 0; pass < x.passes; pass++ {
		x.begin(pass)
		for i := range keys {
			key := x.hash(fmt.Sprintf("key %d", i))
			x.add(entry{key: key, flags: isArchived | hasETag, proof: x.proofOf(int64(i), "tag")})
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
			if len(known) == 0 {
				unknown++
				continue
			}
			if x.see(known, int64(i), "tag"); i%10 > 0 && known[0].flags&isSeen != 0 {
				found[i]++
			}
			if i%10 == 0 {
				found[i]++
				known[0].flags &^= isSeen
			}
		}
		x.end()
	}
	for i, n := range found {
		if n != 1 {
			t.Fatalf("key %d was found %d times", i, n)
		}
	}
	if len(x.unseen) != keys/10 || x.allUnseen || !x.unseen[x.hash("key 40")] || len(x.contradicted) > 0 {
		t.Errorf("%d unseen, %d contradicted", len(x.unseen), len(x.contradicted))
	}
	if unknown != 100 || x.passes < keys/limit {
		t.Errorf("%d unknown, %d passes", unknown, x.passes)
	}
}

// line is the input of takeKey for a line.
func (x *index) line(key string, outcome manifest.Outcome, size int64, sum, etag string) {
	(&run{index: x}).takeKey(&manifest.Entry{
		Key: []byte(key), Outcome: outcome, Size: size, SHA256: []byte(sum), ETag: []byte(etag),
	})
}

// TestIndexListing: which objects of a listing match noted ones.
func TestIndexListing(t *testing.T) {
	x := newIndex(0)
	x.line("tagged", manifest.Archived, 10, "aa", `"tag"`)
	x.line("untagged", manifest.Archived, 10, "aa", "")
	x.line("damaged", manifest.Damaged, 10, "aa", "tag")
	x.line("waiting", manifest.Failed, 10, "", "")
	x.complete()
	for _, test := range []struct {
		key   string
		size  int64
		etag  string
		known bool
		seen  bool
	}{
		{"tagged", 10, "other", true, false},
		{"tagged", 11, "tag", true, false},
		{"tagged", 10, "tag", true, true},
		{"untagged", 11, "whatever", true, false},
		{"untagged", 10, "whatever", true, true},
		{"damaged", 10, "tag", true, false},
		{"waiting", 10, "", false, false}, // nothing is stored under the key of such a line
		{"nothing", 10, "", false, false},
	} {
		known := x.of(x.hash(test.key))
		x.see(known, test.size, test.etag)
		if seen := len(known) > 0 && known[0].flags&isSeen != 0; len(known) > 0 != test.known || seen != test.seen {
			t.Errorf("%s of %d bytes with tag %q: %+v", test.key, test.size, test.etag, known)
		}
	}
}

func TestContradictions(t *testing.T) {
	const a, d = manifest.Archived, manifest.Damaged
	type line struct {
		outcome manifest.Outcome
		size    int64
		sum     string
	}
	for name, test := range map[string]struct {
		lines []line
		want  bool
	}{
		"one line":                     {[]line{{a, 10, "aa"}}, false},
		"the same twice":               {[]line{{a, 10, "aa"}, {a, 10, "aa"}}, false},
		"another hash":                 {[]line{{a, 10, "aa"}, {a, 10, "bb"}}, true},
		"another size":                 {[]line{{a, 10, "aa"}, {a, 11, "aa"}}, true},
		"the third differs":            {[]line{{a, 10, "aa"}, {a, 10, "aa"}, {a, 10, "bb"}}, true},
		"one was found damaged":        {[]line{{a, 10, "aa"}, {d, 10, "aa"}, {a, 10, "bb"}}, false},
		"found damaged in a later day": {[]line{{a, 10, "bb"}, {a, 10, "aa"}, {d, 10, "aa"}}, false},
		"one was erased":               {[]line{{a, 10, "aa"}, {manifest.Erased, 0, ""}, {a, 10, "bb"}}, false},
		"one waits":                    {[]line{{a, 10, "aa"}, {manifest.Failed, 0, ""}}, false},
	} {
		x := newIndex(0)
		for _, l := range test.lines {
			x.line("key", l.outcome, l.size, l.sum, "")
		}
		x.line("another key", a, 99, "cc", "")
		x.complete()
		if x.end(); x.contradicted[x.hash("key")] != test.want || len(x.contradicted) > 1 {
			t.Errorf("%s: %v", name, !test.want)
		}
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
