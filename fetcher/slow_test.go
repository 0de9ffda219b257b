package fetcher

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// drip returns some bytes after each pause, until the request is cancelled.
type drip struct {
	ctx   context.Context
	pause time.Duration
	bytes int
	reads int
}

func (d *drip) Read(p []byte) (int, error) {
	if d.reads--; d.reads < 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(d.pause):
		return min(len(p), d.bytes), nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (d *drip) Close() error { return nil }

// TestSlowBodies aborts a body that arrives byte by byte, and completes a slow one.
func TestSlowBodies(t *testing.T) {
	for name, test := range map[string]struct {
		pause   time.Duration
		bytes   int
		stalls  bool
		atLeast time.Duration
		atMost  time.Duration
	}{
		"nothing":           {pause: time.Hour, bytes: 1, stalls: true, atLeast: 30 * time.Second, atMost: 30 * time.Second},
		"byte by byte":      {pause: 25 * time.Second, bytes: 1, stalls: true, atLeast: 50 * time.Second, atMost: 61 * time.Second},
		"a packet a second": {pause: time.Second, bytes: 600},
		"pauses":            {pause: 29 * time.Second, bytes: 16_000},
		"fast":              {pause: time.Millisecond, bytes: 32_000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				body := newWatchedBody(&drip{ctx, test.pause, test.bytes, 500}, 30*time.Second, cancel, ctx, ungoverned())
				began := time.Now()
				_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{body}, make([]byte, 64<<10))
				if took := time.Since(began); errors.Is(err, ErrStalled) != test.stalls || (err == nil) == test.stalls || test.stalls && (took < test.atLeast || took > test.atMost) {
					t.Errorf("%v after %v", err, took)
				}
			})
		})
	}
}
