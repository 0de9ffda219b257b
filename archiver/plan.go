package archiver

import (
	"slices"
	"time"

	"convoso-archiver/fetcher"
)

// endBefore is how long before now the current day is listed to: younger calls
// have no recording yet, and the newest rows change while they are paged.
const endBefore = 5 * time.Minute

// plannedDay is one call day to work.
type plannedDay struct {
	date fetcher.Date
	span fetcher.Window // what to ask for
	// whole says that all of the day was asked for, so that it may be closed. It is
	// true of today as well, which is only not over.
	whole bool
}

// plan cuts the span into days and puts them in order. Earlier days that are known
// to be open come with them, whole.
func (c *Config) plan(now time.Time, open []fetcher.Date) []plannedDay {
	latest := fetcher.Wall(now.Add(-endBefore), c.Zone)
	to := c.Span.To
	if to.After(latest) {
		to = latest
	}
	var days []plannedDay
	for _, date := range open {
		if date < fetcher.DateOf(c.Span.From) {
			days = append(days, plannedDay{date: date, span: date.Window(), whole: true})
		}
	}
	if !to.Before(c.Span.From) {
		for date := fetcher.DateOf(c.Span.From); date <= fetcher.DateOf(to); date = date.AddDays(1) {
			days = append(days, c.planDay(date, latest))
		}
	}
	slices.SortFunc(days, func(a, b plannedDay) int { return c.compare(now, a.date, b.date) })
	return days
}

// planDay asks for all of a day but what the span or the present cut off.
func (c *Config) planDay(date fetcher.Date, latest time.Time) plannedDay {
	day := plannedDay{date: date, span: date.Window(), whole: true}
	first, last := day.span.From.Add(time.Second), day.span.To.Add(-time.Second)
	if c.Span.From.After(first) {
		day.span.From, day.whole = c.Span.From, false
	}
	if c.Span.To.Before(last) {
		day.span.To, day.whole = c.Span.To, false
	}
	if day.span.To.After(latest) {
		day.span.To = latest
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
