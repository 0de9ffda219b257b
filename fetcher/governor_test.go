package fetcher

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"convoso-archiver/internal/schedule"
)

func ungoverned() *governor { return newGovernor(nil, 0, slog.New(slog.DiscardHandler)) }

// by returns the governor with a schedule in UTC. The clock of a bubble starts on a Saturday, at
// midnight.
func by(t *testing.T, text string, log io.Writer) *governor {
	t.Helper()
	s, err := schedule.Parse(text, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return newGovernor(s, 0, slog.New(slog.NewTextHandler(log, nil)))
}

// startsUntil starts requests, each answered at once, until a time, and returns their start times.
func startsUntil(t *testing.T, p *Pacer, end time.Duration) []time.Duration {
	t.Helper()
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), end)
	defer cancel()
	var starts []time.Duration
	for {
		started, err := p.wait(ctx)
		if err != nil {
			return starts
		}
		starts = append(starts, time.Since(begun))
		p.answered(started)
	}
}

func countBetween(starts []time.Duration, from, to time.Duration) (n int) {
	for _, at := range starts {
		if at >= from && at < to {
			n++
		}
	}
	return n
}

// TestPacerFollowsTheSchedule: the rate changes in the same minute as the schedule, up and down; while it is off no
// request starts, and afterwards there is no burst.
func TestPacerFollowsTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		g := by(t, "00:05-00:10 0.1/s; 00:10-01:00 off; 01:05-01:10 2/s", &log)
		p := newPacer("h", 10, 0, 1, maxLongWaits, g.logger, g)
		starts := startsUntil(t, p, 80*time.Minute)

		for _, c := range []struct {
			from, to time.Duration
			min, max int
		}{
			{0, 5 * time.Minute, 2500, 3001},                   // it climbs from 3 to 10 per second
			{5 * time.Minute, 10 * time.Minute, 29, 31},        // 0.1 a second
			{10 * time.Minute, 60 * time.Minute, 0, 0},         // off
			{60 * time.Minute, 60*time.Minute + 1e9, 1, 11},    // no burst, and immediately as fast as before
			{60 * time.Minute, 65 * time.Minute, 2995, 3002},   // 10 a second
			{65 * time.Minute, 70 * time.Minute, 599, 602},     // 2 a second
			{70 * time.Minute, 70*time.Minute + 10e9, 98, 102}, // and 10 again
		} {
			if n := countBetween(starts, c.from, c.to); n < c.min || n > c.max {
				t.Errorf("from %s to %s: %d starts, want %d to %d", c.from, c.to, n, c.min, c.max)
			}
		}
		if rate := p.learned(); rate != 10 {
			t.Errorf("learned %v: what the schedule allows is not what the host takes", rate)
		}
		if got := strings.Count(log.String(), "by the schedule"); got != 6 || !strings.Contains(log.String(), "off=true max_requests_per_second=0 max_bytes_per_second=0 until=2000-01-01T01:00:00Z") {
			t.Errorf("%d lines: %s", got, log.String())
		}
		if want := time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC); !g.resumedAt().Equal(want) {
			t.Errorf("resumed at %s", g.resumedAt())
		}
	})
}

// A slow pace changes at once with the schedule, also for waiting requests.
func TestPacerRisesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer("h", 10, 0, 1, maxLongWaits, slog.New(slog.DiscardHandler), by(t, "00:00-00:05 0.001/s", io.Discard))
		starts := startsUntil(t, p, 5*time.Minute+time.Second)
		if n := countBetween(starts, 0, 5*time.Minute); n != 1 {
			t.Errorf("%d starts", n)
		}
		if n := countBetween(starts, 5*time.Minute, 6*time.Minute); n == 0 {
			t.Error("who waited goes on waiting at the old pace")
		}
	})
}

// A ceiling of 0 is none, and the schedule caps it like any other; a refusal under the cap still counts.
func TestScheduleCapsWhatHasNoCeiling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer("h", 0, 0, 1, maxLongWaits, slog.New(slog.DiscardHandler), by(t, "2/s", io.Discard))
		if n := len(startsUntil(t, p, time.Minute)); n < 119 || n > 121 {
			t.Errorf("%d starts in a minute", n)
		}
		started, err := p.wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.refused(started, refusal{after: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if rate := p.snapshot().Rate; rate >= 2 || rate < 1.5 {
			t.Errorf("after a refusal at 2 a second the rate is %v", rate)
		}
	})
}

