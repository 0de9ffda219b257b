// Encodes and decodes the postings of the search index.

package search

import "encoding/binary"

// Postings list the calls of a day with a key: for each key in order the length of the prefix shared with the
// previous key, the rest of it, and the calls' ordinals as differences.

// runSize is the size in bytes at which a run of postings ends.
const runSize = 900

// run is a run of postings: the first key and the encoded keys and ordinals.
type run struct {
	first string
	data  []byte
}

// packRuns encodes the postings of one field. Keys ascend.
func packRuns(keys []string, ordinals func(key string) []uint32) (runs []run) {
	before := ""
	for _, key := range keys {
		if len(runs) == 0 || len(runs[len(runs)-1].data) >= runSize {
			runs, before = append(runs, run{first: key}), ""
		}
		r := &runs[len(runs)-1]
		r.data = appendPosting(r.data, before, key, ordinals(key))
		before = key
	}
	return runs
}

func appendPosting(to []byte, before, key string, ordinals []uint32) []byte {
	shared := 0
	for shared < min(len(before), len(key)) && before[shared] == key[shared] {
		shared++
	}
	one := uint64(0) // most keys have a single call
	if len(ordinals) == 1 {
		one = 1
	}
	to = binary.AppendUvarint(to, uint64(shared))
	to = binary.AppendUvarint(to, uint64(len(key)-shared)<<1|one)
	to = append(to, key[shared:]...)
	if one == 0 {
		to = binary.AppendUvarint(to, uint64(len(ordinals)))
	}
	last := uint32(0)
	for _, o := range ordinals {
		to = binary.AppendUvarint(to, uint64(o-last))
		last = o
	}
	return to
}

// keyRange is the range of keys of a field from lo to below hi; an empty hi means no end.
type keyRange struct {
	field  field
	lo, hi string
	only   map[string]bool // nil for all of them
	loose  bool            // a call with one of the keys need not match
}

func (r keyRange) holds(key []byte) bool {
	return string(key) >= r.lo && (r.only == nil || r.only[string(key)])
}

// search appends the ordinals of a run for the keys of a range, key by key.
func (r keyRange) search(data []byte, to []uint32) ([]uint32, error) {
	var key []byte
	next := func() uint64 {
		n, size := binary.Uvarint(data)
		if size <= 0 {
			data = nil
			return 0
		}
		data = data[size:]
		return n
	}
	for len(data) > 0 {
		shared, length := next(), next()
		one, length := length&1 == 1, length>>1
		if shared > uint64(len(key)) || length > uint64(len(data)) {
			return nil, errDamaged
		}
		key = append(key[:shared], data[:length]...)
		data = data[length:]
		if r.hi != "" && string(key) >= r.hi {
			return to, nil
		}
		count, wanted, ordinal := uint64(1), r.holds(key), uint64(0)
		if !one {
			count = next()
		}
		for ; count > 0; count-- {
			if len(data) == 0 {
				return nil, errDamaged
			}
			if ordinal += next(); wanted {
				to = append(to, uint32(ordinal))
			}
		}
	}
	return to, nil
}
