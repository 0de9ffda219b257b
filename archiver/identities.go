package archiver

import (
	"crypto/sha256"
	"encoding/binary"
)

// identitySet is a set of recording identities, each as 128 bits of its SHA-256: two
// identities that have these in common are not to be expected in the life of the
// universe. It is an open table without pointers and keeps no text alive: 21 bytes an
// identity where it is at its fullest, 43 where it has just grown.
type identitySet struct {
	slots [][2]uint64 // their count is a power of two; one of zeros is free
	n     int         // slots in use
}

const fewestSlots = 16

// add reports whether the identity was not in the set.
func (s *identitySet) add(identity string) bool {
	if 4*(s.n+1) > 3*len(s.slots) {
		s.grow()
	}
	hash := hashOf(identity)
	slot := s.slot(hash)
	if *slot == hash {
		return false
	}
	*slot = hash
	s.n++
	return true
}

// has reports whether the identity is in the set.
func (s *identitySet) has(identity string) bool {
	if s.n == 0 {
		return false
	}
	hash := hashOf(identity)
	return *s.slot(hash) == hash
}

// hashOf returns what stands for an identity; never zeros.
func hashOf(identity string) [2]uint64 {
	sum := sha256.Sum256([]byte(identity))
	return [2]uint64{binary.LittleEndian.Uint64(sum[:8]), max(binary.LittleEndian.Uint64(sum[8:16]), 1)}
}

// slot returns the one that a hash has, or the free one that it would take.
func (s *identitySet) slot(hash [2]uint64) *[2]uint64 {
	mask := uint64(len(s.slots) - 1)
	for at := hash[0]; ; at++ {
		if slot := &s.slots[at&mask]; *slot == hash || *slot == [2]uint64{} {
			return slot
		}
	}
}

// grow doubles the table.
func (s *identitySet) grow() {
	old := s.slots
	s.slots = make([][2]uint64, max(fewestSlots, 2*len(old)))
	for _, hash := range old {
		if hash != [2]uint64{} {
			*s.slot(hash) = hash
		}
	}
}
