// Searches an archive by the index.

package search

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"
)

// WithIndex returns the same archive, searched by an index. Its answers are as of the last update of the index, which
// is up to the caller. Days that are not in the index, because they were unreadable or not updated yet, are read from
// the archive. If the index is damaged or cannot be read, all remaining days are read from the archive.
func (a *Archive) WithIndex(ix *Index) *Archive {
	indexed := *a
	indexed.index = ix
	return &indexed
}

// WithIndexWhile is like WithIndex while usable returns true; otherwise days are read. usable is called for
// each search.
func (a *Archive) WithIndexWhile(ix *Index, usable func() bool) *Archive {
	indexed := a.WithIndex(ix)
	indexed.usable = usable
	return indexed
}

// isIndexed reports whether there is an index with the days of the archive. A new index has none before its first
// update, and unknown days would not be read.
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

// found is a step of an answer: a call, the problem of a day, or a day that is not in the index.
type found struct {
	call    Call
	problem error // a *DayError
	unheld  string
	after   Position // of unheld: position where the answer continues; 0 for the whole day
}

// cursor is the progress of an answer: the positions from first to last remain.
type cursor struct {
	first, last Position
	oldestFirst bool
	entered     int64 // the current day; its error was reported
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

// pass skips the positions up to p, in the order of the answer.
func (c *cursor) pass(p Position) {
	if c.oldestFirst {
		c.first = p + 1
	} else {
		c.last = p - 1
	}
}

// leave skips a day.
func (c *cursor) leave(day int64) {
	if c.oldestFirst {
		c.first = firstOf(day + 1)
	} else {
		c.last = firstOf(day) - 1
	}
}

func (c *cursor) isAtEnd() bool { return c.done || c.first > c.last }

// firstOf returns the first position of a day.
func firstOf(day int64) Position { return Position(day * secondsOfDay * maxPerSecond) }

// dayOf returns the day of a position.
func dayOf(p Position) int64 { return int64(p) / maxPerSecond / secondsOfDay }

// indexed yields the calls that match, newest or oldest first, and the errors of days. Other errors are the last.
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

// ranked yields the first calls by length, if the index alone can determine them; otherwise it returns false.
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

// scanFrom answers the rest of a query without the index.
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

// fetch returns the next steps of an answer: at least n calls, unless the answer ends. A day that is not in the
// index is the last step.
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

// answer adds the steps of a day, and stops after n.
func (s *snapshot) answer(q Query, at *cursor, d *indexedDay, steps []found, n int) ([]found, error) {
	if !d.held {
		left := found{unheld: dayName(d.number)}
		switch { // the day was in the index when the answer began it
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
