package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"convoso-archiver/manifest"
	"convoso-archiver/manifest/report"
)

// reportDays returns a span with a day of each kind first, then closed days.
func reportDays(closed int) []report.Facts {
	noted := time.Date(2025, 5, 20, 9, 30, 0, 0, time.UTC)
	loss := func(n int, outcome manifest.Outcome, reason string) report.Unarchived {
		return report.Unarchived{ID: fmt.Sprintf("98000%02d", n), State: manifest.State{
			CallID: fmt.Sprintf("47110000%02d", n), Outcome: outcome, FirstSeen: noted.AddDate(0, 0, -16), Time: noted, Reason: reason, Final: true,
		}}
	}
	waits := func(id string, outcome manifest.Outcome, cause string) report.Unarchived {
		return report.Unarchived{ID: id, State: manifest.State{Outcome: outcome, Cause: cause, Time: noted, FirstSeen: noted}}
	}
	line := func(day string, calls int, by map[manifest.Outcome]int) *manifest.DayLine {
		recordings := 0
		for _, n := range by {
			recordings += n
		}
		return &manifest.DayLine{Day: day, Closed: true, Calls: calls, Recordings: recordings, ByOutcome: by, Bytes: int64(by[manifest.Archived]) * 57_472}
	}
	window := func(day, from, to string, calls, total int, filter string) manifest.Window {
		return manifest.Window{From: from, To: to, Calls: calls, Total: total, Rows: total, Filter: filter, Listing: "l", Run: "r", ListedAt: noted}
	}
	list := []report.Facts{
		{Day: "2025-05-01", Known: true, LastLine: noted, Closing: line("2025-05-01", 1230, map[manifest.Outcome]int{manifest.Archived: 318, manifest.Lost: 2, manifest.Rejected: 1}),
			Unarchived: []report.Unarchived{
				loss(1, manifest.Lost, "not_found listing=20250520T093000Z-1f0c9a3e.1"), loss(2, manifest.Lost, "no longer listed"),
				loss(3, manifest.Rejected, "not audio: an HTML page"),
			}},
		{Day: "2025-05-02", Known: true, ByOutcome: map[manifest.Outcome]int{manifest.Archived: 290, manifest.Failed: 2, manifest.Pending: 1}, Bytes: 16_000_000,
			Windows: []manifest.Window{window("2025-05-02", "2025-05-01 23:59:59", "2025-05-03 00:00:00", 1101, 1101, "")},
			Unarchived: []report.Unarchived{
				waits("9900001", manifest.Failed, "connection"), waits("9900002", manifest.Failed, "connection"), waits("9900003", manifest.Pending, "no_link"),
			}},
		// The third and the fourth were never listed.
		{Day: "2025-05-05", Known: true, ByOutcome: map[manifest.Outcome]int{manifest.Archived: 5}, Bytes: 250_000,
			Windows: []manifest.Window{window("2025-05-05", "2025-05-04 23:59:59", "2025-05-06 00:00:00", 40, 40, "campaign_id=7")}},
	}
	first := time.Date(2025, 5, 6, 0, 0, 0, 0, time.UTC)
	for i := range closed {
		day := first.AddDate(0, 0, i).Format(time.DateOnly)
		list = append(list, report.Facts{Day: day, Known: true, Closing: line(day, 1000, map[manifest.Outcome]int{manifest.Archived: 250})})
	}
	return list
}

// doubtfulDays returns closed days that may be incomplete, one with a permanently damaged recording, and a day with a
// doubtful listing.
func doubtfulDays() []report.Facts {
	list := reportDays(4)[3:]
	list[0].Closing.Uncounted, list[1].Closing.Unlistable, list[1].Closing.Stray = 3, true, 2
	list[2].Closing.ByOutcome[manifest.Damaged]++
	list[2].Closing.Recordings++
	list[2].Unarchived = []report.Unarchived{{ID: "9700001", State: manifest.State{
		CallID: "4711000009", Outcome: manifest.Damaged, Final: true, Time: time.Date(2025, 5, 20, 9, 30, 0, 0, time.UTC), Reason: "missing found by verify",
	}}}
	list[3].Closing = nil
	list[3].ByOutcome = map[manifest.Outcome]int{manifest.Archived: 250}
	list[3].Windows = []manifest.Window{{
		From: "2025-05-08 23:59:59", To: "2025-05-10 00:00:00", Rows: 997, Total: 1000, Calls: 997, Recordings: 250,
		Doubts: []string{"windows whose total differs from the received calls, or changed meanwhile", "rows that cannot be read (3000 times)"},
	}}
	return list
}

