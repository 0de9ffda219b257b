// Collects the history of one call.

package evidence

import (
	"cmp"
	"context"
	"encoding/json"
	"path"
	"slices"
	"strings"
	"time"

	"convoso-archiver/manifest"
)

// findCall looks for the days of a call without recording lines: in erasures and holds or, if they do not name the
// call, in all call rows.
func (h *History) findCall(ctx context.Context, ledger *manifest.Ledger) error {
	err := ledger.Records(ctx, manifest.ErasureStem, func(_ string, raw []byte) error {
		var r manifest.ErasureRecord
		if json.Unmarshal(raw, &r) == nil { // addErasures reports lines that are not records
			for _, id := range r.Calls {
				if id.ID == h.CallID {
					h.addDay(id.Day)
				}
			}
		}
		return nil
	})
	if err != nil || len(h.Days) > 0 {
		return err
	}
	for day, err := range ledger.Days(ctx) {
		if err != nil {
			return err
		}
		err := ledger.ReadCalls(ctx, day, func(c manifest.Call) error {
			if c.CallID == h.CallID {
				h.addDay(day)
			}
			return nil
		}, func(manifest.Fault) {}) // verify reports faults
		if err != nil {
			return err
		}
	}
	return nil
}

// readCall adds the events of a call on a day: its rows, and when the day was closed and sealed; and the outcomes of its
// recordings.
func (h *History) readCall(ctx context.Context, ledger *manifest.Ledger, day string) error {
	segments, err := ledger.Segments(ctx, manifest.TreeCalls, day)
	if err != nil {
		return err
	}
	files := map[string]int{} // lines that name the call, by segment
	for _, s := range segments {
		_, err := ledger.ReadSegment(ctx, s, func(l manifest.SegmentLine) error {
			var c struct {
				CallID string    `json:"call_id"`
				Time   time.Time `json:"time"`
				Run    string    `json:"run"`
			}
			if l.Bad != nil || json.Unmarshal(l.Raw, &c) != nil || c.CallID != h.CallID {
				return nil // audit --seals and verify report faults
			}
			h.Lines++
			files[s.Name]++
			e := Event{Time: c.Time, What: "listed", Day: day, Run: c.Run, File: s.File(), Line: l.Number, Detail: "its row was noted"}
			if l.Stub { // a stub has no time; the file name has the run
				e.Run, e.Time = runOf(s.Name)
				e.Detail = "its row was noted, and erased later"
			}
			if slices.ContainsFunc(h.Events, func(e Event) bool { return e.What == "listed" && e.Day == day }) {
				e.What, e.Detail = "listed again", strings.Replace(e.Detail, "its row", "another row", 1)
			}
			if !e.Time.IsZero() {
				h.Events = append(h.Events, e)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	read, err := ledger.Read(ctx, day, func(l manifest.Line) error {
		if l.Kind != "day" {
			return nil
		}
		return h.addClosing(l, day)
	}, func(manifest.Fault) error { return nil })
	if err != nil {
		return err
	}
	for _, id := range h.Recordings {
		// A recording may be listed on several days: it is gone only if no day has it.
		if state, ok := read.Recording(id); ok && h.Outcomes[id] != manifest.Archived {
			h.Outcomes[id] = state.Outcome
		}
	}
	return h.addSeals(ctx, ledger, manifest.TreeCalls, day, files)
}

// runOf returns the run that wrote a segment and when it began. Both are zero if the name of the segment has no run.
func runOf(segment string) (run string, began time.Time) {
	const layout = "20060102T150405Z"
	name := path.Base(segment)
	began, err := time.Parse(layout, name[:min(len(layout), len(name))])
	if err != nil {
		return "", time.Time{}
	}
	return name[:max(strings.LastIndex(name, "-"), 0)], began
}

func (h *History) addDay(day string) {
	if !slices.Contains(h.Days, day) {
		h.Days = append(h.Days, day)
	}
}

// sort sorts days, recordings and events.
func (h *History) sort() {
	slices.Sort(h.Days)
	slices.Sort(h.Recordings)
	slices.SortStableFunc(h.Events, func(a, b Event) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.rank(), b.rank())) })
}
