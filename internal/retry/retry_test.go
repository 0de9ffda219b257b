package retry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var errOp = errors.New("op failed")

func TestDo(t *testing.T) {
	policy := Policy{Tries: 5, Refusals: 3, Initial: time.Second, Max: 8 * time.Second}
	for name, test := range map[string]struct {
		op          func(call int) error
		calls       int
		fails       bool
		least, most time.Duration // waited, jittered by half
	}{
		"success":              {func(int) error { return nil }, 1, false, 0, 0},
		"success after two":    {func(call int) error { return map[bool]error{true: errOp}[call < 3] }, 3, false, 1500 * time.Millisecond, 4500 * time.Millisecond},
		"failure":              {func(int) error { return errOp }, 5, true, 7500 * time.Millisecond, 22500 * time.Millisecond},
		"stopped":              {func(int) error { return Stop(errOp) }, 1, true, 0, 0},
		"refused":              {func(int) error { return Refused(errOp) }, 4, true, 0, 0},
		"refused, then failed": {func(call int) error { return map[bool]error{true: Refused(errOp), false: errOp}[call < 3] }, 7, true, 7500 * time.Millisecond, 22500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun, calls := time.Now(), 0
				err := Do(t.Context(), policy, func(context.Context) error {
					calls++
					return test.op(calls)
				})
				if (err != nil) != test.fails || test.fails && !errors.Is(err, errOp) || err != nil && err.Error() != errOp.Error() {
					t.Errorf("error %v", err)
				}
				if took := time.Since(begun); calls != test.calls || took < test.least || took > test.most {
					t.Errorf("%d calls in %v", calls, took)
				}
			})
		})
	}
}

// TestDoEndsWithItsContext keeps the last error of op if the wait is interrupted.
func TestDoEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		begun := time.Now()
		err := Do(ctx, Policy{Tries: 2, Initial: time.Hour, Max: time.Hour}, func(context.Context) error { return errOp })
		if !errors.Is(err, errOp) || !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 100*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

func TestIf(t *testing.T) {
	passing, lasting := errors.New("passing"), errors.New("lasting")
	for _, test := range []struct {
		err   error
		calls int
	}{{nil, 1}, {passing, 4}, {lasting, 1}} {
		synctest.Test(t, func(t *testing.T) {
			calls, began := 0, time.Now()
			err := If(t.Context(), func(err error) bool { return errors.Is(err, passing) }, func(context.Context) error {
				calls++
				return test.err
			})
			if !errors.Is(err, test.err) || calls != test.calls || time.Since(began) > 30*time.Second {
				t.Errorf("%v: %v after %d calls in %v", test.err, err, calls, time.Since(began))
			}
		})
	}
}
