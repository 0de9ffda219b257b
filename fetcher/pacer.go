// Adapts the request rate of one host to what it allows.

package fetcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Pacing of one host. The vendor publishes no limit: in public clients, about 3 request starts per
// second worked for long, and bursts near 20 were refused.
const (
	safeRate    = 3.0   // starts per second known to be safe
	minRate     = 0.2   // the rate of all shares together never falls below it
	climb       = 0.08  // growth per second until a limit is found
	fall        = 0.92  // factor after a refusal without a lower proved rate
	apart       = 1.015 // final ratio between the refused and the proved rate
	provedAfter = 80    // consecutive answers that prove a rate: an excess of 3 % would use up a burst of 2
	probeAfter  = 240   // likewise for the first step above it, where an excess may be smaller
	probeStep   = 1.03  // first step above a proved rate; it doubles with each success
	maxStep     = 1.5
	probePauses = 40 // quiet time before a probe, in multiples of the pause after a refusal
	probeCalm   = 2 * time.Minute

	// maxOwn is the maximum number of consecutive refusals that may be failures of single recordings listed
	// together: up to it, a 503 without Retry-After pauses only briefly, and the rate falls once.
	maxOwn = 10

	barePause  = time.Second      // pause after a 503 without Retry-After, which may concern one recording only
	probePause = 5 * time.Second  // pause after a refused probe, where the rate below has held for minutes
	firstPause = 15 * time.Second // pause after any other refusal without Retry-After
	maxPause   = 300 * time.Second
	toldPause  = 10 * time.Second // a pause of this length is logged

	rateSpan      = 2 * time.Second
	unlimitedRate = 0.0
)

// MaxRetryAfter is the longest Retry-After for which a run waits.
const MaxRetryAfter = time.Hour

// Pacer spaces the starts of requests to one host, for all workers together. It raises the rate until the host
// refuses. Then it narrows the gap between the proved and the refused rate, stays at the proved one, and probes a
// slightly higher one from time to time. After a refusal all workers pause. It allows no bursts, neither at the
// start nor after a pause. It is safe for concurrent use.
type Pacer struct {
	host         string
	ceiling      float64       // starts per second, 0 for none
	floor        float64       // the rate never falls below it
	shares       float64       // number of parallel processes with a pacer for the host
	maxLongWaits int           // consecutive requests with a wait above MaxRetryAfter that count as the host's
	turn         chan struct{} // held by the next waiter
	logger       *slog.Logger
	govern       *governor // for all hosts

	mu          sync.Mutex
	rate        float64   // starts per second, 0 for unlimited
	limit       float64   // the schedule's cap, which does not change rate; 0 for none
	proved      float64   // highest rate without refusals, 0 for unknown
	refusedAt   float64   // lowest refused rate since then, 0 for unknown
	step        float64   // of the current probe, 0 for none
	answers     int       // consecutive good answers at this rate
	grown       time.Time // when the rate last grew
	next        time.Time
	pausedUntil time.Time
	pause       time.Duration // last pause without Retry-After, 0 after a good answer
	bare        []string      // names refused by a bare 503 since the last good answer, without duplicates
	bareSince   time.Time     // when the last of them was refused
	long        []string      // names with a too long wait, likewise
	told        bool          // the pause was logged
	cost        time.Duration // pause after a refused probe
	changed     time.Time     // when the rate was last changed by a refusal or a probe
	inARow      int           // refusals since the last good answer, counting those in flight together once
	lastRefused time.Time     // when the last of them was refused
	refusals    int64
	starts      int64
	spanStart   time.Time // start of the span of spanStarts, for an unlimited host
	spanStarts  int64
	lastRate    float64 // starts per second in the previous span
	wake        chan struct{}
}

// newPacer returns a pacer that starts at the learned rate, or at a rate known to be safe. A
// ceiling of 0 means a host without a limit: no slow start, and no pacing until it refuses. The
// pacer uses an equal share of all rates.
func newPacer(host string, ceiling, learned float64, shares, maxLongWaits int, logger *slog.Logger, govern *governor) *Pacer {
	parts := float64(shares)
	ceiling, learned = ceiling/parts, learned/parts
	p := &Pacer{
		host: host, ceiling: ceiling, floor: minRate / parts, shares: parts, maxLongWaits: maxLongWaits, logger: logger, govern: govern,
		turn: make(chan struct{}, 1), wake: make(chan struct{}),
	}
	switch {
	case ceiling == unlimitedRate:
		p.rate = unlimitedRate
	case learned >= ceiling:
		p.rate = ceiling
	case learned > 0:
		p.rate = max(learned, p.floor)
		p.proved, p.refusedAt, p.changed = p.rate, p.rate*apart, time.Now()
	default:
		p.rate = min(safeRate/parts, ceiling)
	}
	if shares > 1 && p.rate > 0 { // avoids simultaneous first requests
		p.next = time.Now().Add(time.Duration(rand.Float64() / p.rate * float64(time.Second)))
	}
	return p
}

