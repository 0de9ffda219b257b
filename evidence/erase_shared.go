// Finds recordings that share their audio with one to erase.

package evidence

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// notedAs identifies a recording as in its line.
type notedAs struct{ id, call, source string }

// sharedRows finds recordings that connect chosen and other calls: a chosen recording that the row of another
// call also lists, and another recording that the row of a chosen call lists.
func (e *Erasing) sharedRows(ctx context.Context, w *wanted) (kept []Kept, err error) {
	for _, day := range w.days {
		lines := map[notedAs]bool{}
		err := e.eachLine(ctx, manifest.TreeManifest, day, func(line manifest.SegmentLine) error {
			r, isRecording, err := line.Recording()
			if err == nil && isRecording {
				lines[notedAs{r.RecordingID, r.CallID, r.Source}] = true
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read day %s: %w", day, err)
		}
		noted := newNotedBy(lines)
		err = e.eachLine(ctx, manifest.TreeCalls, day, func(line manifest.SegmentLine) error {
			var c struct {
				CallID string          `json:"call_id"`
				Row    json.RawMessage `json:"row"`
			}
			if err := json.Unmarshal(line.Raw, &c); err != nil {
				return err
			}
			row, err := fetcher.ParseCall(c.Row)
			if err != nil {
				return nil // it lists no recording
			}
			for i := range row.Recordings {
				for _, n := range noted.of(&row.Recordings[i]) {
					chosen, goes := w.calls[c.CallID], w.has(day, n.id, n.call)
					one := Kept{Day: day, Call: n.call, Recording: n.id, Shared: c.CallID}
					if chosen {
						one = Kept{Day: day, Call: c.CallID, Shared: n.id}
					}
					same := func(k Kept) bool { return k.Day == day && k.Recording == one.Recording && k.Shared == one.Shared }
					if chosen != goes && !slices.ContainsFunc(kept, same) {
						kept = append(kept, one)
					}
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read the calls of %s: %w", day, err)
		}
	}
	return kept, nil
}

// notedBy finds the recordings of a day by the fields that a row may have.
type notedBy map[string][]notedAs

func newNotedBy(lines map[notedAs]bool) notedBy {
	by := notedBy{}
	for n := range lines {
		id, _, _ := strings.Cut(n.id, "#")
		file, _, _ := strings.Cut(n.source, ".")
		by["id "+id] = append(by["id "+id], n)
		by["file "+file] = append(by["file "+file], n)
	}
	return by
}

// of returns the possible matches for a recording of a row.
func (by notedBy) of(r *fetcher.Recording) (list []notedAs) {
	for _, n := range slices.Concat(by["id "+r.ID], by["file "+r.FileHash]) {
		if r.MayBe(n.id, n.source) {
			list = append(list, n)
		}
	}
	return list
}
