// Renders the summary of a run of archive.

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"convoso-archiver/archiver"
)

// maxOpenDays is how many open days the text lists; the JSON lists all.
const maxOpenDays = 10

// writeSummary writes the result of a run: one JSON object, or text for a person.
func writeSummary(w io.Writer, s archiver.Summary, asJSON bool) error {
	if !asJSON {
		return writeText(w, summaryText(s, columnsOf(w)))
	}
	return json.NewEncoder(w).Encode(withLists(s))
}

// withLists replaces nil lists with empty ones, so that readers of the JSON can iterate over them.
func withLists(s archiver.Summary) archiver.Summary {
	if s.OpenDays == nil {
		s.OpenDays = []archiver.OpenDay{}
	}
	if s.Warnings == nil {
		s.Warnings = []string{}
	}
	return s
}

// summaryText renders a summary as a short table and next steps. Tables fit into width, 0 for no limit.
func summaryText(s archiver.Summary, width int) string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0) // writes to a strings.Builder never fail
	row := func(name, count string, parts ...string) {
		parts = slices.DeleteFunc(parts, func(p string) bool { return p == "" })
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", name, count, strings.Join(parts, ", "))
	}
	switch {
	case cameToNothing(s):
		b.WriteString("nothing was listed or stored\n\n")
	case s.DryRun:
		b.WriteString("dry run: nothing was stored\n\n")
		workRows(s, row)
	default:
		workRows(s, row)
	}
	row("exit code", fmt.Sprint(s.ExitCode), meaning(s))
	_ = table.Flush()
	text, openDays := trimLines(b.String()), s.OpenDays
	if cameToNothing(s) {
		openDays = nil
	}
	return text + estimateText(s.Estimate, width) + openDaysText(openDays) + warningsText(s.Warnings) + nextText(s)
}

// runCounts returns the figures of a run for its last log line.
func runCounts(s archiver.Summary) []any {
	return []any{
		"run", s.Run, "seconds", s.Seconds, "days", s.DaysAsked, "days_closed", s.DaysClosed, "days_open", len(s.OpenDays),
		"calls", s.Calls, "recordings", s.Recordings, "archived", s.Archived, "known", s.Known, "pending", s.Pending, "failed", s.Failed,
		"rejected", s.Rejected, "lost", s.Lost, "given_up", s.GivenUp, "bytes", s.Bytes,
		"api_requests", s.APIRequests, "media_requests", s.MediaRequests, "refusals", s.Refusals,
	}
}

// cameToNothing reports whether a run ended before it listed or stored anything, for example because the destination
// cannot be opened, or because the API refused its token. A sentence then says more than a table of zeros and a list of
// open days.
func cameToNothing(s archiver.Summary) bool {
	refused := s.ExitCode == ExitUsage && s.DaysListed == 0 && s.DaysClosed == 0 && s.Archived == 0 && s.MediaRequests == 0
	return refused || s.ExitCode != ExitDone && s.DaysAsked == 0 && s.APIRequests == 0
}

// workRows writes the rows about a run's work.
func workRows(s archiver.Summary, row func(name, count string, parts ...string)) {
	row("days", thousands(int64(s.DaysAsked)),
		part(s.DaysClosed, "closed in this run"), part(s.DaysSkipped, "closed before"),
		part(s.DaysWhole, "complete for this request"), part(len(s.OpenDays), "open"), part(s.DaysNotBegun, "not reached"))
	before := 0
	if s.Estimate != nil {
		before = s.Estimate.DaysBefore
	}
	if s.DaysListed > 0 {
		row("calls", thousands(int64(s.Calls)), "in "+plural(s.DaysListed-before, "listed day"))
	}
	if s.Estimate != nil && s.Estimate.FirstCall != "" {
		of := ""
		if s.DaysSkipped > 0 { // closed days may have earlier calls
			of = "of the listed days"
		}
		row("first call", string(s.Estimate.FirstCall), of, part(before, "days before it, not listed one by one"))
	}
	row("recordings", thousands(int64(s.Recordings)),
		archivedPart(s), part(s.Known, "known before"), part(s.ToFetch, "to download"), part(s.Pending, "pending"),
		part(s.Failed, "failed"), part(s.Rejected, "rejected"), part(s.Lost, "lost"), part(s.GivenUp, "given up"))
	if s.DryRun {
		row("bytes", "about "+bytesText(s.EstimatedBytes), "to download, by the length of the calls")
	} else {
		row("bytes", bytesText(s.Bytes), storedPart(s))
	}
	row("requests", thousands(s.APIRequests+s.MediaRequests),
		thousands(s.APIRequests)+" to the API", thousands(s.MediaRequests)+" for recordings", slowDown(s.Refusals))
	row("time", durationText(time.Duration(s.Seconds*float64(time.Second))), stoppedPart(s.Stopped))
}

// meaning explains the exit code in words.
func meaning(s archiver.Summary) string {
	switch s.ExitCode {
	case ExitDone:
		if s.DryRun {
			return ""
		}
		if slices.ContainsFunc(s.OpenDays, func(d archiver.OpenDay) bool { return d.Excused }) {
			return "nothing to archive: the API lists no calls"
		}
		if len(s.OpenDays) > 0 {
			return "complete, except days that have not settled"
		}
		return "complete"
	case ExitUsage:
		return "the settings or the token are wrong"
	case ExitIncomplete:
		return "incomplete"
	case ExitInterrupted, ExitTerminated:
		return "stopped"
	case ExitLocked:
		return "another run has locked this archive"
	}
	return "the run failed"
}

