package archiver

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestPresentCutsADay lists a day right after its end, with --settle 0: its last calls may not be
// in the log yet, so it stays open.
func TestPresentCutsADay(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(0)
		w.recordedCalls(w.ago(1), 1)
		w.recordedCalls(day, 2)
		late := w.call(string(day)+" 23:59:30", 1)
		time.Sleep(time.Until(day.End(w.zone)) + time.Minute)
		late.visible = time.Now().Add(time.Minute)
		config := all(spanOf(day, day), func(c *Config) { c.Settle = 0 })
		if n := w.try(trial{config: config}); n.err != nil || n.Archived != 2 || n.DaysClosed > 0 {
			t.Errorf("%v, %d archived, %d days closed", n.err, n.Archived, n.DaysClosed)
		}
		time.Sleep(endBefore)
		w.try(trial{config: config})
		w.mustClose(day, 3)
	})
}

// TestLinesAreStoredInTime checks the bucket during a run over one long day: everything archived
// more than 15 seconds ago has its line there.
func TestLinesAreStoredInTime(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		recordings := w.recordedCalls(day, 60)
		bucket := newBucket()
		delivered := map[string]time.Time{}
		vendor := &hooked{world: w, audio: func(_ *http.Request, token string) (*http.Response, error) {
			time.Sleep(5 * time.Second)
			bucket.mu.Lock()
			defer bucket.mu.Unlock()
			var lines strings.Builder
			for name, data := range bucket.files {
				if strings.HasPrefix(name, "manifest/"+string(day)) {
					lines.Write(data)
				}
			}
			for _, r := range recordings {
				at, ok := delivered[r.token]
				if ok && time.Since(at) > 16*time.Second && !strings.Contains(lines.String(), `"recording_id":"`+r.id+`"`) {
					t.Errorf("recording %s was archived %v ago and has no line in the bucket", r.id, time.Since(at))
				}
			}
			delivered[token] = time.Now()
			return nil, nil
		}}
		if n := w.try(trial{bucket: bucket, vendor: vendor, config: spanOf(day, day)}); n.err != nil || n.Archived != 60 {
			t.Errorf("%v, %d archived", n.err, n.Archived)
		}
	})
}

// TestRowsAreNotedFirst checks calls/ when a recording is requested: the row of its call is there,
// before any line of the recording can exist.
func TestRowsAreNotedFirst(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		w.recordedCalls(day, 5)
		rows := filepath.Join(w.dir, "calls", string(day), "*")
		vendor := &hooked{world: w, audio: func(_ *http.Request, token string) (*http.Response, error) {
			call := strings.TrimSuffix(strings.TrimPrefix(token, "token"), "0")
			files, err := filepath.Glob(rows) // a worker calls this, while others create and rename files elsewhere
			if err != nil || !slices.ContainsFunc(files, func(name string) bool {
				data, err := os.ReadFile(name)
				return err == nil && bytes.Contains(data, []byte(`"call_id":"`+call+`"`))
			}) {
				t.Errorf("a recording of call %s is asked for, and its row is not noted", call)
			}
			return nil, nil
		}}
		if n := w.try(trial{vendor: vendor, config: spanOf(day, day)}); n.err != nil || n.Archived != 5 {
			t.Errorf("%v, %d archived", n.err, n.Archived)
		}
	})
}

// TestFewDaysAreListedAhead has a slow media host: only the days in work are listed, so memory
// depends on them and not on the span.
func TestFewDaysAreListedAhead(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		const days, each = 12, 8
		first := w.ago(days + 3)
		for i := range days {
			w.recordedCalls(first.AddDays(i), each)
		}
		var mu sync.Mutex
		listed, archived := map[string]bool{}, 0
		slow := w.slowly(10 * time.Second)
		vendor := &hooked{world: w, page: func(r *http.Request) *http.Response {
			mu.Lock()
			defer mu.Unlock()
			listed[r.URL.Query().Get("start_time")] = true
			if len(listed) > daysInWork+archived/each {
				t.Errorf("%d days are listed after %d recordings", len(listed), archived)
			}
			return nil
		}, audio: func(r *http.Request, token string) (*http.Response, error) {
			answer, err := slow.audio(r, token)
			mu.Lock()
			defer mu.Unlock()
			archived++
			return answer, err
		}}
		config := all(spanOf(first, first.AddDays(days-1)), func(c *Config) { c.Order = Ascending })
		if n := w.try(trial{vendor: vendor, config: config}); n.err != nil || n.DaysClosed != days {
			t.Errorf("%v, open days %+v", n.err, n.OpenDays)
		}
	})
}
