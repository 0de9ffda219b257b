package fetcher

import "hash/maphash"

// callSet counts distinct calls by a hash of each, so that its size does not depend
// on ids: an open hash table, of which a map would take three times the memory.
//
// Two calls with one hash count as one. Then the window has fewer calls than its
// total, does not prove whole and is listed again: no call is taken for seen that was
// not. Among 40,000 calls, the most of a window, it happens once in 20 thousand million
// windows. It would hide something only where the API sends exactly one call more than
// a total that never changes, which is no count of theirs.
type callSet struct {
	seed  maphash.Seed
	slots []uint64 // hashes; 0 is free. Their count is a power of two
	n     int      // slots in use
}

// newCallSet returns a set whose hashes are those of all sets with this seed.
func newCallSet(seed maphash.Seed) *callSet { return &callSet{seed: seed} }

// hash returns what stands for a call: for its id, or without one for its row.
func (s *callSet) hash(c *Call) uint64 {
	if c.ID != "" {
		return max(maphash.String(s.seed, c.ID), 1)
	}
	row, err := c.RowWithoutLinks() // a link may differ each time
	if err != nil {
		row = c.Raw
	}
	return max(maphash.Bytes(s.seed, row), 1)
}

// add reports whether the hash was not in the set.
func (s *callSet) add(hash uint64) bool {
	const fewestSlots = 1 << 6
	if 4*(s.n+1) > 3*len(s.slots) {
		old := s.slots
		s.slots = make([]uint64, max(fewestSlots, 2*len(old)))
		for _, known := range old {
			if known != 0 {
				s.slots[s.find(known)] = known
			}
		}
	}
	at := s.find(hash)
	if s.slots[at] == hash {
		return false
	}
	s.slots[at] = hash
	s.n++
	return true
}

// find returns the slot of a hash, or the free one where it belongs.
func (s *callSet) find(hash uint64) uint64 {
	mask := uint64(len(s.slots) - 1)
	at := hash & mask
	for s.slots[at] != 0 && s.slots[at] != hash {
		at = (at + 1) & mask
	}
	return at
}
