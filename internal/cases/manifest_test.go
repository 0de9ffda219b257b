package cases

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// line has the fields of a manifest line that the examples read.
type line struct {
	Kind        string    `json:"kind"`
	RecordingID string    `json:"recording_id"`
	Outcome     string    `json:"outcome"`
	Key         string    `json:"key"`
	SHA256      string    `json:"sha256"`
	Time        time.Time `json:"time"`
	CallID      string    `json:"call_id"`
	Reason      string    `json:"reason"`
	Restored    bool      `json:"restored"`
	Final       bool      `json:"final"`

	Filter      string   `json:"filter"` // window and day lines
	Total       int      `json:"total"`
	Whole       *bool    `json:"whole"`
	Doubts      []string `json:"doubts"`
	Missing     int      `json:"missing"`
	Closed      bool     `json:"closed"` // day lines
	Calls       int      `json:"calls"`
	Recordings  int      `json:"recordings"`
	Unlisted    int      `json:"unlisted"`
	Uncounted   int      `json:"uncounted"`
	Unwitnessed bool     `json:"unwitnessed"`
	Unlistable  bool     `json:"unlistable"`
	Stray       int      `json:"stray"`
	Segments    any      `json:"segments"`

	file string // that contains it
}

// callDay is a day in the manifest, in the current layout or in that of older versions.
type callDay struct {
	recordings map[string]line // by id, folded
	windows    []line
	closed     map[string]line // by filter
}

// state returns the only recording of a call, folded.
func (d *callDay) state(callID string) line {
	var found line
	for _, l := range d.recordings {
		if l.CallID == callID {
			found = l
		}
	}
	return found
}

// outcomes counts the recordings by outcome.
func (d *callDay) outcomes() map[string]int {
	n := map[string]int{}
	for _, l := range d.recordings {
		n[l.Outcome]++
	}
	return n
}

// day returns one day of the archive, an empty one if the manifest does not know it.
func (a *archive) day(name string) *callDay {
	a.t.Helper()
	if d := a.days()[name]; d != nil {
		return d
	}
	return &callDay{}
}

// days reads the manifest.
func (a *archive) days() map[string]*callDay {
	a.t.Helper()
	days := map[string]*callDay{}
	noted := map[*callDay][]line{} // recordings
	files := a.tree()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		which := dayOf(name)
		if which == "" || !strings.HasPrefix(name, "manifest/") {
			continue
		}
		d := days[which]
		if d == nil {
			d = &callDay{recordings: map[string]line{}, closed: map[string]line{}}
			days[which] = d
		}
		for text := range bytes.Lines(files[name]) {
			var l line
			if err := json.Unmarshal(text, &l); err != nil {
				a.t.Fatalf("%s: %v: %s", name, err, text)
			}
			l.file = name
			switch {
			case l.Kind == "recording":
				noted[d] = append(noted[d], l)
			case l.Kind == "window":
				d.windows = append(d.windows, l)
			case l.Kind == "day" && l.Closed:
				d.closed[l.Filter] = l
			}
			if l.Kind == "recording" && !l.final() && !strings.HasSuffix(name, "/closed.json") {
				d.reopen(l)
			}
		}
	}
	byTime := func(a, b line) int { return a.Time.Compare(b.Time) } // ids of runs within one second are unordered
	for _, d := range days {
		slices.SortStableFunc(d.windows, byTime)
		slices.SortStableFunc(noted[d], byTime)
		for _, l := range noted[d] {
			if older, noted := d.recordings[l.RecordingID]; !noted || l.beats(older) {
				d.recordings[l.RecordingID] = l
			}
		}
		for filter, l := range d.closed {
			if _, names := l.Segments.([]any); names && slices.ContainsFunc(slices.Collect(maps.Values(d.recordings)), line.reopens) {
				delete(d.closed, filter)
			}
		}
	}
	return days
}

// dayOf returns the day that a file of manifest/ or calls/ belongs to.
func dayOf(name string) string {
	return regexp.MustCompile(`\d{4}-\d\d-\d\d`).FindString(strings.TrimPrefix(strings.TrimPrefix(name, "manifest/"), "calls/"))
}

// reopen forgets the day lines of an older layout: a later waiting line reopens the day.
func (d *callDay) reopen(waits line) {
	maps.DeleteFunc(d.closed, func(_ string, l line) bool {
		_, names := l.Segments.([]any)
		return !names && (l.file == waits.file || l.Time.Before(waits.Time))
	})
}

// reopens reports whether a recording reopens a closed day.
func (l line) reopens() bool { return !l.final() }

func (l line) final() bool {
	return l.Outcome == "archived" || l.Outcome == "lost" || l.Outcome == "erased" || l.Outcome == "expired" || l.Final
}

// beats reports whether a line outranks an older one.
func (l line) beats(older line) bool {
	if l.Outcome == "archived" && older.Outcome == "damaged" {
		return l.Key != older.Key || l.Restored
	}
	ranks := map[string]int{"pending": 1, "failed": 1, "rejected": 1, "lost": 2, "archived": 3, "damaged": 4, "erased": 5, "expired": 5}
	if ranks[l.Outcome] != ranks[older.Outcome] {
		return ranks[l.Outcome] > ranks[older.Outcome]
	}
	return true
}

// isOpen and isClosed fail unless the days have this state for every filter.
func (a *archive) isOpen(names ...string) {
	a.t.Helper()
	days := a.days()
	for _, name := range names {
		if d := days[name]; d != nil && len(d.closed) > 0 {
			a.t.Errorf("%s is closed: %+v", name, d.closed)
		}
	}
}

func (a *archive) isClosed(names ...string) {
	a.t.Helper()
	days := a.days()
	for _, name := range names {
		d := days[name]
		if d == nil {
			a.t.Errorf("%s is not known", name)
		} else if _, closed := d.closed[""]; !closed {
			a.t.Errorf("%s is not closed: recordings %v, windows %+v", name, d.outcomes(), d.windows)
		}
	}
}

// age moves the runs into the past, as far as their lines are on open days. Bytes covered by a day
// line stay unchanged. The days must already have settled.
func (a *archive) age(by time.Duration) {
	a.t.Helper()
	days := a.days()
	times := regexp.MustCompile(`"(time|listed_at|first_seen|created)":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"`)
	older := func(pair []byte) []byte {
		at := len(pair) - len(`2006-01-02T15:04:05Z"`)
		stamp, err := time.Parse(time.RFC3339, string(pair[at:len(pair)-1]))
		if err != nil {
			a.t.Fatal(err)
		}
		return stamp.Add(-by).AppendFormat(pair[:at:at], time.RFC3339+`"`)
	}
	files := a.tree()
	for name, body := range files {
		d := days[dayOf(name)]
		if d == nil || len(d.closed) > 0 || strings.HasSuffix(name, ".gz") || path.Base(name) == "closed.json" ||
			bytes.Contains(files["manifest/"+dayOf(name)+"/closed.json"], []byte(`"`+path.Base(name)+`"`)) {
			continue
		}
		proved := 0 // bytes of an older version's file up to its day line
		if at := bytes.LastIndex(body, []byte(`{"v":1,"kind":"day",`)); at >= 0 {
			proved = at + bytes.IndexByte(body[at:], '\n') + 1
		}
		a.put(name, append(body[:proved:proved], times.ReplaceAllFunc(body[proved:], older)...))
		if file := filepath.Join(a.dest, filepath.FromSlash(name)); a.s3 == nil {
			if err := os.Chtimes(file, time.Time{}, time.Now().Add(-by)); err != nil {
				a.t.Fatal(err)
			}
		}
	}
}
