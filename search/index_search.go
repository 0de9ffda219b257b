// Searches an archive by the index.

package search

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"
)

// WithIndex returns the same archive, searched by an index. What it answers is how the archive was when the index was
// updated last; the caller decides when that is. Days that the index does not hold, because they could not be read or
// were not updated yet, are read from the archive. If the index is damaged or cannot be read, all remaining days are
// read from the archive.
func (a *Archive) WithIndex(ix *Index) *Archive {
	indexed := *a
	indexed.index = ix
	return &indexed
}

// WithIndexWhile is WithIndex for as long as usable says so; else days are read. It is called with each search.
func (a *Archive) WithIndexWhile(ix *Index, usable func() bool) *Archive {
	indexed := a.WithIndex(ix)
	indexed.usable = usable
	return indexed
}

// isIndexed reports whether there is an index that knows the days of the archive. A new index knows none before its
// first update, and days that it does not know are not read.
func (a *Archive) isIndexed(ctx context.Context) bool {
	if a.usable != nil && !a.usable() {
		return false
	}
	if a.index == nil || a.index.knowsDays.Load() {
		return a.index != nil
	}
	_, known, err := a.index.Coverage(ctx)
	a.index.knowsDays.Store(err == nil && known > 0)
	return a.index.knowsDays.Load()
}

// found is a step of an answer: a call, the problem of a day, or a day that the index does not hold.
type found struct {
	call    Call
	problem error // a *DayError
	unheld  string
	after   Position // of unheld: where the answer continues in it; 0 for all of it
}

// cursor is the progress of an answer: the positions from first to last are still to be answered.
type cursor struct {
	first, last Position
	oldestFirst bool
	entered     int64 // the day that was begun; its error was reported
	done        bool
}

func (q Query) cursor() cursor {
	c := cursor{oldestFirst: q.Sort == OldestFirst, entered: -1}
	c.first, c.last = q.Positions()
	switch {
	case q.After == 0:
	case c.oldestFirst:
		c.first = max(c.first, q.After+1)
	default:
		c.last = min(c.last, q.After-1)
	}
	return c
}

// pass leaves out the positions up to p, in the order of the answer.
func (c *cursor) pass(p Position) {
	if c.oldestFirst {
		c.first = p + 1
	} else {
		c.last = p - 1
	}
}

// leave leaves out a day.
func (c *cursor) leave(day int64) {
	if c.oldestFirst {
		c.first = firstOf(day + 1)
	} else {
		c.last = firstOf(day) - 1
	}
}

func (c *cursor) isAtEnd() bool { return c.done || c.first > c.last }

// firstOf is the first position of a day.
func firstOf(day int64) Position { return Position(day * secondsOfDay * maxPerSecond) }

// dayOf is the day of a position.
func dayOf(p Position) int64 { return int64(p) / maxPerSecond / secondsOfDay }

// indexed yields the calls that match, newest or oldest first, and what could not be read. Other errors are the last.
func (a *Archive) indexed(ctx context.Context, q Query) iter.Seq2[Call, error] {
	const atFirst, atMost = 64, 4096
	return func(yield func(Call, error) bool) {
		p, at, n := q.plan(), q.cursor(), atFirst
		if q.Limit > 0 && q.Limit < n {
			n = q.Limit
		}
		for !p.none && !at.isAtEnd() {
			before := at
			steps, err := a.index.fetch(ctx, a.zone, q, p, &at, n)
			if ctx.Err() != nil {
				yield(Call{}, context.Cause(ctx))
				return
			}
			if err != nil {
				a.index.doubt(err)
				a.scanFrom(ctx, q, before, yield)
				return
			}
			for _, s := range steps {
				if !a.step(ctx, q, s, yield) {
					return
				}
			}
			n = min(2*n, atMost)
		}
	}
}

// ranked yields the first calls by length, where the index alone can tell which they are; else it returns false.
func (a *Archive) ranked(ctx context.Context, q Query, yield func(Call, error) bool) bool {
	steps, ok, err := a.index.ranked(ctx, a, q)
	if err != nil {
		a.index.doubt(err)
		return false
	}
	for i := 0; ok && i < len(steps) && a.step(ctx, q, steps[i], yield); i++ {
	}
	return ok
}

func (a *Archive) step(ctx context.Context, q Query, s found, yield func(Call, error) bool) bool {
	switch {
	case s.problem != nil:
		return yield(Call{}, s.problem)
	case s.unheld != "":
		if s.after != 0 {
			q.After = s.after
		}
		return a.scanDay(ctx, q, s.unheld, yield)
	}
	return yield(s.call, nil)
}

// scanFrom answers what is left of a query without the index.
func (a *Archive) scanFrom(ctx context.Context, q Query, at cursor, yield func(Call, error) bool) {
	plain := *a
	plain.index = nil
	if first, _ := q.Positions(); at.oldestFirst && at.first > first {
		q.From, q.After = midnightOf(dayOf(at.first)), at.first-1
	} else if !at.oldestFirst && at.last < 1<<63-1 {
		q.To, q.After = midnightOf(dayOf(at.last)+1).Add(-time.Second), at.last+1
	}
	for c, err := range plain.scan(ctx, q) {
		if !yield(c, err) {
			return
		}
	}
}

// fetch takes the next steps of an answer: at least n calls, unless it comes to its end. If a step is a day that is
// not held, it is the last one.
func (ix *Index) fetch(ctx context.Context, zone *time.Location, q Query, p plan, at *cursor, n int) (steps []found, err error) {
	s, err := ix.look(ctx, zone)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	for many := 8; !at.isAtEnd() && ctx.Err() == nil; many = min(4*many, maxDaysAtOnce) {
		days, err := s.chosen(at, p, many)
		if err != nil {
			return nil, err
		}
		if len(days) == 0 {
			at.done = true
		}
		for i := range days {
			if steps, err = s.answer(q, at, &days[i], steps, n); err != nil || len(steps) >= n || !days[i].held {
				return steps, err
			}
		}
	}
	return steps, nil
}

// answer takes the steps that a day brings, and stops when there are n.
func (s *snapshot) answer(q Query, at *cursor, d *indexedDay, steps []found, n int) ([]found, error) {
	if !d.held {
		left := found{unheld: dayName(d.number)}
		switch { // the day was held when the answer began it
		case at.entered != d.number:
		case at.oldestFirst:
			left.after = at.first - 1
		default:
			left.after = at.last + 1
		}
		at.leave(d.number)
		return append(steps, left), nil
	}
	if trouble := d.trouble(); trouble != nil && at.entered != d.number {
		steps = append(steps, found{problem: trouble})
	}
	at.entered = d.number
	fit, err := s.within(q, at, d)
	if err != nil {
		return nil, err
	}
	if !at.oldestFirst {
		slices.Reverse(fit)
	}
	for _, ordinal := range fit {
		call, err := s.call(d.number, ordinal)
		if err != nil {
			return nil, err
		}
		if q.Matches(&call) {
			steps = append(steps, found{call: call})
			if at.pass(call.Position); len(steps) >= n {
				return steps, nil
			}
		}
	}
	at.leave(d.number)
	return steps, nil
}
