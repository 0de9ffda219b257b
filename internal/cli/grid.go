// Prints rows in columns that fit the terminal.

package cli

import (
	"strings"
	"unicode/utf8"
)

// grid prints rows in columns; figures are right-aligned. If the columns do not fit, it first wraps the text of the
// last one, then moves columns to a separate line below their row.
type grid struct {
	indent string
	left   map[int]bool // left-aligned columns
	folds  map[int]int  // columns that may move below their row, first those with 1, then those with 2
	text   bool         // the last column is a text
	rows   [][]string   // the first one has the headings if there are folds
}

const maxFold = 2

func (g *grid) row(cells ...string) { g.rows = append(g.rows, cells) }

// String returns the rows in columns as wide as their widest cell.
func (g *grid) String() string { return g.fitted(0) }

// layout is one way to place the columns of a grid.
type layout struct {
	fold  int // columns of this and lower folds are below their row
	gap   int // blanks between columns
	below bool
}

// fitted returns the rows for a width, 0 for no limit, in the first layout that fits.
func (g *grid) fitted(width int) string {
	if !g.text {
		return g.write(g.choose([]bool{false}, width), width)
	}
	return g.write(g.choose([]bool{false, true}, width), width)
}

func (g *grid) choose(below []bool, width int) (l layout) {
	const widest = 3
	for _, l.fold = range []int{0, 1, maxFold} {
		for _, l.below = range below {
			for l.gap = widest; l.gap > 0; l.gap-- {
				if l.gap < widest && g.text && !l.below || l.gap == 1 && l.fold < maxFold {
					continue
				}
				if total, tail := g.measure(l); width == 0 || total <= width || g.text && !l.below && total-tail+leastTail <= width {
					return l
				}
			}
		}
	}
	l.gap = 1
	return l
}

// isBelow reports whether a column is below its row.
func (l layout) isBelow(g *grid, i int) bool {
	return g.folds[i] > 0 && g.folds[i] <= l.fold || l.below && g.isText(i)
}

func (g *grid) isText(i int) bool { return g.text && i == len(g.rows[0])-1 }

// widths returns the width of each column, 0 for one below its row.
func (g *grid) widths(l layout) []int {
	var widths []int
	for _, row := range g.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if !l.isBelow(g, i) {
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
	}
	return widths
}

// measure returns the widths of the widest row and of the last column.
func (g *grid) measure(l layout) (total, last int) {
	total = len(g.indent)
	shown := 0
	for i, width := range g.widths(l) {
		if l.isBelow(g, i) {
			continue
		}
		if shown > 0 {
			total += l.gap
		}
		shown++
		total, last = total+width, width
	}
	return total, last
}

func (g *grid) write(l layout, width int) string {
	var b strings.Builder
	widths := g.widths(l)
	for at, row := range g.rows {
		var line strings.Builder
		line.WriteString(g.indent)
		used := 0
		for i, cell := range row {
			if l.isBelow(g, i) {
				continue
			}
			pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell)))
			if used > 0 {
				line.WriteString(strings.Repeat(" ", l.gap))
			}
			used++
			switch {
			case g.isText(i) && width > 0:
				begun := utf8.RuneCountInString(line.String())
				line.WriteString(strings.Join(wrap(cell, width-begun), "\n"+strings.Repeat(" ", begun)))
			case g.left[i]:
				line.WriteString(cell + pad)
			default:
				line.WriteString(pad + cell)
			}
		}
		b.WriteString(line.String() + "\n")
		if note := g.note(l, at); note != "" {
			indent := g.indent + "    "
			b.WriteString(indent + strings.Join(wrap(note, width-len(indent)), "\n"+indent) + "\n")
		}
	}
	return trimLines(b.String())
}

// note returns the line below a row: nonzero figures with the names of their columns, and the text.
func (g *grid) note(l layout, at int) string {
	var parts []string
	for i, cell := range g.rows[at] {
		if at == 0 && len(g.folds) > 0 || !l.isBelow(g, i) || cell == "" || cell == "0" {
			continue
		}
		switch {
		case g.isText(i):
		case g.left[i]:
			cell = g.rows[0][i] + " " + cell
		default:
			cell += " " + g.rows[0][i]
		}
		parts = append(parts, cell)
	}
	return strings.Join(parts, ", ")
}
