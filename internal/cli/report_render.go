// Prints a report as text, JSON or CSV.

package cli

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"convoso-archiver/manifest"
	"convoso-archiver/manifest/report"
)

// maxReportDays is the maximum number of days with a row each in the text; a longer span has one
// row per month, and lists at most this many runs of open days. The JSON lists all.
const maxReportDays = 62

func writeReport(w io.Writer, r *report.Report, format reportFormat) error {
	switch format {
	case reportJSON:
		return json.NewEncoder(w).Encode(r)
	case reportCSV:
		if r.Missing != nil {
			return writeMissingCSV(w, r)
		}
		return writeReportCSV(w, r)
	case reportAnswer:
		return writeText(w, answer(r)+"\n")
	case reportText:
	}
	return writeText(w, reportAsText(r, columnsOf(w)))
}

// outcomeColumns are the outcomes with their own column.
func outcomeColumns() []manifest.Outcome {
	return []manifest.Outcome{manifest.Archived, manifest.Pending, manifest.Failed, manifest.Rejected, manifest.Lost, manifest.Damaged}
}

// removedOutcomes are the outcomes of recordings that were removed on purpose. Tables show their columns if any recording
// has one of them.
func removedOutcomes() []manifest.Outcome {
	return []manifest.Outcome{manifest.Erased, manifest.Expired}
}

// removed returns the outcomes of removedOutcomes of at least one recording.
func removed(t *report.Total) []manifest.Outcome {
	return slices.DeleteFunc(removedOutcomes(), func(o manifest.Outcome) bool { return t.ByOutcome[o] == 0 })
}

