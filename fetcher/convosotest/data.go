// Generates the calls of the simulated account.

package convosotest

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"time"
)

// call is one call. Other values are derived from its number and the seed.
type call struct {
	at       int64 // instant of call_date, Unix seconds
	key      int64 // sort key in listings: at, or the wall-clock time, depending on Compare
	first    int32 // its first recording
	count    uint8 // number of its recordings
	flags    callFlags
	borrowed int32 // a recording of another call also listed under this one, or -1
}

type callFlags uint8

const (
	callLive        callFlags = 1 << iota // in progress for ever
	callHidden                            // held back: not in the order yet
	callMoving                            // moves to the next day during paging
	callMoved                             // has moved
	callStray                             // listed on the day after its call_date
	callWithoutID                         // row without id
	callWithoutDate                       // row whose date cannot be read
	callUnlisted                          // taken out of listings: not in the order
)

func (c *call) has(flag callFlags) bool { return c.flags&flag != 0 }

// makeCalls generates the calls in chronological order.
func (s *Server) makeCalls() {
	first, _ := time.Parse(dateLayout, s.config.FirstDay) // validated
	s.calls = make([]call, 0, s.config.Days*s.config.CallsPerDay)
	for day := range s.config.Days {
		wall := first.AddDate(0, 0, day).Unix()
		from := instantOf(wall, s.zone, false)
		until := instantOf(first.AddDate(0, 0, day+1).Unix(), s.zone, false)
		for _, at := range s.timesOfDay(uint64(day), from, until) {
			s.calls = append(s.calls, call{at: at, borrowed: -1})
		}
	}
	s.markCalls()
	s.makeRecordings()
	s.markRowsWithout()
	s.makeOrder()
}

// timesOfDay returns the instants of a day's calls: some at its edges and around
// clock changes, the others anywhere.
func (s *Server) timesOfDay(day uint64, from, until int64) []int64 {
	n := s.config.CallsPerDay
	wanted := []int64{from, until - 1}
	if _, change := time.Unix(from, 0).In(s.zone).ZoneBounds(); change.Unix() > from && change.Unix() < until {
		at := change.Unix()
		wanted = append(wanted, at-1800, at+1800, at-1, at, at+3599)
	}
	times := slices.Clone(wanted[:min(n, len(wanted))])
	for i := len(times); i < n; i++ {
		random := mix(s.config.Seed, domainTime, day, uint64(i))
		if s.config.Oddities.SharedSeconds && i > len(wanted) && random%3 == 0 {
			times = append(times, times[i-1])
			continue
		}
		times = append(times, from+1+int64(below(random, int(until-from-2))))
	}
	slices.Sort(times)
	return times
}

// markCalls sets the sort key of each call and selects those that are held back, moving, stray or
// in progress. It skips calls at the edges of a day, which may be in the windows of two days.
func (s *Server) markCalls() {
	for i := range s.calls {
		s.calls[i].key = s.keyOf(s.calls[i].at)
	}
	for day := range s.config.Days {
		candidates := s.plainCalls(day, 0)
		choose := func(count int, mark func(*call)) {
			for range min(count, len(candidates)) {
				mark(&s.calls[candidates[0]])
				candidates = candidates[1:]
			}
		}
		choose(s.config.Listing.HeldBack, func(c *call) { c.flags |= callHidden })
		choose(s.config.Listing.Moved, func(c *call) { c.flags |= callMoving })
		choose(s.config.Listing.Stray, func(c *call) { c.flags |= callStray; c.at -= daySeconds })
		choose(s.config.Oddities.LiveCalls, func(c *call) { c.flags |= callLive })
	}
}

// markRowsWithout selects rows without an id, which have no recordings, and rows without a date.
func (s *Server) markRowsWithout() {
	wanted := max(1, s.config.CallsPerDay/100)
	for day := range s.config.Days {
		ids, dates := 0, 0
		for _, i := range s.plainCalls(day, 1) {
			c := &s.calls[i]
			switch {
			case s.config.Oddities.MissingCallIDs && ids < wanted && c.count == 0:
				c.flags |= callWithoutID
				ids++
			case s.config.Oddities.UnreadableDates && dates < wanted:
				c.flags |= callWithoutDate
				dates++
			}
		}
	}
}

// plainCalls returns, in a random order, the calls of a day without a peculiarity that are not at
// its edges.
func (s *Server) plainCalls(day int, salt uint64) []int32 {
	n := s.config.CallsPerDay
	calls := permutation(mix(s.config.Seed, domainOddity, uint64(day), salt), n)
	for k := range calls {
		calls[k] += int32(day * n)
	}
	return slices.DeleteFunc(calls, s.peculiar)
}

func (s *Server) peculiar(i int32) bool {
	c := &s.calls[i]
	return c.flags != 0 || c.borrowed >= 0 || s.dayOf(c.at-2) != s.dayOf(c.at+2)
}

// makeOrder sorts the listed calls by key.
func (s *Server) makeOrder() {
	s.order = make([]int32, 0, len(s.calls))
	for i := range s.calls {
		if !s.calls[i].has(callHidden) {
			s.order = append(s.order, int32(i))
		}
	}
	slices.SortFunc(s.order, func(a, b int32) int {
		if ka, kb := s.calls[a].key, s.calls[b].key; ka != kb {
			if ka < kb {
				return -1
			}
			return 1
		}
		return int(a - b)
	})
}

// place inserts a call into the order.
func (s *Server) place(i int32) {
	key := s.calls[i].key
	at := sort.Search(len(s.order), func(k int) bool {
		other := s.calls[s.order[k]].key
		return other > key || (other == key && s.order[k] > i)
	})
	s.order = slices.Insert(s.order, at, i)
}

// displace removes a call from the order.
func (s *Server) displace(i int32) {
	if at := slices.Index(s.order, i); at >= 0 {
		s.order = slices.Delete(s.order, at, at+1)
	}
}

func (s *Server) keyOf(instant int64) int64 {
	if s.config.Listing.Compare == CompareInstants {
		return instant
	}
	return wallOf(instant, s.zone)
}

func (s *Server) dayOf(instant int64) string { return formatDay(wallOf(instant, s.zone)) }

// sizeOf returns the size of recording number j in bytes, before rounding to frames. The spread
// makes the 95th percentile six times the median, as measured.
func (s *Server) sizeOf(j int) int64 {
	if j < len(s.config.BigRecordings) {
		return s.config.BigRecordings[j]
	}
	const spread = 1.09
	z := normal(mix(s.config.Seed, domainSize, uint64(j)), mix(s.config.Seed, domainSize, uint64(j), 1))
	size := int64(float64(s.config.MedianSize) * math.Exp(spread*z))
	return min(max(size, s.config.MinSize), s.config.MaxSize)
}

// callID returns the id of a call's row; ids increase with time.
func (s *Server) callID(i int32) string {
	return fmt.Sprint(3_000_000_000 + int64(s.config.Seed%60)*100_000_000 + int64(i)*3)
}
