// Counts matching calls by the index.

package search

import (
	"context"
	"errors"
)

// Count counts the matching calls, ignoring Limit, Sample and After. With a limit above 0 it stops there: n is then at
// most limit, and more says whether there are more. If days could not be read, n counts the others, and the error is a
// [*DayError] of one of them.
func (a *Archive) Count(ctx context.Context, q Query, limit int) (n int, more bool, err error) {
	q.Limit, q.Sample, q.Seed, q.After, q.Sort = 0, 0, 0, 0, NewestFirst
	c := counter{limit: limit}
	p, at := q.plan(), q.cursor()
	switch {
	case p.none:
	case !p.exact || !a.isIndexed(ctx):
		for call, err := range a.walk(ctx, q) {
			if !c.take(call, err) {
				break
			}
		}
	default:
		a.countIndexed(ctx, q, p, &at, &c)
	}
	if limit > 0 && c.n > limit {
		return limit, true, c.problem
	}
	return c.n, false, c.problem
}

// counter counts up to a limit.
type counter struct {
	n, limit int
	problem  error
}

// take counts a call, or stores the first error. It returns false to end the count.
func (c *counter) take(_ Call, err error) bool {
	if err == nil {
		c.n++
	}
	c.keep(err)
	return c.limit <= 0 || c.n <= c.limit
}

// keep stores the first error of a day, or any other error.
func (c *counter) keep(err error) {
	var ofDay *DayError
	if err != nil && (c.problem == nil || !errors.As(err, &ofDay)) {
		c.problem = err
	}
}

// countIndexed counts calls using only the postings.
func (a *Archive) countIndexed(ctx context.Context, q Query, p plan, at *cursor, c *counter) {
	for !at.isAtEnd() && (c.limit <= 0 || c.n <= c.limit) {
		unheld, err := a.index.count(ctx, a, q, p, at, c)
		switch {
		case ctx.Err() != nil:
			c.keep(context.Cause(ctx))
			return
		case err != nil:
			a.index.doubt(err)
			a.scanFrom(ctx, q, *at, c.take)
			return
		case unheld != "":
			a.scanDay(ctx, q, unheld, c.take)
		}
	}
}

// count counts up to the end or to a day that is not in the index, which it returns.
func (ix *Index) count(ctx context.Context, a *Archive, q Query, p plan, at *cursor, c *counter) (unheld string, err error) {
	s, err := ix.look(ctx, a.zone)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	for !at.isAtEnd() && ctx.Err() == nil {
		days, err := s.chosen(at, p, maxDaysAtOnce)
		if err != nil {
			return "", err
		}
		if len(days) == 0 {
			at.done = true
		}
		for i := range days {
			d := &days[i]
			if !d.held {
				at.leave(d.number)
				return dayName(d.number), nil
			}
			fit, err := s.within(q, at, d)
			if err != nil {
				return "", err
			}
			c.keep(d.trouble())
			if c.n += len(fit); c.limit > 0 && c.n > c.limit {
				return "", nil
			}
			at.leave(d.number)
		}
	}
	return "", nil
}
