package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
	"convoso-archiver/manifest/report"
)

// TestFaultsThatStay lists a day whose listings are wrong in the same way each time. None of them
// may keep it open for ever, and the problem is reported.
func TestFaultsThatStay(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		listing convosotest.Listing
		ages    []time.Duration // age before each further run; the last run closes the day
		code    int             // of that run
		has     func(manifest.DayLine) bool
		tells   report.Code
	}{
		"the total is one too high": {
			convosotest.Listing{TotalError: 1}, []time.Duration{25 * time.Hour, 14 * day}, 3,
			func(l manifest.DayLine) bool { return l.Uncounted == -1 }, report.Uncounted,
		},
		"rows of the day before": {
			convosotest.Listing{Stray: 2}, []time.Duration{11 * time.Hour, 14 * time.Hour}, 0,
			func(l manifest.DayLine) bool { return l.Stray == 2 }, report.Stray,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := simulate(t, convosotest.Config{
				Seed: 76, FirstDay: daysAgo(40), Days: 3, CallsPerDay: 30, RecordedShare: 0.5, MedianSize: 2_000, Listing: test.listing,
			})
			a := onDisk(t, source, "--start-time", daysAgo(39), "--end-time", daysAgo(39))
			a.run().want(t, 3)
			for i, age := range test.ages {
				if _, closed := a.read().closed[daysAgo(39)]; closed {
					t.Fatalf("closed after %d runs", i+1)
				}
				a.age(age)
				code := 3
				if i == len(test.ages)-1 {
					code = test.code
				}
				a.run().want(t, code)
			}
			calls := 0 // in the day's own listing
			for call := range source.Calls() {
				if call.Day == daysAgo(39) && call.ListedDay == call.Day {
					calls++
				}
			}
			line, closed := a.checkStored().closed[daysAgo(39)]
			if !closed || !test.has(line) || line.Calls != calls {
				t.Errorf("closed: %t, %+v", closed, line)
			}
			var got report.Report
			r := a.report("--json", "--start-time", daysAgo(39), "--end-time", daysAgo(39)).want(t, 0)
			if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
				t.Fatal(err)
			}
			if len(got.Days) != 1 || len(got.Days[0].Reasons) != 1 || got.Days[0].Reasons[0].Code != test.tells {
				t.Errorf("report %s", r.stdout)
			}
			source.ResetStats()
			a.run().want(t, 0)
			if n := source.Stats().API.Requests; n > 0 {
				t.Errorf("%d requests for a closed day", n)
			}
		})
	}
}

// TestDaysWithoutCalls: days without calls, before the first and after the last day with calls,
// close if the API shows calls of other days. If it shows none at all, nothing closes, which is an
// error only for an archive with known calls.
func TestDaysWithoutCalls(t *testing.T) {
	t.Parallel()
	t.Run("around others", func(t *testing.T) {
		t.Parallel()
		source := simulate(t, convosotest.Config{Seed: 77, FirstDay: daysAgo(20), Days: 2, CallsPerDay: 20, RecordedShare: 0.5, MedianSize: 2_000})
		a := onDisk(t, source, "--start-time", daysAgo(22), "--end-time", daysAgo(17))
		a.run().want(t, 0)
		if c := a.checkFiles(nil); len(c.closed) != 6 || c.closed[daysAgo(22)].Calls+c.closed[daysAgo(17)].Calls != 0 {
			t.Errorf("closed %v", c.closed)
		}
		if closed := a.checkReport(daysAgo(22), daysAgo(17)); closed != 6 {
			t.Errorf("%d days are reported as closed", closed)
		}
	})
	t.Run("alone", func(t *testing.T) {
		t.Parallel()
		source := simulate(t, convosotest.Config{Seed: 77, FirstDay: daysAgo(20), CallsPerDay: 20, RecordedShare: 0.5, MedianSize: 2_000})
		a := onDisk(t, source, "--start-time", daysAgo(900), "--end-time", daysAgo(899))
		for range 3 {
			a.run().want(t, 0)
			if c := a.read(); len(c.closed) > 0 {
				t.Errorf("closed %v", c.closed)
			}
			a.age(2 * day)
		}
	})
	t.Run("all are gone", func(t *testing.T) {
		t.Parallel()
		source := simulate(t, convosotest.Config{Seed: 77, FirstDay: daysAgo(40), Days: 3, CallsPerDay: 20, RecordedShare: 0.5, MedianSize: 2_000})
		a := onDisk(t, source)
		a.run("--start-time", daysAgo(40), "--end-time", daysAgo(39)).want(t, 0)
		before := a.read()
		for call := range source.Calls() {
			if err := source.SetCallListed(call.ID, false); err != nil {
				t.Fatal(err)
			}
		}
		for range 4 { // a new day, and the closed ones
			r := a.run("--start-time", daysAgo(40), "--end-time", daysAgo(38), "--relist").want(t, 3)
			if c := a.checkStored(); r.summary.Lost+r.summary.DaysClosed > 0 || len(c.archived) != len(before.archived) || c.closed[daysAgo(38)].Closed {
				t.Errorf("summary %s", r.stdout)
			}
			if !strings.Contains(r.stdout, "the API lists no call") {
				t.Errorf("no reason: %s", r.stdout)
			}
			a.age(8 * day)
		}
	})
}
