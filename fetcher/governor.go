// Limits all requests of a client by --schedule and --max-requests.

package fetcher

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"convoso-archiver/internal/schedule"
)

// ErrMaxRequests means that [Options.MaxRequests] requests were started.
var ErrMaxRequests = errors.New("the maximum number of requests is reached")

// The read sizes while the bandwidth is limited: small enough that each of many bodies gets some bytes every few
// seconds, because servers close idle connections.
const (
	maxPart      = 32 << 10 // bytes
	minPart      = 256
	partsASecond = 8
)

// governor limits the requests to all hosts together: by the schedule, and by the maximum of requests. It is safe for
// concurrent use.
type governor struct {
	schedule    *schedule.Schedule // nil for none
	maxRequests int64              // 0 for no limit
	logger      *slog.Logger
	bodies      *rate.Limiter // of bytes

	started atomic.Int64 // requests
	part    atomic.Int64 // bytes per read

	mu      sync.Mutex
	limits  schedule.Limits // from the last look
	looked  bool
	resumed time.Time // when the last pause of the schedule ended
}

func newGovernor(s *schedule.Schedule, maxRequests int64, logger *slog.Logger) *governor {
	g := &governor{schedule: s, maxRequests: maxRequests, logger: logger, bodies: rate.NewLimiter(rate.Inf, 0)}
	g.part.Store(maxPart)
	return g
}

// look returns the current limits of the schedule, and how long they are valid.
func (g *governor) look() (limits schedule.Limits, good time.Duration) {
	now := time.Now()
	limits = g.schedule.At(now)
	g.mu.Lock()
	defer g.mu.Unlock()
	if limits != g.limits || !g.looked {
		g.change(now, limits)
	}
	return limits, schedule.NextLook(now).Sub(now)
}

// change sets new limits.
func (g *governor) change(now time.Time, limits schedule.Limits) {
	if g.limits.Off {
		g.resumed = now
	}
	g.limits, g.looked = limits, true
	if !limits.Off { // otherwise downloads in progress keep their limits
		g.limitBodies(limits.Bytes)
	}
	if g.schedule == nil {
		return
	}
	attrs := []any{"off", limits.Off, "max_requests_per_second", limits.Rate, "max_bytes_per_second", limits.Bytes}
	if until := g.schedule.Change(now); !until.IsZero() {
		attrs = append(attrs, "until", until.UTC().Format(time.RFC3339))
	}
	g.logger.Info("by the schedule", attrs...)
}

// limitBodies limits the bytes per second of all bodies together, 0 for no limit.
func (g *governor) limitBodies(bytes int64) {
	if bytes == 0 {
		g.part.Store(maxPart)
		g.bodies.SetLimit(rate.Inf)
		return
	}
	part := min(max(bytes/partsASecond, minPart), maxPart)
	g.part.Store(part)
	g.bodies.SetBurst(int(part))
	g.bodies.SetLimit(rate.Limit(bytes))
}

// pay waits until the bytes read fit into the bandwidth. It ends early with ctx, whose error the next read returns.
func (g *governor) pay(ctx context.Context, bytes int) {
	if g.schedule == nil {
		return
	}
	g.look()
	for bytes > 0 && ctx.Err() == nil {
		part := min(bytes, int(g.part.Load())) // the bandwidth may have changed since they were read
		_ = g.bodies.WaitN(ctx, part)
		bytes -= part
	}
}

// take counts a request. It fails once the maximum is reached, except for a request that continues
// another one.
func (g *governor) take(goesOn bool) error {
	if n := g.started.Add(1); g.maxRequests == 0 || n <= g.maxRequests || goesOn {
		return nil
	}
	g.started.Add(-1)
	return ErrMaxRequests
}

// isUsedUp reports whether no further request is allowed.
func (g *governor) isUsedUp() bool { return g.maxRequests > 0 && g.started.Load() >= g.maxRequests }

// resumedAt returns when the last pause of the schedule ended, the zero time for never.
func (g *governor) resumedAt() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.resumed
}

// Resumed returns when the last pause of the schedule ended, the zero time for never. A host without a request since
// then does not count as silent.
func (c *Client) Resumed() time.Time { return c.govern.resumedAt() }

// OffUntil returns the end of a pause of the schedule, in the account's zone, and whether it is paused
// now.
func (c *Client) OffUntil(now time.Time) (time.Time, bool) {
	if !c.options.Schedule.At(now).Off {
		return time.Time{}, false
	}
	return c.options.Schedule.Change(now).In(c.options.Zone), true
}
