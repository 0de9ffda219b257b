package verify

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strconv"
	"sync"
)

// index is what is known of the keys of one pass. It holds hashes of 64 bits, seeded anew for each process: that
// an unknown file's key has the hash of a known one is about as likely as one in a billion billion for each pair.
// It is safe for concurrent use until complete, then by one goroutine.
type index struct {
	seed   maphash.Seed
	limit  int
	passes int // a power of two
	pass   int

	mu      sync.Mutex
	entries []entry
	missing int // wanted and not seen
}

// entry is one key of one recording.
type entry struct {
	key, owner uint64
	proof      uint64 // hash of size and entity tag; its lowest bits are flags
}

const (
	isCurrent = 1 << iota // the recording stands here by the line that decides
	isWanted              // to be found by the listing, with this proof
	hasETag               // the proof is of size and entity tag, else of the size alone
	isSeen
	flagBits = 1<<iota - 1
)

// growAt is the number of entries from which the list is made as large as it may become: growing by copying would
// take twice its memory.
const growAt = 256 << 10

// mostPasses is never reached but by an archive in which one key is noted millions of times.
const mostPasses = 1 << 10

func newIndex(limit int) *index {
	if limit <= 0 {
		limit = defaultKeysAtOnce
	}
	return &index{seed: maphash.MakeSeed(), limit: limit, passes: 1}
}

// begin forgets the entries of the pass before.
func (x *index) begin(pass int) {
	x.pass, x.missing = pass, 0
	x.entries = x.entries[:0]
}

func (x *index) hash(text string) uint64 { return maphash.String(x.seed, text) }

// takes reports whether a key belongs to this pass.
func (x *index) takes(key uint64) bool { return key&uint64(x.passes-1) == uint64(x.pass) }

func (x *index) proofOf(size int64, etag string) uint64 {
	return x.hash(strconv.FormatInt(size, 10)+" "+etag) &^ flagBits
}

// add takes in a key. When the first pass gets too many, it keeps half of them, and there will be twice as
// many passes.
func (x *index) add(key, owner string, flags uint64, size int64, etag string) {
	e := entry{key: x.hash(key), owner: x.hash(owner), proof: flags}
	if flags&isWanted != 0 {
		if etag != "" {
			e.proof |= hasETag
		}
		e.proof |= x.proofOf(size, etag)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.pass == 0 && len(x.entries) >= x.limit && x.passes < mostPasses {
		x.passes *= 2
		x.entries = slices.DeleteFunc(x.entries, func(e entry) bool { return !x.takes(e.key) })
	}
	if !x.takes(e.key) {
		return
	}
	if len(x.entries) == growAt && x.limit > growAt {
		x.entries = slices.Grow(x.entries, x.limit-growAt)
	}
	x.entries = append(x.entries, e)
}

// complete makes the index ready to be asked.
func (x *index) complete() {
	slices.SortFunc(x.entries, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	for i := range x.entries {
		if x.entries[i].proof&isWanted != 0 {
			x.missing++
		}
	}
}

// of returns the entries of a key.
func (x *index) of(key uint64) []entry {
	first, found := slices.BinarySearchFunc(x.entries, key, func(e entry, key uint64) int { return cmp.Compare(e.key, key) })
	if !found {
		return nil
	}
	end := first
	for end < len(x.entries) && x.entries[end].key == key {
		end++
	}
	return x.entries[first:end]
}

// see notes that the listing has a key, and returns how many recordings are thereby found as they were noted.
func (x *index) see(entries []entry, size int64, etag string) (found int) {
	for i := range entries {
		e := &entries[i]
		if e.proof&isWanted == 0 || e.proof&isSeen != 0 {
			continue
		}
		noted := etag
		if e.proof&hasETag == 0 {
			noted = ""
		}
		if x.proofOf(size, noted) == e.proof&^flagBits {
			e.proof |= isSeen
			x.missing--
			found++
		}
	}
	return found
}

// unseen reports whether something is wanted that the listing did not have.
func (x *index) unseen() bool { return x.missing > 0 }

// isUnseen reports whether a recording of this pass was wanted under a key and not seen.
func (x *index) isUnseen(key, owner string) bool {
	ownerHash := x.hash(owner)
	for _, e := range x.of(x.hash(key)) {
		if e.owner == ownerHash && e.proof&isWanted != 0 && e.proof&isSeen == 0 {
			return true
		}
	}
	return false
}

// shared yields the keys at which several recordings stand.
func (x *index) shared(yield func(key uint64) bool) {
	for i := 0; i < len(x.entries); {
		same := x.of(x.entries[i].key)
		var owner uint64
		owned := false
		for _, e := range same {
			if e.proof&isCurrent == 0 {
				continue
			}
			if owned && e.owner != owner {
				if !yield(e.key) {
					return
				}
				break
			}
			owner, owned = e.owner, true
		}
		i += len(same)
	}
}
