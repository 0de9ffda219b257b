// Prints the result of report --missing: each recording that is not archived, with the reason.

package cli

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/manifest"
	"convoso-archiver/manifest/report"
)

// whyMissing explains why a recording is not archived, with the known details.
func whyMissing(s manifest.State) string {
	why := archiver.CauseText(&s)
	if s.Reason != "" && s.Reason != why {
		why += ": " + s.Reason
	}
	return why
}

// missingText lists the recordings that are not archived, and the days that are not closed: these may have unknown
// recordings.
func missingText(r *report.Report, width int) string {
	open := r.Total.Open + r.Total.NeverListed
	if len(r.Missing) == 0 && open > 0 {
		return "\nnot known yet which recordings are missing: " + plural(open, "day") + " not closed\n" +
			"the rows in calls/ can name some of them: docs/report.md has the command\n" + openRuns(r, width)
	}
	if len(r.Missing) == 0 {
		return "\nno known recording is missing\n" + remarksText(r, width)
	}
	t := grid{indent: "  ", left: map[int]bool{0: true, 1: true, 2: true, 3: true, 4: true, 5: true}, folds: map[int]int{3: 2, 4: 1}, text: true}
	t.row("day", "call", "recording", "outcome", "noted", "reason")
	for i := range r.Missing {
		m := &r.Missing[i]
		outcome := "waiting, " + string(cmp.Or(m.Outcome, manifest.Pending))
		if m.Final {
			outcome = finalText(m.Outcome)
		}
		t.row(m.Day, orDash(m.CallID), m.RecordingID, outcome, m.Noted.Format("2006-01-02 15:04"), m.Reason)
	}
	return "\nrecordings that are not archived\n" + t.fitted(width) + openRuns(r, width) + remarksText(r, width)
}

// writeMissingCSV writes a row for each recording that is not archived, and after those of its day a row for each day
// that is not closed, so that a table without rows means that nothing is missing.
func writeMissingCSV(w io.Writer, r *report.Report) error {
	rows := [][]string{strings.Split("day,call_id,recording_id,outcome,final,cause,reason,noted", ",")}
	missing := r.Missing
	for i := range r.Days {
		d := &r.Days[i]
		for ; len(missing) > 0 && missing[0].Day <= d.Day; missing = missing[1:] {
			m := &missing[0]
			rows = append(rows, []string{
				m.Day, m.CallID, m.RecordingID, string(m.Outcome), strconv.FormatBool(m.Final), m.Cause, m.Reason, m.Noted.Format(time.RFC3339),
			})
		}
		if d.State != report.Closed {
			rows = append(rows, []string{d.Day, "", "", "", "false", string(d.State), "the day is not closed: " + reasonsText(d.Reasons), ""})
		}
	}
	if err := csv.NewWriter(w).WriteAll(rows); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}
