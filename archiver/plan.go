// Plans which days a run works on, and in which order.

package archiver

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// plannedDay is one call day to work on.
type plannedDay struct {
	date fetcher.Date
	span fetcher.Window // what to request, even if it is in the future
	// whole says that the whole day was requested, so it may be closed.
	whole bool
}

// plan cuts the span into days and puts those of the shard in order. Earlier days to catch up are
// added as whole days.
func (c *Config) plan(now time.Time, earlier []fetcher.Date) []plannedDay {
	to := c.Span.To
	if present := fetcher.Wall(now, c.Zone); to.After(present) {
		to = present
	}
	var days []plannedDay
	for _, date := range earlier {
		if date < fetcher.DateOf(c.Span.From) && c.Shard.Owns(date) {
			days = append(days, plannedDay{date: date, span: date.Window(), whole: true})
		}
	}
	if !to.Before(c.Span.From) {
		for date := fetcher.DateOf(c.Span.From); date <= fetcher.DateOf(to); date = date.AddDays(1) {
			if c.Shard.Owns(date) {
				days = append(days, c.planDay(date))
			}
		}
	}
	slices.SortFunc(days, func(a, b plannedDay) int { return c.compare(now, a.date, b.date) })
	return days
}

// planDay plans the part of a day that lies in the span.
func (c *Config) planDay(date fetcher.Date) plannedDay {
	day := plannedDay{date: date, span: date.Window(), whole: true}
	first, last := day.span.From.Add(time.Second), day.span.To.Add(-time.Second)
	if c.Span.From.After(first) {
		day.span.From, day.whole = c.Span.From, false
	}
	if c.Span.To.Before(last) {
		day.span.To, day.whole = c.Span.To, false
	}
	return day
}

// compare compares two days by the order of the run.
func (c *Config) compare(now time.Time, a, b fetcher.Date) int {
	ascending := 1
	if a < b {
		ascending = -1
	} else if a == b {
		return 0
	}
	switch c.Order {
	case Ascending:
		return ascending
	case Descending:
		return -ascending
	}
	expiredA, expiredB := c.expired(now, a), c.expired(now, b)
	switch {
	case expiredA && expiredB:
		return -ascending
	case expiredA:
		return 1
	case expiredB:
		return -1
	}
	return ascending
}

// expired reports whether the vendor is expected to have deleted a day's audio.
func (c *Config) expired(now time.Time, date fetcher.Date) bool {
	return now.Sub(date.End(c.Zone)) > c.PurgeAfter
}

// settled reports whether a day no longer changes.
func (c *Config) settled(now time.Time, date fetcher.Date) bool {
	return now.Sub(date.End(c.Zone)) >= c.Settle
}

// planDays returns the days to work on, in order.
func (r *run) planDays() ([]plannedDay, error) {
	for date, err := range r.ledger.Days(r.soft) {
		if err != nil {
			return nil, fmt.Errorf("list the days of the manifest: %w", err)
		}
		r.known = append(r.known, fetcher.Date(date))
	}
	var earlier []fetcher.Date
	if r.config.Span.CatchUp {
		r.lookAhead()
		var err error
		if earlier, err = r.earlierDays(); err != nil {
			return nil, fmt.Errorf("look for days to catch up: %w", err)
		}
	}
	days := r.config.plan(time.Now(), earlier)
	r.sum.plan(len(days))
	if r.config.DryRun {
		days = r.withoutBeginning(days)
	}
	return days, nil
}

// maxAhead is the maximum number of known days that lookAhead checks.
const maxAhead = 10

// lookAhead warns if a closed day is in the future by the machine's clock. Then the clock is behind, and the span of
// --last lacks the latest days. If all days of the span are closed, the run asks the API nothing, and cannot see this by
// its answers.
func (r *run) lookAhead() {
	today := fetcher.DateOf(fetcher.Wall(time.Now(), r.config.Zone))
	for _, date := range slices.Backward(r.known[max(0, len(r.known)-maxAhead):]) {
		if date <= today {
			return
		}
		if status, err := r.look(date); err == nil && len(status.Lines) > 0 {
			r.sum.count(func(s *Summary) { s.ClockBehind = true })
			r.sum.warn(r.log, fmt.Sprintf("the machine's clock is behind: %s is closed, but by this clock it is in the future: check the clock", date))
			return
		}
	}
}

