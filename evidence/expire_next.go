// Finds the recordings whose retention ends next.

package evidence

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"convoso-archiver/manifest"
)

// NextExpiry counts the stored recordings whose retention ends next, and those among them that a case or a lock
// protects.
type NextExpiry struct {
	Day        string `json:"day"` // first day past their retention
	Recordings int    `json:"recordings"`
	Bytes      int64  `json:"bytes"`
	FirstDay   string `json:"first_day"` // of the calls
	LastDay    string `json:"last_day"`
}

// Next returns the next expiry after Today, nil for none. It reads the days in the order in which the retention of a
// class may end, until one has a recording of that class.
func (x *Expiring) Next(ctx context.Context) (*NextExpiry, error) {
	daysBy := map[string][]string{} // call days by the end of a retention
	for day, err := range x.Ledger.Days(ctx) {
		if err != nil {
			return nil, fmt.Errorf("list the days: %w", err)
		}
		for _, end := range x.Retention.endsOf(day) {
			if end > x.Today {
				daysBy[end] = append(daysBy[end], day)
			}
		}
	}
	counts := map[dated]*NextExpiry{} // by call day and end, which is stored instead of an id
	read := map[string]bool{}
	for _, end := range slices.Sorted(maps.Keys(daysBy)) {
		next := NextExpiry{Day: end}
		for _, day := range daysBy[end] {
			if !read[day] {
				read[day] = true
				list, _, err := x.endingOf(ctx, day)
				if _, bad := errors.AsType[*manifest.BadLineError](err); err != nil && !bad { // Run reports bad lines once the day is due
					return nil, err
				}
				for _, d := range list {
					at := dated{day, d.ended}
					if counts[at] == nil {
						counts[at] = &NextExpiry{}
					}
					counts[at].Recordings++
					counts[at].Bytes += d.bytes
				}
			}
			if n := counts[dated{day, end}]; n != nil {
				next.Recordings, next.Bytes = next.Recordings+n.Recordings, next.Bytes+n.Bytes
				next.FirstDay, next.LastDay = firstDay(next.FirstDay, day), max(next.LastDay, day)
			}
		}
		if next.Recordings > 0 {
			return &next, nil
		}
	}
	return nil, nil
}

// endsOf returns the possible ends of retention for the recordings of a call day, without
// duplicates.
func (r Retention) endsOf(day string) (ends []string) {
	for _, class := range append(slices.Collect(maps.Values(r.Campaigns)), r.Default) {
		if period, ok := r.Classes[class]; ok {
			if end, ok := endOf(day, period); ok && !slices.Contains(ends, end) {
				ends = append(ends, end)
			}
		}
	}
	return ends
}
