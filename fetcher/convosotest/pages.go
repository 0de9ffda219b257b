// Selects the rows of a page of the call log.

package convosotest

import (
	"slices"
	"sort"
)

// windowState counts the requests for one window.
type windowState struct {
	requests int
	swaps    int
}

// page is a part of the matching rows.
type page struct {
	rows  []int32
	total int // total_found as sent
}

// pageOf returns the rows of a query's page, after applying the configured changes during paging.
// The caller must hold the lock.
func (s *Server) pageOf(q query) page {
	state := s.windows[q.window]
	if state == nil {
		state = new(windowState)
		s.windows[q.window] = state
	}
	state.requests++
	if q.offset > 0 {
		s.disturb(q)
	}
	matches := s.matches(q)
	total := len(matches)
	from := min(q.offset, total)
	to := min(from+s.rowsOnPage(q), total)
	shuffled := within(s.tieShuffle, state.requests)
	rows := s.cut(matches, q.descending, from, to, shuffled)
	if q.offset > 0 && len(rows) > 0 && from > 0 {
		state.swaps++
		if within(s.listing.BoundarySwaps, state.swaps) {
			rows[0] = at(matches, q.descending, from-1)
		}
	}
	total += s.listing.TotalError
	if within(s.listing.TotalChanges, state.requests) {
		total += state.requests
	}
	return page{rows: rows, total: max(0, total)}
}

// within reports whether request number n is among the first times; negative times means all.
func within(times, n int) bool { return times < 0 || n <= times }

// matches returns the calls of a query in ascending order: a part of the order itself without a
// filter.
func (s *Server) matches(q query) []int32 {
	from, to := s.span(q)
	all := s.order[from:to]
	if len(q.filters) == 0 {
		return all
	}
	var kept []int32
	for _, i := range all {
		if !slices.ContainsFunc(q.filters, func(f filter) bool { return !f.keeps(i) }) {
			kept = append(kept, i)
		}
	}
	return kept
}

// span returns the part of the order within the window.
func (s *Server) span(q query) (from, to int) {
	from = sort.Search(len(s.order), func(k int) bool { return s.calls[s.order[k]].key >= q.from })
	to = sort.Search(len(s.order), func(k int) bool { return s.calls[s.order[k]].key > q.to })
	return from, max(from, to)
}

// rowsOnPage returns the maximum number of rows on the page.
func (s *Server) rowsOnPage(q query) int {
	if !s.config.Oddities.ShortPages || q.limit < 2 {
		return q.limit
	}
	missing := below(mix(s.config.Seed, domainPage, uint64(q.offset)), max(1, q.limit/8))
	return q.limit - missing
}

// at returns the row at a position of the listing, which runs backwards when descending.
func at(matches []int32, descending bool, place int) int32 {
	if descending {
		return matches[len(matches)-1-place]
	}
	return matches[place]
}

// cut copies the rows between two positions. If ties are shuffled, rows within one second have a
// random order for this request.
func (s *Server) cut(matches []int32, descending bool, from, to int, shuffled bool) []int32 {
	key := func(place int) int64 { return s.calls[at(matches, descending, place)].key }
	first, last := from, to
	if shuffled && to > from {
		for first > 0 && key(first-1) == key(from) {
			first--
		}
		for last < len(matches) && key(last) == key(to-1) {
			last++
		}
	}
	rows := make([]int32, 0, last-first)
	for place := first; place < last; place++ {
		rows = append(rows, at(matches, descending, place))
	}
	if shuffled {
		s.shuffleTies(rows)
	}
	return rows[from-first : to-first]
}

func (s *Server) shuffleTies(rows []int32) {
	request := uint64(s.apiRequests)
	for len(rows) > 0 {
		same := 1
		for same < len(rows) && s.calls[rows[same]].key == s.calls[rows[0]].key {
			same++
		}
		slices.SortFunc(rows[:same], func(a, b int32) int {
			ra, rb := mix(s.config.Seed, domainTies, request, uint64(a)), mix(s.config.Seed, domainTies, request, uint64(b))
			if ra < rb {
				return -1
			}
			return 1
		})
		rows = rows[same:]
	}
}

// disturb reveals held back calls and moves moving calls within the window.
func (s *Server) disturb(q query) {
	if s.listing.HeldBack == 0 && s.listing.Moved == 0 {
		return
	}
	for i := range s.calls {
		c := &s.calls[i]
		if c.key < q.from || c.key > q.to {
			continue
		}
		if c.has(callHidden) {
			s.reveal(int32(i))
		}
		if c.has(callMoving) && !c.has(callUnlisted) {
			s.move(int32(i))
		}
	}
}

func (s *Server) reveal(i int32) {
	s.calls[i].flags &^= callHidden
	s.place(i)
}

// move moves a call to the same wall-clock time of the next day.
func (s *Server) move(i int32) {
	s.displace(i)
	c := &s.calls[i]
	c.flags = c.flags&^callMoving | callMoved
	c.at += daySeconds
	c.key = s.keyOf(c.at)
	s.place(i)
}
