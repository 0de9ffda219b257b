package cli

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"convoso-archiver/search"
)

const (
	pipeWidth  = 100 // columns where no terminal says otherwise
	leastWidth = 60
	cellGap    = 2
	// measuredRows decide how wide the columns are; those behind them are cut where they do not fit.
	measuredRows = 200
)

// tableWidth returns how many columns a table may take.
func tableWidth(w io.Writer, env environment) int {
	if r, ok := w.(*results); ok {
		w = r.base
	}
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return max(width, leastWidth)
		}
	}
	if width, err := strconv.Atoi(env["COLUMNS"]); err == nil && width > 0 {
		return max(width, leastWidth)
	}
	return pipeWidth
}

// column is one of the table of calls.
type column struct {
	header, narrow string // narrow where the columns do not all fit
	least          int    // characters below which it is not cut; 0 for never cut
	right          bool   // its values stand to the right
}

// tableAnswer writes calls in columns.
type tableAnswer struct {
	out     *bufio.Writer
	width   int
	columns []column
	rows    [][]string // until the columns have their widths
	widths  []int
}

func newTableAnswer(w io.Writer, width int, zone *time.Location) *tableAnswer {
	return &tableAnswer{out: bufio.NewWriter(w), width: width, columns: []column{
		{header: "time in " + zone.String(), narrow: "time (" + abbreviations(zone) + ")"},
		{header: "agent", least: 6}, {header: "campaign", least: 8}, {header: "status", least: 6},
		{header: "length", right: true}, {header: "number"}, {header: "recording", least: 9},
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

// begin measures the columns, and writes the header and what waited for it.
func (a *tableAnswer) begin() error {
	a.widths, a.columns = fitColumns(a.columns, a.rows, a.width)
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

func (a *tableAnswer) write(row []string) error {
	var line strings.Builder
	for i, cell := range row {
		if i > 0 {
			line.WriteString(strings.Repeat(" ", cellGap))
		}
		cell = shorten(cell, a.widths[i])
		pad := strings.Repeat(" ", max(a.widths[i]-utf8.RuneCountInString(cell), 0))
		if a.columns[i].right {
			cell = pad + cell
		} else {
			cell += pad
		}
		line.WriteString(cell)
	}
	_, err := a.out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	return err
}

// fitColumns returns how wide each column is, and the columns with the headers that they have then. Where the widest
// values do not all fit, the widest of the columns that may be cut is cut first.
func fitColumns(columns []column, rows [][]string, width int) ([]int, []column) {
	widths, total := measure(columns, rows, width)
	if total <= width {
		return widths, columns
	}
	narrow := append([]column(nil), columns...)
	for i := range narrow {
		narrow[i].header = cmp.Or(narrow[i].narrow, narrow[i].header)
	}
	widths, total = measure(narrow, rows, width)
	for ; total > width; total-- {
		widest := -1
		for i, c := range narrow {
			if c.least > 0 && widths[i] > c.least && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths, narrow
}

func measure(columns []column, rows [][]string, most int) (widths []int, total int) {
	total = cellGap * (len(columns) - 1)
	for i, c := range columns {
		width := utf8.RuneCountInString(c.header)
		for _, row := range rows {
			width = max(width, min(utf8.RuneCountInString(row[i]), most))
		}
		widths = append(widths, width)
		total += width
	}
	return widths, total
}

// shorten cuts a text to a number of characters, the last of which then says so.
func shorten(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	runes := []rune(text)
	return strings.TrimRight(string(runes[:max(width-1, 0)]), " ") + "…"
}

// callCells are the cells of a call. What would move the cursor or change the direction of the text is left out.
func callCells(c *search.Call) []string {
	at := c.Wall.Format(time.DateTime)
	if c.NoRow || c.Erased {
		at = c.Day
	}
	cells := []string{
		at, cmp.Or(c.User, c.UserID, "-"), cmp.Or(c.Campaign, c.CampaignID, "-"), cmp.Or(c.Status, "-"), lengthText(c.Length),
		cmp.Or(c.PhoneNumber, c.NumberDialed, "-"), c.RecordingWords(),
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

// lengthText writes seconds as 3:05 or 1:02:03.
func lengthText(seconds int) string {
	switch {
	case seconds < 0:
		return "-"
	case seconds < 3600:
		return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}