// While the schedule is off, a stop takes effect at once, and a redirect continues.
func TestOffAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer("h", 10, 0, 1, maxLongWaits, slog.New(slog.DiscardHandler), by(t, "00:00-12:00 off", io.Discard))
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
		defer cancel()
		if _, err := p.wait(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 30*time.Minute {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
		if _, err := p.goOn(t.Context()); err != nil || time.Since(begun) != 30*time.Minute {
			t.Errorf("a redirect: %v after %s", err, time.Since(begun))
		}
		if _, err := p.wait(t.Context()); err != nil || time.Since(begun) != 12*time.Hour {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
	})
}

// All workers on all hosts together start exactly the maximum of requests.
func TestMaxRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGovernor(nil, 100, slog.New(slog.DiscardHandler))
		var started, refused atomic.Int64
		var group sync.WaitGroup
		for _, host := range []string{"api", "media"} {
			p := newPacer(host, 50, 0, 1, 1, g.logger, g)
			for range 8 {
				group.Go(func() {
					for {
						ticket, err := p.wait(t.Context())
						if errors.Is(err, ErrMaxRequests) {
							refused.Add(1)
							return
						}
						if err != nil {
							t.Error(err)
							return
						}
						started.Add(1)
						p.answered(ticket)
					}
				})
			}
		}
		group.Wait()
		if started.Load() != 100 || refused.Load() != 16 {
			t.Errorf("%d started, %d refused", started.Load(), refused.Load())
		}
	})
}

// plenty is a body whose bytes are all available at once.
type plenty struct{ left int }

func (b *plenty) Read(p []byte) (int, error) {
	n := min(len(p), b.left)
	if b.left -= n; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (b *plenty) Close() error { return nil }

// TestBandwidth: all bodies together keep to the bandwidth, and none counts as stalled, even if the bandwidth per
// body is far below the minimum rate of a body.
func TestBandwidth(t *testing.T) {
	const bodies, size = 8, 50_000
	for text, perSecond := range map[string]float64{"1k": 1000, "2/s 20k": 20_000, "3M": 3_000_000} {
		t.Run(text, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := by(t, text, io.Discard)
				begun := time.Now()
				var group sync.WaitGroup
				for range bodies {
					group.Go(func() {
						ctx, cancel := context.WithCancelCause(t.Context())
						defer cancel(nil)
						body := newWatchedBody(&plenty{size}, 30*time.Second, cancel, ctx, g)
						if n, err := io.Copy(io.Discard, struct{ io.Reader }{body}); n != size || err != nil {
							t.Errorf("%d bytes, %v", n, err)
						}
					})
				}
				group.Wait()
				took, want := time.Since(begun).Seconds(), bodies*size/perSecond
				if math.Abs(took-want) > want/10+1.0/partsASecond {
					t.Errorf("took %.1f s, want %.1f", took, want)
				}
			})
		})
	}
}

// The bandwidth follows the schedule in the middle of a body; off lets bodies in flight continue.
func TestBandwidthFollowsTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := by(t, "00:00-00:10 10k; 00:10-01:00 off; 2M", io.Discard)
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		body := newWatchedBody(&plenty{100_000_000}, 30*time.Second, cancel, ctx, g)
		begun := time.Now()
		read := func(until time.Duration) (n int64) {
			buffer := make([]byte, 64<<10)
			for time.Since(begun) < until {
				read, err := body.Read(buffer)
				if err != nil {
					t.Fatal(err)
				}
				n += int64(read)
			}
			return n
		}
		for _, c := range []struct {
			until time.Duration
			want  int64
		}{{10 * time.Minute, 6_000_000}, {time.Hour, 30_000_000}, {time.Hour + 20*time.Second, 40_000_000}} {
			if n := read(c.until); n < c.want*98/100 || n > c.want*102/100 {
				t.Errorf("until %s: %d bytes, want %d", c.until, n, c.want)
			}
		}
	})
}

// A body that waits for the bandwidth ends with its request.
func TestBandwidthAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		body := newWatchedBody(&plenty{1 << 20}, 30*time.Second, cancel, ctx, by(t, "1k", io.Discard))
		time.AfterFunc(time.Minute, func() { cancel(nil) })
		begun := time.Now()
		for range 1 << 20 {
			if _, _ = body.Read(make([]byte, 1000)); ctx.Err() != nil {
				break
			}
		}
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("it went on for %s", took)
		}
	})
}

// TestOutageAndOff: hours in which the schedule is off do not count as an outage of the API.
func TestOutageAndOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		o.failed(time.Now())
		time.Sleep(12 * time.Hour)
		if resumed := time.Now(); o.lasts(10*time.Minute, resumed) {
			t.Error("it lasts")
		} else if !o.lasts(0, resumed) {
			t.Error("it is over")
		}
		time.Sleep(10 * time.Minute)
		if !o.lasts(10*time.Minute, time.Time{}) {
			t.Error("it does not last")
		}
	})
}
