// Reads --start-time, --end-time and --last.

package cli

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/fetcher"
)

// earliestYear catches mistyped years: no account is older, and each day would cost requests.
const earliestYear = 2000

// minutesPattern matches spans in minutes, where months were probably meant.
var minutesPattern = regexp.MustCompile(`^[0-9.]+[mM]$`)

// span reads --last, or --start-time and --end-time. Times are wall-clock times of
// the account's zone.
func (r *reader) span(now time.Time, zone *time.Location) archiver.Span {
	hasLast, hasStart := r.isSet("last"), r.isSet("start-time")
	switch {
	case hasLast && (hasStart || r.isSet("end-time")):
		r.keep(misuse("", "use either --last or --start-time/--end-time, not both%s", r.origins("last", "start-time", "end-time")))
	case hasLast:
		return r.lastSpan(now, zone)
	case hasStart:
		return r.startSpan(now, zone)
	case r.isSet("end-time"):
		r.fail("--end-time", "add --start-time", "the start is missing")
	default:
		r.keep(misuse("give --last 7d, or --start-time 2025-05-01", "no time range is given"))
	}
	return archiver.Span{}
}

// lastSpan extends the span to whole days. The run also works on days that an earlier run left
// open, so a nightly job leaves no gap after missed nights.
func (r *reader) lastSpan(now time.Time, zone *time.Location) archiver.Span {
	if value, origin := r.raw("last"); minutesPattern.MatchString(value) {
		r.fail(origin, "write days, like 30d", "%q could mean minutes or months", value)
	}
	if value, origin := r.raw("last"); strings.Contains(strings.ToLower(value), "month") {
		r.fail(origin, "write days, like 30d, or give its first and last day: --start-time 2025-05-01 --end-time 2025-05-31", "%q is not a duration", value)
		return archiver.Span{}
	}
	last := r.duration("last", time.Second)
	days, rest := int(last/(24*time.Hour)), last%(24*time.Hour) // a day on which clocks change has 23 or 25 hours
	from := startOfDay(fetcher.Wall(now.Add(-rest), zone).AddDate(0, 0, -days))
	if from.Year() < earliestYear {
		_, origin := r.raw("last")
		r.fail(origin, "give a shorter one", "it reaches back before %d", earliestYear)
	}
	return archiver.Span{From: from, To: endOfDay(fetcher.Wall(now, zone)), CatchUp: !r.toggle("no-catch-up")}
}

func (r *reader) startSpan(now time.Time, zone *time.Location) archiver.Span {
	wallNow := fetcher.Wall(now, zone)
	today := endOfDay(wallNow)
	before := len(r.problems)
	from, _ := r.wall("start-time")
	span := archiver.Span{From: from, To: today}
	if r.isSet("end-time") {
		to, dateOnly := r.wall("end-time")
		if dateOnly {
			to = endOfDay(to)
		}
		// A future day is empty; the machine's date may be ahead of the account's.
		span.To = earlier(to, today)
	}
	if len(r.problems) > before {
		return archiver.Span{}
	}
	_, origin := r.raw("start-time")
	switch {
	case from.Year() < earliestYear:
		r.fail(origin, "check the year", "it is before %d", earliestYear)
	case from.After(wallNow):
		r.fail(origin, "check the date and --time-zone", "it is in the future")
	case from.After(span.To):
		r.fail(origin, "swap them, or check the dates", "it is after --end-time")
	}
	return span
}

// wall reads a wall-clock time, and whether it is only a date.
func (r *reader) wall(name string) (wall time.Time, dateOnly bool) {
	value, origin := r.raw(name)
	wall, err := fetcher.ParseWall(value)
	if err != nil {
		shown := strconv.Quote(value)
		if longNumber.MatchString(value) { // it may be a telephone number
			shown = "it"
		}
		r.fail(origin, howToWrite(value), "%s is not a date or time that exists", shown)
		return time.Time{}, false
	}
	_, err = fetcher.ParseDate(value)
	return wall, err == nil
}

// howToWrite says how to write a value that is not a valid time.
func howToWrite(value string) string {
	if month, err := time.Parse("2006-01", value); err == nil {
		last := month.AddDate(0, 1, -1)
		return "for the whole month give --start-time " + month.Format(time.DateOnly) + " --end-time " + last.Format(time.DateOnly)
	}
	if word := strings.ToLower(value); word == "yesterday" || word == "today" {
		return "write the date, like 2025-05-01, or give --last 1d in place of both times"
	}
	return `write it like 2025-05-01 or "2025-05-01 13:00:00"`
}

func startOfDay(wall time.Time) time.Time {
	return time.Date(wall.Year(), wall.Month(), wall.Day(), 0, 0, 0, 0, time.UTC)
}

func endOfDay(wall time.Time) time.Time {
	return startOfDay(wall).AddDate(0, 0, 1).Add(-time.Second)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