func writeReportCSV(w io.Writer, r *report.Report) error {
	out := csv.NewWriter(w)
	header := []string{"day", "state", "settled", "calls", "recordings"}
	for _, outcome := range outcomeColumns() {
		header = append(header, string(outcome))
	}
	header = append(header, "other", "waiting", "given_up", "bytes", "reasons")
	for _, outcome := range removedOutcomes() { // last, for programs that rely on column positions; "other" includes them
		header = append(header, string(outcome))
	}
	rows := [][]string{header}
	for i := range r.Days {
		rows = append(rows, csvRow(&r.Days[i]))
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

func csvRow(d *report.Day) []string {
	row := []string{d.Day, string(d.State), strconv.FormatBool(d.Settled), strconv.Itoa(d.Calls), strconv.Itoa(d.Recordings)}
	other := d.Recordings
	for _, outcome := range outcomeColumns() {
		row = append(row, strconv.Itoa(d.ByOutcome[outcome]))
		other -= d.ByOutcome[outcome]
	}
	var codes []string
	for _, reason := range d.Reasons {
		codes = append(codes, string(reason.Code))
	}
	row = append(row, strconv.Itoa(other), strconv.Itoa(d.Waiting), strconv.Itoa(d.GivenUp),
		strconv.FormatInt(d.Bytes, 10), strings.Join(codes, " "))
	for _, outcome := range removedOutcomes() {
		row = append(row, strconv.Itoa(d.ByOutcome[outcome]))
	}
	return row
}

// reportAsText renders the report as text: the answer first. Its tables fit into width, 0 for no limit.
func reportAsText(r *report.Report, width int) string {
	var b strings.Builder
	b.WriteString(answer(r) + "\n")
	if len(r.Days) == 0 {
		return b.String()
	}
	fmt.Fprintf(&b, "archive %s, account %s, as of %s, days of %s\n",
		r.Archive, orElse(r.Account, "not seen yet"), r.Made.Format("2006-01-02 15:04 UTC"), r.TimeZone)
	b.WriteString(verifiedLines(r))
	if r.Missing != nil {
		return b.String() + missingText(r, width)
	}
	b.WriteString("\n")
	if len(r.Days) <= maxReportDays {
		b.WriteString(daysTable(r).fitted(width))
	} else {
		b.WriteString(monthsTable(r).fitted(width))
		b.WriteString(openRuns(r, width))
	}
	b.WriteString(causesText(&r.Total))
	b.WriteString(purgeText(r))
	b.WriteString(remarksText(r, width))
	b.WriteString(lossesText(r, width))
	return b.String()
}

// answer returns the first line.
func answer(r *report.Report) string {
	t := &r.Total
	if t.Days == 0 {
		return "nothing to report: the archive has no days"
	}
	span := r.From
	if t.Days > 1 {
		span = fmt.Sprintf("%s from %s to %s", plural(t.Days, "day"), r.From, r.To)
	}
	if len(r.Filter) > 0 {
		span += ", filtered by " + strings.Join(r.Filter, ", ") + " (calls and recordings are counted without the filter)"
	}
	run := ""
	if !r.LastRun.IsZero() {
		run = "; last run " + r.LastRun.Format("2006-01-02 15:04 UTC")
	}
	recordings := fmt.Sprintf("%s of %s archived", thousands(int64(t.ByOutcome[manifest.Archived])), plural(t.Recordings, "recording"))
	more := countWords(t.More())
	if len(more) > 0 {
		recordings = plural(t.ByOutcome[manifest.Archived], "recording") + " archived"
	}
	parts := countWords(r.DayCounts())
	if days := r.Unsettled(); days != "" {
		parts = append(parts, days)
	}
	parts = append(parts, recordings)
	parts = append(parts, countWords(t.UnarchivedCounts())...)
	state := "complete"
	switch {
	case !r.Complete:
		state = "not complete"
	case t.Unsettled > 0:
		state = "complete so far"
	default:
		parts = append([]string{"all closed"}, parts...)
	}
	return strings.Join(append([]string{state + ": " + span + ": " + strings.Join(parts, ", ")}, more...), "; ") + run
}

// countWords writes counts with what they count.
func countWords(counts []report.Named) []string {
	parts := make([]string, len(counts))
	for i, c := range counts {
		parts[i] = part(c.N, c.What)
	}
	return parts
}

// verifiedLines returns a line for each mode: when the days were verified, how, and with what
// result.
func verifiedLines(r *report.Report) string {
	if r.VerifiedUnreadable != "" {
		return "it is not known when these days were verified: " + r.VerifiedUnreadable + " cannot be read; restore it from a copy\n"
	}
	if len(r.Verified) == 0 {
		return "no verification of these days is noted: run verify --note\n"
	}
	var b strings.Builder
	for _, v := range r.Verified {
		where := fmt.Sprintf("%s of %s", thousands(int64(v.Days)), plural(r.Total.Days-r.Total.NeverListed, "listed day"))
		parts := countWords(v.FoundCounts())
		if v.Damaged+v.ManifestDamaged == 0 {
			parts = append(parts, "nothing damaged")
		}
		found := fmt.Sprintf("%s checked, %s", plural(v.Checked, "recording"), strings.Join(parts, ", "))
		if from := max(v.From, r.FirstListed); from < r.From || v.To > r.To { // its figures also include other days
			found = fmt.Sprintf("in all days from %s to %s: %s", from, v.To, found)
		}
		if !v.Complete && v.NotReadable == 0 {
			found += "; it was stopped"
		}
		fmt.Fprintf(&b, "verified %s: %s, in %s; %s\n", v.Started.Format("2006-01-02 15:04 UTC"), v.How(), where, found)
	}
	return b.String()
}

// countCells returns the figures of a row. Those of removed outcomes come before the bytes.
func countCells(c *report.Counts, removed []manifest.Outcome) []string {
	cells := []string{
		thousands(int64(c.Calls)), thousands(int64(c.Recordings)), thousands(int64(c.ByOutcome[manifest.Archived])),
		thousands(int64(c.Waiting)), thousands(int64(c.ByOutcome[manifest.Lost])), thousands(int64(c.GivenUp)),
	}
	for _, outcome := range removed {
		cells = append(cells, thousands(int64(c.ByOutcome[outcome])))
	}
	return append(cells, bytesText(c.Bytes))
}

func countHeadings(removed []manifest.Outcome) []string {
	headings := []string{"calls", "recordings", "archived", "waiting", "lost", "given up"}
	for _, outcome := range removed {
		headings = append(headings, string(outcome))
	}
	return append(headings, "bytes")
}

func daysTable(r *report.Report) *grid {
	gone := removed(&r.Total)
	t := &grid{left: map[int]bool{0: true, 1: true, 9 + len(gone): true}, folds: map[int]int{5: 1, 6: 1, 7: 1}, text: true}
	for i := range gone {
		t.folds[8+i] = 1
	}
	t.row(append(append([]string{"day", "state"}, countHeadings(gone)...), "why")...)
	for i := range r.Days {
		d := &r.Days[i]
		why := d.Reasons
		switch d.State {
		case report.NeverListed: // clear from the state
			why = slices.DeleteFunc(slices.Clone(why), func(reason report.Reason) bool { return reason.Code == report.NotListed })
		case report.Closed: // reported below
			why = nil
		case report.Open:
		}
		t.row(append(append([]string{d.Day, stateText(d.State)}, countCells(&d.Counts, gone)...), reasonsText(why))...)
	}
	t.row(append([]string{"total", ""}, countCells(&r.Total.Counts, gone)...)...)
	return t
}

func stateText(s report.State) string { return strings.ReplaceAll(string(s), "_", " ") }

func reasonsText(reasons []report.Reason) string {
	var texts []string
	for _, reason := range reasons {
		texts = append(texts, reason.Text)
	}
	return strings.Join(texts, "; ")
}

// month is the sum of a month's days.
type month struct {
	name                string
	closed, open, never int
	report.Counts
}

func months(days []report.Day) []*month {
	var list []*month
	for i := range days {
		d := &days[i]
		name := d.Day[:len("2006-01")]
		if len(list) == 0 || list[len(list)-1].name != name {
			list = append(list, &month{name: name, Counts: report.Counts{ByOutcome: map[manifest.Outcome]int{}}})
		}
		m := list[len(list)-1]
		switch d.State {
		case report.Closed:
			m.closed++
		case report.Open:
			m.open++
		case report.NeverListed:
			m.never++
		}
		m.Add(d.Counts)
	}
	return list
}

func monthsTable(r *report.Report) *grid {
	gone := removed(&r.Total)
	t := &grid{left: map[int]bool{0: true}, folds: map[int]int{2: 2, 3: 2, 7: 1, 8: 1, 9: 1}}
	for i := range gone {
		t.folds[10+i] = 1
	}
	t.row(append([]string{"month", "closed", "open", "never listed"}, countHeadings(gone)...)...)
	row := func(name string, closed, open, never int, c *report.Counts) {
		t.row(append([]string{name, thousands(int64(closed)), thousands(int64(open)), thousands(int64(never))}, countCells(c, gone)...)...)
	}
	for _, m := range months(r.Days) {
		row(m.name, m.closed, m.open, m.never, &m.Counts)
	}
	row("total", r.Total.Closed, r.Total.Open, r.Total.NeverListed, &r.Total.Counts)
	return t
}

// openRuns lists the open days; consecutive days with the same reason share a line.
func openRuns(r *report.Report, width int) string {
	type run struct {
		from, to, why string
		n             int
	}
	var runs []run
	joins := false
	for i := range r.Days {
		d := &r.Days[i]
		why := reasonsText(d.Reasons)
		switch {
		case d.State == report.Closed:
			joins = false
			continue
		case joins && runs[len(runs)-1].why == why:
			runs[len(runs)-1].to = d.Day
			runs[len(runs)-1].n++
		default:
			runs = append(runs, run{from: d.Day, to: d.Day, why: why, n: 1})
		}
		joins = true
	}
	if len(runs) == 0 {
		return ""
	}
	t := grid{indent: "  ", left: map[int]bool{0: true, 1: true}, text: true}
	for _, run := range runs[:min(len(runs), maxReportDays)] {
		name := run.from
		if run.n > 1 {
			name = fmt.Sprintf("%s to %s (%s)", run.from, run.to, plural(run.n, "day"))
		}
		t.row(name, run.why)
	}
	return "\ndays that are not closed\n" + t.fitted(width) + andMore(len(runs)-maxReportDays)
}

func andMore(n int) string {
	if n <= 0 {
		return ""
	}
	return "  and " + thousands(int64(n)) + " more; --json lists all\n"
}

// causesText counts waiting recordings by cause, the most frequent first. find and export use the same causes.
func causesText(t *report.Total) string {
	causes := slices.SortedFunc(maps.Keys(t.WaitingBy), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.WaitingBy[b], t.WaitingBy[a]), cmp.Compare(a, b))
	})
	if len(causes) == 0 {
		return ""
	}
	for i, cause := range causes {
		causes[i] = part(t.WaitingBy[cause], cause)
	}
	return "\nwaiting, by cause: " + strings.Join(causes, ", ") + "\n"
}

