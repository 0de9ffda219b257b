package e2e

import (
	"slices"
	"strings"
	"testing"

	"convoso-archiver/fetcher/convosotest"
)

// TestFewerRowsKept: a day that was closed with --calls recorded is not taken for one with every row, and the run that
// skips it says so.
func TestFewerRowsKept(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 133, FirstDay: daysAgo(10), Days: 2, CallsPerDay: 20, RecordedShare: 0.5, MedianSize: 3_000})
	a := onDisk(t, server, "--start-time", daysAgo(10), "--end-time", daysAgo(9))
	warned := func(r result) bool {
		return slices.ContainsFunc(r.want(t, 0).summary.Warnings, func(text string) bool {
			return strings.Contains(text, "with recordings: 1; add --relist")
		})
	}
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(10), "--calls", "recorded").want(t, 0)
	a.run().want(t, 0)
	if r := a.run(); !warned(r) || r.summary.APIRequests != 0 {
		t.Errorf("nothing is said of the rows that are not kept: %q", r.summary.Warnings)
	}
	if r := a.run("--calls", "recorded"); warned(r) {
		t.Errorf("no more rows were asked for: %q", r.summary.Warnings)
	}
	if r := a.run("--relist"); warned(r) {
		t.Errorf("all days were listed: %q", r.summary.Warnings)
	}
	if r := a.run(); warned(r) {
		t.Errorf("every row is kept: %q", r.summary.Warnings)
	}
}
