// Defines dates, and wall-clock times without a zone.

package fetcher

import (
	"fmt"
	"strings"
	"time"
)

// WallLayout is the API's layout of wall-clock times, which have no zone.
const WallLayout = "2006-01-02 15:04:05"

const dateLayout = "2006-01-02"

// Date is a civil date in the account's zone, as 2006-01-02. Dates compare chronologically as
// strings.
type Date string

// ParseDate reads a date.
func ParseDate(s string) (Date, error) {
	if _, err := time.Parse(dateLayout, s); err != nil {
		return "", fmt.Errorf("read date: %q is not a date of the form 2025-05-01", s)
	}
	return Date(s), nil
}

// DateOf returns the date of a wall-clock time.
func DateOf(wall time.Time) Date { return Date(wall.Format(dateLayout)) }

// AddDays returns the date n days later.
func (d Date) AddDays(n int) Date { return DateOf(d.start().AddDate(0, 0, n)) }

// start returns the first second of the day as a wall-clock time.
func (d Date) start() time.Time {
	t, _ := time.Parse(dateLayout, string(d)) // a Date is always valid
	return t
}

// Ordinal returns the number of the day, counted from 1970-01-01, which is 0.
func (d Date) Ordinal() int { return int(d.start().Unix() / (24 * 60 * 60)) }

// End returns the instant at which the day is over in the zone.
func (d Date) End(zone *time.Location) time.Time {
	next := d.start().AddDate(0, 0, 1)
	return time.Date(next.Year(), next.Month(), next.Day(), 0, 0, 0, 0, zone)
}

// Window returns the span to request for the whole day: from one second before it to the first
// second after it, because it is not documented whether the API's bounds are inclusive.
func (d Date) Window() Window {
	start := d.start()
	return Window{From: start.Add(-time.Second), To: start.AddDate(0, 0, 1)}
}

// ParseWall parses a wall-clock time in the API's layout, or with a T; a bare date means its first
// second. The result is represented in UTC, so arithmetic ignores daylight saving.
func ParseWall(s string) (time.Time, error) {
	s = strings.Replace(strings.TrimSpace(s), "T", " ", 1)
	for _, layout := range []string{WallLayout, "2006-01-02 15:04", dateLayout} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("read time: %q is not a time of the form 2025-05-01 13:00:00", s)
}

// Wall returns an instant as the wall-clock time of the zone.
func Wall(t time.Time, zone *time.Location) time.Time {
	t = t.In(zone)
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// Window is a span of wall-clock time with both ends included.
type Window struct{ From, To time.Time }

// String returns both ends as the API writes them.
func (w Window) String() string {
	return w.From.Format(WallLayout) + " to " + w.To.Format(WallLayout)
}

// contains reports whether t is in the window.
func (w Window) contains(t time.Time) bool { return !t.Before(w.From) && !t.After(w.To) }

// minWindow is the minimum half of a split window, without its overlap.
const minWindow = 2 * time.Second

// split returns two windows that cover w and overlap by one second on each side of their boundary:
// a row there is inside one of them, whether or not the API's bounds are inclusive. No end is in a
// clock change, where the API may interpret it as either of two instants. It reports false if there
// is no such boundary.
func (w Window) split(changes []Window) (early, late Window, ok bool) {
	middle := w.From.Add(w.To.Sub(w.From) / 2).Truncate(time.Second)
	candidates := []time.Time{middle}
	for _, change := range changes {
		if !middle.Add(time.Second).Before(change.From) && middle.Add(-time.Second).Before(change.To) {
			candidates = []time.Time{change.From.Add(-2 * time.Second), change.To.Add(time.Second)}
		}
	}
	for _, at := range candidates {
		if at.Sub(w.From) >= minWindow && w.To.Sub(at) >= minWindow {
			return Window{w.From, at.Add(time.Second)}, Window{at.Add(-time.Second), w.To}, true
		}
	}
	return Window{}, Window{}, false
}

// widened returns the window with each end inside a clock change moved to the outer edge of the
// change: a row there may be outside by wall clock and inside as an instant.
func (w Window) widened(changes []Window) Window {
	for _, change := range changes {
		if change.contains(w.From) {
			w.From = change.From
		}
		if change.contains(w.To) {
			w.To = change.To
		}
	}
	return w
}

// clockChanges returns the spans of wall-clock time that the zone repeats or skips within a day of
// the window, each from its first second to the first second after it.
func clockChanges(w Window, zone *time.Location) []Window {
	var changes []Window
	at := w.From.AddDate(0, 0, -2)
	end := w.To.AddDate(0, 0, 2)
	for t := at.In(zone); ; {
		_, next := t.ZoneBounds()
		if next.IsZero() || next.UTC().After(end) {
			return changes
		}
		_, before := next.Add(-time.Second).Zone()
		_, after := next.Zone()
		wall := next.UTC()
		change := Window{
			From: wall.Add(time.Duration(min(before, after)) * time.Second),
			To:   wall.Add(time.Duration(max(before, after)) * time.Second),
		}
		if before != after {
			changes = append(changes, change)
		}
		t = next
	}
}
