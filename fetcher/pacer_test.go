package fetcher

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// host is a rate-limited server in fake time.
type host struct {
	mu      sync.Mutex
	rate    float64
	tokens  float64
	at      time.Time
	served  int
	refused int
}

func (h *host) setRate(rate float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rate = rate
}

func (h *host) counts() (served, refused int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.served, h.refused
}

func (h *host) ask() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.tokens = min(h.tokens+now.Sub(h.at).Seconds()*h.rate, 2)
	h.at = now
	if h.tokens < 1 {
		h.refused++
		return false
	}
	h.tokens--
	h.served++
	return true
}

// drive runs workers against the host until ctx ends.
func drive(ctx context.Context, p *Pacer, h *host, workers int, after time.Duration) {
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for {
				started, err := p.wait(ctx)
				if err != nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
				if h.ask() {
					p.answered(started)
				} else if p.refused(started, after) != nil {
					return
				}
			}
		})
	}
	group.Wait()
}

func TestPacerStartsWithoutABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer("h", 10, 0)
		begun := time.Now()
		var starts []time.Duration
		for range 5 {
			if _, err := p.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			starts = append(starts, time.Since(begun))
		}
		for i := 1; i < len(starts); i++ {
			if gap := starts[i] - starts[i-1]; gap < 300*time.Millisecond {
				t.Errorf("start %d came %v after the one before", i, gap)
			}
		}
	})
}

func TestPacerPausesAllWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer("h", 10, 0)
		first, _ := p.wait(t.Context())
		waiting := make(chan time.Time)
		go func() {
			_, _ = p.wait(t.Context())
			waiting <- time.Now()
		}()
		synctest.Wait()
		begun := time.Now()
		if err := p.refused(first, 40*time.Second); err != nil {
			t.Fatal(err)
		}
		if at := <-waiting; at.Sub(begun) < 40*time.Second {
			t.Errorf("a waiting worker started after %v", at.Sub(begun))
		}
	})
}

func TestPacerPausesDoubleWithoutRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer("h", 10, 0)
		for _, want := range []time.Duration{15, 30, 60, 120, 240, 300, 300} {
			started, _ := p.wait(t.Context())
			begun := time.Now()
			_ = p.refused(started, 0)
			if got := p.snapshot().PausedUntil.Sub(begun); got != want*time.Second {
				t.Errorf("pause of %v, want %v s", got, int(want))
			}
		}
	})
}

func TestPacerCountsRefusalsInFlightOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer("h", 0, 0)
		var tickets []ticket
		for range 10 {
			started, _ := p.wait(t.Context())
			tickets = append(tickets, started)
		}
		time.Sleep(time.Second)
		_ = p.refused(tickets[0], time.Second)
		rate := p.snapshot().Rate
		for _, started := range tickets[1:] {
			_ = p.refused(started, time.Second)
		}
		if got := p.snapshot().Rate; got != rate || rate <= 0 {
			t.Errorf("rate %v after the first refusal, %v after all", rate, got)
		}
	})
}

func TestPacerGivesUpOnALongRetryAfter(t *testing.T) {
	p := newPacer("h", 10, 0)
	started, _ := p.wait(t.Context())
	later, ok := errors.AsType[*RetryLaterError](p.refused(started, 2*time.Hour))
	if !ok || later.After != 2*time.Hour {
		t.Errorf("%v", later)
	}
}

func TestPacerEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer("h", 1, 0)
		started, _ := p.wait(t.Context())
		_ = p.refused(started, time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(time.Second); cancel() }()
		begun := time.Now()
		if _, err := p.wait(ctx); !errors.Is(err, context.Canceled) || time.Since(begun) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2025, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		value, date string
		want        time.Duration
	}{
		{"", "", 0}, {"2", "", 2 * time.Second}, {"0", "", 0}, {"-5", "", 0}, {"1.5", "", 1500 * time.Millisecond},
		{"NaN", "", 0}, {"soon", "", 0},
		{"Thu, 01 May 2025 12:00:30 GMT", "", 30 * time.Second},
		{"Thu, 01 May 2025 11:00:00 GMT", "", 0},
		{"Thu, 01 May 2025 13:00:30 GMT", "Thu, 01 May 2025 13:00:00 GMT", 30 * time.Second},
	} {
		header := http.Header{}
		header.Set("Retry-After", test.value)
		if test.date != "" {
			header.Set("Date", test.date)
		}
		if got := retryAfter(header, now); got != test.want {
			t.Errorf("%q: %v", test.value, got)
		}
	}
	if got := retryAfter(http.Header{"Retry-After": {"99999999999999999999"}}, now); got <= latestReturn {
		t.Errorf("a huge value became %v", got)
	}
}
