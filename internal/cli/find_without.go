// Explains a search whose terms match calls, but not together: counts the calls without one term each.

package cli

import (
	"context"
	"fmt"
	"time"

	"convoso-archiver/search"
)

// maxWithout is the maximum number of calls to count without a term.
const maxWithout = 100_000

// timeRange names the span among the terms.
const timeRange = "time range"

// without is a search with all terms but one.
type without struct {
	term   string
	query  search.Query
	sorted search.Sort // of a length: first the calls that come closest; "" for other terms
	calls  int
	more   bool
	best   int // length of the call that comes closest, -1 if unknown
}

// withoutEach returns a search without each given term of a query, nil for a list of ids, because each call would be
// compared with the whole list.
func withoutEach(q search.Query) (all []*without) {
	if q.Listed != nil {
		return nil
	}
	q.Watch, q.Limit, q.Sample, q.Seed, q.Sort = nil, 0, 0, 0, ""
	add := func(isGiven bool, name string, clear func(*search.Query)) *without {
		w := &without{term: name, query: q, best: -1}
		if clear(&w.query); isGiven {
			all = append(all, w)
		}
		return w
	}
	const anyLength = 1 << 30 // seconds; only calls with a known length
	add(q.MinLength > 0, "min-length", func(q *search.Query) { q.MinLength = 0 }).sorted = search.LongestFirst
	add(q.MaxLength > 0, "max-length", func(q *search.Query) { q.MaxLength = anyLength }).sorted = search.ShortestFirst
	add(!q.From.IsZero() || !q.To.IsZero(), timeRange, func(q *search.Query) { q.From, q.To = time.Time{}, time.Time{} })
	add(q.Number != "", "number", func(q *search.Query) { q.Number = "" })
	add(q.Agent != "", "agent", func(q *search.Query) { q.Agent = "" })
	add(q.Campaign != "", "campaign", func(q *search.Query) { q.Campaign = "" })
	add(q.Name != "", "name", func(q *search.Query) { q.Name = "" })
	add(q.Comment != "", "comment", func(q *search.Query) { q.Comment = "" })
	add(q.Outcomes != nil, "outcome", func(q *search.Query) { q.Outcomes = nil })
	add(q.WithRecording, "with-recording", func(q *search.Query) { q.WithRecording = false })
	for _, list := range []struct {
		name  string
		field func(*search.Query) *[]string
	}{
		{"id", func(q *search.Query) *[]string { return &q.IDs }},
		{"lead-id", func(q *search.Query) *[]string { return &q.LeadIDs }},
		{"campaign-id", func(q *search.Query) *[]string { return &q.CampaignIDs }},
		{"queue-id", func(q *search.Query) *[]string { return &q.QueueIDs }},
		{"list-id", func(q *search.Query) *[]string { return &q.ListIDs }},
		{"user-id", func(q *search.Query) *[]string { return &q.UserIDs }},
		{"status", func(q *search.Query) *[]string { return &q.Statuses }},
		{"call-type", func(q *search.Query) *[]string { return &q.CallTypes }},
		{"called-count", func(q *search.Query) *[]string { return &q.CalledCounts }},
		{"phone-number", func(q *search.Query) *[]string { return &q.PhoneNumbers }},
		{"number-dialed", func(q *search.Query) *[]string { return &q.NumbersDialed }},
		{"first-name", func(q *search.Query) *[]string { return &q.FirstNames }},
		{"last-name", func(q *search.Query) *[]string { return &q.LastNames }},
	} {
		add(len(*list.field(&q)) > 0, list.name, func(q *search.Query) { *list.field(q) = nil })
	}
	return all
}

// see counts a call that was read.
func (w *without) see(c *search.Call) {
	if !w.query.Matches(c) {
		return
	}
	w.calls++
	isCloser := w.best < 0 || w.sorted == search.LongestFirst && c.Length > w.best || w.sorted == search.ShortestFirst && c.Length < w.best
	if isCloser && c.Length >= 0 {
		w.best = c.Length
	}
}

// ask counts the calls by the index.
func (w *without) ask(ctx context.Context, archive *searched) (err error) {
	w.calls, w.more, err = archive.Count(ctx, w.query, maxWithout)
	if passing(err) != nil || w.sorted == "" || w.calls == 0 {
		return passing(err)
	}
	q := w.query
	q.Sort, q.Limit = w.sorted, 1
	for c, err := range archive.Search(ctx, q) {
		if passing(err) != nil {
			return err
		}
		if err == nil {
			w.best = c.Length
		}
	}
	return nil
}

// line renders the count for people.
func (w *without) line() string {
	calls := plural(w.calls, "call")
	if w.more {
		calls = "more than " + calls
	}
	verb := "match"
	if w.calls == 1 {
		verb = "matches"
	}
	switch {
	case w.term == timeRange:
		return fmt.Sprintf("outside the time range, %s %s", calls, verb)
	case w.sorted == search.LongestFirst && w.best >= 0:
		return fmt.Sprintf("%s %s without --%s; the longest lasts %s", calls, verb, w.term, lengthText(w.best))
	case w.sorted == search.ShortestFirst && w.best >= 0:
		return fmt.Sprintf("%s %s without --%s; the shortest lasts %s", calls, verb, w.term, lengthText(w.best))
	}
	return fmt.Sprintf("%s %s without --%s", calls, verb, w.term)
}

// tellWithout reports the terms without which calls match. A term that is the only one is reported only if it is a
// length: otherwise all calls match without it.
func (h *hints) tellWithout(ctx context.Context, tell teller, archive *searched) error {
	told := 0
	for _, w := range h.without {
		if len(h.without) == 1 && w.sorted == "" || w.term == timeRange && archive.index == nil { // only the days of the range were read
			continue
		}
		if archive.index != nil {
			if err := w.ask(ctx, archive); err != nil {
				return err
			}
		}
		if w.calls == 0 {
			continue
		}
		told++
		attrs := []any{"without", w.term, "calls", w.calls}
		if w.sorted != "" && w.best >= 0 {
			attrs = append(attrs, "closest_seconds", w.best)
		}
		tell.note(w.line(), "calls match without a term", attrs...)
	}
	if told == 0 && len(h.without) > 1 && archive.index != nil {
		tell.note("no call matches without one of these terms either: leave out two or more", "no call matches without one of the terms either")
	}
	return nil
}
