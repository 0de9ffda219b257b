package archiver

import (
	"slices"
	"time"

	"convoso-archiver/fetcher"
)

// plannedDay is one call day to work.
type plannedDay struct {
	date fetcher.Date
	span fetcher.Window // what to ask for, also where it lies in the future
	// whole says that all of the day was asked for, so that it may be closed.
	whole bool
}

// plan cuts the span into days and puts them in order. Earlier days that are known
// to be open come with them, whole.
func (c *Config) plan(now time.Time, open []fetcher.Date) []plannedDay {
	to := c.Span.To
	if present := fetcher.Wall(now, c.Zone); to.After(present) {
		to = present
	}
	var days []plannedDay
	for _, date := range open {
		if date < fetcher.DateOf(c.Span.From) {
			days = append(days, plannedDay{date: date, span: date.Window(), whole: true})
		}
	}
	if !to.Before(c.Span.From) {
		for date := fetcher.DateOf(c.Span.From); date <= fetcher.DateOf(to); date = date.AddDays(1) {
			days = append(days, c.planDay(date))
		}
	}
	slices.SortFunc(days, func(a, b plannedDay) int { return c.compare(now, a.date, b.date) })
	return days
}

// planDay asks for all of a day but what the span leaves out.
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

// compare says which of two days comes first.
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
