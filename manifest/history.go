// Summarises the refusals of a recording.

package manifest

import (
	"cmp"
	"slices"
	"time"
)

// History summarises the lines of a recording that noted a refusal. It is independent of the deciding line.
type History struct {
	// Since is the start of the time to give up: the latest of FirstSeen, the last damaged line and the last
	// line with Again. The other fields ignore older lines.
	Since           time.Time
	NotFoundSince   time.Time // time of the first line with CauseNotFound, zero for none
	NotFoundListing string    // listing of that line's link
	LastNotFound    time.Time // of the last such line
	NotFounds       int       // distinct listings of such lines
	Refusals        int       // UTC dates on which a run noted its first waiting outcome
}

// mark is a line in History.
type mark struct {
	time         int64
	run, listing string
	waits        bool // it has a waiting outcome
	notFound     bool
	again        bool // counting restarts here
}

// mark extracts the fields of a line for history.
func (f *fold) mark(e *entry, v *view) {
	outcome := Outcome(v.outcome)
	m := mark{
		time: v.time, run: f.strings.of(v.run), listing: f.strings.of(v.listing),
		waits: waiting(outcome), again: v.again || outcome == Damaged,
		notFound: string(v.cause) == CauseNotFound && !outcome.Final(),
	}
	if !m.waits && !m.again && !m.notFound {
		return
	}
	if e.more == nil {
		e.more = &more{}
	}
	e.more.marks = append(e.more.marks, m)
}

// history combines the marks of a recording, in any order.
func history(marks []mark, first int64) History {
	marks = slices.SortedStableFunc(slices.Values(marks), func(a, b mark) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.run, b.run))
	})
	since := first
	for _, m := range marks {
		if m.again {
			since = max(since, m.time)
		}
	}
	h := History{Since: unixTime(since)}
	runs, dates, listings := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, m := range marks {
		if m.time < since {
			continue
		}
		if m.waits && !runs[m.run] {
			runs[m.run] = true
			dates[unixTime(m.time).Format(time.DateOnly)] = true
		}
		if m.notFound {
			if len(listings) == 0 {
				h.NotFoundSince, h.NotFoundListing = unixTime(m.time), m.listing
			}
			listings[m.listing], h.LastNotFound = true, unixTime(m.time)
		}
	}
	h.NotFounds, h.Refusals = len(listings), len(dates)
	return h
}
