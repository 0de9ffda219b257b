// Reads the facts of days from the manifest.

package report

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"convoso-archiver/manifest"
)

const (
	looksAtOnce = 32 // days checked in parallel
	readsAtOnce = 2  // of these, days read completely; each takes memory for its recordings
)

// Read yields the facts of every day of the options' span in the ledger, ascending, and of its newest day. If the
// options name a start, it first yields the first listed day, if outside of the span, with nothing but its name. It checks
// the status of closed days, many in parallel; it reads open days completely, a few in parallel, and also closed ones
// with losses until o.Losses is reached. An error is the last; an unreadable line is a fact of its day. Memory grows
// with the few days in work.
func Read(ctx context.Context, ledger *manifest.Ledger, o Options) iter.Seq2[Facts, error] {
	return func(yield func(Facts, error) bool) {
		var days []string
		for day, err := range ledger.Days(ctx) {
			if err != nil {
				yield(Facts{}, fmt.Errorf("look at the days: %w", err))
				return
			}
			days = append(days, day)
		}
		if o.From != "" {
			first, err := firstListed(ctx, ledger, days)
			if err != nil || first != "" && o.outside(first) {
				if !yield(Facts{Day: first, Known: true}, err) || err != nil {
					return
				}
			}
		}
		if n := len(days); n > 0 {
			newest := days[n-1]
			days = append(slices.DeleteFunc(days[:n-1], o.outside), newest)
		}
		ReadDays(ctx, ledger, days, o)(yield)
	}
}

// ReadDays is like Read, for these days, which must ascend.
func ReadDays(ctx context.Context, ledger *manifest.Ledger, days []string, o Options) iter.Seq2[Facts, error] {
	return func(yield func(Facts, error) bool) {
		r := &reader{ledger: ledger, filter: o.Filter, reads: make(chan struct{}, readsAtOnce)}
		for some := range slices.Chunk(days, looksAtOnce) {
			r.wantsLosses = r.met < o.Losses
			for _, f := range r.facts(ctx, some) {
				if f.Closing != nil {
					r.met += len(f.Unarchived)
				}
				if !yield(f, f.err) || f.err != nil {
					return
				}
			}
		}
	}
}

// firstListed returns the first of some days that has a line, empty for none.
func firstListed(ctx context.Context, ledger *manifest.Ledger, days []string) (string, error) {
	for _, day := range days {
		status, err := ledger.Status(ctx, day)
		if err != nil {
			return "", fmt.Errorf("look at %s: %w", day, err)
		}
		if status.Known {
			return day, nil
		}
	}
	return "", nil
}

type reader struct {
	ledger      *manifest.Ledger
	filter      string
	met         int // losses of closed days given so far
	wantsLosses bool
	reads       chan struct{} // one slot for each day being read
}

// facts reads days in parallel.
func (r *reader) facts(ctx context.Context, days []string) []Facts {
	list := make([]Facts, len(days))
	var wait sync.WaitGroup
	for i, day := range days {
		list[i].Day = day
		wait.Go(func() { list[i].err = r.fill(ctx, &list[i]) })
	}
	wait.Wait()
	return list
}

// fill checks the status of a day, and reads the day if that is not enough.
func (r *reader) fill(ctx context.Context, f *Facts) error {
	status, err := r.ledger.Status(ctx, f.Day)
	if err != nil {
		return fmt.Errorf("look at %s: %w", f.Day, err)
	}
	f.Known = status.Known
	for _, line := range status.Lines {
		f.noteTime(line.Time)
		f.ClosedFor = append(f.ClosedFor, line.Filter)
	}
	if line, ok := status.Line(r.filter); ok {
		f.Closing = &line
		if !r.wantsLosses || !hasLosses(line) {
			return nil
		}
	}
	r.reads <- struct{}{}
	defer func() { <-r.reads }()
	if err := f.read(ctx, r.ledger, r.filter); err != nil {
		return fmt.Errorf("read %s: %w", f.Day, err)
	}
	return nil
}

// hasLosses reports whether a closed day has unarchived recordings.
func hasLosses(line manifest.DayLine) bool {
	for outcome, n := range line.ByOutcome {
		if n > 0 && !outcome.Final() {
			return true
		}
	}
	return false
}

// read reads the requested facts from the lines of the day. Lines after a bad line also count.
func (f *Facts) read(ctx context.Context, ledger *manifest.Ledger, filter string) error {
	visit := func(line manifest.Line) error {
		if line.Kind == "day" {
			d, err := line.DayLine()
			f.Reopened = f.Reopened || err == nil && d.Closed && (d.Filter == "" || d.Filter == filter)
		}
		return nil
	}
	day, err := ledger.Read(ctx, f.Day, visit, nil)
	if errors.As(err, &f.Bad) {
		day, err = ledger.Read(ctx, f.Day, visit, func(manifest.Fault) error { return nil })
	}
	if err != nil {
		return err
	}
	f.ByOutcome = map[manifest.Outcome]int{}
	for id, s := range day.Recordings() {
		f.ByOutcome[s.Outcome]++
		f.noteTime(s.Time)
		if s.Outcome == manifest.Archived {
			f.Bytes += s.Size
		}
		if !s.Outcome.Final() {
			f.Unarchived = append(f.Unarchived, Unarchived{id, s})
		}
	}
	f.Windows, f.CallsDropped = day.Windows(), day.CallsDropped()
	for _, w := range f.Windows {
		f.noteTime(w.Time)
	}
	return nil
}

func (f *Facts) noteTime(t time.Time) {
	if t.After(f.LastLine) {
		f.LastLine = t
	}
}
