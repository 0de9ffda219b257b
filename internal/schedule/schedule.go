// Package schedule says what a timetable of the week allows at a moment: a rate of requests, a bandwidth, or
// nothing at all.
package schedule

import (
	"slices"
	"time"
)

// Limits are what is allowed at a moment. The zero value limits nothing.
type Limits struct {
	Rate  float64 // request starts per second, 0 for no limit
	Bytes int64   // bytes per second, 0 for no limit
	Off   bool    // nothing may start
}

const (
	minutesOfDay  = 24 * 60
	minutesOfWeek = 7 * minutesOfDay
)

// Schedule is a timetable of the week, in a time zone. Its zero value, and nil, limit nothing. It may be used
// concurrently.
type Schedule struct {
	zone    *time.Location
	entries []Limits
	week    [minutesOfWeek]uint8 // for each minute from Sunday 00:00 on: 1 + the entry that applies, 0 for none
}

// At returns what is allowed at a moment, by the wall clock of the zone. So a skipped hour never occurs, and a
// repeated one counts twice.
func (s *Schedule) At(t time.Time) Limits {
	if s == nil || len(s.entries) == 0 {
		return Limits{}
	}
	wall := t.In(s.zone)
	entry := s.week[int(wall.Weekday())*minutesOfDay+wall.Hour()*60+wall.Minute()]
	if entry == 0 {
		return Limits{}
	}
	return s.entries[entry-1]
}

// Change returns the next moment after t at which the limits change, the zero time for never.
func (s *Schedule) Change(t time.Time) time.Time {
	// One week, another one in case daylight saving skips a change, and the repeated hour.
	const longest = 2*minutesOfWeek + 2*60
	now := s.At(t)
	next := t
	for range longest {
		if next = NextLook(next); s.At(next) != now {
			return next
		}
	}
	return time.Time{}
}

// Share returns a schedule with an equal share of each limit, for n parallel runs.
func (s *Schedule) Share(parts int) *Schedule {
	if s == nil || parts <= 1 {
		return s
	}
	one := *s
	one.entries = slices.Clone(s.entries)
	for i := range one.entries {
		e := &one.entries[i]
		e.Rate /= float64(parts)
		if e.Bytes > 0 {
			e.Bytes = max(e.Bytes/int64(parts), 1)
		}
	}
	return &one
}

// NextLook returns the next moment at which a schedule may change: the start of the next minute.
func NextLook(t time.Time) time.Time { return t.Truncate(time.Minute).Add(time.Minute) }
