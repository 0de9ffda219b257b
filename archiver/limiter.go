// Ends a run at --max-recordings or --max-bytes.

package archiver

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"convoso-archiver/fetcher"
)

// limitError is the name of the limit that ended a run. The run did not fail; the next one
// continues.
type limitError string

const (
	maxRecordings limitError = "max-recordings"
	maxBytes      limitError = "max-bytes"
	maxRequests   limitError = "max-requests"
)

// Error returns one lower-case line.
func (e limitError) Error() string { return fmt.Sprintf("--%s is reached", string(e)) }

// limitOf returns the limit in an error.
func limitOf(err error) (limitError, bool) {
	if errors.Is(err, fetcher.ErrMaxRequests) {
		return maxRequests, true
	}
	return errors.AsType[limitError](err)
}

// limiter bounds how much is archived.
type limiter struct {
	mu         sync.Mutex
	recordings int   // that may be archived, 0 for no limit
	bytes      int64 // likewise; recordings in flight may exceed it
	reserved   int   // in flight or archived
	archived   int
	stored     int64         // bytes of these
	freed      chan struct{} // closed and made again when a reservation is given back
}

func newLimiter(recordings int, bytes int64) *limiter {
	return &limiter{recordings: recordings, bytes: bytes, freed: make(chan struct{})}
}

// reserve waits until one more recording may be archived. It returns a limitError once the limit is
// reached.
func (l *limiter) reserve(ctx context.Context) error {
	for {
		l.mu.Lock()
		switch {
		case l.bytes > 0 && l.stored >= l.bytes:
			l.mu.Unlock()
			return maxBytes
		case l.recordings == 0 || l.reserved < l.recordings:
			l.reserved++
			l.mu.Unlock()
			return nil
		case l.archived >= l.recordings:
			l.mu.Unlock()
			return maxRecordings
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

// release ends the reservation of a recording: archived with the given number of bytes, or not
// archived.
func (l *limiter) release(archived bool, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if archived {
		l.archived++
		l.stored += bytes
	} else {
		l.reserved--
	}
	close(l.freed)
	l.freed = make(chan struct{})
}

// limited is a source that stops the run once no further request may be made. Listings do not need
// this: their errors end the run.
type limited struct {
	Source
	stop context.CancelCauseFunc
}

// Look implements Source.
func (s *limited) Look(ctx context.Context, span fetcher.Window, filter fetcher.Filter, offset int) (*fetcher.Page, error) {
	page, err := s.Source.Look(ctx, span, filter, offset)
	return page, s.heed(err)
}

// Open implements Source.
func (s *limited) Open(ctx, waiting context.Context, link fetcher.Secret, again bool) (*fetcher.Audio, error) {
	audio, err := s.Source.Open(ctx, waiting, link, again)
	return audio, s.heed(err)
}

func (s *limited) heed(err error) error {
	if errors.Is(err, fetcher.ErrMaxRequests) {
		s.stop(maxRequests)
	}
	return err
}
