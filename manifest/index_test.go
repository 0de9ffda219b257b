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

// A table of rows must know the row that was set last for each of many ids, also where the ids point to the
// same slot, and 0 must be an id like any other.
func TestRowHashes(t *testing.T) {
	const n = 50_000
	for name, id := range map[string]func(i uint64) uint64{
		"one after another": func(i uint64) uint64 { return rowID(i) },
		"from one slot":     func(i uint64) uint64 { return rowID(i%5<<40 | 15) },
	} {
		t.Run(name, func(t *testing.T) {
			want := map[uint64]uint64{}
			var table rowHashes
			if _, known := table.get(id(0)); known {
				t.Error("an empty table knows an id")
			}
			for i := range uint64(n) {
				want[id(i)] = i
				table.set(id(i), i)
			}
			for id, row := range want {
				if got, known := table.get(id); !known || got != row {
					t.Fatalf("id %d: %d, %t, want %d", id, got, known, row)
				}
			}
			if _, known := table.get(1 << 60); known {
				t.Error("an id that was not set is known")
			}
			if table.n != len(want) || len(table.slots) > max(fewestSlots, 3*len(want)) {
				t.Errorf("%d ids and %d slots for %d", table.n, len(table.slots), len(want))
			}
		})
	}
}