func buildReport(t *testing.T, days []report.Facts, now time.Time, to string, losses int, verifications ...manifest.Verification) *report.Report {
	t.Helper()
	return buildReportWith(t, days, report.Options{Now: now, To: to, Losses: losses, Verifications: verifications})
}

// buildReportWith adds zone and ages to the options.
func buildReportWith(t *testing.T, days []report.Facts, o report.Options) *report.Report {
	t.Helper()
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	o.Zone, o.Settle, o.PurgeAfter, o.GiveUp = zone, 48*time.Hour, 155*24*time.Hour, 14*24*time.Hour
	r, err := report.Build(func(yield func(report.Facts, error) bool) {
		for _, f := range days {
			if !yield(f, nil) {
				return
			}
		}
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	r.Archive, r.Account, r.APIURL = "0a1b2c3d4e5f6071", "100200", "https://api.convoso.com/v1"
	return r
}

// TestReportRenderings compares with golden files, which -update rewrites.
func TestReportRenderings(t *testing.T) {
	early, late := time.Date(2025, 5, 31, 9, 0, 0, 0, time.UTC), time.Date(2025, 11, 1, 9, 0, 0, 0, time.UTC)
	many := reportDays(100)
	for i := range 30 {
		u := many[0].Unarchived[0]
		u.ID = fmt.Sprintf("97000%02d", i)
		many[0].Unarchived = append(many[0].Unarchived, u)
	}
	many[0].Closing.ByOutcome[manifest.Lost] += 30
	many[0].Closing.Recordings += 30
	erased, manyErased := reportDays(24), reportDays(100)
	for _, days := range [][]report.Facts{erased, manyErased} {
		for i, outcome := range []manifest.Outcome{manifest.Erased, manifest.Expired} { // 4 of the first day, 5 of another
			closing := days[3*i].Closing
			closing.ByOutcome[outcome] = 4 + i
			closing.ByOutcome[manifest.Archived] -= 4 + i
		}
	}
	verified := []manifest.Verification{
		{Started: early.AddDate(0, 0, -9), Mode: "full", Days: 26, Recordings: 6613, Checked: 6613, Complete: true},
		{Started: early.AddDate(0, 0, -1), Mode: "quick", From: "2025-05-06", To: "2025-05-10", Days: 5, Recordings: 1250, Checked: 1248, DamagedCount: 2, ManifestBad: 1, Complete: true},
		{Started: early, Mode: "sample", Days: 26, Recordings: 6613, Checked: 65, DamagedCount: 1},
	}
	missing := buildReportWith(t, reportDays(24), report.Options{Now: early, To: "2025-05-31", Losses: report.AllLosses, Why: whyMissing})
	for name, test := range map[string]struct {
		report *report.Report
		format reportFormat
		width  int // columns of stdout, 0 for a pipe
	}{
		"days.txt":            {buildReport(t, reportDays(24), early, "2025-05-31", 20), reportText, 0},
		"answer.txt":          {buildReport(t, reportDays(24), early, "2025-05-31", 0), reportAnswer, 80},
		"days.json":           {buildReport(t, reportDays(24), early, "2025-05-31", report.AllLosses, verified...), reportJSON, 60},
		"days.csv":            {buildReport(t, reportDays(24), early, "2025-05-31", 0), reportCSV, 60},
		"months.txt":          {buildReport(t, many, late, "", 20), reportText, 0},
		"complete.txt":        {buildReport(t, reportDays(5)[3:], early, "2025-05-10", 20, verified...), reportText, 0},
		"so-far.txt":          {buildReport(t, reportDays(26)[3:], early, "2025-06-01", 20), reportText, 0},
		"empty.txt":           {buildReport(t, nil, early, "", 20), reportText, 0},
		"doubtful.txt":        {buildReport(t, doubtfulDays(), early, "2025-05-09", 20), reportText, 0},
		"days-60.txt":         {buildReport(t, reportDays(24), early, "2025-05-31", 20, verified...), reportText, 60},
		"days-80.txt":         {buildReport(t, reportDays(24), early, "2025-05-31", 20), reportText, 80},
		"months-60.txt":       {buildReport(t, many, late, "", 20), reportText, 60},
		"months-80.txt":       {buildReport(t, many, late, "", 20), reportText, 80},
		"doubtful-80.txt":     {buildReport(t, doubtfulDays(), early, "2025-05-09", 20), reportText, 80},
		"erased.txt":          {buildReport(t, erased, early, "2025-05-31", 20), reportText, 0},
		"erased-80.txt":       {buildReport(t, erased, early, "2025-05-31", 20), reportText, 80},
		"erased.csv":          {buildReport(t, erased, early, "2025-05-31", 20), reportCSV, 0},
		"erased-months.txt":   {buildReport(t, manyErased, late, "", 20), reportText, 0},
		"missing.txt":         {missing, reportText, 0},
		"missing-80.txt":      {missing, reportText, 80},
		"missing.csv":         {missing, reportCSV, 0},
		"missing.json":        {missing, reportJSON, 0},
		"nothing-missing.txt": {buildReportWith(t, reportDays(5)[3:], report.Options{Now: early, To: "2025-05-10", Losses: report.AllLosses, Why: whyMissing}), reportText, 0},
		"doubtful-160.txt":    {buildReport(t, doubtfulDays(), early, "2025-05-09", 20), reportText, 160},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := writeReport(&results{base: &b, width: test.width}, test.report, test.format); err != nil {
				t.Fatal(err)
			}
			if got := widestOf(b.String()); test.format == reportText && test.width > 0 && got > test.width {
				t.Errorf("%d columns of %d", got, test.width)
			}
			golden := filepath.Join("testdata", "report", name)
			if *update {
				if err := os.WriteFile(golden, b.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.String(); got != strings.ReplaceAll(string(want), "\r\n", "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// The text counts the losses that it does not list.
func TestReportNamesSomeLosses(t *testing.T) {
	days := reportDays(0)
	r := buildReport(t, days, time.Date(2025, 5, 31, 9, 0, 0, 0, time.UTC), "", report.AllLosses)
	r.Losses = append(r.Losses, make([]report.Loss, 30)...)
	if text := reportAsText(r, 0); !strings.Contains(text, "and 13 more; --json lists all") {
		t.Errorf("got\n%s", text)
	}
}

func TestReportFormat(t *testing.T) {
	flagged := func(origin string) given {
		return given{items: []string{"true"}, origin: origin, source: onCommandLine}
	}
	elsewhere := given{items: []string{"true"}, origin: "json (archive.yaml, line 1)"}
	for name, test := range map[string]struct {
		values values
		want   reportFormat
		failed bool
	}{
		"neither":             {values{}, reportText, false},
		"json":                {values{"json": flagged("--json")}, reportJSON, false},
		"csv":                 {values{"csv": flagged("--csv")}, reportCSV, false},
		"quiet":               {values{"quiet": flagged("--quiet")}, reportAnswer, false},
		"quiet, missing":      {values{"quiet": elsewhere, "missing": flagged("--missing")}, reportText, false},
		"quiet, json":         {values{"quiet": elsewhere, "json": flagged("--json")}, reportJSON, false},
		"csv, json elsewhere": {values{"csv": flagged("--csv"), "json": elsewhere}, reportCSV, false},
		"both":                {values{"csv": flagged("--csv"), "json": flagged("--json")}, reportText, true},
		"both elsewhere":      {values{"csv": elsewhere, "json": elsewhere}, reportText, true},
	} {
		r := &reader{settings: reportKnown(), values: test.values}
		if got := r.reportFormat(); (r.err != nil) != test.failed || !test.failed && got != test.want {
			t.Errorf("%s: got %v, %v", name, got, r.err)
		}
	}
}
