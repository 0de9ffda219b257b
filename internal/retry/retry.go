// Package retry holds the retry loop of requests that are made one after the other: listing calls, verifying
// recordings, pings. Downloads wait for their next attempt in the queue of package archiver instead, so they block
// no worker.
//
// It uses cenkalti/backoff/v4 for the delays only. Its own Retry is not used, because it loses the last error when
// the context ends, and the wrapping around a permanent error (both seen in v4.3.0).
package retry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Policy bounds one operation.
type Policy struct {
	Tries    int           // total attempts; at least one is made
	Refusals int           // further attempts after a host asked us to wait; these are paced, not delayed
	Initial  time.Duration // mean delay before the second attempt
	Max      time.Duration // maximum mean delay
}

// Do calls op until it succeeds, returns an error marked with [Stop], no attempt is left, or ctx ends. The delay
// doubles each time and is jittered by half. Do returns the last error of op unchanged, and joins the context's error
// to it if the wait was interrupted. Each call has its own state, so Do may be called concurrently.
func Do(ctx context.Context, p Policy, op func(context.Context) error) error {
	delays := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(p.Initial),
		backoff.WithMaxInterval(p.Max),
		backoff.WithMultiplier(2),
		backoff.WithMaxElapsedTime(0), // the default of 15 minutes would include the time of op itself
	)
	tries, refusals := 0, 0
	for {
		err := op(ctx)
		if err == nil {
			return nil
		}
		if stopped, ok := errors.AsType[*stopError](err); ok {
			return stopped.error
		}
		if ctx.Err() != nil {
			return err
		}
		if _, ok := errors.AsType[*refusedError](err); ok {
			if refusals++; refusals > p.Refusals {
				return err
			}
			continue
		}
		if tries++; tries >= p.Tries {
			return err
		}
		if cause := sleep(ctx, delays.NextBackOff()); cause != nil {
			return errors.Join(err, cause)
		}
	}
}

// If calls op until it succeeds, at most four times with a few seconds between them, as long as mayPass
// reports its error as temporary. It is the policy of commands that read or change an archive object by
// object.
func If(ctx context.Context, mayPass func(error) bool, op func(context.Context) error) error {
	return Do(ctx, Policy{Tries: 4, Initial: time.Second / 2, Max: 10 * time.Second}, func(ctx context.Context) error {
		err := op(ctx)
		if err == nil || mayPass(err) {
			return err
		}
		return Stop(err)
	})
}

// Stop marks err as final: a further attempt would fail in the same way.
func Stop(err error) error { return &stopError{err} }

// Refused marks err as a host's request to come back later. That host's pacer waits, so the attempt counts only
// against Refusals.
func Refused(err error) error { return &refusedError{err} }

type stopError struct{ error }

func (e *stopError) Unwrap() error { return e.error }

type refusedError struct{ error }

func (e *refusedError) Unwrap() error { return e.error }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait before the next attempt: %w", context.Cause(ctx))
	}
}
