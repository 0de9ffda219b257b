package fetcher

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func testPacer(ceiling, learned float64) *Pacer {
	return newPacer("h", ceiling, learned, 1, maxLongWaits, slog.New(slog.DiscardHandler), ungoverned())
}

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
				} else if p.refused(started, refusal{after: after}) != nil {
					return
				}
			}
		})
	}
	group.Wait()
}

func TestPacerStartsWithoutABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPacer(10, 0)
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

// TestRateOnItsWayUpIsNotLearned: a run that ends while the rate rises does not slow the next ones.
func TestRateOnItsWayUpIsNotLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		learned := 0.0
		for _, seconds := range []int{5, 5, 30} {
			p := testPacer(10, learned)
			for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); {
				started, err := p.wait(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				p.answered(started)
			}
			if learned = p.learned(); seconds == 5 && learned != 0 {
				t.Errorf("learned %v in %d s", learned, seconds)
			}
		}
		if learned != 10 {
			t.Errorf("learned %v at the maximum", learned)
		}
		p := testPacer(10, 0)
		for range 12 {
			started, err := p.wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p.answered(started)
		}
		started, err := p.wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = p.refused(started, refusal{after: time.Second})
		if got := p.learned(); got <= 0 || got >= started.rate {
			t.Errorf("learned %v after a refusal at %v", got, started.rate)
		}
	})
}

func TestPacerPausesAllWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPacer(10, 0)
		first, _ := p.wait(t.Context())
		waiting := make(chan time.Time)
		go func() {
			_, _ = p.wait(t.Context())
			waiting <- time.Now()
		}()
		synctest.Wait()
		begun := time.Now()
		if err := p.refused(first, refusal{after: 40 * time.Second}); err != nil {
			t.Fatal(err)
		}
		if at := <-waiting; at.Sub(begun) < 40*time.Second {
			t.Errorf("a waiting worker started after %v", at.Sub(begun))
		}
	})
}

func TestPacerPausesDoubleWithoutRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPacer(10, 0)
		for _, want := range []time.Duration{15, 30, 60, 120, 240, 300, 300} {
			started, _ := p.wait(t.Context())
			begun := time.Now()
			_ = p.refused(started, refusal{})
			if got := p.snapshot().PausedUntil.Sub(begun); got != want*time.Second {
				t.Errorf("pause of %v, want %v s", got, int(want))
			}
		}
	})
}

func TestPacerCountsRefusalsInFlightOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPacer(0, 0)
		var tickets []ticket
		for range 10 {
			started, _ := p.wait(t.Context())
			tickets = append(tickets, started)
		}
		time.Sleep(time.Second)
		_ = p.refused(tickets[0], refusal{after: time.Second})
		rate := p.snapshot().Rate
		for _, started := range tickets[1:] {
			_ = p.refused(started, refusal{after: time.Second})
		}
		if got := p.snapshot().Rate; got != rate || rate <= 0 {
			t.Errorf("rate %v after the first refusal, %v after all", rate, got)
		}
	})
}

// TestPacerAndLongWaits treats a too long wait as the request's own failure, until several
// consecutive requests ask for it.
func TestPacerAndLongWaits(t *testing.T) {
	const long = 2 * time.Hour
	p := testPacer(10, 0)
	ask := func(name string, again bool) error {
		started, _ := p.wait(t.Context())
		return p.refused(started, refusal{of: name, after: long, again: again})
	}
	for _, name := range []string{"a", "b", "a", "b"} {
		if err := ask(name, false); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if err := ask("c", true); err != nil {
		t.Fatalf("again: %v", err)
	}
	started, _ := p.wait(t.Context())
	p.answered(started)
	for _, name := range []string{"c", "d"} {
		if err := ask(name, false); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if until := p.snapshot().PausedUntil; !until.IsZero() {
		t.Errorf("everybody pauses until %v", until)
	}
	if later, ok := errors.AsType[*RetryLaterError](ask("e", false)); !ok || later.After != long {
		t.Errorf("%v", later)
	}
	api := newPacer("h", 10, 0, 1, 1, slog.New(slog.DiscardHandler), ungoverned())
	if _, ok := errors.AsType[*RetryLaterError](api.refused(ticket{}, refusal{after: long})); !ok {
		t.Error("the API may ask for a long wait")
	}
}

// TestPacerAndBare503s pauses briefly for a 503 without Retry-After. After more consecutive
// refusals than a few faulty recordings would explain, it pauses longer and lowers the rate.
func TestPacerAndBare503s(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPacer(10, 0)
		ask := func(name string, again bool) (pause time.Duration, rate float64) {
			started, _ := p.wait(t.Context())
			if err := p.refused(started, refusal{of: name, bare: true, again: again}); err != nil {
				t.Fatal(err)
			}
			s := p.snapshot()
			return max(time.Until(s.PausedUntil), 0), s.Rate
		}
		if pause, rate := ask("a", false); pause != time.Second || rate != safeRate {
			t.Errorf("first: pause %v, rate %v", pause, rate)
		}
		if pause, rate := ask("a", false); pause != time.Second || rate != safeRate {
			t.Errorf("the same: pause %v, rate %v", pause, rate)
		}
		for i := range maxOwn - 1 {
			if pause, rate := ask(string(rune('b'+i)), false); pause != time.Second || rate != safeRate {
				t.Errorf("number %d: pause %v, rate %v", i+2, pause, rate)
			}
		}
		for i, want := range []time.Duration{2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
			pause, rate := ask(string(rune('m'+i)), false)
			if pause != want*time.Second || rate >= safeRate {
				t.Errorf("number %d: pause %v, rate %v", i+maxOwn+1, pause, rate)
			}
		}
		lowered := p.snapshot().Rate
		if pause, rate := ask("z", true); pause > 0 || rate != lowered {
			t.Errorf("again: pause %v, rate %v", pause, rate)
		}
		started, _ := p.wait(t.Context())
		p.answered(started)
		if pause, rate := ask("z", false); pause != time.Second || rate < lowered {
			t.Errorf("after a good answer: pause %v, rate %v", pause, rate)
		}
	})
}

// TestPacerIsNotHeldUpByFewRecordings has some recordings always answer 503 among many good ones,
// each requested again a few times.
func TestPacerIsNotHeldUpByFewRecordings(t *testing.T) {
	for _, bad := range []int{1, 8} {
		synctest.Test(t, func(t *testing.T) {
			p := testPacer(10, 0)
			begun := time.Now()
			for i := range 208 {
				started, _ := p.wait(t.Context())
				if isBad := i%26 == 13 && i/26 < bad; isBad {
					_ = p.refused(started, refusal{of: string(rune(i)), bare: true})
					for range 4 {
						started, _ := p.wait(t.Context())
						_ = p.refused(started, refusal{of: string(rune(i)), bare: true, again: true})
					}
					continue
				}
				p.answered(started)
			}
			if took := time.Since(begun); took > time.Minute {
				t.Errorf("%d bad: %v", bad, took)
			}
		})
	}
}

func TestPacerEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPacer(1, 0)
		started, _ := p.wait(t.Context())
		_ = p.refused(started, refusal{after: time.Minute})
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
	if got := retryAfter(http.Header{"Retry-After": {"99999999999999999999"}}, now); got <= MaxRetryAfter {
		t.Errorf("a huge value became %v", got)
	}
}
