package web

import (
	"strings"
	"testing"

	"convoso-archiver/manifest"
	"convoso-archiver/manifest/report"
)

// TestAnswer judges reports as the command report does.
func TestAnswer(t *testing.T) {
	counts := report.Counts{Recordings: 1200, ByOutcome: map[manifest.Outcome]int{manifest.Archived: 1190, manifest.Lost: 1}, Waiting: 9, Bytes: 2_500_000}
	closed, never := report.Day{Day: "2025-05-01", State: report.Closed, Settled: true}, report.Day{Day: "2025-05-02", State: report.NeverListed}
	for _, test := range []struct {
		name, answer, totals string
		made                 report.Report
	}{
		{"complete", "Complete", "2025-05-01: all closed, 1,190 of 1,200 recordings archived, 9 waiting, 1 lost, 2.5 MB.", report.Report{
			Complete: true, From: "2025-05-01", To: "2025-05-01", Days: []report.Day{closed}, Total: report.Total{Days: 1, Closed: 1, Counts: counts},
		}},
		{"so far", "Complete so far", "29 days from 2025-05-01 to 2025-05-29: 26 closed, 3 not settled yet (2025-05-02), 1 of 1 recording archived, 0 B.", report.Report{
			Complete: true, From: "2025-05-01", To: "2025-05-29", Days: []report.Day{closed, never}, Total: report.Total{
				Days: 29, Closed: 26, Open: 2, NeverListed: 1, Unsettled: 3, Counts: report.Counts{Recordings: 1, ByOutcome: map[manifest.Outcome]int{manifest.Archived: 1}},
			},
		}},
		{"not", "Not complete", "29 days from 2025-05-01 to 2025-05-29: 24 closed, 4 open, 1 never listed, 2025-05-02 not settled yet, 1,190 of 1,200 recordings archived, 9 waiting, 1 lost, 2.5 MB.", report.Report{
			From: "2025-05-01", To: "2025-05-29", Days: []report.Day{closed, never}, Total: report.Total{Days: 29, Closed: 24, Open: 4, NeverListed: 1, Unsettled: 3, Counts: counts},
		}},
		{"stopped", "Not complete", "2025-05-01: 1 open, 20 recordings archived, 844.4 kB; 1 open day is not listed completely, so more recordings may exist: run archive over this day.", report.Report{
			From: "2025-05-01", To: "2025-05-01", Days: []report.Day{{Day: "2025-05-01", State: report.Open}}, Total: report.Total{
				Days: 1, Open: 1, PartlyListed: 1, Counts: report.Counts{Recordings: 20, ByOutcome: map[manifest.Outcome]int{manifest.Archived: 20}, Bytes: 844_416},
			},
		}},
	} {
		p := completePage{Counts: true}
		p.fill(&test.made, "", "")
		if p.Answer != test.answer || p.Facts[0] != test.totals {
			t.Errorf("%s: %s: %s", test.name, p.Answer, p.Facts[0])
		}
		limited := completePage{}
		if limited.fill(&test.made, "", ""); strings.Contains(strings.Join(limited.Facts, " "), "closed") {
			t.Errorf("%s: a limited user sees %q", test.name, limited.Facts)
		}
	}
}
