package measure

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Spread is the least, the middle and the greatest of some figures.
type Spread struct{ Min, Median, Max float64 }

// SpreadOf returns the spread of figures, all zero where there are none. The median
// of an even number of figures is the mean of the middle two.
func SpreadOf(figures []float64) Spread {
	if len(figures) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(figures))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (median + sorted[middle-1]) / 2
	}
	return Spread{Min: sorted[0], Median: median, Max: sorted[len(sorted)-1]}
}

// Text renders the three figures with the given digits behind the point.
func (s Spread) Text(digits int) string {
	return fmt.Sprintf("%.*f %.*f %.*f", digits, s.Min, digits, s.Median, digits, s.Max)
}

// Series is the samples of one tool.
type Series struct {
	Name    string
	Samples []Sample
}

func (s Series) spread(figure func(Sample) float64) Spread {
	figures := make([]float64, 0, len(s.Samples))
	for _, sample := range s.Samples {
		figures = append(figures, figure(sample))
	}
	return SpreadOf(figures)
}

// WriteTable writes one row for each series that has samples, each figure as least,
// median and greatest, and the ratios of the medians to those of the series called
// base, where it is among them.
func WriteTable(w io.Writer, series []Series, base string) error {
	wall := func(s Series) Spread { return s.spread(func(x Sample) float64 { return x.Wall.Seconds() }) }
	cpu := func(s Series) Spread { return s.spread(func(x Sample) float64 { return x.CPU.Seconds() }) }
	peak := func(s Series) Spread { return s.spread(func(x Sample) float64 { return float64(x.Peak) / (1 << 20) }) }
	var yardstick Series
	for _, s := range series {
		if s.Name == base {
			yardstick = s
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows := []string{fmt.Sprintf("tool\twall s (min med max)\tCPU s\tpeak MiB\tconnections\trequests\twall/%[1]s\tCPU/%[1]s\tpeak/%[1]s", base)}
	for _, s := range series {
		if len(s.Samples) == 0 {
			continue
		}
		connections := s.spread(func(x Sample) float64 { return float64(x.Connections) })
		requests := s.spread(func(x Sample) float64 { return float64(x.Requests) })
		rows = append(rows, strings.Join([]string{
			s.Name, wall(s).Text(2), cpu(s).Text(2), peak(s).Text(0), connections.Text(0), requests.Text(0),
			ratio(wall(s), wall(yardstick)), ratio(cpu(s), cpu(yardstick)), ratio(peak(s), peak(yardstick)),
		}, "\t"))
	}
	for _, row := range rows {
		if _, err := fmt.Fprintln(table, row); err != nil {
			return fmt.Errorf("write table: %w", err)
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

func ratio(of, to Spread) string {
	if to.Median == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", of.Median/to.Median)
}

// Machine describes where the figures come from: a figure without it says nothing.
func Machine(now time.Time) string {
	parts := []string{now.UTC().Format(time.DateOnly), runtime.GOOS + "/" + runtime.GOARCH, fmt.Sprintf("%d cores", runtime.NumCPU()), runtime.Version()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, after, _ := strings.Cut(string(text), "model name")
		line, _, _ := strings.Cut(after, "\n")
		parts = append(parts, cmp.Or(strings.TrimLeft(line, "\t :"), "unknown processor"))
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		parts = append(parts, "load before "+strings.Join(strings.Fields(string(text))[:1], ""))
	}
	return strings.Join(parts, ", ")
}

// Percent renders a share, with a dash for none that can be had.
func Percent(share float64) string {
	if math.IsNaN(share) || math.IsInf(share, 0) {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*share)
}
