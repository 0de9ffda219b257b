package archiver

import (
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
