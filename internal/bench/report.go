// Computes and prints the results of benchmarks.

package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// spread summarizes the runs of one measurement.
type spread struct{ min, median, max float64 }

// spreadOf returns the spread of figures, the zero value without figures. The median of an even
// number of figures is the mean of the middle two.
func spreadOf(figures []float64) spread {
	if len(figures) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(figures))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (median + sorted[middle-1]) / 2
	}
	return spread{min: sorted[0], median: median, max: sorted[len(sorted)-1]}
}

// goal is the limit for a figure; the zero value is no goal.
type goal struct {
	kind  string
	limit float64
}

// The goals apply to the median; neverAbove applies to every run.
func below(limit float64) goal      { return goal{"below", limit} }
func atMost(limit float64) goal     { return goal{"at most", limit} }
func atLeast(limit float64) goal    { return goal{"at least", limit} }
func neverAbove(limit float64) goal { return goal{"never above", limit} }

func (g goal) met(s spread) bool {
	switch g.kind {
	case "below":
		return s.median < g.limit
	case "at most":
		return s.median <= g.limit
	case "at least":
		return s.median >= g.limit
	}
	return s.max <= g.limit
}

// report collects notes and the lines of the table.
type report struct {
	notes  []string
	rows   []string
	missed int // goals
}

// note adds a line above the table.
func (r *report) note(format string, a ...any) { r.notes = append(r.notes, fmt.Sprintf(format, a...)) }

// add adds a line of figures, one for each run, with the given number of decimals.
func (r *report) add(name string, digits int, figures []float64, g goal) {
	s := spreadOf(figures)
	verdict := ""
	if g != (goal{}) {
		verdict = fmt.Sprintf("%s %g: met", g.kind, g.limit)
		if !g.met(s) {
			verdict = fmt.Sprintf("%s %g: MISSED", g.kind, g.limit)
			r.missed++
		}
	}
	r.rows = append(r.rows, fmt.Sprintf("%s\t%.*f\t%.*f\t%.*f\t%s", name, digits, s.min, digits, s.median, digits, s.max, verdict))
}

// write writes notes and table.
func (r *report) write(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows := append([]string{"\tmin\tmedian\tmax\tgoal"}, r.rows...)
	if _, err := fmt.Fprintf(table, "%s\n\n%s\n", strings.Join(r.notes, "\n"), strings.Join(rows, "\n")); err != nil {
		return err
	}
	return table.Flush()
}

// machine describes the machine, without which the figures mean nothing.
func machine() string {
	parts := []string{time.Now().UTC().Format(time.DateOnly), runtime.GOOS + "/" + runtime.GOARCH, fmt.Sprintf("%d cores", runtime.NumCPU()), runtime.Version()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, after, _ := strings.Cut(string(text), "model name")
		line, _, _ := strings.Cut(after, "\n")
		parts = append(parts, cmp.Or(strings.TrimLeft(line, "\t :"), "unknown processor"))
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ := strings.Cut(string(text), " ")
		parts = append(parts, "load before "+load)
	}
	return strings.Join(parts, ", ")
}

// figuresOf returns one figure of each sample.
func figuresOf(samples []sample, figure func(sample) float64) []float64 {
	figures := make([]float64, 0, len(samples))
	for _, s := range samples {
		figures = append(figures, figure(s))
	}
	return figures
}

func seconds(s sample) float64   { return s.wall.Seconds() }
func cpu(s sample) float64       { return s.cpu.Seconds() }
func mebibytes(s sample) float64 { return float64(s.peak) / (1 << 20) }

// ratios divides the figures of alternating runs pair by pair, so that other load on the machine
// affects both sides of a ratio.
func ratios(of, to []float64) []float64 {
	var all []float64
	for i := range min(len(of), len(to)) {
		all = append(all, of[i]/to[i])
	}
	return all
}
