package fetcher

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Pacing of one host. The vendor publishes no limit: public clients saw about 3
// request starts a second go well for long, and bursts near 20 refused.
const (
	safeRate      = 3.0              // starts a second known to be safe
	slowestRate   = 0.2              // the rate never falls below it
	climb         = 1.03             // growth with each good answer, while no limit is known
	fall          = 0.7              // what a refusal leaves of the rate
	belowRefusal  = 0.95             // how near the rate returns to where it was refused
	probeAfter    = 5 * time.Minute  // calm after which a remembered refusal is doubted
	probeStep     = 1.05             // by how much it is then moved
	firstPause    = 15 * time.Second // pause after a refusal without Retry-After
	longestPause  = 300 * time.Second
	latestReturn  = time.Hour // a Retry-After beyond this ends the run
	rateSpan      = 2 * time.Second
	unlimitedRate = 0.0
)

// Pacer spaces the starts of requests to one host, for all workers together. It
// climbs while answers are good. When the host refuses, every worker pauses, and
// the rate falls and stays a little below where it was refused. It lets no burst
// through, neither at its start nor after a pause. It is safe for concurrent use.
type Pacer struct {
	host    string
	ceiling float64       // starts a second, 0 for none
	turn    chan struct{} // held by the one waiter that is next

	mu          sync.Mutex
	rate        float64 // starts a second, 0 for unlimited
	refusedAt   float64 // rate at which the host refused last, 0 for unknown
	next        time.Time
	pausedUntil time.Time
	pause       time.Duration // length of the last pause without Retry-After
	changed     time.Time     // of the last refusal or probe
	refusals    int64
	starts      int64
	spanStart   time.Time // of the span in which spanStarts are counted, for an unlimited host
	spanStarts  int64
	lastRate    float64 // starts a second over the span before
	wake        chan struct{}
}

// newPacer returns a pacer that starts at the learned rate, or at a rate known to
// be safe. A ceiling of 0 means a host without a limit: no slow start, and no
// pacing until it refuses.
func newPacer(host string, ceiling, learned float64) *Pacer {
	p := &Pacer{host: host, ceiling: ceiling, turn: make(chan struct{}, 1), wake: make(chan struct{})}
	switch {
	case ceiling == unlimitedRate:
		p.rate = unlimitedRate
	case learned > 0:
		p.rate = min(max(learned, slowestRate), ceiling)
	default:
		p.rate = min(safeRate, ceiling)
	}
	return p
}

// ticket says when and at which rate a request was started.
type ticket struct {
	at   time.Time
	rate float64
}

// wait returns when a request may start, or with the context's cause.
func (p *Pacer) wait(ctx context.Context) (ticket, error) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ticket{}, fmt.Errorf("wait for the pace of %s: %w", p.host, context.Cause(ctx))
	}
	defer func() { <-p.turn }()
	for {
		delay, wake := p.untilNext()
		if delay <= 0 {
			return p.start(), nil
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-wake:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return ticket{}, fmt.Errorf("wait for the pace of %s: %w", p.host, context.Cause(ctx))
		}
	}
}

func (p *Pacer) untilNext() (time.Duration, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	return max(p.next.Sub(now), p.pausedUntil.Sub(now)), p.wake
}

func (p *Pacer) start() ticket {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.starts++
	if p.rate > 0 {
		interval := time.Duration(float64(time.Second) / p.rate)
		// The next start is counted from when this one was due, so that a late
		// timer does not lower the rate, but never from more than one interval ago.
		due := p.next
		if oldest := now.Add(-interval); due.Before(oldest) {
			due = oldest
		}
		p.next = due.Add(interval)
		if !p.next.After(now) {
			p.next = now.Add(interval)
		}
		return ticket{now, p.rate}
	}
	if now.Sub(p.spanStart) > rateSpan {
		p.lastRate = float64(p.spanStarts) / max(now.Sub(p.spanStart), rateSpan).Seconds()
		p.spanStart, p.spanStarts = now, 0
	}
	p.spanStarts++
	return ticket{now, unlimitedRate}
}

// answered tells the pacer of an answer that was no refusal.
func (p *Pacer) answered(t ticket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.at.Before(p.changed) {
		return // asked before the last refusal: it says nothing of the rate now
	}
	p.pause = 0
	if p.rate == unlimitedRate {
		return
	}
	limit := p.ceiling
	if p.refusedAt > 0 {
		if time.Since(p.changed) > probeAfter {
			p.refusedAt *= probeStep
			p.changed = time.Now()
		}
		if below := p.refusedAt * belowRefusal; limit == unlimitedRate || below < limit {
			limit = below
		}
	}
	p.rate = min(p.rate*climb, limit)
}

// refused tells the pacer that the host asked to wait, after the given time, or
// 0 where it did not say for how long. It fails when that is longer than a run
// should wait.
func (p *Pacer) refused(t ticket, after time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusals++
	if after > latestReturn {
		return &RetryLaterError{Host: p.host, After: after}
	}
	now := time.Now()
	if !t.at.Before(p.changed) { // the first refusal of those that were in flight together
		at := t.rate
		if at == unlimitedRate {
			at = max(p.lastRate, float64(p.spanStarts)/rateSpan.Seconds(), 1)
		}
		p.refusedAt = at
		p.rate = max(at*fall, slowestRate)
		p.changed = now
		if after <= 0 {
			p.pause = min(max(p.pause*2, firstPause), longestPause)
		}
	}
	if after <= 0 {
		after = max(p.pause, firstPause)
		after = p.changed.Add(after).Sub(now) // those in flight together pause once
	}
	if until := now.Add(after); until.After(p.pausedUntil) {
		p.pausedUntil = until
	}
	if p.next.Before(p.pausedUntil) {
		p.next = p.pausedUntil
	}
	close(p.wake)
	p.wake = make(chan struct{})
	return nil
}

// Pace is a snapshot of one host's pacing.
type Pace struct {
	Host        string
	Rate        float64   // request starts a second, 0 for unlimited
	PausedUntil time.Time // zero or past when not paused
	Starts      int64     // requests started
	Refusals    int64     // answers that asked to wait
}

func (p *Pacer) snapshot() Pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Pace{Host: p.host, Rate: p.rate, PausedUntil: p.pausedUntil, Starts: p.starts, Refusals: p.refusals}
}

// retryAfter reads the header in both of its forms (RFC 9110, 10.2.3): seconds, or
// a date, which is compared with the answer's own Date where it has one. It
// returns 0 where there is none or it cannot be read.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		const most = 1 << 31 // keeps the product inside a Duration
		if seconds != seconds || seconds < 0 {
			return 0
		}
		return time.Duration(min(seconds, most) * float64(time.Second))
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return max(at.Sub(now), 0)
}

// learned returns a rate that a later run may start with, 0 for none.
func (p *Pacer) learned() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.starts == 0 {
		return 0
	}
	return p.rate
}
