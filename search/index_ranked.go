// Finds the first calls in an order other than time.

package search

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
)

// place is the position of a call in the index, with its length.
type place struct {
	length  int
	day     int64
	ordinal uint32
}

// places is a heap whose top is the next place to drop.
type places struct {
	list    []place
	longest bool // first
}

// before is like Query.before: with the same length, the newest come first.
func (p *places) before(a, b place) bool {
	c := cmp.Compare(a.length, b.length)
	if p.longest {
		c = -c
	}
	return cmp.Or(c, cmp.Compare(b.day, a.day), cmp.Compare(b.ordinal, a.ordinal)) < 0
}

// Len implements heap.Interface.
func (p *places) Len() int { return len(p.list) }

// Less implements heap.Interface: the last one in order is on top.
func (p *places) Less(i, j int) bool { return p.before(p.list[j], p.list[i]) }

// Swap implements heap.Interface.
func (p *places) Swap(i, j int) { p.list[i], p.list[j] = p.list[j], p.list[i] }

// Push implements heap.Interface.
func (p *places) Push(x any) { p.list = append(p.list, x.(place)) }

// Pop implements heap.Interface.
func (p *places) Pop() any {
	last := p.list[len(p.list)-1]
	p.list = p.list[:len(p.list)-1]
	return last
}

// keep adds a place if it is among the first ones.
func (p *places) keep(one place, room int) {
	switch {
	case len(p.list) < room:
		heap.Push(p, one)
	case p.before(one, p.list[0]):
		p.list[0] = one
		heap.Fix(p, 0)
	}
}

// ranked returns the first calls by length, and the problems of days. It reads only those calls, because lengths are
// stored separately in the index. It returns false if calls must be checked one by one, or days are not in the index.
func (ix *Index) ranked(ctx context.Context, a *Archive, q Query) (steps []found, ok bool, err error) {
	p, at := q.plan(), q.cursor()
	if !p.exact {
		return nil, false, nil
	}
	s, err := ix.look(ctx, a.zone)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	best := &places{longest: q.Sort == LongestFirst}
	for !p.none && !at.isAtEnd() {
		if ctx.Err() != nil {
			return nil, false, context.Cause(ctx)
		}
		days, err := s.chosen(&at, p, maxDaysAtOnce)
		if err != nil {
			return nil, false, err
		}
		if len(days) == 0 {
			at.done = true
		}
		for i := range days {
			if !days[i].held {
				return nil, false, nil
			}
			if err := s.rank(q, &at, &days[i], best); err != nil {
				return nil, false, err
			}
			if trouble := days[i].trouble(); trouble != nil {
				steps = append(steps, found{problem: trouble})
			}
			at.leave(days[i].number)
		}
	}
	first := len(steps)
	steps = append(steps, make([]found, len(best.list))...)
	for i := len(steps) - 1; i >= first; i-- {
		one := heap.Pop(best).(place)
		if steps[i].call, err = s.call(one.day, one.ordinal); err != nil {
			return nil, false, err
		}
	}
	return steps, true, nil
}

// rank adds the calls of a day.
func (s *snapshot) rank(q Query, at *cursor, d *indexedDay, best *places) error {
	fit, err := s.within(q, at, d)
	if err != nil || len(fit) == 0 {
		return err
	}
	lengths, err := s.lengths(d.number)
	if err != nil {
		return err
	}
	for _, ordinal := range fit {
		length, err := lengths.at(ordinal)
		if err != nil {
			return err
		}
		best.keep(place{length, d.number, ordinal}, q.Limit)
	}
	return nil
}
