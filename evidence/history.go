package evidence

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"convoso-archiver/manifest"
)

// Event is one thing that happened to a recording, as the archive tells it.
type Event struct {
	Time   time.Time `json:"time"`
	What   string    `json:"what"` // listed, archived or another outcome, closed, sealed
	Day    string    `json:"day"`
	Run    string    `json:"run,omitempty"`
	File   string    `json:"file,omitempty"` // that says so, from the archive's root
	Line   int       `json:"line,omitzero"`
	Seal   int       `json:"seal,omitzero"`
	Detail string    `json:"detail,omitempty"`

	Size   int64  `json:"size,omitzero"`
	SHA256 string `json:"sha256,omitempty"`
	Key    string `json:"key,omitempty"`
}

// rank is the order of events of one second.
func (e *Event) rank() int {
	switch e.What {
	case "listed":
		return 0
	case "closed":
		return 2
	case "sealed":
		return 3
	}
	return 1
}

// History is what an archive knows of one recording.
type History struct {
	RecordingID string   `json:"recording_id"`
	CallID      string   `json:"call_id"`
	Days        []string `json:"days"`   // call days under which it was listed; none: no line names it
	Events      []Event  `json:"events"` // the oldest first
	Lines       int      `json:"lines"`  // that name it
	Sealed      int      `json:"lines_sealed"`
}

// HistoryOf reads the history of a recording. It reads every line of the archive once, to find its days.
func HistoryOf(ctx context.Context, ledger *manifest.Ledger, id string) (History, error) {
	h := History{RecordingID: id, Days: []string{}, Events: []Event{}}
	err := ledger.Scan(ctx, func(e manifest.Entry) error {
		if e.Bad == nil && string(e.ID) == id && !slices.Contains(h.Days, e.Day) {
			h.Days = append(h.Days, e.Day)
		}
		return nil
	})
	if err != nil {
		return h, err
	}
	slices.Sort(h.Days)
	seals, _, err := load(ctx, ledger.Objects())
	if err != nil {
		return h, err
	}
	for _, day := range h.Days {
		if err := h.read(ctx, ledger, day, seals); err != nil {
			return h, fmt.Errorf("read day %s: %w", day, err)
		}
	}
	slices.SortStableFunc(h.Events, func(a, b Event) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.rank(), b.rank())) })
	return h, nil
}

// read reads what a day tells.
func (h *History) read(ctx context.Context, ledger *manifest.Ledger, day string, seals []stored) error {
	files := map[string]int{} // lines that name the recording, by segment
	_, err := ledger.Read(ctx, day, func(l manifest.Line) error {
		switch l.Kind {
		case "recording":
			r, err := l.Recording()
			if err != nil || r.RecordingID != h.RecordingID {
				return err
			}
			if h.CallID == "" {
				h.CallID = r.CallID
			}
			if !slices.ContainsFunc(h.Events, func(e Event) bool { return e.What == "listed" && e.Day == day }) {
				h.Events = append(h.Events, Event{Time: r.FirstSeen, What: "listed", Day: day, Detail: "first seen in the call log"})
			}
			h.Lines++
			files[path.Base(l.File)]++
			h.Events = append(h.Events, eventOf(r, l, day))
		case "day":
			line, err := l.DayLine()
			if err != nil {
				return err
			}
			h.Events = append(h.Events, Event{Time: line.Time, What: "closed", Day: day, Run: line.Run, File: l.File, Line: l.Number, Detail: "the day was closed" + forFilter(line.Filter)})
		}
		return nil
	}, func(manifest.Fault) error { return nil }) // audit --seals and verify tell of faults
	if err != nil {
		return err
	}
	h.addSeals(day, seals, files)
	return nil
}

func forFilter(filter string) string {
	if filter == "" {
		return ""
	}
	return " for the filter " + filter
}

// eventOf is what a line says.
func eventOf(r manifest.Recording, l manifest.Line, day string) Event {
	e := Event{Time: r.Time, What: string(r.Outcome), Day: day, Run: r.Run, File: l.File, Line: l.Number, Size: r.Size, SHA256: r.SHA256}
	var parts []string
	if r.Outcome == manifest.Archived {
		e.Key = r.Key
		if r.Restored {
			parts = append(parts, "the noted bytes were found again")
		}
		if r.Host != "" {
			parts = append(parts, "fetched from "+r.Host)
		}
		if r.ContentType != "" {
			parts = append(parts, r.ContentType)
		}
	} else if r.Reason != "" {
		parts = append(parts, r.Reason)
	}
	if r.Attempts > 1 {
		parts = append(parts, fmt.Sprintf("%d downloads in all", r.Attempts))
	}
	if r.Final {
		parts = append(parts, "final")
	}
	e.Detail = strings.Join(parts, "; ")
	return e
}

// addSeals adds the seals that name a segment with a line of the recording, each once.
func (h *History) addSeals(day string, seals []stored, files map[string]int) {
	sealed := map[string]bool{}
	for i := range seals {
		s := &seals[i]
		names := false
		for _, d := range s.Days {
			for _, segment := range d.Segments {
				if d.Day == day && files[segment.Name] > 0 && !sealed[segment.Name] {
					sealed[segment.Name], names = true, true
				}
			}
		}
		if names && s.bad == nil {
			h.Events = append(h.Events, Event{Time: s.Time, What: "sealed", Day: day, File: s.file, Seal: s.Number, Detail: fmt.Sprintf("by seal %d, SHA-256 %s", s.Number, s.hash)})
		}
	}
	for name := range sealed {
		h.Sealed += files[name]
	}
}
