package manifest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// TestClaims lets removals and holds of several processes claim, one after another.
func TestClaims(t *testing.T) { inPlaces(t, testClaims) }

func testClaims(t *testing.T, p place) {
	const hold, removal, withdrawal = "hold", ClaimRemoved, ErasureWithdrawn
	erasure := func(id string) Claim { return Claim{Erasure: id} }
	expiry := func(id string) Claim { return Claim{Expiry: id, Day: testDay} }
	number := 0
	for name, c := range map[string]struct {
		of    func(id string) Claim
		claim []string
		want  []string // of a hold, whether it is first; of a removal, the state of the last claim, and how often it looked
	}{
		"a removal alone":              {erasure, []string{removal, removal}, []string{"removing 1", "removing 0"}},
		"a hold too late":              {erasure, []string{removal, hold, hold}, []string{"removing 1", "late", "late"}},
		"a hold in time":               {erasure, []string{hold, withdrawal, hold}, []string{"first", "withdrawn 1", "first"}},
		"holds that were released":     {erasure, []string{hold, hold, removal, hold}, []string{"first", "first", "removing 1", "late"}},
		"an erasure that is withdrawn": {erasure, []string{withdrawal, removal}, []string{"withdrawn 1", "withdrawn 0"}},
		"an expiry":                    {expiry, []string{hold, removal, hold}, []string{"first", "removing 1", "late"}},
	} {
		number++
		id := fmt.Sprintf("20250502T090003Z-%08d", number)
		intents := p.open(t, Options{Run: id})
		var err error
		if claim := c.of(id); claim.Erasure != "" {
			r := NewErasureRecord(ErasureIntent, id)
			r.Calls = []ErasedID{{Day: testDay, ID: "c" + id}}
			err = intents.PutRecords(t.Context(), ErasureStem, r)
		} else {
			err = intents.PutExpiry(t.Context(), testDay, &ExpiryRecord{State: ErasureIntent, Class: "a", Ended: testDay, Recordings: []string{"r" + id}})
		}
		err = errors.Join(err, intents.Close(t.Context()))
		var got []string
		for _, state := range c.claim {
			l := p.open(t, Options{})
			var text string
			if state == hold {
				text = "late"
				isFirst, holdErr := l.ClaimHold(t.Context(), c.of(id))
				if err = errors.Join(err, holdErr); isFirst {
					text = "first"
				}
			} else {
				looks := "0"
				stands, removalErr := l.ClaimRemoval(t.Context(), c.of(id), func(bool) (string, error) { looks = "1"; return state, nil })
				text, err = stands+" "+looks, errors.Join(err, removalErr)
			}
			got, err = append(got, text), errors.Join(err, l.Close(t.Context()))
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q: %v", name, got, c.want, err)
		}
	}
}

// TestClaimOvertaken: a hold claims while a removal looks for holds. The removal looks again.
func TestClaimOvertaken(t *testing.T) {
	l, err := OpenBucket(newObjects(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	claim := Claim{Expiry: l.Run(), Day: testDay}
	if err := l.PutExpiry(t.Context(), testDay, &ExpiryRecord{State: ErasureIntent, Class: "a", Ended: testDay, Recordings: []string{"r"}}); err != nil {
		t.Fatal(err)
	}
	looks := 0
	state, err := l.ClaimRemoval(t.Context(), claim, func(contested bool) (string, error) {
		if contested != (looks == 1) {
			t.Errorf("look %d, contested %v", looks+1, contested)
		}
		if looks++; looks == 1 {
			if isFirst, err := l.ClaimHold(t.Context(), claim); err != nil || !isFirst {
				t.Errorf("the hold is first: %v, %v", isFirst, err)
			}
		}
		return ClaimRemoved, nil
	})
	if err != nil || state != ClaimRemoved || looks != 2 {
		t.Errorf("%s after %d looks, %v", state, looks, err)
	}
}
