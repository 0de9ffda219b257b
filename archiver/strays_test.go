package archiver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// withStrays adds calls of another day to the first page of a window.
func (w *world) withStrays(date fetcher.Date, calls ...*worldCall) *hooked {
	return &hooked{world: w, page: func(r *http.Request) *http.Response {
		q := r.URL.Query()
		if q.Get("start_time") != date.Window().From.Format(fetcher.WallLayout) {
			return nil
		}
		answer, err := w.RoundTrip(r)
		if err != nil {
			w.t.Error(err)
			return nil
		}
		var page struct {
			Success bool           `json:"success"`
			Data    map[string]any `json:"data"`
		}
		if err := json.NewDecoder(answer.Body).Decode(&page); err != nil {
			w.t.Error(err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		results, _ := page.Data["results"].([]any)
		if q.Get("offset") == "0" {
			for _, c := range calls {
				results = append(results, w.row(c))
			}
		}
		total, _ := strconv.Atoi(fmt.Sprint(page.Data["total_found"]))
		page.Data["results"], page.Data["entries"], page.Data["total_found"] = results, len(results), total+len(calls)
		body, err := json.Marshal(page)
		if err != nil {
			w.t.Error(err)
		}
		return answered(http.StatusOK, body, "Date", answer.Header.Get("Date"))
	}}
}

// TestStrays archives a call under its own day, at any distance and in any state of that day; the
// day that listed it reports the number of strays and stays open.
func TestStrays(t *testing.T) {
	for name, test := range map[string]struct {
		ago     int // of the stray's day
		prepare func(w *world, day fetcher.Date, r *worldRecording)
		outcome manifest.Outcome
		more    bool // the stray's day is also reported as open
	}{
		"the next day, which is worked too": {ago: 5},
		"a day not asked for":               {ago: 9},
		"years away":                        {ago: 3000},
		"not settled":                       {ago: 1},
		"a day that is closed":              {ago: 9, prepare: func(w *world, day fetcher.Date, _ *worldRecording) { w.try(trial{config: spanOf(day, day)}) }},
		"archived already": {ago: 9, prepare: func(w *world, day fetcher.Date, r *worldRecording) {
			w.note(day, archivedLine(r.id, "a.mp3", frames(3)))
		}},
		"not to be had":                          {ago: 9, outcome: manifest.Pending, more: true, prepare: func(_ *world, _ fetcher.Date, r *worldRecording) { r.broken = true }},
		"without a link":                         {ago: 9, outcome: manifest.Pending, more: true, prepare: func(_ *world, _ fetcher.Date, r *worldRecording) { r.link = time.Now().Add(oneDay) }},
		"not to be had, on a day worked as well": {ago: 5, outcome: manifest.Pending, more: true, prepare: func(_ *world, _ fetcher.Date, r *worldRecording) { r.broken = true }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(6)
				w.recordedCalls(day, 3)
				w.recordedCalls(w.ago(5), 2)
				if test.ago == 9 {
					w.recordedCalls(w.ago(9), 1)
				}
				own := w.ago(test.ago)
				stray := w.call(string(own)+" 11:11:00", 1)
				stray.visible = time.Now().Add(100 * oneDay) // except in the listing that contains it by mistake
				if test.prepare != nil {
					test.prepare(w, own, stray.recorded[0])
				}
				before := w.requested[stray.recorded[0].token]
				n := w.try(trial{vendor: w.withStrays(day, stray), config: spanOf(day, w.ago(5))})
				if n.err != nil {
					t.Fatal(n.err)
				}
				want := test.outcome
				if want == "" {
					want = manifest.Archived
				}
				if s := w.state(own, stray.recorded[0]); s.Outcome != want || s.CallID != stray.id && name != "archived already" {
					t.Error(told(s))
				}
				if asked := w.requested[stray.recorded[0].token] - before; asked > 1 {
					t.Errorf("it was asked for %d times", asked)
				}
				d := w.day(day)
				if len(d.Windows()) != 1 || d.Windows()[0].Stray != 1 || d.Count() != 3 || w.isClosed(day) {
					t.Errorf("windows %+v, %d recordings", d.Windows(), d.Count())
				}
				open := 1
				if test.more {
					open++
				}
				if len(n.OpenDays) != open {
					t.Errorf("open days %+v", n.OpenDays)
				}
				seen := map[string]bool{}
				for _, open := range n.OpenDays {
					if seen[open.Day] {
						t.Errorf("%s is told twice: %+v", open.Day, n.OpenDays)
					}
					seen[open.Day] = true
				}
				if rows := w.callsOf(own); !strings.Contains(rows, stray.recorded[0].file) {
					t.Errorf("its row is not kept: %q", rows)
				}
				if test.ago == 9 && strings.Contains(name, "closed") {
					w.mustClose(own, 2) // its day line counts one; the next run that works on the day rewrites it
				}
				time.Sleep(25 * time.Hour)
				n = w.try(trial{vendor: w.withStrays(day, stray), config: spanOf(day, day)})
				_, status := w.ledger(day)
				if line, closed := status.Line(""); !closed || line.Stray != 1 {
					t.Errorf("a second listing a day later does not close the day: %+v", n.OpenDays)
				}
			})
		})
	}
}

// callsOf returns the rows of a day in calls/.
func (w *world) callsOf(date fetcher.Date) string {
	var all strings.Builder
	for _, name := range w.files() {
		if strings.HasPrefix(name, "calls") && strings.Contains(name, string(date)) {
			all.WriteString(w.read(name))
		}
	}
	return all.String()
}

