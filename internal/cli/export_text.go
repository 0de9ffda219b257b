// Renders the summary of an export.

package cli

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/scrypt"

	"convoso-archiver/search"
	"convoso-archiver/search/export"
)

// maxSpans is how many spans of written days the text lists; the JSON lists all days.
const maxSpans = 10

// exportResult is the summary of an export.
type exportResult struct {
	ExitCode int           `json:"exit_code"`
	Error    string        `json:"error"`
	Archive  string        `json:"archive"`
	To       string        `json:"to"`
	Format   export.Format `json:"format"`
	export.Summary
	Seconds float64 `json:"seconds"`

	idsMissing bool // some ids of --ids-from were not found
}

// counts returns the figures of an export in the last line of its log.
func (e exportResult) counts() []any {
	return []any{
		"seconds", e.Seconds, "days", e.Days, "days_written", e.Written, "days_unchanged", e.Unchanged, "days_removed", e.Removed,
		"days_unreadable", len(e.Unreadable), "rows_written", e.RowsWritten, "bytes_written", e.BytesWritten,
	}
}

// write writes the summary: one JSON object, or lines for a person.
func (e exportResult) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(e)
	}
	var b strings.Builder
	answer := "exported"
	switch {
	case e.Error != "":
		answer = "not exported: the export failed"
	case e.ExitCode != ExitDone && len(e.Unreadable) == 0:
		answer = "stopped"
	case len(e.Unreadable) > 0:
		answer = "partly exported"
	case e.Unchanged > 0 && e.Written+e.Removed == 0:
		answer = "nothing to write, the export is up to date"
	}
	fmt.Fprintf(&b, "%s: %s and %s in %s, %s, in %s\n", answer,
		plural(int(e.Calls), "call"), plural(int(e.Recordings), "recording"), bytesText(e.Bytes), e.Format, e.To)
	fmt.Fprintf(&b, "days         %s written, %s unchanged, %s removed", thousands(int64(e.Written)), thousands(int64(e.Unchanged)), thousands(int64(e.Removed)))
	if e.Empty > 0 {
		fmt.Fprintf(&b, ", %s with no call to export", thousands(int64(e.Empty)))
	}
	if len(e.Unreadable) > 0 {
		fmt.Fprintf(&b, ", %s not readable", thousands(int64(len(e.Unreadable))))
	}
	b.WriteString("\n")
	if len(e.WrittenDays) > 0 {
		spans := search.DaySpans(e.WrittenDays)
		more := ""
		if n := len(spans) - maxSpans; n > 0 {
			spans, more = spans[:maxSpans], ", and more: --json names all"
		}
		fmt.Fprintf(&b, "             written: %s%s\n", strings.Join(spans, ", "), more)
	}
	for i, day := range e.Unreadable {
		if i == maxFindings {
			fmt.Fprintf(&b, "             … and %d more\n", len(e.Unreadable)-i)
			break
		}
		fmt.Fprintf(&b, "  %s  %s\n", day.Day, oneLine(day.Error))
	}
	fmt.Fprintf(&b, "written      %s rows, %s\n", thousands(e.RowsWritten), bytesText(e.BytesWritten))
	fmt.Fprintf(&b, "time         %s\n", durationText(time.Duration(e.Seconds*float64(time.Second))))
	return writeText(w, b.String())
}

// queryText writes the terms of a search in one canonical form, "" for none, as fetcher.Filter does: personal values
// are replaced by a hash. It omits the span.
func queryText(given values, q search.Query, archiveID string) string {
	hashed := func(text string) string { return slowHash(archiveID, text) }
	var parts []string
	for _, t := range search.Terms() {
		g, ok := given[t.Name]
		if !ok {
			continue
		}
		items := slices.Clone(g.items)
		for i := range items {
			items[i] = strings.ToLower(strings.TrimSpace(items[i]))
		}
		slices.Sort(items)
		value := url.QueryEscape(strings.Join(slices.Compact(items), ","))
		if t.Personal {
			value = hashed(t.Name + "=" + value)
		}
		parts = append(parts, t.Name+"="+value)
	}
	if q.Listed != nil {
		ids := slices.Sorted(slices.Values(q.Listed))
		parts = append(parts, "ids-from="+hashed(strings.Join(ids, "\n")))
	}
	return strings.Join(parts, "&")
}

// slowHash takes a tenth of a second and 32 MiB for each text: there are so few telephone numbers that a fast hash
// could be reversed at once. The parameters are those that scrypt's documentation recommends for logins.
func slowHash(salt, text string) string {
	const cost, block, parallel, size = 1 << 15, 8, 1, 16
	sum, err := scrypt.Key([]byte(text), []byte(salt), cost, block, parallel, size)
	if err != nil {
		panic(err) // the parameters are wrong
	}
	return "scrypt:" + hex.EncodeToString(sum)
}

// spanTerms returns the ends of a span that lie within a day, because the export of that day depends on them. A
// span of whole days adds nothing, so an export can be continued.
func spanTerms(q search.Query) string {
	text := ""
	if !q.From.IsZero() && !q.From.Equal(startOfDay(q.From)) {
		text += "&from=" + q.From.Format("2006-01-02T15:04:05")
	}
	if !q.To.IsZero() && !q.To.Equal(endOfDay(q.To)) {
		text += "&to=" + q.To.Format("2006-01-02T15:04:05")
	}
	return text
}
