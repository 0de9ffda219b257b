// Turns the text of settings into typed values, and collects the errors.

package cli

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"convoso-archiver/internal/schedule"
)

// reader converts the values of settings to their types. It collects errors, so that a command
// reads all settings and checks once. An error names the origin of the value and valid values; it
// repeats the value only if it cannot be personal data.
type reader struct {
	settings []setting
	values   values
	err      error     // all errors joined, which most commands report
	problems []problem // all problems found while reading
	unparsed bool      // err says why the flags or the file could not be parsed; other problems may result from that
}

// newReader returns a reader of gathered values, with an optional error. If the flags or the file could not be parsed,
// only that is reported.
func newReader(settings []setting, merged values, in input, err error) *reader {
	return &reader{settings: settings, values: merged, err: cmp.Or(in.err, err), unparsed: in.err != nil || isAlone(err)}
}

// problem is one mistake in the settings.
type problem struct {
	origin string // origin of the value, "" if the problem concerns several values
	err    error
}

func (r *reader) fail(origin, try, format string, args ...any) {
	r.note(problem{origin, misuse(try, origin+": "+format, args...)})
}

func (r *reader) keep(err error) { r.note(problem{"", err}) }

// note stores a problem; only the first one of a value, because others may result from it.
func (r *reader) note(p problem) {
	if p.origin != "" && slices.ContainsFunc(r.problems, func(other problem) bool { return other.origin == p.origin }) {
		return
	}
	if !r.unparsed {
		r.err = errors.Join(r.err, p.err)
	}
	r.problems = append(r.problems, p)
}

// isGood reports whether the value of a setting has no problem.
func (r *reader) isGood(name string) bool {
	_, origin := r.raw(name)
	return !slices.ContainsFunc(r.problems, func(p problem) bool { return p.origin == origin })
}

// raw returns a setting's value, or its default, and its origin.
func (r *reader) raw(name string) (value, origin string) {
	if g, ok := r.values[name]; ok {
		return g.items[0], g.origin
	}
	s, _ := named(r.settings, name)
	return s.defaultValue, "--" + name
}

// origins returns the origins of settings, except flags, which the message already names.
func (r *reader) origins(names ...string) string {
	var list []string
	for _, name := range names {
		if g, ok := r.values[name]; ok && !g.byFlag() {
			list = append(list, g.origin)
		}
	}
	if len(list) == 0 {
		return ""
	}
	return ": found " + strings.Join(list, ", ")
}

func (r *reader) isSet(name string) bool {
	_, ok := r.values[name]
	return ok
}

// text returns a value that may be anything but empty.
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
		if s.defaultValue == "" {
			return nil
		}
		return []string{s.defaultValue}
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

// whole reads a whole number from lowest to highest.
func (r *reader) whole(name string, lowest, highest int) int {
	value, origin := r.raw(name)
	n, err := strconv.Atoi(value)
	if err != nil {
		r.fail(origin, "give a number like "+strconv.Itoa(max(lowest, 8)), "%q is not a whole number", value)
		return lowest
	}
	if n < lowest || n > highest {
		try := "give a number from " + strconv.Itoa(lowest) + " to " + strconv.Itoa(highest)
		if highest == math.MaxInt {
			try = "give " + strconv.Itoa(lowest) + " or more"
		}
		r.fail(origin, try, "%d is out of range", n)
	}
	return n
}

// rate reads request starts per second, 0 for no limit.
func (r *reader) rate(name string) float64 {
	value, origin := r.raw(name)
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		r.fail(origin, "give requests per second, like 5 or 0.5", "%q is not a number", value)
		return 0
	}
	if n < 0 || n > 10_000 {
		r.fail(origin, "give requests per second from 0 to 10000; 0 disables the limit", "%s is out of range", value)
	}
	return n
}

// bytes reads a number of bytes above 0, which is the value of an unset setting.
func (r *reader) bytes(name string) int64 {
	if !r.isSet(name) {
		return 0
	}
	value, origin := r.raw(name)
	n, err := schedule.ParseBytes(value)
	if err != nil || n == 0 {
		r.fail(origin, "give bytes with a unit, like 500M or 2G", "%q is not a number of bytes with a unit", value)
	}
	return n
}

// duration reads a duration of at least lowest.
func (r *reader) duration(name string, lowest time.Duration) time.Duration {
	value, origin := r.raw(name)
	d, err := parseDuration(value)
	if err != nil {
		try := "write it like 36h, 7d or 1w"
		if name == "last" {
			try += ", or give the first and the last day with --start-time and --end-time"
		}
		r.fail(origin, try, "%q is not a duration", value)
		return lowest
	}
	if d < lowest {
		try := "give more, like 36h or 7d"
		if lowest == 0 {
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

// parseDuration extends time.ParseDuration by leading weeks and days: 36h, 7d, 1w, 1d12h, 1h30m. A
// day is 24 hours.
func parseDuration(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	// 65,535 days are 179 years: within the range of a Duration, which is 292 years.
	const maxDays = 1<<16 - 1
	days, isWhole := uint64(0), false
	for _, unit := range []struct {
		letter string
		days   uint64
	}{{"w", 7}, {"d", 1}} {
		number, rest, found := strings.Cut(s, unit.letter)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return 0, err
		}
		days += n * unit.days
		s, isWhole = rest, true
	}
	if days > maxDays {
		return 0, strconv.ErrRange
	}
	if s == "" && isWhole {
		return time.Duration(days) * day, nil
	}
	part, err := time.ParseDuration(s)
	if err != nil || !isWhole {
		return part, err
	}
	if part < 0 {
		return 0, strconv.ErrRange
	}
	return time.Duration(days)*day + min(part, 40_000*day), nil
}
