// Renders the estimate that follows the summary of a dry run.

package cli

import (
	"fmt"
	"slices"
	"time"

	"convoso-archiver/archiver"
)

// estimateText renders the cost of archiving the recordings of a dry run, "" if it counted nothing.
// Tables fit into width, 0 for no limit.
func estimateText(e *archiver.Estimate, width int) string {
	if e == nil || len(e.Months) == 0 {
		return ""
	}
	total := e.Total()
	text := "\n" + monthCountsTable(e.Months, total).fitted(width)
	if total.ToFetch == 0 {
		return text
	}
	t := grid{indent: "  ", left: map[int]bool{0: true, 1: true}, text: true}
	t.row("time", timeText(e))
	t.row("vendor", fmt.Sprintf("%s requests for recordings, about %s for pages", thousands(e.MediaRequests), thousands(e.APIRequests)))
	if total.PastPurge > 0 {
		t.row("lost", fmt.Sprintf("%s of %s are older than --purge-after: the vendor has probably deleted them",
			plural(total.PastPurge, "recording"), plural(e.PastPurgeDays, "day")))
	}
	if s3 := e.S3; s3 != nil {
		t.row("S3", fmt.Sprintf("about %s PUT, %s LIST and %s GET: PUT and LIST cost about ten times as much as GET",
			thousands(s3.Puts), thousands(s3.Lists), thousands(s3.Gets)))
	}
	what := "this"
	if e.DaysBefore > 0 {
		what = "the days from " + string(e.FirstCall) + " on"
	}
	return text + "\nto archive " + what + "\n" + t.fitted(width)
}

// timeText says how long the run takes, and names the pages of the call log if they take the longest.
func timeText(e *archiver.Estimate) string {
	text := hoursText(e.HoursAt10) + " at 10 recordings a second, " + hoursText(e.HoursAt3) + " at 3"
	if e.HoursListing > 0 && e.HoursListing >= e.HoursAt10 {
		text += "; the pages of the call log alone take " + hoursText(e.HoursListing) + " at --api-rate"
	}
	return text
}

func monthCountsTable(months []archiver.MonthCount, total archiver.MonthCount) *grid {
	t := &grid{left: map[int]bool{0: true}, folds: map[int]int{1: 2, 6: 1}}
	t.row("month", "days", "calls", "recordings", "to download", "bytes", "past --purge-after")
	row := func(name string, m archiver.MonthCount) {
		t.row(name, thousands(int64(m.Days)), thousands(int64(m.Calls)), thousands(int64(m.Recordings)),
			thousands(int64(m.ToFetch)), "~"+bytesText(m.Bytes), thousands(int64(m.PastPurge)))
	}
	for rest := months; len(rest) > 0; {
		empty := monthsWithoutCalls(rest)
		if empty == 0 {
			row(rest[0].Month, rest[0])
			rest = rest[1:]
			continue
		}
		name, days := rest[0].Month, 0
		if empty > 1 {
			name += " to " + rest[empty-1].Month
		}
		for _, m := range rest[:empty] {
			days += m.Days
		}
		t.row(name, thousands(int64(days)), "no calls", "", "", "", "")
		rest = rest[empty:]
	}
	if len(months) > 1 {
		row("total", total)
	}
	return t
}

// monthsWithoutCalls returns how many months at the start have no calls.
func monthsWithoutCalls(months []archiver.MonthCount) int {
	if i := slices.IndexFunc(months, func(m archiver.MonthCount) bool { return m.Calls > 0 }); i >= 0 {
		return i
	}
	return len(months)
}

func hoursText(hours float64) string { return durationText(time.Duration(hours * float64(time.Hour))) }
