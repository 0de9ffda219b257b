package archiver

import (
	"context"
	"sync"
)

// mostRefused is how many recordings in a row may be "not found" (on days that
// should still have their audio) or refused by 401 or 403, before that is taken for
// an outage of the vendor.
const mostRefused = 50

// streaks counts bad answers in a row over all workers.
type streaks struct {
	mu       sync.Mutex
	notFound int
	denied   int
	good     int64 // answers that broke a streak of "not found"
}

// note counts one conclusive answer and reports whether a streak is too long.
func (s *streaks) note(f *finding, expired bool) (outage bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case f != nil && f.notFound && expired:
		return false // expected, and says nothing of the host
	case f != nil && f.notFound:
		s.notFound++
		s.denied = 0
	case f != nil && f.denied:
		s.denied++
	default:
		s.denied = 0
		if f == nil {
			s.notFound = 0
			s.good++
		}
	}
	return s.notFound >= mostRefused || s.denied >= mostRefused
}

// proofs returns how many answers have shown that the host has recordings.
func (s *streaks) proofs() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good
}

// limiter lets at most so many recordings be archived.
type limiter struct {
	mu       sync.Mutex
	most     int // 0 for no limit
	reserved int // in flight or archived
	archived int
	freed    chan struct{} // closed and made anew when a reservation is given back
}

func newLimiter(most int) *limiter { return &limiter{most: most, freed: make(chan struct{})} }

// reserve waits until one more recording may be archived. It returns
// errLimitReached once no more may be.
func (l *limiter) reserve(ctx context.Context) error {
	for {
		l.mu.Lock()
		if l.most == 0 || l.reserved < l.most {
			l.reserved++
			l.mu.Unlock()
			return nil
		}
		if l.archived >= l.most {
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
