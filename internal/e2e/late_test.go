package e2e

import (
	"sync/atomic"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// TestLateOutsideTheSpan: a later run over only the last two days archives the recordings waiting
// on an earlier open day, unless it has --no-catch-up.
func TestLateOutsideTheSpan(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		late   convosotest.Late
		faults map[convosotest.Fault]int
		settle string // of the first run
		code   int
		wait   int // recordings noted as waiting by the first run
	}{
		"links":                          {late: convosotest.Late{Links: 4}, settle: "48h", code: 3, wait: 4},
		"links of a day not settled":     {late: convosotest.Late{Links: 4}, settle: "300h", wait: 4},
		"recordings, day not settled":    {late: convosotest.Late{Recordings: 4}, settle: "300h"},
		"both, and audio not ready":      {late: convosotest.Late{Recordings: 2, Links: 2}, faults: map[convosotest.Fault]int{convosotest.FaultNotFound: 3}, settle: "300h", wait: 5},
		"audio of every kind of failure": {faults: map[convosotest.Fault]int{convosotest.FaultNotFound: 2, convosotest.FaultServer: 2, convosotest.FaultHTML: 2}, settle: "48h", code: 3, wait: 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := simulate(t, convosotest.Config{
				Seed: 80, FirstDay: daysAgo(8), Days: 2, CallsPerDay: 30, RecordedShare: 1, MedianSize: 2_000,
				Late: test.late, MediaFaults: test.faults,
			})
			a := onDisk(t, source)
			first := a.run("--start-time", daysAgo(8), "--end-time", daysAgo(7), "--settle", test.settle).want(t, test.code)
			if waits := first.summary.Pending + first.summary.Failed + first.summary.Rejected; waits != test.wait {
				t.Errorf("%d wait, want %d", waits, test.wait)
			}
			stored := a.checkStored()
			missing := unarchived(source, stored, listedOn(daysAgo(8), daysAgo(7)))
			a.checkReport(daysAgo(8), daysAgo(7))

			source.ReleaseLate()
			source.ClearFaults()
			source.ResetStats()
			a.run("--last", "2d", "--no-catch-up")
			for _, w := range source.Stats().Windows {
				if w.EndTime[:10] <= daysAgo(7) {
					t.Errorf("an earlier day was listed with --no-catch-up: %s to %s", w.StartTime, w.EndTime)
				}
			}
			a.run("--last", "2d").want(t, 0)
			for ref := range source.Stats().Recordings {
				if !missing[ref] {
					t.Errorf("recording %s was fetched again", ref)
				}
			}
			checkOnce(t, source)
			a.checkFiles(nil)
			if closed := a.checkReport(daysAgo(8), daysAgo(7)); closed != 2 {
				t.Errorf("%d days closed", closed)
			}
		})
	}
}

// TestFinalIsNotAskedAgain: on a day that stays open, archived, lost and given up recordings cost
// no request in any run; a waiting one costs a request each time.
func TestFinalIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	source := simulate(t, convosotest.Config{
		Seed: 81, FirstDay: daysAgo(5), CallsPerDay: 20, RecordedShare: 1, MedianSize: 2_000,
		MediaFaults: map[convosotest.Fault]int{convosotest.FaultNotFound: 2, convosotest.FaultHTML: 2},
		Listing:     convosotest.Listing{TotalChanges: -1}, // keeps the day open
	})
	var waits string
	for r := range source.Recordings() {
		if r.Fault == convosotest.FaultNone {
			waits = r.Ref
		}
	}
	if err := source.SetLate(waits, false); err != nil {
		t.Fatal(err)
	}
	a := onDisk(t, source, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
	lost, givenUp := 0, 0
	for range 3 {
		r := a.run().want(t, 3)
		lost, givenUp = lost+r.summary.Lost, givenUp+r.summary.GivenUp
		a.age(8 * day)
	}
	if lost != 2 || givenUp != 2 {
		t.Fatalf("%d lost, %d given up", lost, givenUp)
	}
	source.ReleaseLate()
	if err := source.SetFault(waits, convosotest.FaultHTML, 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		source.ResetStats()
		a.run().want(t, 3)
		if asked := source.Stats().Recordings; len(asked) != 1 || asked[waits].Requests != 1 {
			t.Errorf("asked for %v, but only %s waits", asked, waits)
		}
	}
	source.ClearFaults()
	source.ClearListingFaults()
	source.ResetStats()
	a.run().want(t, 0)
	if asked := source.Stats().Recordings; len(asked) != 1 || asked[waits].Requests != 1 {
		t.Errorf("asked for %v, but only %s waits", asked, waits)
	}
	if c := a.checkStored(); len(c.archived) != 16 || len(c.closed) != 1 {
		t.Errorf("%d archived, %d days closed", len(c.archived), len(c.closed))
	}
	a.checkReport(daysAgo(5), daysAgo(5))
}

// TestOutageOfAnHour has the media host say "not found" in three runs within an hour, also for
// recordings not found a day before: nothing is written off, and the first run afterwards archives
// everything.
func TestOutageOfAnHour(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before int   // recordings that were not found a day earlier
		good   int64 // successful requests of each run before the outage
		length int64 // length of the outage in requests of each run
	}{
		"from the beginning":            {length: 1000},
		"from the middle":               {good: 10, length: 1000},
		"for too few to tell":           {good: 10, length: 40},
		"some were not found a day ago": {before: 5, length: 1000},
		"others are had before it":      {before: 5, good: 10, length: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := simulate(t, convosotest.Config{
				Seed: 82, FirstDay: daysAgo(6), Days: 2, CallsPerDay: 60, RecordedShare: 1, MedianSize: 2_000,
			})
			a := onDisk(t, source)
			a.loseSome(test.before, daysAgo(6))
			for range 3 {
				var n atomic.Int64
				source.SetMediaHook(func(convosotest.MediaRequest) convosotest.Fault {
					if at := n.Add(1); at > test.good && at <= test.good+test.length {
						return convosotest.FaultNotFound
					}
					return convosotest.FaultNone
				})
				r := a.run("--start-time", daysAgo(6), "--end-time", daysAgo(5)).want(t, 3)
				if r.summary.Lost != 0 || r.summary.GivenUp != 0 {
					t.Errorf("%d lost, %d given up", r.summary.Lost, r.summary.GivenUp)
				}
				a.checkReport(daysAgo(6), daysAgo(5))
				a.age(20 * time.Minute)
			}
			for _, line := range a.checkStored().states {
				if line.Outcome == manifest.Lost {
					t.Errorf("recording %s is lost: %s", line.RecordingID, line.Reason)
				}
			}
			source.SetMediaHook(nil)
			a.run("--start-time", daysAgo(6), "--end-time", daysAgo(5)).want(t, 0)
			a.checkFiles(nil)
			if closed := a.checkReport(daysAgo(6), daysAgo(5)); closed != 2 {
				t.Errorf("%d days closed", closed)
			}
		})
	}
}

// loseSome archives a day more than a day ago, without some recordings that are not found. With
// none, it does nothing.
func (a *archive) loseSome(count int, date string) {
	a.t.Helper()
	if count == 0 {
		return
	}
	for r := range a.server.Recordings() {
		if count--; count < 0 {
			break
		}
		if err := a.server.SetFault(r.Ref, convosotest.FaultNotFound, 0); err != nil {
			a.t.Fatal(err)
		}
	}
	a.run("--start-time", date, "--end-time", date).want(a.t, 3)
	a.server.ClearFaults()
	a.age(25 * time.Hour)
}
