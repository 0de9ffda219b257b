// Lists the expiries of an archive.

package evidence

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"convoso-archiver/manifest"
)

// Expiry is what one expiry removed of a day and a class of retention.
type Expiry struct {
	ID         string           `json:"expiry"`
	Time       time.Time        `json:"time"` // of its intent
	Day        string           `json:"day"`
	State      string           `json:"state"` // ErasureDone, ErasureUnfinished, or ErasureWithdrawn if a case holds all of it
	Outcome    manifest.Outcome `json:"outcome"`
	Recordings int              `json:"recordings"` // without those that were withdrawn
	Class      string           `json:"class"`
	Ended      string           `json:"ended"` // the first day past the retention
}

// Expiries returns all expiries of an archive, the oldest first, and of each the days and classes in order.
func Expiries(ctx context.Context, ledger *manifest.Ledger) ([]Expiry, error) {
	var records []manifest.ExpiryRecord
	err := ledger.Records(ctx, manifest.ExpiryStem, func(_ string, raw []byte) error {
		var r manifest.ExpiryRecord
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		records = append(records, r)
		return nil
	})
	return foldExpiries(records), err
}

// foldExpiries makes expiries of their records, given in any order.
func foldExpiries(records []manifest.ExpiryRecord) []Expiry {
	type recording struct{ expiry, day, id string }
	done, withdrawn := map[string]bool{}, map[recording]bool{}
	for _, r := range records {
		done[r.Expiry] = done[r.Expiry] || r.State == manifest.ErasureDone
		for _, id := range r.Recordings {
			if r.State == manifest.ErasureWithdrawn {
				withdrawn[recording{r.Expiry, r.Day, id}] = true
			}
		}
	}
	type part struct{ expiry, day, class string }
	places := map[part]int{}
	list := []Expiry{}
	for _, r := range records {
		if r.State != manifest.ErasureIntent {
			continue
		}
		at := part{r.Expiry, r.Day, r.Class}
		i, known := places[at]
		if !known {
			i, places[at] = len(list), len(list)
			list = append(list, Expiry{ID: r.Expiry, Time: r.Time, Day: r.Day, State: ErasureUnfinished, Outcome: manifest.Expired, Class: r.Class, Ended: r.Ended})
		}
		for _, id := range r.Recordings {
			if !withdrawn[recording{r.Expiry, r.Day, id}] {
				list[i].Recordings++
			}
		}
	}
	for i := range list {
		switch e := &list[i]; {
		case e.Recordings == 0:
			e.State = ErasureWithdrawn
		case done[e.ID]:
			e.State = ErasureDone
		}
	}
	slices.SortFunc(list, func(a, b Expiry) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Day, b.Day), cmp.Compare(a.Class, b.Class))
	})
	return list
}
