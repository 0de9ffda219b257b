// Prints found calls as a table.

package cli

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"convoso-archiver/search"
)

const (
	cellGap = 2
	// measuredRows is how many rows determine the column widths; later rows are truncated if they do
	// not fit.
	measuredRows = 200
)

// column is a column of the table of calls.
type column struct {
	header, narrow string // narrow is used if the columns do not fit
	least          int    // minimum characters when truncated; 0 to never truncate
	right          bool   // right-aligned
	below          bool   // printed below its row if the columns do not fit
}

// tableAnswer writes calls in columns.
type tableAnswer struct {
	out     *bufio.Writer
	width   int // 0 for no limit
	columns []column
	rows    [][]string // buffered until the widths are known
	widths  []int
	folded  bool // columns with below are below their rows
}

func newTableAnswer(w io.Writer, width int, zone *time.Location) *tableAnswer {
	return &tableAnswer{out: bufio.NewWriter(w), width: width, columns: []column{
		{header: "time in " + zone.String(), narrow: "time (" + abbreviations(zone) + ")"},
		{header: "agent", least: 6}, {header: "campaign", below: true}, {header: "status", below: true},
		{header: "length", right: true}, {header: "number"}, {header: "recording", below: true},
	}}
}

// abbreviations are those of the zone's winter and summer: PST/PDT.
func abbreviations(zone *time.Location) string {
	winter, _ := time.Date(2025, time.January, 1, 12, 0, 0, 0, zone).Zone()
	summer, _ := time.Date(2025, time.July, 1, 12, 0, 0, 0, zone).Zone()
	if winter == summer {
		return winter
	}
	return winter + "/" + summer
}

func (a *tableAnswer) call(c *search.Call) error {
	row := callCells(c)
	if a.widths != nil {
		return a.write(row)
	}
	if a.rows = append(a.rows, row); len(a.rows) < measuredRows {
		return nil
	}
	return a.begin()
}

func (a *tableAnswer) end() error {
	if a.widths == nil && len(a.rows) > 0 {
		if err := a.begin(); err != nil {
			return err
		}
	}
	return a.out.Flush()
}

// begin chooses the layout, and writes the header and the buffered rows.
func (a *tableAnswer) begin() error {
	a.fit()
	var header []string
	for _, c := range a.columns {
		header = append(header, c.header)
	}
	for _, row := range append([][]string{header}, a.rows...) {
		if err := a.write(row); err != nil {
			return err
		}
	}
	a.rows = nil
	return nil
}

// fit measures the columns. If they do not fit, it first shortens headers, then moves some columns below their rows,
// and finally truncates the widest column that allows it.
func (a *tableAnswer) fit() {
	total := a.measure()
	if a.width == 0 || total <= a.width {
		return
	}
	for i, c := range a.columns {
		a.columns[i].header = cmp.Or(c.narrow, c.header)
	}
	if total = a.measure(); total <= a.width {
		return
	}
	a.folded = true
	for total = a.measure(); total > a.width; total-- {
		widest := -1
		for i, c := range a.columns {
			if c.least > 0 && a.widths[i] > c.least && (widest < 0 || a.widths[i] > a.widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		a.widths[widest]--
	}
}

// measure sets the width of each column, 0 for one below its row, and returns the width of a row.
func (a *tableAnswer) measure() (total int) {
	total, a.widths = -cellGap, make([]int, len(a.columns))
	for i, c := range a.columns {
		if a.folded && c.below {
			continue
		}
		a.widths[i] = utf8.RuneCountInString(c.header)
		for _, row := range a.rows {
			a.widths[i] = max(a.widths[i], utf8.RuneCountInString(row[i]))
		}
		total += a.widths[i] + cellGap
	}
	return total
}

func (a *tableAnswer) write(row []string) error {
	var line strings.Builder
	var below []string
	for i, cell := range row {
		if a.folded && a.columns[i].below {
			below = append(below, cell)
			continue
		}
		if i > 0 {
			line.WriteString(strings.Repeat(" ", cellGap))
		}
		if a.width > 0 {
			cell = shorten(cell, a.widths[i])
		}
		pad := strings.Repeat(" ", max(a.widths[i]-utf8.RuneCountInString(cell), 0))
		if a.columns[i].right {
			cell = pad + cell
		} else {
			cell += pad
		}
		line.WriteString(cell)
	}
	text := strings.TrimRight(line.String(), " ") + "\n"
	if below != nil {
		const indent = "    "
		text += indent + strings.Join(wrap(strings.Join(below, " · "), a.width-len(indent)), "\n"+indent) + "\n"
	}
	_, err := a.out.WriteString(text)
	return err
}

// shorten truncates a text to a number of characters, ending with an ellipsis.
func shorten(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	kept := string([]rune(text)[:max(width-1, 0)])
	if at := strings.LastIndexByte(kept, ' '); at > len(kept)/2 { // at the end of a word
		kept = kept[:at]
	}
	return strings.TrimRight(kept, " ") + "…"
}

// callCells returns the cells of a call, without characters that move the cursor or change the text direction.
func callCells(c *search.Call) []string {
	at := c.Wall.Format(time.DateTime)
	if c.NoRow || c.Erased {
		at = c.Day
	}
	cells := []string{
		at, cmp.Or(c.User, c.UserID, "-"), cmp.Or(c.Campaign, c.CampaignID, "-"), cmp.Or(c.Status, "-"), lengthText(c.Length),
		cmp.Or(c.PhoneNumber, c.NumberDialed, "-"), recordingWords(c),
	}
	if c.Erased && len(c.Recordings) == 0 {
		cells[len(cells)-1] = "erased"
	}
	for i, cell := range cells {
		cells[i] = strings.TrimSpace(strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, cell))
	}
	return cells
}

// lengthText formats seconds as 3:05 or 1:02:03.
func lengthText(seconds int) string {
	switch {
	case seconds < 0:
		return "-"
	case seconds < 3600:
		return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}
