package e2e

import (
	"slices"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// movedDays are two settled days of one page each; the returned call of the first one will move to
// the second.
func movedDays(t *testing.T, seed uint64, listing convosotest.Listing) (*convosotest.Server, convosotest.Call) {
	t.Helper()
	source := simulate(t, convosotest.Config{
		Seed: seed, FirstDay: daysAgo(7), Days: 2, CallsPerDay: 40, RecordedShare: 0.5, MedianSize: 2_000, Listing: listing,
	})
	for call := range source.Calls() {
		if call.Day == daysAgo(7) && len(call.Recordings) > 0 && !call.Hidden && call.CallDate > daysAgo(7)+" 02" && call.CallDate < daysAgo(7)+" 22" {
			return source, call
		}
	}
	t.Fatal("no call can move")
	return nil, convosotest.Call{}
}

// TestRowsMoveWhilePaged moves rows to another day while the day is listed: in the end each day is
// complete, and nothing is missing.
func TestRowsMoveWhilePaged(t *testing.T) {
	t.Parallel()
	source := simulate(t, convosotest.Config{
		Seed: 72, FirstDay: daysAgo(7), Days: 2, CallsPerDay: 60, RecordedShare: 1, MedianSize: 2_000,
		Listing: convosotest.Listing{MaxLimit: 25, Moved: 4},
	})
	a := onDisk(t, source)
	a.run("--start-time", daysAgo(7), "--end-time", daysAgo(7)).want(t, 0)
	stored := a.checkStored()
	if missing := unarchived(source, stored, listedOn(daysAgo(7), daysAgo(7))); len(missing) > 0 || len(stored.closed) != 1 {
		t.Errorf("%d recordings missing, %d days closed", len(missing), len(stored.closed))
	}
	a.run("--start-time", daysAgo(6), "--end-time", daysAgo(6)).want(t, 0) // its rows move too
	a.run("--start-time", daysAgo(5), "--end-time", daysAgo(5)).want(t, 0)
	if c := a.checkFiles(nil); len(c.closed) != 3 {
		t.Errorf("%d days closed", len(c.closed))
	}
}

// TestRowsMoveBetweenRuns moves a row to the next day between two runs. In any state of both days,
// one of them has its recording in the end, under one key.
func TestRowsMoveBetweenRuns(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first   []string // days archived before it moves
		listing convosotest.Listing
		waits   bool     // the recording was unavailable before
		code    int      // of the run before it moves
		then    []string // further flags afterwards
		after   int      // code of the run afterwards
	}{
		"nothing was listed":         {},
		"its day was closed":         {first: []string{daysAgo(7)}},
		"its day was open":           {first: []string{daysAgo(7)}, listing: convosotest.Listing{TotalError: 1}, code: 3},
		"its day was open, it waits": {first: []string{daysAgo(7)}, waits: true, code: 3, after: 3},
		"both days were closed":      {first: []string{daysAgo(7), daysAgo(6)}},
		// A day that was closed as complete is not listed again without --relist.
		"the next day was closed":    {first: []string{daysAgo(6)}, then: []string{"--relist"}},
		"both are listed once again": {first: []string{daysAgo(7), daysAgo(6)}, then: []string{"--relist"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, moving := movedDays(t, 73, test.listing)
			ref := moving.Recordings[0].Ref
			if test.waits {
				if err := source.SetFault(ref, convosotest.FaultServer, 0); err != nil {
					t.Fatal(err)
				}
			}
			a := onDisk(t, source)
			for _, date := range test.first {
				a.run("--start-time", date, "--end-time", date).want(t, test.code)
				a.checkReport(date, date)
			}
			if err := source.MoveCall(moving.ID); err != nil {
				t.Fatal(err)
			}
			source.ClearFaults()
			source.ClearListingFaults()
			r := a.run(append([]string{"--start-time", daysAgo(7), "--end-time", daysAgo(6)}, test.then...)...)
			r.want(t, test.after)
			c := a.checkFiles(nil)
			if len(c.closed) != 2 {
				t.Errorf("%d days closed", len(c.closed))
			}
			old, now := c.states[ref+" "+daysAgo(7)].Outcome, c.states[ref+" "+daysAgo(6)].Outcome
			if old != manifest.Archived && now != manifest.Archived {
				t.Errorf("on its old day it is %q, on the new one %q", old, now)
			}
			if line := c.states[ref+" "+daysAgo(7)]; test.waits && (!line.Final || line.Reason != "listed under another day") {
				t.Errorf("on its old day it is %+v", line)
			}
			source.ResetStats()
			a.run("--start-time", daysAgo(7), "--end-time", daysAgo(6)).want(t, 0)
			if stats := source.Stats(); stats.API.Requests+stats.Media.Requests > 0 {
				t.Errorf("closed days cost %d requests to the API and %d to the media host", stats.API.Requests, stats.Media.Requests)
			}
		})
	}
}

