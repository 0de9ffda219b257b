package manifest

import "hash/maphash"

// idIndex finds the recordings of a day by id: an open hash table of their numbers. A map would cost four
// times the memory, and growing it a tenth of the time that a report takes.
type idIndex struct {
	seed  maphash.Seed
	slots []uint64 // 32 bits of the id's hash, and number+1; 0 is free. Their count is a power of two
	n     int      // slots in use
}

const fewestSlots = 16

// find returns the number that is noted for an id and is the one that same says yes to.
func (x *idIndex) find(id []byte, same func(number uint32) bool) (number uint32, found bool) {
	if x.n == 0 {
		return 0, false
	}
	return x.findHash(x.hash(id), same)
}

// findHash looks at the slots from where the hash points to up to the first free one.
func (x *idIndex) findHash(hash uint32, same func(number uint32) bool) (number uint32, found bool) {
	for at := hash; ; at++ {
		slot := x.slots[at&uint32(len(x.slots)-1)]
		if slot == 0 {
			return 0, false
		}
		if number := uint32(slot) - 1; uint32(slot>>32) == hash && same(number) {
			return number, true
		}
	}
}

// add notes the number of an id that is not there yet.
func (x *idIndex) add(id []byte, number uint32) {
	if x.slots == nil {
		x.seed = maphash.MakeSeed()
	}
	if 4*(x.n+1) > 3*len(x.slots) {
		x.grow()
	}
	x.n++
	x.put(uint64(x.hash(id))<<32 | uint64(number+1))
}

func (x *idIndex) hash(id []byte) uint32 { return uint32(maphash.Bytes(x.seed, id)) }

// put takes the first free slot from where the hash points to.
func (x *idIndex) put(slot uint64) {
	mask := uint32(len(x.slots) - 1)
	at := uint32(slot>>32) & mask
	for x.slots[at] != 0 {
		at = (at + 1) & mask
	}
	x.slots[at] = slot
}

// grow doubles the table. The hashes stand in it, so that no id is looked at.
func (x *idIndex) grow() {
	old := x.slots
	x.slots = make([]uint64, max(fewestSlots, 2*len(old)))
	for _, slot := range old {
		if slot != 0 {
			x.put(slot)
		}
	}
}

// rowHashes is a table from the hash of a call id to that of a row, open like idIndex and without pointers: 16
// bytes a slot, of which at most three in four are in use. Ids whose hashes are equal cost no more than rows
// noted again: what is known of one is then taken for the other's, and rows differ.
type rowHashes struct {
	slots []rowSlot // their count is a power of two
	n     int       // slots in use
}

type rowSlot struct {
	id, row uint64 // a slot whose id is 0 is free
}

// rowID makes a hash one that a slot can hold.
func rowID(hash uint64) uint64 { return max(hash, 1) }

// get returns the row that was set last for an id.
func (t *rowHashes) get(id uint64) (row uint64, known bool) {
	if t.n == 0 {
		return 0, false
	}
	slot := t.slot(id)
	return slot.row, slot.id == id
}

// set notes the row of an id.
func (t *rowHashes) set(id, row uint64) {
	if 4*(t.n+1) > 3*len(t.slots) {
		t.grow()
	}
	slot := t.slot(id)
	if slot.id == 0 {
		t.n++
	}
	*slot = rowSlot{id: id, row: row}
}

// slot returns the one that an id has, or the free one that it would take.
func (t *rowHashes) slot(id uint64) *rowSlot {
	mask := uint64(len(t.slots) - 1)
	for at := id; ; at++ {
		if slot := &t.slots[at&mask]; slot.id == id || slot.id == 0 {
			return slot
		}
	}
}

// grow doubles the table.
func (t *rowHashes) grow() {
	old := t.slots
	t.slots = make([]rowSlot, max(fewestSlots, 2*len(old)))
	for _, slot := range old {
		if slot.id != 0 {
			*t.slot(slot.id) = slot
		}
	}
}
