// Loads rows and recordings of calls that the index found.

package search

import (
	"context"
	"errors"
	"iter"
	"slices"
)

// Loader completes calls from an index, which have no rows and no ledger states. It caches the last day read, because
// answers by time come day by day. It is not safe for concurrent use.
type Loader struct {
	archive *Archive
	day     string
	calls   map[string]Call // of that day, by id
}

// NewLoader returns an empty loader.
func NewLoader(archive *Archive) *Loader { return &Loader{archive: archive} }

// loadAtOnce is the maximum number of answers that wait for their days: in orders other than time, each of their
// days is read once.
const loadAtOnce = 1000

// IsComplete reports whether a call has its row and the states of its recordings.
func (c *Call) IsComplete() bool {
	return (c.Row != nil || c.NoRow) && !slices.ContainsFunc(c.Recordings, func(r Recording) bool { return r.State == nil })
}

// Complete yields the same calls in the same order, with rows and states. A call that is no longer in its day
// stays unchanged. Errors are those of the answers, and a [*DayError] for an unreadable day.
func (l *Loader) Complete(ctx context.Context, answers iter.Seq2[Call, error]) iter.Seq2[Call, error] {
	return l.CompleteSome(ctx, answers, func(c *Call) bool { return !c.IsComplete() })
}

// CompleteSome is like Complete, for the calls that need it; the others stay unchanged.
func (l *Loader) CompleteSome(ctx context.Context, answers iter.Seq2[Call, error], needs func(*Call) bool) iter.Seq2[Call, error] {
	return func(yield func(Call, error) bool) {
		var waiting []Call
		flush := func() bool {
			for _, err := range l.load(ctx, waiting, needs) {
				_, ofDay := errors.AsType[*DayError](err)
				if !yield(Call{}, err) || !ofDay {
					return false
				}
			}
			for _, c := range waiting {
				if !yield(c, nil) {
					return false
				}
			}
			waiting = waiting[:0]
			return true
		}
		for c, err := range answers {
			switch {
			case err != nil:
				if !yield(Call{}, err) {
					return
				}
			case len(waiting) == 0 && !needs(&c):
				if !yield(c, nil) {
					return
				}
			default:
				if waiting = append(waiting, c); len(waiting) == loadAtOnce && !flush() {
					return
				}
			}
		}
		flush()
	}
}

// load completes the calls that need it in place, and returns errors of days.
func (l *Loader) load(ctx context.Context, calls []Call, needs func(*Call) bool) (failed []error) {
	byDay := map[string][]int{}
	var days []string
	for i := range calls {
		if day := calls[i].Day; needs(&calls[i]) {
			if byDay[day] == nil {
				days = append(days, day)
			}
			byDay[day] = append(byDay[day], i)
		}
	}
	for _, day := range days {
		err := l.read(ctx, day)
		if err != nil {
			failed = append(failed, err)
		}
		if _, ofDay := errors.AsType[*DayError](err); err != nil && !ofDay {
			return failed
		}
		for _, i := range byDay[day] {
			if full, there := l.calls[calls[i].ID]; there {
				calls[i] = full
			}
		}
	}
	return failed
}

func (l *Loader) read(ctx context.Context, day string) error {
	if l.day == day {
		return nil
	}
	calls, err := l.archive.Day(ctx, day)
	l.day, l.calls = day, make(map[string]Call, len(calls))
	for _, c := range calls {
		l.calls[c.ID] = c
	}
	return err
}