// earlierDays returns the days before the span that a listing with this run's filter left open, and those after the
// first listed one that were never listed with it. A day that closed without a witness, because the API showed no
// recording of any day, is listed again once another day has one: the API may show hidden recordings by now.
func (r *run) earlierDays() ([]fetcher.Date, error) {
	start := fetcher.DateOf(r.config.Span.From)
	var before []plannedDay
	for _, date := range r.known {
		if date < start {
			before = append(before, plannedDay{date: date})
		}
	}
	var earlier, unwitnessed []fetcher.Date
	recorded := fetcher.Date("") // the newest day with a recording
	next := fetcher.Date("")     // the day after the last one looked at, after a first one
	for p, status := range r.statuses(before) {
		if err := ofAllDays(status.err); err != nil {
			return nil, err
		}
		if next == "" { // after the first one, every open day is worked on, listed or not
			listed, err := r.isListed(p.date, status)
			if err != nil {
				return nil, err
			}
			if !listed {
				continue
			}
		}
		for ; next != "" && next < p.date; next = next.AddDays(1) {
			earlier = append(earlier, next)
		}
		line, closed := status.Line(r.filter)
		switch {
		case !closed:
			earlier = append(earlier, p.date)
		case line.Unwitnessed:
			unwitnessed = append(unwitnessed, p.date)
		case line.Recordings > 0:
			recorded = p.date
		}
		next = p.date.AddDays(1)
	}
	for ; next != "" && next < start; next = next.AddDays(1) {
		earlier = append(earlier, next)
	}
	for _, date := range unwitnessed {
		if recorded >= date.AddDays(-maxLookBack) && !r.config.expired(time.Now(), date) {
			r.doubted[date] = true
			earlier = append(earlier, date)
		}
	}
	slices.Sort(earlier)
	return earlier, nil
}

// isListed reports whether a day was ever listed with this run's filter. A day that cannot be read counts as listed:
// its error is reported when it is worked on.
func (r *run) isListed(date fetcher.Date, status dayStatus) (bool, error) {
	if status.err != nil {
		return true, nil
	}
	if line, ok := status.Line(r.filter); ok {
		return line.Filter == r.filter, nil
	}
	if !status.Known {
		return false, nil
	}
	var ledger *manifest.Day
	err := r.patiently(func() (err error) {
		ledger, err = r.ledger.Load(r.soft, string(date))
		return err
	})
	if err != nil {
		return true, ofAllDays(err)
	}
	return slices.ContainsFunc(ledger.Windows(), func(w manifest.Window) bool { return w.Filter == r.filter }) ||
		r.filter == "" && ledger.Count() > 0, nil
}

// ofAllDays returns an error of reading a day, or nil if it concerns only that day.
func ofAllDays(err error) error {
	if store.IsRetriable(err) || errors.Is(err, store.ErrUnusable) || isLater(err) {
		return err
	}
	return nil
}

// dayStatus is the status of a day, or why it is unknown.
type dayStatus struct {
	manifest.Status
	err error
}

// looksAtOnce is how many days are checked in parallel.
const looksAtOnce = 32

// statuses checks days, some in parallel, and yields them in order.
func (r *run) statuses(days []plannedDay) iter.Seq2[plannedDay, dayStatus] {
	return func(yield func(plannedDay, dayStatus) bool) {
		ahead := make([]chan dayStatus, 0, len(days))
		for i, p := range days {
			for len(ahead) < min(i+looksAtOnce, len(days)) {
				answer := make(chan dayStatus, 1) // it ends even if nobody receives
				date := days[len(ahead)].date
				ahead = append(ahead, answer)
				go func() {
					status, err := r.look(date)
					answer <- dayStatus{status, err}
				}()
			}
			status := <-ahead[i]
			ahead[i] = nil
			if !yield(p, status) {
				return
			}
		}
	}
}
