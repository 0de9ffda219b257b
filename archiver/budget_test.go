package archiver

import (
	"fmt"
	"testing"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/internal/schedule"
)

// TestMaxBytes stops a run once the limit of bytes is reached; recordings in flight are still
// stored.
func TestMaxBytes(t *testing.T) {
	const size = 4 * 576 // of a recording of the world
	for name, test := range map[string]struct {
		limit         int64
		workers       int
		atLeast, most int
	}{
		"one worker":          {3 * size, 1, 3, 3},
		"in the middle":       {3*size - 1, 1, 3, 3},
		"many workers":        {3 * size, 8, 3, 3 + 7},
		"exactly all of them": {24 * size, 4, 24, 24},
		"more than there is":  {25 * size, 4, 24, 24},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				first := w.ago(8)
				for i := range 6 {
					w.recordedCalls(first.AddDays(i), 4)
				}
				span := spanOf(first, first.AddDays(5))
				n := w.try(trial{config: all(span, func(c *Config) { c.MaxBytes, c.Workers = test.limit, test.workers })})
				isStopped := n.Archived < 24
				if n.err != nil || n.Archived < test.atLeast || n.Archived > test.most || n.Bytes != int64(n.Archived)*size {
					t.Errorf("%v: %d archived with %d bytes", n.err, n.Archived, n.Bytes)
				}
				if (n.Stopped == "max-bytes") != isStopped || n.incomplete() != isStopped {
					t.Errorf("stopped by %q, incomplete %v", n.Stopped, n.incomplete())
				}
				n.mustTellAllDays(t)
				archived := n.Archived
				n = w.try(trial{config: span})
				if n.err != nil || n.Archived != 24-archived || len(n.OpenDays) > 0 {
					t.Errorf("the next run archived %d: %v, open days %+v", n.Archived, n.err, n.OpenDays)
				}
			})
		})
	}
}

// TestMaxRequests stops a run after each number of requests that a whole run takes: it never makes more, it ends
// cleanly, and the next run continues. The day without calls and the missing recording need witnesses, which also
// cost requests.
func TestMaxRequests(t *testing.T) {
	spoiled := func(w *world) func(*Config) {
		first := w.ago(6)
		w.recordedCalls(first, 3)
		w.recordedCalls(first.AddDays(2), 3)[1].broken = true
		return spanOf(first, first.AddDays(2))
	}
	all := 0
	inBubble(t, func(t *testing.T, w *world) {
		n := w.try(trial{config: spoiled(w)})
		if all = n.asked + n.listings; n.err != nil || n.Stopped != "" || all < 12 {
			t.Fatalf("%v: stopped by %q after %d requests", n.err, n.Stopped, all)
		}
	})
	for limit := 1; limit <= all; limit++ {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				span := spoiled(w)
				n := w.try(trial{config: span, source: func(o *fetcher.Options) { o.MaxRequests = int64(limit) }})
				if n.err != nil || n.asked+n.listings != limit {
					t.Errorf("%v: %d requests", n.err, n.asked+n.listings)
				}
				if (n.Stopped == "max-requests") != (limit < all) || limit < all && !n.incomplete() {
					t.Errorf("stopped by %q, incomplete %v", n.Stopped, n.incomplete())
				}
				n.mustTellAllDays(t)
				archived := n.Archived
				n = w.try(trial{config: span})
				if n.err != nil || n.Archived != 5-archived || n.Stopped != "" {
					t.Errorf("the next run archived %d after %d: %v", n.Archived, archived, n.err)
				}
			})
		})
	}
}

// A dry run stops at the same limit.
func TestMaxRequestsOfDryRun(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.recordedCalls(w.ago(5), 3)
		n := w.try(trial{
			access: DryRun, config: all(spanOf(w.ago(6), w.ago(4)), func(c *Config) { c.DryRun = true }),
			source: func(o *fetcher.Options) { o.MaxRequests = 2 },
		})
		if n.err != nil || n.listings != 2 || n.Stopped != "max-requests" || !n.incomplete() {
			t.Errorf("%v: %d requests, stopped by %q", n.err, n.listings, n.Stopped)
		}
	})
}

// schedules gives a run a schedule in the world's zone.
func (w *world) schedules(text string) func(*fetcher.Options) {
	s, err := schedule.Parse(text, w.zone)
	if err != nil {
		w.t.Fatal(err)
	}
	return func(o *fetcher.Options) { o.Schedule = s }
}

// TestScheduleOff: while the schedule is off, the run sends no requests; then it continues. A host that failed just
// before the pause does not count as silent during it.
func TestScheduleOff(t *testing.T) {
	for name, trouble := range map[string]string{"well": "", "API down before": "api down", "media host down before": "media down", "API fails before": "api error"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) { // it is 02:00
				day := w.ago(5)
				w.recordedCalls(day, 3)
				const off = "02:05-10:00 off"
				time.Sleep(4*time.Minute + 30*time.Second)
				if trouble == "" {
					time.Sleep(30 * time.Second)
				} else {
					w.trouble(trouble, 8*time.Hour, 0) // until a few minutes after it
				}
				at10 := time.Now().In(w.zone)
				at10 = time.Date(at10.Year(), at10.Month(), at10.Day(), 10, 0, 0, 0, w.zone)
				askedMeanwhile := -1
				time.AfterFunc(time.Until(at10)-time.Second, func() {
					w.mu.Lock()
					defer w.mu.Unlock()
					askedMeanwhile = w.asked + w.listings
				})
				asked2 := -1
				time.AfterFunc(time.Minute, func() { // while it is off
					w.mu.Lock()
					defer w.mu.Unlock()
					asked2 = w.asked + w.listings
				})
				n := w.try(trial{config: spanOf(day, day), source: w.schedules(off)})
				if n.err != nil || n.Archived != 3 || n.Stopped != "" || len(n.OpenDays) > 0 {
					t.Errorf("%v: %d archived, stopped by %q, open days %+v", n.err, n.Archived, n.Stopped, n.OpenDays)
				}
				if askedMeanwhile < 0 || askedMeanwhile != asked2 || trouble == "" && asked2 != 0 {
					t.Errorf("%d requests at first and %d in the end of what should be off", asked2, askedMeanwhile)
				}
				if now := time.Now(); now.Before(at10) || now.After(at10.Add(time.Hour)) {
					t.Errorf("it ended at %s", now.In(w.zone))
				}
			})
		})
	}
}

// TestStopWhileOff: a run that waits for its schedule stops at once.
func TestStopWhileOff(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		w.recordedCalls(day, 3)
		begun := time.Now()
		n := w.try(trial{ctx: stops(time.Hour), config: spanOf(day, day), source: w.schedules("00:00-12:00 off")})
		if n.err == nil || n.Stopped == "" || n.asked+n.listings > 0 || time.Since(begun) > time.Hour+time.Second {
			t.Errorf("%v: stopped by %q after %s and %d requests", n.err, n.Stopped, time.Since(begun), n.asked+n.listings)
		}
		n.mustTellAllDays(t)
	})
}
