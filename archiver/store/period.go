// Parses and adds periods of years, like 7y.

package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Period is a length of time in years plus a duration, for retention over years: a year has no fixed number of days.
type Period struct {
	Years int
	Rest  time.Duration
}

// The bounds of a period.
const (
	MinPeriod = time.Minute
	MaxYears  = 100
)

// Limits of the number before a unit, to prevent overflows.
const maxUnits = 100_000

// ParsePeriod parses a period: 10y, 1y6w, 30d, 36h, 90s. A single m is refused, because it may mean minutes or
// months.
func ParsePeriod(text string) (Period, error) {
	var p Period
	if text == "" {
		return p, errPeriod
	}
	for rest := text; rest != ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 || digits == len(rest) {
			return Period{}, errPeriod
		}
		n, err := strconv.Atoi(rest[:digits])
		if err != nil || n > maxUnits {
			return Period{}, errors.New("it is longer than 100 years")
		}
		const day = 24 * time.Hour
		switch rest[digits] {
		case 'y':
			p.Years += n
		case 'w':
			p.Rest += time.Duration(min(n, 6_000)) * 7 * day
		case 'd':
			p.Rest += time.Duration(min(n, 40_000)) * day
		case 'h':
			p.Rest += time.Duration(n) * time.Hour
		case 's':
			p.Rest += time.Duration(n) * time.Second
		default:
			return Period{}, errPeriod
		}
		rest = rest[digits+1:]
		if p.Years > MaxYears || p.Rest > MaxYears*366*day {
			return Period{}, errors.New("it is longer than 100 years")
		}
	}
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	if p.After(start).After(start.AddDate(MaxYears, 0, 0)) {
		return Period{}, errors.New("it is longer than 100 years")
	}
	return p, nil
}

var errPeriod = errors.New("it is not a number of years (y), weeks (w), days (d), hours (h) or seconds (s), like 10y or 30d")

// After returns the end of a period that starts at a time. A year from February 29 ends on March 1.
func (p Period) After(start time.Time) time.Time { return start.AddDate(p.Years, 0, 0).Add(p.Rest) }

// IsZero reports whether the period has no length.
func (p Period) IsZero() bool { return p == Period{} }

// String returns a period in the format of ParsePeriod.
func (p Period) String() string {
	var b strings.Builder
	if p.Years > 0 {
		fmt.Fprintf(&b, "%dy", p.Years)
	}
	rest := p.Rest
	for _, unit := range []struct {
		letter string
		length time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"s", time.Second}} {
		if n := rest / unit.length; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, unit.letter)
			rest -= n * unit.length
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

// MarshalText implements encoding.TextMarshaler.
func (p Period) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Period) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePeriod(string(text))
	return err
}
