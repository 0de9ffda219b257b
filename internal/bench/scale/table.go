package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"convoso-archiver/internal/bench/measure"
)

// sample is one run.
type sample struct {
	measure.Sample
	first time.Duration // from the start of the process to the first request, 0 for none
	rate  float64       // MB/s of lines read, 0 where not every line is read
}

// table prints one row for each thing that was done, its figures as least, median and greatest.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer) *table {
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row("where", "days", "a day", "what", "first request ms (min med max)", "wall s", "CPU s", "peak MiB", "requests", "MB/s")
	return t
}

func (t *table) row(cells ...string) {
	for i, cell := range cells {
		if i > 0 {
			cell = "\t" + cell
		}
		fmt.Fprint(t.w, cell) // the writer keeps its error for Flush
	}
	fmt.Fprintln(t.w)
}

func (t *table) add(f facts, name string, samples []sample) {
	t.row(f.name, fmt.Sprint(f.days), fmt.Sprint(f.perDay), name,
		spread(samples, 0, func(s sample) float64 { return float64(s.first.Microseconds()) / 1e3 }),
		spread(samples, 2, func(s sample) float64 { return s.Wall.Seconds() }),
		spread(samples, 2, func(s sample) float64 { return s.CPU.Seconds() }),
		spread(samples, 1, func(s sample) float64 { return float64(s.Peak) / (1 << 20) }),
		spread(samples, 0, func(s sample) float64 { return float64(s.Requests) }),
		spread(samples, 0, func(s sample) float64 { return s.rate }))
}

func (t *table) flush() error {
	if err := t.w.Flush(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// spread renders a figure, or - where there is none.
func spread(samples []sample, digits int, figure func(sample) float64) string {
	figures := make([]float64, 0, len(samples))
	for _, s := range samples {
		figures = append(figures, figure(s))
	}
	all := measure.SpreadOf(figures)
	if all.Max == 0 {
		return "-"
	}
	return all.Text(digits)
}
