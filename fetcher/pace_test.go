package fetcher

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// paceCase is one hidden limit to find.
type paceCase struct {
	rates []float64     // one for each third of the hour
	after time.Duration // Retry-After, 0 for none
}

// TestPace runs a simulated hour against hosts with hidden limits, and checks that the pacer uses
// almost all of each with almost no refusals: from minute 10 on, and from 10 minutes after each
// change of the limit.
func TestPace(t *testing.T) {
	for _, c := range []paceCase{
		{[]float64{2}, 2 * time.Second}, {[]float64{3}, 2 * time.Second}, {[]float64{8}, 2 * time.Second}, {[]float64{20}, 2 * time.Second},
		{[]float64{2}, 0}, {[]float64{3}, 0}, {[]float64{8}, 0}, {[]float64{20}, 0},
		{[]float64{8, 3, 20}, 2 * time.Second}, {[]float64{8, 3, 20}, 0},
	} {
		t.Run(fmt.Sprintf("%v per second, Retry-After %v", c.rates, c.after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.run(t) })
		})
	}
}

func (c paceCase) run(t *testing.T) {
	const third = 20 * time.Minute
	p := testPacer(100, 0)
	h := &host{rate: c.rates[0], tokens: 1, at: time.Now()}
	ctx, cancel := context.WithTimeout(t.Context(), 3*third)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		drive(ctx, p, h, 16, c.after)
	}()
	for i := range 3 {
		rate := c.rates[min(i, len(c.rates)-1)]
		h.setRate(rate)
		from := 10 * time.Minute
		if i > 0 && len(c.rates) == 1 {
			from = 0
		}
		time.Sleep(from)
		served, refused := h.counts()
		time.Sleep(third - from - time.Millisecond)
		servedThen, refusedThen := h.counts()
		got, bad := servedThen-served, refusedThen-refused
		used := float64(got) / (rate * (third - from).Seconds())
		share := float64(bad) / float64(got+bad)
		t.Logf("minute %2.0f to %2d: limit %4.1f/s, %5.1f %% used, %.2f %% refused",
			(time.Duration(i)*third + from).Minutes(), (i+1)*20, rate, 100*used, 100*share)
		if used < 0.95 || share > 0.01 {
			t.Errorf("less than 95 %% used, or more than 1 %% refused")
		}
		time.Sleep(time.Millisecond)
	}
	<-ended
}