// TestStrayIsNotUnlisted checks that a recording is not considered missing if its own day's listing
// lacks it but another day's listing has it.
func TestStrayIsNotUnlisted(t *testing.T) {
	for name, order := range map[string]Order{"its own day comes first": Ascending, "its own day comes last": Descending} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				own, day := w.ago(6), w.ago(5)
				w.recordedCalls(own, 2)
				w.recordedCalls(day, 2)
				stray := w.call(string(own)+" 20:30:00", 1)
				stray.visible = time.Now().Add(100 * oneDay)
				r := stray.recorded[0]
				r.link = time.Now().Add(9 * oneDay)
				o := trial{vendor: w.withStrays(day, stray), config: all(spanOf(own, day), func(c *Config) { c.Order, c.Relist = order, true })}
				for range 9 {
					if n := w.try(o); n.Lost > 0 {
						t.Fatalf("lost, though it is listed: %s", told(w.state(own, r)))
					}
					time.Sleep(25 * time.Hour)
				}
				w.try(o)
				if s := w.state(own, r); s.Outcome != manifest.Archived {
					t.Error(told(s))
				}
			})
		})
	}
}

// TestStraysThatAreNotWorked leaves the day that listed them open and without a window line.
func TestStraysThatAreNotWorked(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(w *world, own fetcher.Date)
		change  func(c *Config)
		stopped bool
		open    int
	}{
		"their day cannot be read": {prepare: func(w *world, own fetcher.Date) {
			w.put("manifest/"+string(own)+"/19990101T000000Z-00000000-000001.jsonl", []byte("{\n{}\n"))
		}, open: 2},
		"their day cannot be looked at": {prepare: func(w *world, own fetcher.Date) {
			w.put("manifest/"+string(own)+"/closed.json/a", nil)
		}, open: 2},
		"a limit is reached before": {change: func(c *Config) { c.MaxRecordings = 3 }, open: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day, own := w.ago(6), w.ago(9)
				w.recordedCalls(day, 3)
				stray := w.call(string(own)+" 11:11:00", 1)
				stray.visible = time.Now().Add(100 * oneDay)
				if test.prepare != nil {
					test.prepare(w, own)
				}
				n := w.try(trial{vendor: w.withStrays(day, stray), config: all(spanOf(day, day), func(c *Config) {
					if test.change != nil {
						test.change(c)
					}
				})})
				if n.err != nil || n.Archived != 3 || w.requested[stray.recorded[0].token] > 0 {
					t.Errorf("%v, %d archived, %d requests for the stray", n.err, n.Archived, w.requested[stray.recorded[0].token])
				}
				if d := w.day(day); len(d.Windows()) > 0 || len(d.Lines()) > 0 || len(n.OpenDays) != test.open || !n.incomplete() {
					t.Errorf("%d window lines, open days %+v", len(d.Windows()), n.OpenDays)
				}
			})
		})
	}
}

// TestWindowsComeAfterRecordings checks after each write of a run into a bucket what a kill would
// leave: no window line before the lines of its recordings, no recording without its call row.
func TestWindowsComeAfterRecordings(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day, own := w.ago(6), w.ago(4)
		w.recordedCalls(day, 7)
		w.recordedCalls(w.ago(5), 4)
		var strays []*worldCall
		for i := range 5 {
			stray := w.call(fmt.Sprintf("%s 11:1%d:00", own, i), 1)
			stray.visible = time.Now().Add(100 * oneDay)
			strays = append(strays, stray)
		}
		bucket := newBucket()
		windows := 0
		noted := map[string]bool{}
		bucket.put = func(name string) error { // the files stored before
			bucket.mu.Lock()
			defer bucket.mu.Unlock()
			for name, data := range bucket.files {
				if !strings.HasPrefix(name, "manifest/") || !strings.HasSuffix(name, ".jsonl") {
					continue
				}
				for line := range bytes.Lines(data) {
					var l struct {
						Kind       string `json:"kind"`
						ID         string `json:"recording_id"`
						From       string `json:"from"`
						Recordings int    `json:"recordings"`
						Stray      int    `json:"stray"`
					}
					if err := json.Unmarshal(line, &l); err != nil {
						t.Error(err)
					}
					switch {
					case l.Kind == "recording":
						noted[l.ID] = true
					case l.Kind == "window" && l.Stray > 0:
						windows++
						for _, s := range strays {
							if !isIn(bucket.files, string(own), s.recorded[0].id) {
								t.Errorf("a window line is stored before the recording %s that it listed", s.recorded[0].id)
							}
						}
					}
				}
			}
			return nil
		}
		n := w.try(trial{vendor: w.withStrays(day, strays...), bucket: bucket, config: spanOf(day, w.ago(5))})
		if err := bucket.put(""); err != nil || windows == 0 || n.Archived != 16 || len(noted) != 16 {
			t.Errorf("%v: %d archived, %d noted, %d times a window line", n.err, n.Archived, len(noted), windows)
		}
	})
}

// isIn reports whether a segment of a day contains a recording.
func isIn(files map[string][]byte, day, id string) bool {
	for name, data := range files {
		if strings.HasPrefix(name, "manifest/"+day) && bytes.Contains(data, []byte(`"recording_id":"`+id+`"`)) {
			return true
		}
	}
	return false
}