// TestRowsAppearLater lists some rows only after the first run. The next run adds them to an
// unsettled day; to a closed day only a run with --relist adds them.
func TestRowsAppearLater(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		settle string // of the first run
		closed int    // by the first run
		flags  []string
	}{
		"on a day not settled": {settle: "300h"},
		"on a closed day":      {settle: "48h", closed: 1, flags: []string{"--relist"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := simulate(t, convosotest.Config{Seed: 74, FirstDay: daysAgo(7), CallsPerDay: 40, RecordedShare: 1, MedianSize: 2_000})
			setListed := func(listed bool) {
				for _, id := range callIDs(source, daysAgo(7))[10:15] {
					if err := source.SetCallListed(id, listed); err != nil {
						t.Fatal(err)
					}
				}
			}
			setListed(false)
			a := onDisk(t, source, "--start-time", daysAgo(7), "--end-time", daysAgo(7))
			a.run("--settle", test.settle).want(t, 0)
			stored := a.checkStored()
			if len(stored.archived) != 35 || len(stored.closed) != test.closed {
				t.Errorf("%d archived, %d days closed", len(stored.archived), len(stored.closed))
			}
			a.checkReport(daysAgo(7), daysAgo(7))
			setListed(true)
			source.ResetStats()
			a.run(test.flags...).want(t, 0)
			if fetched := len(source.Stats().Recordings); fetched != 5 {
				t.Errorf("%d recordings fetched, want 5", fetched)
			}
			a.checkFiles(nil)
			if closed := a.checkReport(daysAgo(7), daysAgo(7)); closed != 1 {
				t.Error("the day stays open")
			}
		})
	}
}

// callIDs returns the ids of a day's calls, in chronological order.
func callIDs(source *convosotest.Server, day string) (ids []string) {
	for call := range source.Calls() {
		if call.Day == day {
			ids = append(ids, call.ID)
		}
	}
	return ids
}

// TestCallsDisappear deletes calls at the vendor after they were archived, or while their
// recordings wait, on a day that is listed again. One shorter listing closes nothing and writes
// nothing off; two a day apart suffice, and for more than a few missing calls three within a week.
func TestCallsDisappear(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		gone  int             // calls with one recording each, of 40
		waits bool            // their recordings were unavailable before
		ages  []time.Duration // before each further run
		open  bool            // the last of them does not close the day
	}{
		"archived":                {gone: 2, ages: []time.Duration{0, 25 * time.Hour}},
		"waiting":                 {gone: 2, waits: true, ages: []time.Duration{0, 25 * time.Hour}},
		"listings within the day": {gone: 2, ages: []time.Duration{0, 11 * time.Hour, 11 * time.Hour}, open: true},
		"many":                    {gone: 10, ages: []time.Duration{0, 4 * day, 4 * day}},
		"many, within six days":   {gone: 10, ages: []time.Duration{0, 3 * day, 3 * day}, open: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := simulate(t, convosotest.Config{Seed: 75, FirstDay: daysAgo(20), Days: 2, CallsPerDay: 40, RecordedShare: 1, MedianSize: 2_000})
			ids := callIDs(source, daysAgo(20))[5 : 5+test.gone]
			waiting := map[string]bool{}
			for r := range source.Recordings() {
				if !test.waits || !slices.Contains(ids, r.CallID) {
					continue
				}
				waiting[r.Ref] = true
				if err := source.SetFault(r.Ref, convosotest.FaultServer, 0); err != nil {
					t.Fatal(err)
				}
			}
			a := onDisk(t, source, "--start-time", daysAgo(20), "--end-time", daysAgo(20))
			a.run("--settle", "600h").want(t, 0) // it stays open
			for _, id := range ids {
				if err := source.SetCallListed(id, false); err != nil {
					t.Fatal(err)
				}
			}
			for i, age := range test.ages {
				if age > 0 {
					a.age(age)
				}
				closes := i == len(test.ages)-1 && !test.open
				code, lost := 3, 0
				if closes && !test.waits {
					code = 0
				}
				if closes {
					lost = len(waiting)
				}
				if r := a.run().want(t, code); r.summary.Lost != lost {
					t.Errorf("run %d: %d lost, want %d", i, r.summary.Lost, lost)
				}
				if c := a.checkStored(); (len(c.closed) == 1) != closes || closes && c.closed[daysAgo(20)].Unlisted != test.gone {
					t.Errorf("run %d: closed %+v", i, c.closed)
				}
			}
			a.checkFiles(func(r convosotest.Recording) bool { return r.Day == daysAgo(20) && !waiting[r.Ref] })
		})
	}
}
