// Finds the first call of an account for a dry run.

package archiver

import (
	"cmp"
	"slices"
	"sort"

	"convoso-archiver/fetcher"
)

// minBeginning is the minimum number of days for which a dry run looks for the first call: up to this
// number, listing each day takes a few seconds.
const minBeginning = 30

// withoutBeginning drops the days before the first call of a dry run, and counts them as days without calls.
// It requests totals of spans of a year, and then halves the first one with calls, so that fifteen years take
// some thirty requests, not five thousand. Only the days before the oldest one in the manifest are concerned.
// A run lists each day, because no day closes by a total without a listing.
func (r *run) withoutBeginning(days []plannedDay) []plannedDay {
	ascending := slices.SortedFunc(slices.Values(days), func(a, b plannedDay) int { return cmp.Compare(a.date, b.date) })
	if len(r.known) > 0 {
		ascending = slices.DeleteFunc(ascending, func(p plannedDay) bool { return p.date >= r.known[0] })
	}
	if len(ascending) < minBeginning {
		return days
	}
	first := firstOf(ascending, r.hasCalls)
	if first == len(ascending) {
		return days // an API that shows no call at all proves nothing
	}
	for _, p := range ascending[:first] {
		r.sum.countBefore(p.date)
	}
	return slices.DeleteFunc(days, func(p plannedDay) bool { return p.date < ascending[first].date })
}

// firstOf returns the index of the first day with calls, or len(days) if there is none. hasCalls reports whether there
// are calls from the start of one day to the end of another, which are at most maxLookBack days.
func firstOf(days []plannedDay, hasCalls func(from, to plannedDay) bool) int {
	for start := 0; start < len(days); {
		next := start + sort.Search(len(days)-start, func(i int) bool { return days[start+i].date >= days[start].date.AddDays(maxLookBack) })
		if hasCalls(days[start], days[next-1]) { // if the days before the last have none, the last has
			return start + sort.Search(next-1-start, func(i int) bool { return hasCalls(days[start], days[start+i]) })
		}
		start = next
	}
	return len(days)
}

// hasCalls asks the API whether it knows a call of the days from one to another. Without an answer it reports true.
func (r *run) hasCalls(from, to plannedDay) bool {
	if r.soft.Err() != nil {
		return true
	}
	span := fetcher.Window{From: from.span.From, To: to.span.To}
	page, err := r.source.Look(r.soft, span, r.config.Filter, 0)
	if err != nil {
		r.log.Warn("cannot ask the API for the first call", "span", span.String(), "err", err)
		return true
	}
	return page.Total != 0 || len(page.Calls) > 0
}
