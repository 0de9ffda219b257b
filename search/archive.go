// Searches an archive without an index, day by day.

package search

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"hash/fnv"
	"iter"
	"slices"
	"time"

	"convoso-archiver/manifest"
)

// Archive is a searchable archive. It is safe for concurrent use.
type Archive struct {
	ledger *manifest.Ledger
	zone   *time.Location
	index  *Index      // nil to read days
	usable func() bool // nil: always
}

// New returns the archive of a ledger, whose account is in a zone.
func New(ledger *manifest.Ledger, zone *time.Location) *Archive {
	return &Archive{ledger: ledger, zone: zone}
}

// Zone returns the account's zone.
func (a *Archive) Zone() *time.Location { return a.zone }

// Days returns the days known to the archive within the query's span, ascending.
func (a *Archive) Days(ctx context.Context, q Query) ([]string, error) {
	var days []string
	for day, err := range a.ledger.Days(ctx) {
		if err != nil {
			return nil, err
		}
		if q.days(day) {
			days = append(days, day)
		}
	}
	return days, nil
}

// Search yields the matching calls, in the order of the query. An error that is a [*DayError] concerns one day: the
// calls of the other days follow. Every other error is the last.
func (a *Archive) Search(ctx context.Context, q Query) iter.Seq2[Call, error] {
	return func(yield func(Call, error) bool) {
		byLength := q.Sort == LongestFirst || q.Sort == ShortestFirst
		if byLength && q.Limit > 0 && q.Sample == 0 && a.isIndexed(ctx) && a.ranked(ctx, q, yield) {
			return
		}
		if q.Sample > 0 || byLength {
			a.collect(ctx, q, yield)
			return
		}
		left := q.Limit
		for c, err := range a.walk(ctx, q) {
			if !yield(c, err) {
				return
			}
			if err != nil {
				continue
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// walk yields the calls that match, newest or oldest first, ignoring limit and sample.
func (a *Archive) walk(ctx context.Context, q Query) iter.Seq2[Call, error] {
	if a.isIndexed(ctx) {
		return a.indexed(ctx, q)
	}
	return a.scan(ctx, q)
}

// scan reads the days one after another.
func (a *Archive) scan(ctx context.Context, q Query) iter.Seq2[Call, error] {
	return func(yield func(Call, error) bool) {
		q.listed = setOf(q.Listed)
		days, err := a.Days(ctx, q)
		if err != nil {
			yield(Call{}, err)
			return
		}
		if q.Sort != OldestFirst {
			slices.Reverse(days)
		}
		for _, day := range days {
			if !a.scanDay(ctx, q, day, yield) {
				return
			}
		}
	}
}

// scanDay yields the matching calls of a day, and its errors. It returns false to end the answer.
func (a *Archive) scanDay(ctx context.Context, q Query, day string, yield func(Call, error) bool) bool {
	calls, err := a.Day(ctx, day)
	if err != nil && !yield(Call{}, err) {
		return false
	}
	var broken *DayError
	if err != nil && !errors.As(err, &broken) {
		return false
	}
	if q.Sort != OldestFirst {
		slices.Reverse(calls)
	}
	for i := range calls {
		if q.Watch != nil {
			q.Watch(&calls[i])
		}
		if q.isBehind(calls[i].Position) && q.Matches(&calls[i]) && !yield(calls[i], nil) {
			return false
		}
	}
	return true
}

// isBehind reports whether a position comes after the start of the page.
func (q Query) isBehind(p Position) bool {
	switch {
	case q.After == 0:
		return true
	case q.Sort == OldestFirst:
		return p > q.After
	}
	return p < q.After
}

// collect answers a query whose order or sample needs all calls. With a limit or a sample, it keeps at most that
// many.
func (a *Archive) collect(ctx context.Context, q Query, yield func(Call, error) bool) {
	kept := &ranked{less: q.before}
	room := q.Limit
	if q.Sample > 0 {
		kept.less = func(a, b *Call) bool { return q.drawn(a) < q.drawn(b) }
		room = q.Sample
	}
	for c, err := range a.walk(ctx, q) {
		if err != nil {
			if !yield(Call{}, err) {
				return
			}
			continue
		}
		if heap.Push(kept, c); room > 0 && kept.Len() > room {
			heap.Pop(kept)
		}
	}
	slices.SortFunc(kept.calls, func(a, b Call) int {
		if q.before(&a, &b) {
			return -1
		}
		return 1
	})
	if q.Limit > 0 {
		kept.calls = kept.calls[:min(q.Limit, len(kept.calls))]
	}
	for _, c := range kept.calls {
		if !yield(c, nil) {
			return
		}
	}
}

// before reports whether a call is before another one in the order of the answer.
func (q Query) before(a, b *Call) bool {
	switch q.Sort {
	case OldestFirst:
		return a.Position < b.Position
	case LongestFirst:
		return cmp.Or(cmp.Compare(b.Length, a.Length), cmp.Compare(b.Position, a.Position)) < 0
	case ShortestFirst:
		return cmp.Or(cmp.Compare(a.Length, b.Length), cmp.Compare(b.Position, a.Position)) < 0
	}
	return a.Position > b.Position
}

// drawn returns the random number of a call: the calls with the lowest numbers are the sample. It depends only on
// the seed and on the day and id of the call.
func (q Query) drawn(c *Call) uint64 {
	h := fnv.New64a()
	var seed [8]byte
	for i := range seed {
		seed[i] = byte(q.Seed >> (8 * i))
	}
	_, _ = h.Write(seed[:])
	_, _ = h.Write([]byte(c.Day + "\x00" + c.ID))
	x := h.Sum64() // the last bytes hardly change its high bits: mix them
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}

// ranked is a heap whose top is the next call to drop.
type ranked struct {
	calls []Call
	less  func(a, b *Call) bool
}

// Len implements heap.Interface.
func (r *ranked) Len() int { return len(r.calls) }

// Less implements heap.Interface: the last one in order is on top.
func (r *ranked) Less(i, j int) bool { return r.less(&r.calls[j], &r.calls[i]) }

// Swap implements heap.Interface.
func (r *ranked) Swap(i, j int) { r.calls[i], r.calls[j] = r.calls[j], r.calls[i] }

// Push implements heap.Interface.
func (r *ranked) Push(c any) { r.calls = append(r.calls, c.(Call)) }

// Pop implements heap.Interface.
func (r *ranked) Pop() any {
	last := r.calls[len(r.calls)-1]
	r.calls = r.calls[:len(r.calls)-1]
	return last
}
