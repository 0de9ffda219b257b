package manifest

import (
	"fmt"
	"testing"
)

// The index must find each of many ids, and none that was not added, whatever their hashes have in common.
func TestIDIndex(t *testing.T) {
	const n = 50_000
	var x idIndex
	ids := make([][]byte, n)
	lookUp := func(id []byte) (uint32, bool) {
		return x.find(id, func(i uint32) bool { return string(ids[i]) == string(id) })
	}
	if _, found := lookUp([]byte("0")); found {
		t.Error("an empty index finds an id")
	}
	for i := range ids {
		ids[i] = fmt.Append(nil, i)
		x.add(ids[i], uint32(i))
	}
	for i, id := range ids {
		if got, found := lookUp(id); !found || got != uint32(i) {
			t.Fatalf("id %d: %d, %t", i, got, found)
		}
	}
	if _, found := lookUp([]byte("no such id")); found {
		t.Error("an id that was not added is found")
	}
	if len(x.slots) > 4*n {
		t.Errorf("%d slots for %d ids", len(x.slots), n)
	}
}

// Where all hashes are equal, the ids themselves tell.
func TestIDIndexEqualHashes(t *testing.T) {
	x := idIndex{slots: make([]uint64, fewestSlots)}
	for i := range uint32(5) {
		x.put(7<<32 | uint64(i+1))
		x.n++
	}
	for want := range uint32(5) {
		hash := uint32(7)
		if got, found := x.findHash(hash, func(i uint32) bool { return i == want }); !found || got != want {
			t.Errorf("%d: %d, %t", want, got, found)
		}
	}
}
