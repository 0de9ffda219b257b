// Indexes the keys of the manifest compactly, to recognise unknown files.

package verify

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strconv"
)

// index holds the manifest's data about the keys of one pass. It stores hashes with a random seed: for each pair,
// the probability that an unknown key has the hash of a known one is about one in a billion billion. One goroutine
// fills and compares it; after the last pass, lookups may be concurrent.
type index struct {
	seed    maphash.Seed
	passes  int // a power of two
	pass    int
	entries []entry // up to the capacity

	// Open questions of the passes, up to a limit.
	contradicted map[uint64]bool // keys with different bytes in lines
	unseen       map[uint64]bool // keys that the listing lacks in their noted form
	allUnseen    bool            // there were more
}

// entry is a key in one line, in 16 bytes.
type entry struct {
	key     uint64
	proof   uint32  // hash of size and entity tag
	content [3]byte // hash of SHA-256 and size: one contradiction in 16 million is missed
	flags   uint8
}

const (
	isArchived = 1 << iota // the line says archived
	hasETag                // the proof is of size and entity tag, otherwise only of the size
	isSeen                 // the listing has it with this proof
	isOver                 // the line says that the object is damaged, or was removed
)

const (
	defaultKeysAtOnce = 3 << 19   // 24 MiB
	maxLeft           = 256 << 10 // keys that are remembered from pass to pass
	// maxPasses is only reached if one key is noted millions of times.
	maxPasses = 1 << 10
)

func newIndex(keysAtOnce int) *index {
	return &index{
		seed: maphash.MakeSeed(), passes: 1, entries: make([]entry, 0, cmp.Or(keysAtOnce, defaultKeysAtOnce)),
		contradicted: map[uint64]bool{}, unseen: map[uint64]bool{},
	}
}

// begin forgets the entries of the previous pass.
func (x *index) begin(pass int) { x.pass, x.entries = pass, x.entries[:0] }

func (x *index) hash(key string) uint64 { return maphash.String(x.seed, key) }

// takes reports whether a key belongs to this pass.
func (x *index) takes(key uint64) bool { return key&uint64(x.passes-1) == uint64(x.pass) }

// proofOf is a hash of size and entity tag, or only of the size if there is no tag.
func (x *index) proofOf(size int64, etag string) uint32 {
	return uint32(x.hash(strconv.FormatInt(size, 10) + " " + etag))
}

// contentOf is a hash of the SHA-256 in a line, in hex, and of the size.
func (x *index) contentOf(sha256 []byte, size int64) [3]byte {
	h := maphash.Bytes(x.seed, sha256) + uint64(size)
	return [3]byte{byte(h), byte(h >> 8), byte(h >> 16)}
}

// add adds a key. If the first pass has too many, it keeps half of them and doubles the number of passes.
func (x *index) add(e entry) {
	for x.pass == 0 && len(x.entries) == cap(x.entries) && x.passes < maxPasses {
		x.passes *= 2
		x.entries = slices.DeleteFunc(x.entries, func(e entry) bool { return !x.takes(e.key) })
	}
	if x.takes(e.key) {
		x.entries = append(x.entries, e)
	}
}

// complete prepares the index for lookups.
func (x *index) complete() {
	slices.SortFunc(x.entries, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
}

func (x *index) of(key uint64) []entry {
	start, _ := slices.BinarySearchFunc(x.entries, key, func(e entry, key uint64) int { return cmp.Compare(e.key, key) })
	end := start
	for end < len(x.entries) && x.entries[end].key == key {
		end++
	}
	return x.entries[start:end]
}

// see marks a key as listed.
func (x *index) see(group []entry, size int64, etag string) {
	plain, tagged := x.proofOf(size, ""), x.proofOf(size, etag)
	for i := range group {
		e := &group[i]
		if e.flags&isArchived != 0 && (e.flags&hasETag == 0 && e.proof == plain || e.flags&hasETag != 0 && e.proof == tagged) {
			e.flags |= isSeen
		}
	}
}

// end stores the open questions of the pass. If a line says that the object is damaged or removed, other lines
// may differ.
func (x *index) end() {
	for i := 0; i < len(x.entries); {
		key, first, isOpen, differs, unseen := x.entries[i].key, -1, true, false, false
		for ; i < len(x.entries) && x.entries[i].key == key; i++ {
			e := x.entries[i]
			isOpen = isOpen && e.flags&isOver == 0
			if e.flags&isArchived == 0 {
				continue
			}
			if first < 0 {
				first = i
			}
			differs = differs || e.content != x.entries[first].content
			unseen = unseen || e.flags&isSeen == 0
		}
		if differs && isOpen && len(x.contradicted) < maxLeft {
			x.contradicted[key] = true
		}
		if unseen && len(x.unseen) < maxLeft {
			x.unseen[key] = true
		} else if unseen {
			x.allUnseen = true
		}
	}
}
