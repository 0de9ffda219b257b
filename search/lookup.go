// Finds one call or recording by its id.

package search

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// ErrNotFound means that the archive has no call or recording with this id.
var ErrNotFound = errors.New("the archive has no call or recording with this id")

// FindCall returns the call with an id, the newest one if several days have it. The error wraps ErrNotFound if
// there is none, joined with the error of an unreadable day. Without an index it reads every day.
func (a *Archive) FindCall(ctx context.Context, id string) (Call, error) {
	return a.find(ctx, Query{IDs: []string{id}}, func(c *Call) bool { return c.ID == id })
}

// FindRecording returns a recording and its call, like FindCall.
func (a *Archive) FindRecording(ctx context.Context, id string) (Call, Recording, error) {
	var found Recording
	c, err := a.find(ctx, Query{Listed: []string{id}}, func(c *Call) bool {
		i := slices.IndexFunc(c.Recordings, func(r Recording) bool { return r.ID == id })
		if i >= 0 {
			found = c.Recordings[i]
		}
		return i >= 0
	})
	return c, found, err
}

func (a *Archive) find(ctx context.Context, q Query, is func(*Call) bool) (Call, error) {
	var broken error
	for c, err := range a.Search(ctx, q) {
		var ofDay *DayError
		switch {
		case errors.As(err, &ofDay):
			broken = err
		case err != nil:
			return Call{}, err
		case is(&c):
			return c, nil
		}
	}
	return Call{}, errors.Join(ErrNotFound, broken)
}

// Names are the agents, campaigns and statuses that an archive has, each kind by name, then id.
type Names struct {
	Agents, Campaigns, Statuses []Name
}

// Name is an id with its name. An id may have had several names.
type Name struct {
	ID, Name string
	Calls    int // with both
}

// Names returns the names in calls. Without an index it reads every day, with one only the days missing in it. If
// days cannot be read, it returns the names with a [*DayError] of one of them.
func (a *Archive) Names(ctx context.Context) (Names, error) {
	counts, days, err := a.heldNames(ctx)
	if err != nil {
		return Names{}, err
	}
	broken, err := a.eachDay(ctx, days, func(_ string, calls []Call) {
		for i := range calls {
			for _, n := range calls[i].names() {
				counts[n]++
			}
		}
	})
	if err != nil {
		return Names{}, err
	}
	var all Names
	for n, calls := range counts {
		list := map[nameKind]*[]Name{nameAgent: &all.Agents, nameCampaign: &all.Campaigns, nameStatus: &all.Statuses}[n.kind]
		if list != nil {
			*list = append(*list, Name{n.id, n.name, calls})
		}
	}
	for _, list := range [][]Name{all.Agents, all.Campaigns, all.Statuses} {
		slices.SortFunc(list, func(a, b Name) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	}
	return all, broken
}

// heldNames returns the names in the index, and the days missing in it.
func (a *Archive) heldNames(ctx context.Context) (counts map[nameOf]int, days []string, err error) {
	if a.isIndexed(ctx) {
		counts, days, err = a.index.names(ctx)
		if err == nil || ctx.Err() != nil {
			return counts, days, err
		}
		a.index.doubt(err)
	}
	days, err = a.Days(ctx, Query{})
	return map[nameOf]int{}, days, err
}

// Total holds the totals of a day.
type Total struct {
	Day        string // 2006-01-02
	Calls      int    // with a row
	Recordings int
	Bytes      int64 // of stored recordings
}

// Totals returns the totals of each day, ascending; it uses an index like Names.
func (a *Archive) Totals(ctx context.Context) ([]Total, error) {
	totals, days, err := a.heldTotals(ctx)
	if err != nil {
		return nil, err
	}
	broken, err := a.eachDay(ctx, days, func(day string, calls []Call) {
		var b built
		for i := range calls {
			b.add(&calls[i])
		}
		totals = append(totals, Total{day, b.calls, b.recordings, b.bytes})
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(totals, func(a, b Total) int { return cmp.Compare(a.Day, b.Day) })
	return totals, broken
}

func (a *Archive) heldTotals(ctx context.Context) (totals []Total, days []string, err error) {
	if a.isIndexed(ctx) {
		totals, days, err = a.index.totals(ctx)
		if err == nil || ctx.Err() != nil {
			return totals, days, err
		}
		a.index.doubt(err)
	}
	days, err = a.Days(ctx, Query{})
	return nil, days, err
}

// eachDay reads days one after another. Broken is the error of a day that could not be read completely.
func (a *Archive) eachDay(ctx context.Context, days []string, do func(day string, calls []Call)) (broken, err error) {
	for _, day := range days {
		calls, err := a.day(ctx, day, false)
		var ofDay *DayError
		if err != nil && !errors.As(err, &ofDay) {
			return nil, err
		}
		if err != nil {
			broken = err
		}
		do(day, calls)
	}
	return broken, nil
}
