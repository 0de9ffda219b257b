package cli

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reader turns the values of settings into their types. It keeps the first error,
// so that a command reads all of its settings in a row and checks once. An error
// names where the value was set and what would do; it repeats the value only where
// that cannot say anything about a person.
type reader struct {
	settings []setting
	values   values
	err      error
}

func (r *reader) fail(origin, try, format string, args ...any) {
	r.keep(misuse(try, origin+": "+format, args...))
}

func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

// raw returns a setting's value, or its default, and where it was set.
func (r *reader) raw(name string) (value, origin string) {
	if g, ok := r.values[name]; ok {
		return g.items[0], g.origin
	}
	s, _ := named(r.settings, name)
	return s.standard, "--" + name
}

func (r *reader) isSet(name string) bool {
	_, ok := r.values[name]
	return ok
}

// text returns a value that may hold anything but nothing at all.
func (r *reader) text(name string) string {
	value, origin := r.raw(name)
	if r.isSet(name) && strings.TrimSpace(value) == "" {
		r.fail(origin, "give it a value, or leave it out", "the value is empty")
	}
	return value
}

func (r *reader) list(name string) []string {
	g, ok := r.values[name]
	if !ok {
		s, _ := named(r.settings, name)
		if s.standard == "" {
			return nil
		}
		return []string{s.standard}
	}
	if slices.Contains(g.items, "") {
		r.fail(g.origin, "give each item a value", "an item is empty")
	}
	return g.items
}

func (r *reader) toggle(name string) bool {
	value, origin := r.raw(name)
	if value == "" && !r.isSet(name) {
		return false
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		r.fail(origin, "give true or false", "%q is neither true nor false", value)
	}
	return on
}

func (r *reader) whole(name string, least, most int) int {
	value, origin := r.raw(name)
	n, err := strconv.Atoi(value)
	if err != nil {
		r.fail(origin, "give a number like "+strconv.Itoa(max(least, 8)), "%q is not a whole number", value)
		return least
	}
	if n < least || n > most {
		try := "give a number from " + strconv.Itoa(least) + " to " + strconv.Itoa(most)
		if most == math.MaxInt {
			try = "give " + strconv.Itoa(least) + " or more"
		}
		r.fail(origin, try, "%d is out of range", n)
	}
	return n
}

// rate reads request starts a second, 0 for no limit.
func (r *reader) rate(name string) float64 {
	value, origin := r.raw(name)
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		r.fail(origin, "give requests a second, like 5 or 0.5", "%q is not a number", value)
		return 0
	}
	if n < 0 || n > 10_000 {
		r.fail(origin, "give requests a second from 0 to 10000; 0 is for sources without a limit", "%s is out of range", value)
	}
	return n
}

// duration reads a duration of at least least.
func (r *reader) duration(name string, least time.Duration) time.Duration {
	value, origin := r.raw(name)
	d, err := parseDuration(value)
	if err != nil {
		r.fail(origin, "write it like 36h, 7d or 1h30m", "%q is not a duration", value)
		return least
	}
	if d < least {
		try := "give more than nothing, like 36h or 7d"
		if least == 0 {
			try = "give 0s or more"
		}
		r.fail(origin, try, "%s is too short", value)
	}
	return d
}

func (r *reader) choice(name string) string {
	value, origin := r.raw(name)
	s, _ := named(r.settings, name)
	if !slices.Contains(s.choices, value) && (value != "" || r.isSet(name)) {
		try := didYouMean(value, s.choices, "")
		if try == "" {
			try = "give one of " + strings.Join(s.choices, ", ")
		}
		r.fail(origin, try, "%q is not known", value)
	}
	return value
}

// parseDuration reads what time.ParseDuration does, and days before it: 36h, 7d,
// 1d12h, 1h30m. A day is 24 hours.
func parseDuration(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	number, rest, hasDays := strings.Cut(s, "d")
	if !hasDays {
		return time.ParseDuration(s)
	}
	// 16 bits of days are 179 years: inside a Duration, which ends at 292.
	days, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return 0, err
	}
	var part time.Duration
	if rest != "" {
		if part, err = time.ParseDuration(rest); err != nil {
			return 0, err
		}
		if part < 0 {
			return 0, strconv.ErrRange
		}
		part = min(part, 40_000*day)
	}
	return time.Duration(days)*day + part, nil
}
