// Finds out whether a day is closed without reading its lines.

package manifest

import (
	"context"
	"errors"
	"time"
)

// Status is the status of a day, read without most of its lines.
type Status struct {
	Day    string    // 2006-01-02
	Known  bool      // manifest/ has a file of the day; false for a day only in calls/
	Lines  []DayLine // the valid ones, with counts over all lines. If the one without a filter is valid, others may be omitted
	Newest time.Time // time of its newest file in manifest/
}

// Line returns the day line that closes the day for a filter: the one with that filter, otherwise the one
// without a filter.
func (s Status) Line(filter string) (DayLine, bool) { return lineFor(s.Lines, filter) }

func lineFor(lines []DayLine, filter string) (DayLine, bool) {
	for _, want := range []string{filter, ""} {
		for _, line := range lines {
			if line.Filter == want {
				return line, true
			}
		}
	}
	return DayLine{}, false
}

// Status checks one day: it lists the day's files and reads closed.json. It reads the whole day only if a day line
// does not list every segment. An unknown day has no day lines, and neither does one with unreadable lines, which
// Load reports.
func (l *Ledger) Status(ctx context.Context, day string) (Status, error) {
	status := Status{Day: day}
	if err := checkDay(day); err != nil {
		return status, err
	}
	if _, err := l.obey(ctx); err != nil {
		return status, err
	}
	files, err := l.look(ctx, day)
	if err != nil {
		return status, err
	}
	status.Known = len(files.segments) > 0 || len(files.closings) > 0 || !files.newest.IsZero()
	status.Newest = files.newest
	isSure := true
	for _, c := range files.closings {
		isCounted := c.old == nil || len(l.erasures.Load().expiring(day)) == 0
		if c.holds() && c.namesAll(files.segments) && isCounted {
			status.Lines = append(status.Lines, c.line)
		} else if c.holds() {
			isSure = false
		}
	}
	if _, ok := lineFor(status.Lines, ""); ok || isSure {
		return status, nil
	}
	l.whole.Lock()
	defer l.whole.Unlock()
	d, err := l.readDay(ctx, files, reading{})
	if bad := (*BadLineError)(nil); errors.As(err, &bad) {
		return status, nil
	}
	if err != nil {
		return status, err
	}
	status.Lines = d.Lines()
	for i := range status.Lines { // later lines changed the counts of the day line
		d.count(&status.Lines[i])
	}
	return status, nil
}