func purgeText(r *report.Report) string {
	p := r.Purge
	if p == nil {
		return ""
	}
	var b strings.Builder
	b.WriteByte('\n')
	age := ageText(r.Rules.PurgeAfterSeconds)
	if p.Past > 0 {
		fmt.Fprintf(&b, "incomplete days older than %s, when the vendor deletes audio: %s, the oldest %s\n", age, plural(p.Past, "day"), p.Oldest)
	}
	if p.Next != "" {
		fmt.Fprintf(&b, "next incomplete day to become %s old, when the vendor deletes audio: %s, in %s\n", age, p.Next, plural(p.NextDaysLeft, "day"))
	}
	return b.String()
}

// ageText formats whole days without hours.
func ageText(seconds int64) string {
	const day = 24 * 60 * 60
	if seconds%day == 0 {
		return plural(int(seconds/day), "day")
	}
	return durationText(time.Duration(seconds) * time.Second)
}

// remarksText lists the closed days with problems.
func remarksText(r *report.Report, width int) string {
	t, n := grid{indent: "  ", left: map[int]bool{0: true, 1: true}, text: true}, 0
	for i := range r.Days {
		d := &r.Days[i]
		if d.State != report.Closed || len(d.Reasons) == 0 {
			continue
		}
		if n++; n <= maxLosses {
			t.row(d.Day, reasonsText(d.Reasons))
		}
	}
	if n == 0 {
		return ""
	}
	return "\nremarks about closed days\n" + t.fitted(width) + andMore(n-maxLosses)
}

func lossesText(r *report.Report, width int) string {
	if len(r.Losses) == 0 {
		return ""
	}
	t := grid{indent: "  ", left: map[int]bool{0: true, 1: true, 2: true, 3: true, 4: true, 5: true}, folds: map[int]int{3: 2, 4: 1}, text: true}
	t.row("day", "call", "recording", "outcome", "noted", "reason")
	for i := range r.Losses[:min(len(r.Losses), maxLosses)] {
		l := &r.Losses[i]
		t.row(l.Day, l.CallID, l.RecordingID, finalText(l.Outcome), l.Noted.Format("2006-01-02 15:04"), l.Reason)
	}
	return "\nrecordings that will not be archived\n" + t.fitted(width) + andMore(len(r.Losses)+r.Omitted-maxLosses)
}

// finalText returns the outcome of a recording that will not be archived.
func finalText(o manifest.Outcome) string {
	switch o {
	case manifest.Lost:
		return string(o)
	case manifest.Damaged: // it had been archived
		return "damaged, not replaced"
	}
	return "given up, " + string(o)
}
