package e2e

import (
	"maps"
	"strings"
	"testing"

	"convoso-archiver/fetcher/convosotest"
)

// erasedArchive is an archive of three days of which a person's calls are erased: one with recordings, one without.
type erasedArchive struct {
	*archive
	recorded, bare convosotest.Call // of these calls
	erasure        string           // its id
}

func eraseSome(t *testing.T, seed uint64) erasedArchive {
	t.Helper()
	server := simulate(t, convosotest.Config{Seed: seed, FirstDay: daysAgo(10), Days: 3, CallsPerDay: 20, RecordedShare: 0.5, MedianSize: 2_000})
	e := erasedArchive{archive: onDisk(t, server)}
	e.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	for c := range server.Calls() {
		if c.Day == daysAgo(9) && len(c.Recordings) > 0 {
			e.recorded = c
		} else if c.Day == daysAgo(9) {
			e.bare = c
		}
	}
	e.erasure = e.erase(0, "--ids-from", idsFile(t, e.recorded.ID, e.bare.ID), "--reason", "request 2025-17", "--yes").Erased[0].Erasure
	return e
}

// wantSaid wants texts in what a command writes.
func wantSaid(t *testing.T, said string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
}

// TestReportCountsErased: the sentence, the table and the CSV of report count what was erased.
func TestReportCountsErased(t *testing.T) {
	t.Parallel()
	e := eraseSome(t, 87)
	span := []string{"--start-time", daysAgo(10), "--end-time", daysAgo(8)}
	said := e.report(span...).want(t, 0)
	wantSaid(t, said.stdout, "complete: 3 days", " archived, 1 erased", "given up   erased  ")
	csv := e.report(append(span, "--csv")...).want(t, 0).stdout
	wantSaid(t, csv, ",bytes,reasons,erased,expired\n")
	erased := map[string]int{}
	for line := range strings.Lines(csv) {
		if day, _, _ := strings.Cut(line, ","); strings.HasSuffix(line, ",1,0\n") {
			erased[day]++
		}
	}
	if !maps.Equal(erased, map[string]int{daysAgo(9): 1}) {
		t.Errorf("%v:\n%s", erased, csv)
	}
}