func part(n int, what string) string {
	if n == 0 {
		return ""
	}
	return thousands(int64(n)) + " " + what
}

func archivedPart(s archiver.Summary) string {
	if s.DryRun {
		return ""
	}
	text := thousands(int64(s.Archived)) + " archived"
	if s.Adopted > 0 {
		text += " (" + thousands(int64(s.Adopted)) + " of them found stored already)"
	}
	return text
}

// storedPart says whether the archived bytes were stored by this run or already in the store.
func storedPart(s archiver.Summary) string {
	switch {
	case s.Adopted == 0:
		return "stored"
	case s.Adopted == s.Archived:
		return "found stored already"
	}
	return "stored, or found stored already"
}

func slowDown(refusals int64) string {
	switch refusals {
	case 0:
		return ""
	case 1:
		return "1 answer asked to slow down"
	}
	return thousands(refusals) + " answers asked to slow down"
}

func stoppedPart(stopped string) string {
	if stopped == "" || strings.HasPrefix(stopped, "stopped") {
		return stopped
	}
	if strings.HasPrefix(stopped, "max-") { // the name of a limit
		stopped = "--" + stopped
	}
	return "stopped by " + stopped
}

func openDaysText(days []archiver.OpenDay) string {
	if len(days) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\nopen days\n")
	table := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0) // writes to a strings.Builder never fail
	for _, day := range days[:min(len(days), maxOpenDays)] {
		_, _ = fmt.Fprintf(table, "  %s\t%s\n", day.Day, whyOpen(day))
	}
	_ = table.Flush()
	if more := len(days) - maxOpenDays; more > 0 {
		fmt.Fprintf(&b, "  and %s more\n", thousands(int64(more)))
	}
	return trimLines(b.String())
}

func whyOpen(day archiver.OpenDay) string {
	switch {
	case len(day.Reasons) > 0:
		return strings.Join(day.Reasons, "; ")
	case day.Waiting > 0:
		return plural(day.Waiting, "recording") + " waiting"
	case !day.Settled:
		return "not settled yet"
	}
	return "not closed"
}

func warningsText(warnings []string) string {
	if len(warnings) == 0 {
		return ""
	}
	return "\nwarnings\n  " + strings.Join(warnings, "\n  ") + "\n"
}

// nextText says what to try next, the most useful first.
func nextText(s archiver.Summary) string {
	var next []string
	add := func(when bool, text string) {
		if when {
			next = append(next, text)
		}
	}
	settled := slices.ContainsFunc(s.OpenDays, func(d archiver.OpenDay) bool { return d.Settled })
	unsettled := slices.ContainsFunc(s.OpenDays, func(d archiver.OpenDay) bool { return !d.Settled })
	if s.Error != "" { // only repeating the run can help then
		add(true, afterError(s))
	} else {
		add(s.DryRun, afterCount(s.Estimate))
		add(!s.DryRun && s.Stopped != "", "run the same command again"+orWithout(s.Stopped)+"; it resumes where it stopped")
		add(!s.DryRun && s.Stopped != "" && s.Calls == 0 && s.DaysListed > 0 && s.DaysSkipped == 0, "no calls so far: --dry-run finds the first one; use its day as --start-time")
		waiting := s.Failed > 0 || s.Pending > 0 || slices.ContainsFunc(s.OpenDays, func(d archiver.OpenDay) bool { return d.Waiting > 0 })
		add(!s.DryRun && s.Stopped == "" && waiting, "run the same command again: it retries waiting recordings and skips archived ones")
		add(!s.DryRun && s.Stopped == "" && !waiting && settled, "run the same command again: it lists the open days again")
	}
	add(s.Rejected > 0, "rejected recordings were not audio, or their host is not allowed; the log names them (see --allow-host)")
	add(s.Lost > 0, "lost recordings: the vendor no longer has the audio; --retry lost tries once more")
	add(s.GivenUp > 0, "given-up recordings waited longer than --give-up; --retry failed or --retry rejected tries once more")
	add(!s.DryRun && s.Error == "" && unsettled, "a later run, such as a nightly run with --last 7d, closes the days that have not settled")
	if len(next) == 0 {
		return ""
	}
	return "\nnext\n  " + strings.Join(next, "\n  ") + "\n"
}

// orWithout names the limit that would stop the same command again, "" for other reasons.
func orWithout(stopped string) string {
	if strings.HasPrefix(stopped, "max-") {
		return ", or without --" + stopped
	}
	return ""
}

// afterCount says what to do after a dry run.
func afterCount(e *archiver.Estimate) string {
	if e == nil || e.DaysBefore == 0 {
		return "run without --dry-run to archive"
	}
	return "run without --dry-run and with --start-time " + string(e.FirstCall) + " to archive: the days before it have no calls"
}

// afterError says what to do about a run that could not continue. The error on stderr has the
// reason; not every error has a known fix, so nothing is promised here.
func afterError(s archiver.Summary) string {
	const first = "see the error below; once it is fixed, "
	switch {
	case s.ExitCode == ExitLocked:
		return "run the same command again when the other run has ended"
	case s.ExitCode == ExitUsage:
		return "correct the setting that the error below names, then run again"
	case s.DryRun && cameToNothing(s):
		return first + "count again"
	case s.DryRun:
		return first + "count again: this count is incomplete"
	case cameToNothing(s):
		return first + "run the same command again"
	}
	return first + "run the same command again: it resumes where it stopped"
}

// trimLines removes trailing blanks that a table leaves.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
