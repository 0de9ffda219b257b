// Parses the value of --schedule.

package schedule

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	maxEntries = 100
	maxRate    = 10_000
	// minBytes is the minimum bandwidth. A lower one is a typo with a missing unit.
	minBytes = 1000
)

// Parse parses a timetable of entries separated by semicolons, with times in the given zone. An entry is
//
//	[DAYS] [HH:MM-HH:MM] off
//	[DAYS] [HH:MM-HH:MM] [N/s] [BYTES]
//
// with DAYS like Mo-Fr or Sa,Su, and BYTES in the format of [ParseBytes]. Times that end before they start cross
// midnight; DAYS are those on which they start. An entry without days applies to every day, and one without times
// to the whole day. The first matching entry applies, and uncovered times are unlimited.
//
// It fails for an entry that never applies, because earlier ones cover it, and for a timetable that is always off.
func Parse(text string, zone *time.Location) (*Schedule, error) {
	s := &Schedule{zone: zone}
	entries := strings.Split(text, ";")
	if len(entries) > maxEntries {
		return nil, fmt.Errorf("it has more than %d entries", maxEntries)
	}
	for _, entry := range entries {
		entry = strings.Join(strings.Fields(entry), " ")
		if err := s.add(entry); err != nil {
			return nil, fmt.Errorf("%q: %w", entry, err)
		}
	}
	if s.isAlwaysOff() {
		return nil, errors.New("it is always off: leave some time in which it is not off")
	}
	return s, nil
}

func (s *Schedule) add(entry string) error {
	words := strings.Fields(strings.ReplaceAll(entry, ", ", ","))
	if len(words) == 0 {
		return errors.New("the entry is empty: remove a semicolon")
	}
	days, start, end := everyDay(), 0, minutesOfDay
	var err error
	if isDays(words[0]) {
		if days, err = parseDays(words[0]); err != nil {
			return err
		}
		words = words[1:]
	}
	if len(words) > 0 && strings.Contains(words[0], ":") {
		if start, end, err = parseTimes(words[0]); err != nil {
			return err
		}
		words = words[1:]
	}
	limits, err := parseLimits(words)
	if err != nil {
		return err
	}
	s.entries = append(s.entries, limits)
	if !s.cover(days, start, end) {
		return errors.New("it never applies, because earlier entries cover its whole time; the first matching entry applies")
	}
	return nil
}

// cover assigns the newest entry to the uncovered minutes from start to end on the days. It reports whether there
// were any.
func (s *Schedule) cover(days [7]bool, start, end int) (found bool) {
	if end <= start {
		end += minutesOfDay
	}
	for day, isMeant := range days {
		if !isMeant {
			continue
		}
		for minute := start; minute < end; minute++ {
			if at := &s.week[(day*minutesOfDay+minute)%minutesOfWeek]; *at == 0 {
				*at, found = uint8(len(s.entries)), true //nolint:gosec // at most maxEntries
			}
		}
	}
	return found
}

func (s *Schedule) isAlwaysOff() bool {
	for _, entry := range s.week {
		if entry == 0 || !s.entries[entry-1].Off {
			return false
		}
	}
	return true
}

func everyDay() [7]bool { return [7]bool{true, true, true, true, true, true, true} }

// isDays reports whether a word specifies days: only off and days start with a letter.
func isDays(word string) bool {
	return !strings.EqualFold(word, "off") && (word[0]|0x20) >= 'a' && (word[0]|0x20) <= 'z'
}

// parseDays reads days and spans of days with commas between them.
func parseDays(word string) (days [7]bool, err error) {
	for part := range strings.SplitSeq(word, ",") {
		from, to, isSpan := strings.Cut(part, "-")
		first, err := parseDay(from)
		if err != nil {
			return days, err
		}
		last := first
		if isSpan {
			if last, err = parseDay(to); err != nil {
				return days, err
			}
		}
		for day := first; ; day = (day + 1) % 7 {
			days[day] = true
			if day == last {
				break
			}
		}
	}
	return days, nil
}

// parseDay reads the first two letters of a day, or more of them.
func parseDay(word string) (time.Weekday, error) {
	for day := time.Sunday; day <= time.Saturday; day++ {
		if name := day.String(); len(word) >= 2 && len(word) <= len(name) && strings.EqualFold(name[:len(word)], word) {
			return day, nil
		}
	}
	return 0, fmt.Errorf("%q is not a day: write Mo, Tu, We, Th, Fr, Sa or Su", word)
}

// parseTimes reads a span of the day, in minutes.
func parseTimes(word string) (start, end int, err error) {
	from, to, isSpan := strings.Cut(word, "-")
	if !isSpan {
		return 0, 0, fmt.Errorf("%q has no end: write it like 08:00-20:00", word)
	}
	if start, err = parseTime(from); err != nil {
		return 0, 0, err
	}
	if end, err = parseTime(to); to == "24:00" {
		end, err = minutesOfDay, nil
	}
	if err == nil && start == end {
		err = fmt.Errorf("%q starts when it ends: leave the times out for the whole day", word)
	}
	return start, end, err
}

func parseTime(word string) (int, error) {
	t, err := time.Parse("15:04", word)
	if err != nil {
		return 0, fmt.Errorf("%q is not a time of day: write it like 08:00", word)
	}
	return t.Hour()*60 + t.Minute(), nil
}

func parseLimits(words []string) (limits Limits, err error) {
	if len(words) == 0 {
		return limits, errors.New("it has no limit: add off, a rate like 2/s, or a bandwidth like 512k")
	}
	for _, word := range words {
		number, isRate := strings.CutSuffix(word, "/s")
		switch {
		case strings.EqualFold(word, "off") && len(words) > 1:
			return limits, errors.New("off cannot be combined with a limit")
		case strings.EqualFold(word, "off"):
			limits.Off = true
		case isRate && limits.Rate == 0:
			limits.Rate, err = parseRate(number)
		case !isRate && limits.Bytes == 0:
			limits.Bytes, err = parseBandwidth(word)
		default:
			err = fmt.Errorf("%q is the second of its kind: separate entries by semicolons", word)
		}
		if err != nil {
			return limits, err
		}
	}
	return limits, nil
}

func parseRate(number string) (float64, error) {
	rate, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil || math.IsNaN(rate):
		return 0, fmt.Errorf("%q is not a rate: write requests per second like 2/s, or a bandwidth like 512k", number+"/s")
	case rate == 0:
		return 0, fmt.Errorf("%q allows no request: write off", number+"/s")
	case rate < 0 || rate > maxRate:
		return 0, fmt.Errorf("%q is out of range: give up to %d requests per second", number+"/s", maxRate)
	}
	return rate, nil
}

func parseBandwidth(word string) (int64, error) {
	n, err := ParseBytes(word)
	switch {
	case err != nil && regexp.MustCompile(`^\d+$`).MatchString(word):
		return 0, fmt.Errorf("%q has no unit: write a rate like %s/s, or bytes per second like %sk", word, word, word)
	case err != nil:
		return 0, fmt.Errorf("%q is neither off, nor a rate like 2/s, nor bytes per second like 512k, nor times like 08:00-20:00, nor days like Mo-Fr", word)
	case n < minBytes:
		return 0, fmt.Errorf("%q is too small: give 1k bytes per second or more", word)
	}
	return n, nil
}

var bytesPattern = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)([kKMGT])(i?)B?$`)

// ParseBytes parses a number of bytes with a unit: 512k, 1.5M, 2G or 1T, in powers of 1000, or of 1024 with an i,
// as in 512Ki.
func ParseBytes(text string) (int64, error) {
	found := bytesPattern.FindStringSubmatch(text)
	if found == nil {
		return 0, errors.New("it is not a number of bytes like 512k, 2M or 1G")
	}
	n, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		return 0, fmt.Errorf("read number of bytes: %w", err)
	}
	step := 1000.0
	if found[3] != "" {
		step = 1024
	}
	for range 1 + strings.Index("kMGT", strings.ReplaceAll(found[2], "K", "k")) {
		n *= step
	}
	if n >= math.MaxInt64 {
		return 0, errors.New("it is more than can be counted")
	}
	return int64(n), nil
}
