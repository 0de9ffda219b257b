// Reads the list of --ids-from.

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"convoso-archiver/evidence"
	"convoso-archiver/search"
)

// idsSetting is the list of ids, of find and export.
func idsSetting() setting {
	return setting{name: "ids-from", group: groupTerms, placeholder: "FILE", usage: "calls or recordings with the ids in this file, one per line or in the first column of a CSV file; - means stdin. Reports ids that were not found and exits with 3"}
}

// caseSetting is the flag of find and export for the calls of a case.
func caseSetting() setting {
	return setting{name: "case", flagOnly: true, group: groupTerms, placeholder: "NAME", usage: "calls of this case of hold, also after its release; hold list shows the cases"}
}

// readCase limits the query to the calls of --case, also of a released case. Without --case it does nothing.
func (j *searchJob) readCase(ctx context.Context, archive *searched, tell teller) error {
	name := j.read.text("case")
	if name == "" {
		return nil
	}
	holds, err := evidence.LoadHolds(ctx, archive.opened.Ledger)
	if err != nil {
		return err
	}
	c, known := holds.Case(name)
	if !known {
		return noCase()
	}
	held := c.IDs
	if !c.Released.IsZero() {
		held = c.Past
		tell.note("the case was released on "+c.Released.Format(time.DateOnly)+": these are the calls that it held", "the case was released", "released", c.Released)
	}
	j.query.Listed = []string{}
	for _, id := range held {
		j.query.Listed = append(j.query.Listed, cmp.Or(id.Call, id.Recording)) // a call is held as a whole
	}
	return nil
}

// oneList refuses --case together with --ids-from.
func (r *reader) oneList() {
	if r.isSet("case") && r.isSet("ids-from") {
		r.keep(misuse("", "use either --case or --ids-from, not both%s", r.origins("case", "ids-from")))
	}
}

// maxIDsBytes is enough for more than two million ids.
const maxIDsBytes = 64 << 20

// idList is a list of ids of calls or recordings, and which of them were found.
type idList struct {
	ids  []string // without duplicates, in the order of the list
	seen map[string]bool
}

// readIDs reads a list from a file, or from stdin, and adds its ids to a query. It is nil without a path.
func (p *process) readIDs(ctx context.Context, path string, query *search.Query) (*idList, error) {
	const try = "give a file with an id of a call or a recording on each line"
	if path == "" {
		return nil, nil
	}
	data, err := p.readList(ctx, path)
	if err != nil {
		return nil, misuse("check --ids-from", "read --ids-from: %v", err)
	}
	text := decodeText(data)
	if name := laterColumn(text); name != "" {
		return nil, misuse("write the ids alone, as in find --json | jq -r .id",
			"--ids-from: the table has ids in the column %s: only the first column is read", name)
	}
	ids := parseIDs(text)
	if len(ids) == 0 {
		return nil, misuse(try, "--ids-from: it contains no id")
	}
	query.Listed = ids
	return &idList{ids: ids, seen: map[string]bool{}}, nil
}

func (p *process) readList(ctx context.Context, path string) ([]byte, error) {
	if path != "-" {
		return readWhole(ctx, path, maxIDsBytes)
	}
	if p.stdin == nil {
		return nil, errors.New("there is no stdin")
	}
	data, err := io.ReadAll(io.LimitReader(p.stdin, maxIDsBytes+1))
	if err == nil && len(data) > maxIDsBytes {
		err = fmt.Errorf("stdin is larger than %d bytes", maxIDsBytes)
	}
	return data, err
}

// parseIDs returns the first cell of each line, without duplicates. It skips blank lines, comments and a column
// heading.
func parseIDs(text string) []string {
	var ids []string
	known := map[string]bool{}
	isFirst := true
	for line := range strings.Lines(strings.ReplaceAll(text, "\r", "\n")) {
		id := firstCell(line)
		if id == "" || strings.HasPrefix(id, "#") {
			continue
		}
		isHeader := isFirst && isColumnName(id)
		isFirst = false
		if isHeader || known[id] {
			continue
		}
		known[id] = true
		ids = append(ids, id)
	}
	return ids
}

// laterColumn returns the name of a column of ids that is not the first, as in the output of find --csv; empty if the
// first line does not name one.
func laterColumn(text string) string {
	line, _, _ := strings.Cut(strings.TrimLeft(text, "\r\n"), "\n")
	names := strings.FieldsFunc(strings.TrimSpace(line), func(r rune) bool { return strings.ContainsRune(",;\t", r) })
	for i, name := range names {
		name = strings.Trim(name, `" `)
		switch {
		case i == 0 && (isColumnName(name) || idPattern.MatchString(name)):
			return ""
		case i > 0 && isColumnName(name):
			return name
		}
	}
	return ""
}

// firstCell returns the first column of a line of text or CSV.
func firstCell(line string) string {
	line = strings.TrimSpace(line)
	if rest, quoted := strings.CutPrefix(line, `"`); quoted {
		cell, _, _ := strings.Cut(rest, `"`)
		return strings.TrimSpace(cell)
	}
	if i := strings.IndexAny(line, ",;\t"); i >= 0 {
		line = line[:i]
	}
	return strings.TrimSpace(line)
}

func isColumnName(text string) bool {
	name := strings.Map(func(r rune) rune {
		if r == ' ' || r == '_' || r == '-' {
			return -1
		}
		return r
	}, strings.ToLower(text))
	return slices.Contains([]string{"id", "ids", "call", "callid", "callids", "recording", "recordingid", "recordingids", "calllogid"}, name)
}

// see notes that a call was found.
func (l *idList) see(c *search.Call) {
	l.seen[c.ID] = true
	for _, r := range c.Recordings {
		l.seen[r.ID] = true
	}
}

// idPattern matches ids: a list may contain other things by mistake, which must not be repeated in
// messages.
var idPattern = regexp.MustCompile(`^[A-Za-z0-9._#-]*[0-9][A-Za-z0-9._#-]*$`)

// absent returns the ids that were not found.
func (l *idList) absent() []string {
	var absent []string
	for _, id := range l.ids {
		if l.seen[id] {
			continue
		}
		if !idPattern.MatchString(id) || len(id) > 100 {
			id = "(a line that is not an id)"
		}
		absent = append(absent, id)
	}
	return absent
}

// tell reports the ids that were not found, and returns whether there are any.
func (l *idList) tell(tell teller) (missing bool) {
	absent := l.absent()
	if len(absent) == 0 {
		return false
	}
	tell.warn(l.absentText(absent), "ids were not found", "missing", absent[:min(len(absent), maxTold)], "count", len(absent), "of", len(l.ids))
	return true
}

// absentText names the first ids that were not found.
func (l *idList) absentText(absent []string) string {
	text := fmt.Sprintf("%d of %s not found: ", len(absent), plural(len(l.ids), "id")) + strings.Join(absent[:min(len(absent), maxTold)], ", ")
	if more := len(absent) - maxTold; more > 0 {
		text += fmt.Sprintf(" and %s more", thousands(int64(more)))
	}
	return text
}
