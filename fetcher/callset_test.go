package fetcher

import (
	"fmt"
	"hash/maphash"
	"testing"
)

// TestCallSet adds as many calls as a window holds, each twice, and looks at what the
// set takes for one on its way there.
func TestCallSet(t *testing.T) {
	const calls = DefaultOffsetCeiling
	set := newCallSet(maphash.MakeSeed())
	bytesPerCall := 0.0
	for i := range calls {
		hash := set.hash(&Call{ID: fmt.Sprint(9_000_000_000 + i)})
		if !set.add(hash) || set.add(hash) || set.n != i+1 {
			t.Fatalf("call %d: %d calls", i, set.n)
		}
		bytesPerCall += float64(8*len(set.slots)) / float64(set.n)
	}
	for i := range calls {
		if set.add(set.hash(&Call{ID: fmt.Sprint(9_000_000_000 + i)})) {
			t.Fatalf("call %d is not known any more", i)
		}
	}
	if mean := bytesPerCall / calls; mean > 16 {
		t.Errorf("%.1f bytes a call on average", mean)
	}
}

// TestCallSetTellsCallsApart takes calls without an id for one where only their links
// differ.
func TestCallSetTellsCallsApart(t *testing.T) {
	row := `{"lead_id":"%d","recording":[{"filename":"a.mp3","public_url":"https://x.convoso.com/play?rlt=%d"}]}`
	one := decodeCall(t, fmt.Sprintf(row, 1, 1))
	again := decodeCall(t, fmt.Sprintf(row, 1, 2))
	other := decodeCall(t, fmt.Sprintf(row, 2, 1))
	set := newCallSet(maphash.MakeSeed())
	if !set.add(set.hash(&one)) || set.add(set.hash(&again)) || !set.add(set.hash(&other)) || set.n != 2 {
		t.Errorf("%d calls, want 2", set.n)
	}
	if same := newCallSet(set.seed); same.hash(&other) != set.hash(&other) {
		t.Error("another set of the same seed hashes otherwise")
	}
}