// ticket holds the start time of a request and the rate at that time.
type ticket struct {
	at     time.Time
	rate   float64
	capped bool // by the schedule: it says nothing about the pacer's own rate
}

// wait blocks until a request may start; it may return the context's cause or [ErrMaxRequests].
// While the schedule is off it waits.
func (p *Pacer) wait(ctx context.Context) (ticket, error) { return p.admit(ctx, false) }

// goOn is like wait, for a request that follows from another one: a pause of the schedule does not
// stop it.
func (p *Pacer) goOn(ctx context.Context) (ticket, error) { return p.admit(ctx, true) }

func (p *Pacer) admit(ctx context.Context, goesOn bool) (ticket, error) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ticket{}, fmt.Errorf("wait for the pace of %s: %w", p.host, context.Cause(ctx))
	}
	defer func() { <-p.turn }()
	for {
		limits, good := p.govern.look()
		delay, wake := p.untilNext(limits.Rate)
		switch isOff := limits.Off && !goesOn; {
		case !goesOn && p.govern.isUsedUp():
			return ticket{}, ErrMaxRequests
		case delay <= 0 && !isOff:
			if err := p.govern.take(goesOn); err != nil {
				return ticket{}, err
			}
			return p.start(), nil
		case isOff:
			delay = good
		}
		timer := time.NewTimer(min(delay, good))
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

// untilNext returns how long to wait for the next start with the schedule's current limit, and a
// channel that ends the wait early.
func (p *Pacer) untilNext(limit float64) (time.Duration, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if limit != p.limit {
		p.limit = limit
		// A higher rate applies now, not only after the next start.
		if soon := now.Add(intervalOf(p.allowed())); p.next.After(soon) {
			p.next = soon
		}
	}
	return max(p.next.Sub(now), p.pausedUntil.Sub(now)), p.wake
}

func (p *Pacer) start() ticket {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.starts++
	if rate := p.allowed(); rate > 0 {
		interval := intervalOf(rate)
		// The next interval starts when this one was due, so that a late timer does not lower the
		// rate, but at most one interval ago.
		due := p.next
		if oldest := now.Add(-interval); due.Before(oldest) {
			due = oldest
		}
		p.next = due.Add(interval)
		if !p.next.After(now) {
			p.next = now.Add(interval)
		}
		return ticket{at: now, rate: rate, capped: rate != p.rate}
	}
	if now.Sub(p.spanStart) > rateSpan {
		p.lastRate = float64(p.spanStarts) / max(now.Sub(p.spanStart), rateSpan).Seconds()
		p.spanStart, p.spanStarts = now, 0
	}
	p.spanStarts++
	return ticket{at: now, rate: unlimitedRate}
}

// allowed returns the permitted rate: the schedule may limit it.
func (p *Pacer) allowed() float64 {
	if p.limit > 0 && (p.rate == unlimitedRate || p.limit < p.rate) {
		return p.limit
	}
	return p.rate
}

// intervalOf returns the time between two starts, 0 for an unlimited rate.
func intervalOf(rate float64) time.Duration {
	if rate == unlimitedRate {
		return 0
	}
	return time.Duration(float64(time.Second) / rate)
}

// answered notes an answer that was not a refusal.
func (p *Pacer) answered(t ticket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bare, p.long, p.inARow = p.bare[:0], p.long[:0], 0
	if p.told {
		p.told = false
		p.logger.Info("the host answers normally again", "host", p.host)
	}
	if t.at.Before(p.changed) {
		return // requested before the rate changed: it says nothing about the current rate
	}
	p.pause = 0
	if t.capped {
		return
	}
	p.answers++
	now := time.Now()
	switch {
	case p.rate == unlimitedRate:
	case p.refusedAt == 0:
		seconds := min(now.Sub(p.grown).Seconds(), 1)
		p.grown = now
		p.rate = p.below(p.rate * (1 + climb*seconds))
	case p.step == probeStep && p.answers < probeAfter:
	case p.answers >= provedAfter:
		p.held(now)
	}
}

// held notes that the rate is proved and chooses the next one: half-way to the refused rate, the same, or a little
// more if it was stable for long.
func (p *Pacer) held(now time.Time) {
	p.proved = p.rate
	switch {
	case p.step > 0: // a probe succeeds
		p.step = min(1+(p.step-1)*2, maxStep)
		p.refusedAt = max(p.refusedAt, p.rate*p.step)
		p.rate = p.below(p.rate * p.step)
	case p.refusedAt/p.proved > apart:
		p.rate = p.below((p.proved + p.refusedAt) / 2)
	case now.Sub(p.changed) > max(probeCalm, probePauses*p.cost):
		p.step = probeStep
		p.rate = p.below(p.rate * p.step)
	default:
		return
	}
	p.answers = 0
	p.changed = now
}

// below returns the minimum of the rate and the ceiling.
func (p *Pacer) below(rate float64) float64 {
	if p.ceiling != unlimitedRate {
		rate = min(rate, p.ceiling)
	}
	return rate
}

// refusal is an answer that asks to wait.
type refusal struct {
	of    string        // the requested thing
	after time.Duration // Retry-After, 0 if the host sent none
	bare  bool          // a 503 without Retry-After: a limit, or a failure
	again bool          // it was refused before, while the host worked: its own failure
}

// refused notes that the host asked to wait. It fails if the host asks for too long a wait for several
// consecutive requests.
func (p *Pacer) refused(t ticket, r refusal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusals++
	now := time.Now()
	switch {
	case r.again:
		return nil
	case r.after > MaxRetryAfter:
		if p.long = withName(p.long, r.of); len(p.long) < p.maxLongWaits {
			return nil
		}
		return &RetryLaterError{Host: p.host, After: r.after}
	case r.bare:
		if t.at.Before(p.bareSince) {
			return nil // of those that were in flight together
		}
		p.bare, p.bareSince = withName(p.bare, r.of), now
		r.after = min(barePause<<min(max(len(p.bare)-maxOwn, 0), 10), maxPause)
		if len(p.bare) <= maxOwn {
			p.pauseFor(now, r.after)
			return nil
		}
	}
	if first := !t.at.Before(p.lastRefused); first { // of those that were in flight together
		if r.after <= 0 {
			p.pause = p.nextPause()
		}
		if p.inARow%maxOwn == 0 {
			p.fallBelow(t.rate)
			p.changed = now
		}
		p.inARow++
		p.lastRefused = now
	}
	p.cost = r.after
	if r.after <= 0 {
		p.cost = probePause
		r.after = p.lastRefused.Add(p.pause).Sub(now) // those in flight together pause once
	}
	p.pauseFor(now, r.after)
	return nil
}

// pauseFor pauses all starts for a while.
func (p *Pacer) pauseFor(now time.Time, pause time.Duration) {
	if until := now.Add(pause); until.After(p.pausedUntil) {
		p.pausedUntil = until
	}
	if p.next.Before(p.pausedUntil) {
		p.next = p.pausedUntil
	}
	if pause >= toldPause && !p.told {
		p.told = true
		p.logger.Info("the host asks to wait", "host", p.host, "for", pause.Round(time.Second))
	}
	close(p.wake)
	p.wake = make(chan struct{})
}

// withName adds a name unless it is already present.
func withName(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

// nextPause returns how long to pause if the host does not say.
func (p *Pacer) nextPause() time.Duration {
	if p.step > 0 && p.pause == 0 {
		return probePause
	}
	return min(max(p.pause*2, firstPause), maxPause)
}

// fallBelow lowers the rate after the first refusal at the given one: to the proved rate or, if
// that is refused or unknown, by a fraction.
func (p *Pacer) fallBelow(refused float64) {
	if refused == unlimitedRate {
		refused = max(p.lastRate, float64(p.spanStarts)/rateSpan.Seconds(), 1/p.shares)
	}
	switch {
	case p.proved > 0 && p.proved < refused:
		p.rate = p.proved
	case p.proved > 0 && p.answers >= provedAfter: // it worked until now, and is slightly too high
		p.proved = refused / apart
		p.rate = p.proved
	default:
		p.proved = 0
		p.rate = refused * fall
	}
	p.rate = max(p.rate, p.floor)
	p.refusedAt = refused
	if p.step == probeStep { // so close to the limit that a search in between would cost more than it gains
		p.refusedAt = p.rate * apart
	}
	p.answers, p.step = 0, 0
}

// Pace is a snapshot of one host's pacing.
type Pace struct {
	Host        string
	Rate        float64   // request starts per second, 0 for unlimited
	PausedUntil time.Time // zero or past when not paused
	Starts      int64     // requests started
	Refusals    int64     // answers that asked to wait
}

func (p *Pacer) snapshot() Pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Pace{Host: p.host, Rate: p.allowed(), PausedUntil: p.pausedUntil, Starts: p.starts, Refusals: p.refusals}
}

// learned returns the rate for a later run to start with, for all shares together; 0 for none. A rate on its way up is
// not learned: a later run would take it for the host's limit, and rise from it by only a few percent in minutes.
func (p *Pacer) learned() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.starts == 0 || p.refusedAt == 0 && p.rate < p.ceiling {
		return 0
	}
	if p.proved > 0 {
		return p.proved * p.shares
	}
	return p.rate * p.shares
}

// asksToWait reports whether a status, or a code of the API, asks to slow down.
func asksToWait(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}

// retryAfter parses both forms of the header (RFC 9110, 10.2.3): seconds, or a date, relative to
// the answer's own Date if it has one. It returns 0 if the header is missing or invalid.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseFloat(value, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		const maxSeconds = 1 << 31 // keeps the product inside a Duration
		if seconds != seconds || seconds < 0 {
			return 0
		}
		return time.Duration(min(seconds, maxSeconds) * float64(time.Second))
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
