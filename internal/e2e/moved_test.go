package e2e

import (
	"slices"
	"testing"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// movedDays are two settled days of one page each; the returned call of the first one
// is to move to the second.
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

// TestRowsMoveWhilePaged has rows leave a day while it is paged through: each day is
// whole in the end, and nothing is missing.
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
	a.run("--start-time", daysAgo(6), "--end-time", daysAgo(6)).want(t, 0) // whose rows move on as well
	a.run("--start-time", daysAgo(5), "--end-time", daysAgo(5)).want(t, 0)
	if c := a.checkFiles(nil); len(c.closed) != 3 {
		t.Errorf("%d days closed", len(c.closed))
	}
}

// TestRowsMoveBetweenRuns moves a row to the next day between two runs. Whatever the
// state of both days was, one of them has its recording in the end, under one key.
func TestRowsMoveBetweenRuns(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first   []string // days worked before it moves
		listing convosotest.Listing
		waits   bool     // the recording could not be had before
		code    int      // of the run before it moves
		then    []string // further flags afterwards
		codes   []int    // of the run afterwards
	}{
		"nothing was listed":         {codes: []int{0}},
		"its day was closed":         {first: []string{daysAgo(7)}, codes: []int{0}},
		"its day was open":           {first: []string{daysAgo(7)}, listing: convosotest.Listing{TotalError: 1}, code: 3, codes: []int{0}},
		"its day was open, it waits": {first: []string{daysAgo(7)}, waits: true, code: 3, codes: []int{0, 3}},
		"both days were closed":      {first: []string{daysAgo(7), daysAgo(6)}, codes: []int{0}},
		// What was whole when it was closed is not looked at again unless asked for.
		"the next day was closed":    {first: []string{daysAgo(6)}, then: []string{"--relist"}, codes: []int{0}},
		"both are listed once again": {first: []string{daysAgo(7), daysAgo(6)}, then: []string{"--relist"}, codes: []int{0}},
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
			if !slices.Contains(test.codes, r.code) {
				t.Errorf("exit code %d: %s", r.code, tail(r.stderr))
			}
			c := a.checkFiles(nil)
			if len(c.closed) != 2 {
				t.Errorf("%d days closed", len(c.closed))
			}
			old, now := c.states[ref+" "+daysAgo(7)].Outcome, c.states[ref+" "+daysAgo(6)].Outcome
			if old != manifest.Archived && now != manifest.Archived {
				t.Errorf("on its old day it is %q, on the new one %q", old, now)
			}
			if r.code == 3 && old != manifest.Lost {
				t.Errorf("exit code 3, and on its old day it is %q", old)
			}
			source.ResetStats()
			a.run("--start-time", daysAgo(7), "--end-time", daysAgo(6)).want(t, 0)
			if stats := source.Stats(); stats.API.Requests+stats.Media.Requests > 0 {
				t.Errorf("closed days cost %d requests to the API and %d to the media host", stats.API.Requests, stats.Media.Requests)
			}
		})
	}
}

// TestRowsAppearLater holds rows back until after the first run. A day that had not
// settled gets them from the next run, one that was closed when it was whole from
// the next run that is told to list it again.
func TestRowsAppearLater(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		settle string // of the first run
		closed int    // by it
		flags  []string
	}{
		"on a day not settled": {settle: "300h"},
		"on a closed day":      {settle: "48h", closed: 1, flags: []string{"--relist"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := simulate(t, convosotest.Config{
				Seed: 74, FirstDay: daysAgo(7), CallsPerDay: 40, RecordedShare: 1, MedianSize: 2_000,
				Listing: convosotest.Listing{HeldBack: 5},
			})
			a := onDisk(t, source, "--start-time", daysAgo(7), "--end-time", daysAgo(7))
			a.run("--settle", test.settle).want(t, 0)
			stored := a.checkStored()
			if len(stored.archived) != 35 || len(stored.closed) != test.closed {
				t.Errorf("%d archived, %d days closed", len(stored.archived), len(stored.closed))
			}
			a.checkReport(daysAgo(7), daysAgo(7))
			source.ClearListingFaults()
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
