package archiver

import (
	"strconv"
	"testing"
)

// TestIdentitySet must know each of many identities, and none that was not added.
func TestIdentitySet(t *testing.T) {
	const n = 50_000
	var s identitySet
	if s.has("0") || s.has("") {
		t.Error("an empty set has an identity")
	}
	for i := range n {
		identity := strconv.Itoa(i)
		if s.has(identity) {
			t.Fatalf("%s is there before it was added", identity)
		}
		if !s.add(identity) || s.add(identity) {
			t.Fatalf("%s is not new, or twice", identity)
		}
	}
	for i := range n {
		if !s.has(strconv.Itoa(i)) {
			t.Fatalf("%d is gone", i)
		}
	}
	if s.has("no such identity") || s.n != n {
		t.Errorf("%d identities of %d", s.n, n)
	}
	if most := 43 * n; 16*len(s.slots) > most {
		t.Errorf("%d bytes, more than %d", 16*len(s.slots), most)
	}
}

// TestIdentitySetEqualStarts puts hashes where one is already, also beyond the end of
// the table.
func TestIdentitySetEqualStarts(t *testing.T) {
	var s identitySet
	s.grow()
	last := uint64(len(s.slots) - 1)
	for i := range uint64(5) {
		hash := [2]uint64{last, i + 1}
		*s.slot(hash) = hash
	}
	s.grow()
	for i := range uint64(5) {
		if hash := [2]uint64{last, i + 1}; *s.slot(hash) != hash {
			t.Errorf("hash %d is gone", i)
		}
	}
	if other := [2]uint64{last, 6}; *s.slot(other) == other {
		t.Error("a hash is there that was not added")
	}
}
