// Searches for a page, within a time limit.

package web

import (
	"context"
	"errors"
	"slices"
	"time"

	"convoso-archiver/search"
)

// searchTime is the time limit of a search for a page. After it, the page shows the calls found so
// far and the day it reached.
const searchTime = 3 * time.Second

// found is the result of a search.
type found struct {
	calls  []search.Call
	more   bool     // there are further calls
	broken []string // days that could not be read completely
	// stopped says that the time limit was reached; next is where to continue, 0 if unknown.
	stopped bool
	next    search.Position
	reached string // if stopped, the last day searched
}

// find searches until a page is full or the time limit is reached.
func (s *Server) find(ctx context.Context, a *asked) (found, error) {
	var f found
	select {
	case s.searches <- struct{}{}:
		defer func() { <-s.searches }()
	case <-ctx.Done():
		return f, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	q, size := a.query, a.size()
	if !a.isByTime() {
		q.Limit = 0
		if q.Sample == 0 {
			q.Limit = size + 1
		}
		err := f.add(ctx, s.Archive, q, size)
		if ctx.Err() != nil {
			f = found{stopped: true}
			err = nil
		}
		return f, err
	}
	days, err := s.catalog.allDays(ctx, q)
	if err != nil {
		return f, err
	}
	if q.Sort != search.OldestFirst {
		slices.Reverse(days)
	}
	// It starts with a few days and then searches more at a time: without an index, a page of the newest days is fast,
	// and with an index there are few searches.
	q.Limit = 0
	for n := 1; len(days) > 0; n = min(2*n, 512) {
		span := days[:min(n, len(days))]
		part := within(q, span)
		err := f.add(ctx, s.Archive, part, size)
		if ctx.Err() != nil {
			f.stop(part, span)
			return f, nil
		}
		if err != nil || f.more {
			return f, err
		}
		days = days[len(span):]
	}
	return f, nil
}

// within narrows a query to days, given in the order of the query.
func within(q search.Query, days []string) search.Query {
	first, last := days[0], days[len(days)-1]
	if first > last {
		first, last = last, first
	}
	var span search.Query
	if span.SetSpan(first, last) != nil { // days of the ledger are dates
		return q
	}
	if q.From.IsZero() || q.From.Before(span.From) {
		q.From = span.From
	}
	if q.To.IsZero() || q.To.After(span.To) {
		q.To = span.To
	}
	return q
}

// add searches until there are more than size calls.
func (f *found) add(ctx context.Context, archive *search.Archive, q search.Query, size int) error {
	for c, err := range archive.Search(ctx, q) {
		if broken, ok := errors.AsType[*search.DayError](err); ok {
			f.broken = append(f.broken, broken.Day)
			continue
		}
		if err != nil {
			return err
		}
		if len(f.calls) == size {
			f.more = true
			return nil
		}
		f.calls = append(f.calls, c)
	}
	return nil
}

// stop notes how far a search came that was stopped within some days: its results are kept, and the next search
// continues after them.
func (f *found) stop(part search.Query, span []string) {
	f.stopped, f.reached = true, span[0]
	first, last := part.Positions()
	f.next = last + 1 // the next page starts with the calls at last and before; last is within a span, so this cannot overflow
	if part.Sort == search.OldestFirst {
		f.next = first - 1
	}
	if n := len(f.calls); n > 0 {
		c := f.calls[n-1]
		if at := c.Position; at >= first && at <= last {
			f.next, f.reached = at, c.Day
		}
	}
}
