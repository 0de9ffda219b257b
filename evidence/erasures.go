// Lists the erasures of an archive.

package evidence

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"convoso-archiver/manifest"
)

// The states of an erasure in a list.
const (
	ErasureDone       = "done"       // completely removed
	ErasureUnfinished = "unfinished" // it was stopped; the next one finishes it
	ErasureWithdrawn  = "withdrawn"  // nothing was removed
)

// Erasure is the state of one erasure according to its records.
type Erasure struct {
	ID         string     `json:"erasure"`
	Time       time.Time  `json:"time"`  // of its intent
	Ended      *time.Time `json:"ended"` // when it was done or withdrawn, otherwise null
	State      string     `json:"state"`
	Reason     string     `json:"reason"`
	Calls      int        `json:"calls"` // without duplicates
	Recordings int        `json:"recordings"`
}

// Erasures returns all erasures of an archive, the oldest first.
func Erasures(ctx context.Context, ledger *manifest.Ledger) ([]Erasure, error) {
	var records []manifest.ErasureRecord
	err := ledger.Records(ctx, manifest.ErasureStem, func(file string, raw []byte) error {
		var r manifest.ErasureRecord
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		records = append(records, r)
		return nil
	})
	return foldErasures(records), err
}

// foldErasures makes erasures of their records, given in any order.
func foldErasures(records []manifest.ErasureRecord) []Erasure {
	byID := map[string]*Erasure{}
	calls, recordings := map[string]map[string]bool{}, map[string]map[string]bool{}
	for _, r := range records {
		e := byID[r.Erasure]
		if e == nil {
			e = &Erasure{ID: r.Erasure, State: ErasureUnfinished}
			byID[r.Erasure], calls[r.Erasure], recordings[r.Erasure] = e, map[string]bool{}, map[string]bool{}
		}
		switch {
		case r.State == manifest.ErasureIntent:
			e.Reason = r.Reason
			if e.Time.IsZero() || r.Time.Before(e.Time) {
				e.Time = r.Time
			}
			addIDs(calls[r.Erasure], r.Calls)
			addIDs(recordings[r.Erasure], r.Recordings)
		case r.State == manifest.ErasureWithdrawn:
			e.State, e.Ended = ErasureWithdrawn, &r.Time
		case r.State == manifest.ErasureDone && e.State != ErasureWithdrawn:
			e.State, e.Ended = ErasureDone, &r.Time
		}
	}
	list := []Erasure{}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		byID[id].Calls, byID[id].Recordings = len(calls[id]), len(recordings[id])
		list = append(list, *byID[id])
	}
	slices.SortStableFunc(list, func(a, b Erasure) int { return a.Time.Compare(b.Time) })
	return list
}

func addIDs(to map[string]bool, ids []manifest.ErasedID) {
	for _, id := range ids {
		if id.ID != "" {
			to[id.ID] = true
		}
	}
}
