package fetcher

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestPacersShareAHost starts one pacer per share at the same time, against a host that allows
// slightly more than the ceiling and a small burst: together they stay below it from the first
// second on, and finally use all of it.
func TestPacersShareAHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shares, limit = 16, 10.0
		var mu sync.Mutex
		var starts []time.Time
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		var group sync.WaitGroup
		for range shares {
			p := newPacer("h", limit, 0, shares, maxLongWaits, slog.New(slog.DiscardHandler), ungoverned())
			group.Go(func() {
				for {
					started, err := p.wait(ctx)
					if err != nil {
						return
					}
					mu.Lock()
					starts = append(starts, time.Now())
					mu.Unlock()
					p.answered(started)
				}
			})
		}
		group.Wait()
		count := func(from, to time.Duration) (n int) {
			for _, at := range starts {
				if at.Sub(begun) >= from && at.Sub(begun) < to {
					n++
				}
			}
			return n
		}
		// At first each of them starts one request in five seconds, at a different moment.
		if n := count(0, time.Second); n > 12 { // 3 are expected
			t.Errorf("%d starts in the first second, which begins with %v a second", n, safeRate)
		}
		if n := count(0, 10*time.Second); n > 50 {
			t.Errorf("%d starts in the first ten seconds", n)
		}
		if n := count(2*time.Minute, 3*time.Minute); n < 590 || n > 60*limit+shares {
			t.Errorf("%d starts in the last minute, want %v", n, 60*limit)
		}
	})
}

// TestPacerShares uses a share of every rate: the ceiling, the first rate, the learned one and the
// minimum. Learned rates are reported for all shares together.
func TestPacerShares(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for _, c := range []struct {
		ceiling, learned  float64
		shares            int
		want, wantLearned float64
	}{
		{10, 0, 1, safeRate, 0}, // on its way up
		{10, 0, 4, safeRate / 4, 0},
		{2, 0, 4, 0.5, 2},
		{10, 8, 4, 2, 8},
		{10, 100, 4, 2.5, 10},
		{10, 0.1, 10, minRate / 10, minRate},
		{0.4, 0, 400, 0.001, 0.4},
		{0, 0, 4, 0, 0}, // no limit stays none
		{0, 8, 4, 0, 0},
	} {
		p := newPacer("h", c.ceiling, c.learned, c.shares, maxLongWaits, log, ungoverned())
		p.starts = 1
		if got := p.snapshot().Rate; !near(got, c.want) {
			t.Errorf("%+v: rate %v", c, got)
		}
		if got := p.learned(); !near(got, c.wantLearned) {
			t.Errorf("%+v: learned %v", c, got)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		p := newPacer("h", 10, 0, 10, maxLongWaits, log, ungoverned())
		for range 2000 {
			started, err := p.wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_ = p.refused(started, refusal{after: time.Millisecond})
		}
		if got := p.snapshot().Rate; !near(got, minRate/10) {
			t.Errorf("the lowest rate is %v", got)
		}
	})
}

func near(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }
