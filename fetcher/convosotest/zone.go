// Converts between instants and the wall clock of a time zone.

package convosotest

import (
	"strings"
	"time"
)

const (
	wallLayout = "2006-01-02 15:04:05"
	dateLayout = "2006-01-02"

	daySeconds = 24 * 60 * 60
)

// wallOf returns the wall-clock time of an instant, as the Unix time of the same clock reading in
// UTC.
func wallOf(instant int64, zone *time.Location) int64 {
	_, offset := time.Unix(instant, 0).In(zone).Zone()
	return instant + int64(offset)
}

// instantOf returns the instant at which clocks of the zone show wall. For a repeated time, late
// selects the second one; a skipped time uses the offset before the change or, with late, the one
// after it.
func instantOf(wall int64, zone *time.Location, late bool) int64 {
	_, before := time.Unix(wall-daySeconds, 0).In(zone).Zone()
	_, after := time.Unix(wall+daySeconds, 0).In(zone).Zone()
	byBefore, byAfter := wall-int64(before), wall-int64(after)
	validBefore := wallOf(byBefore, zone) == wall
	validAfter := wallOf(byAfter, zone) == wall
	switch {
	case validBefore == validAfter && late:
		return byAfter
	case validBefore || !validAfter:
		return byBefore
	}
	return byAfter
}

func formatWall(wall int64) string { return time.Unix(wall, 0).UTC().Format(wallLayout) }

func formatDay(wall int64) string { return time.Unix(wall, 0).UTC().Format(dateLayout) }

// parseWall reads a time parameter. A bare date means its first second, or its last one at the end
// of a window.
func parseWall(s string, end bool) (int64, bool) {
	s = strings.Replace(s, "T", " ", 1)
	if t, err := time.Parse(wallLayout, s); err == nil {
		return t.Unix(), true
	}
	t, err := time.Parse(dateLayout, s)
	if err != nil {
		return 0, false
	}
	if end {
		return t.Unix() + daySeconds - 1, true
	}
	return t.Unix(), true
}
