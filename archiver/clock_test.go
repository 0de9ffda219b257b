package archiver

import (
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// TestCallInProgressBeforeTheFirstAnswer checks that a machine whose clock is days ahead does not store the unfinished
// audio of a call: its days are opened before the first answer tells the API's clock.
func TestCallInProgressBeforeTheFirstAnswer(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(3) // today, by the API's clock
		c := w.call(string(day)+" 09:00:00", 1)
		c.cutLength = true
		w.trouble("skew", time.Hour, -3*24*60+60)
		w.try(trial{config: spanOf(day, w.ago(1))})
		if s := w.state(day, c.recorded[0]); s.Outcome == manifest.Archived {
			t.Errorf("the call is in progress: %s", told(s))
		}
	})
}

// TestTimesOfAWrongClock checks that nothing is given up too early after one run in which the API's Date was far behind.
func TestTimesOfAWrongClock(t *testing.T) {
	t.Parallel()
	const anHour = 60 // minutes
	tests := map[string]struct {
		skew  int // minutes
		check func(t *testing.T, w *world, day fetcher.Date, c *worldCall)
	}{
		"no link": {-365 * 24 * anHour, func(t *testing.T, w *world, day fetcher.Date, c *worldCall) {
			c.recorded[0].link = time.Now().Add(6 * oneDay)
			w.tryTwice(day, oneDay)
			for range 8 {
				w.sleepUntilNight()
				w.try(trial{config: spanOf(day, day)})
			}
			if s := w.state(day, c.recorded[0]); s.Outcome != manifest.Archived {
				t.Errorf("its link came after six days: %s", told(s))
			}
		}},
		"not found": {-30 * anHour, func(t *testing.T, w *world, day fetcher.Date, c *worldCall) {
			c.recorded[0].ready = time.Now().Add(5 * time.Hour)
			w.tryTwice(day, time.Hour)
			if s := w.state(day, c.recorded[0]); s.Outcome == manifest.Lost {
				t.Errorf("after an hour: %s", told(s))
			}
		}},
		"no calls": {-30 * anHour, func(t *testing.T, w *world, day fetcher.Date, c *worldCall) {
			w.calls = w.calls[:3] // of other days
			w.tryTwice(day, time.Hour)
			if w.isClosed(day) {
				t.Error("closed by two listings within an hour")
			}
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(5)
				w.recordedCalls(w.ago(8), 3)
				w.trouble("skew", 30*time.Minute, test.skew)
				c := w.call(string(day)+" 08:00:00", 1)
				w.recordedCalls(day, 2)
				test.check(t, w, day, c)
			})
		})
	}
}

// tryTwice makes two runs over a day.
func (w *world) tryTwice(day fetcher.Date, apart time.Duration) {
	w.try(trial{config: spanOf(day, day)})
	time.Sleep(apart)
	w.try(trial{config: spanOf(day, day)})
}

// TestAnswersOfACache checks that a listing from a cache counts as made when the API sent it: it cannot close a day that
// had not settled then.
func TestAnswersOfACache(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day, sent := w.ago(1), time.Now()
		w.recordedCalls(day, 3)
		late := w.call(string(day)+" 20:00:00", 1)
		late.visible = sent.Add(10 * time.Hour)
		bodies := map[string][]byte{} // by query
		vendor := &hooked{world: w, page: func(r *http.Request) *http.Response {
			query := r.URL.RawQuery
			if bodies[query] == nil {
				answer, _ := w.RoundTrip(r)
				bodies[query], _ = io.ReadAll(answer.Body)
			}
			age := strconv.Itoa(int(time.Since(sent).Seconds()))
			return answered(http.StatusOK, bodies[query], "Date", sent.UTC().Format(http.TimeFormat), "Age", age)
		}}
		w.try(trial{config: spanOf(day, day), vendor: vendor})
		time.Sleep(3 * oneDay)
		n := w.try(trial{config: spanOf(day, day), vendor: vendor})
		if w.isClosed(day) || len(n.Warnings) != 1 {
			t.Errorf("closed by an answer that is %s old: %s; %q", time.Since(sent), told(w.state(day, late.recorded[0])), n.Warnings)
		}
		w.try(trial{config: spanOf(day, day)})
		if s := w.state(day, late.recorded[0]); s.Outcome != manifest.Archived || !w.isClosed(day) {
			t.Errorf("without a cache: %s", told(s))
		}
	})
}

// TestClockBehindTheArchive checks that a nightly run does not end well without a request because its clock is before
// the days that it has closed.
func TestClockBehindTheArchive(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	nights := func(t *testing.T, w *world) (last night) {
		for days := 30; days > 0; days-- {
			w.recordedCalls(w.ago(days), 1)
		}
		return w.run(20*oneDay, nil)
	}
	inBubble(t, func(t *testing.T, w *world) {
		w.dir = folder
		nights(t, w)
		time.Sleep(20 * oneDay)
		if n := nights(t, w); n.DaysClosed < 10 || n.ClockBehind {
			t.Errorf("closed days %d, clock behind %v", n.DaysClosed, n.ClockBehind)
		}
	})
	inBubble(t, func(t *testing.T, w *world) { // the same folder, by a clock that is 17 days behind
		w.dir = folder
		time.Sleep(3 * oneDay)
		n := w.run(4*oneDay, func(c *Config) { c.Span.To = c.Span.To.AddDate(0, 0, -1) })
		if n.listings > 0 || !n.incomplete() || len(n.Warnings) != 1 {
			t.Errorf("requests %d, incomplete %v, %q", n.listings, n.incomplete(), n.Warnings)
		}
	})
}
