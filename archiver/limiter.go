package archiver

import (
	"context"
	"sync"
)

// limiter bounds how many recordings are archived.
type limiter struct {
	mu       sync.Mutex
	max      int // 0 for no limit
	reserved int // in flight or archived
	archived int
	freed    chan struct{} // closed and made anew when a reservation is given back
}

func newLimiter(max int) *limiter { return &limiter{max: max, freed: make(chan struct{})} }

// reserve waits until one more recording may be archived. It returns
// errLimitReached once no more may be.
func (l *limiter) reserve(ctx context.Context) error {
	for {
		l.mu.Lock()
		if l.max == 0 || l.reserved < l.max {
			l.reserved++
			l.mu.Unlock()
			return nil
		}
		if l.archived >= l.max {
			l.mu.Unlock()
			return errLimitReached
		}
		freed := l.freed
		l.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// release ends a reservation.
func (l *limiter) release(archived bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if archived {
		l.archived++
	} else {
		l.reserved--
	}
	close(l.freed)
	l.freed = make(chan struct{})
}
