package e2e

import (
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// The machine's clock cannot be set for one process, so the API's clock jumps instead, because
// decisions depend on both. The limits of each test are set far from the current hour, so no day
// settles or expires by chance.

// jump sets the API's clock at given requests for pages.
func jump(source *convosotest.Server, to map[int]time.Duration) {
	source.SetAPIHook(func(r convosotest.APIRequest) convosotest.APIFault {
		if ahead, ok := to[r.Number]; ok {
			source.SetClockSkew(ahead)
		}
		return convosotest.APIOK
	})
}

// sinceEndOf returns how long ago a day ended in the account's zone.
func sinceEndOf(t *testing.T, source *convosotest.Server, date string) time.Duration {
	t.Helper()
	first, err := time.ParseInLocation(time.DateOnly, date, source.Zone())
	if err != nil {
		t.Fatal(err)
	}
	return time.Since(first.AddDate(0, 0, 1))
}

// TestClockJumpsInMidRun has the API's clock jump while a day of six pages is listed whose age is
// close to --settle. The day is closed only if it had settled by both clocks, and these agree
// within an hour at the end. The next run, with correct clocks, closes it without requesting audio
// again.
func TestClockJumpsInMidRun(t *testing.T) {
	t.Parallel()
	const minutes = time.Minute
	for name, test := range map[string]struct {
		skew    time.Duration         // initial difference
		jumps   map[int]time.Duration // by number of request
		settled time.Duration         // time since settling by the machine's clock
		code    int
		closed  int
		says    string // in a warning
	}{
		"no jump":                                  {settled: 20 * minutes, closed: 1},
		"two hours forward":                        {jumps: map[int]time.Duration{3: 2 * time.Hour}, settled: 20 * minutes, code: 3, says: "no day is closed"},
		"two hours back, long settled":             {jumps: map[int]time.Duration{3: -2 * time.Hour}, settled: 24 * time.Hour, code: 3, says: "no day is closed"},
		"two hours forward and back again":         {jumps: map[int]time.Duration{2: 2 * time.Hour, 4: 0}, settled: 20 * minutes, closed: 1},
		"half an hour back, to before it settled":  {jumps: map[int]time.Duration{3: -30 * minutes}, settled: 20 * minutes, says: "clock"},
		"half an hour back, long settled":          {jumps: map[int]time.Duration{3: -30 * minutes}, settled: 5 * time.Hour, closed: 1, says: "clock"},
		"half an hour forward, not settled yet":    {jumps: map[int]time.Duration{3: 30 * minutes}, settled: -20 * minutes, says: "clock"},
		"forward to settled, begun before":         {skew: -30 * minutes, jumps: map[int]time.Duration{3: 0}, settled: 20 * minutes, closed: 1},
		"a year forward":                           {jumps: map[int]time.Duration{3: 365 * day}, settled: 20 * minutes, code: 3, says: "no day is closed"},
		"back by a year on the last page":          {jumps: map[int]time.Duration{5: -365 * day}, settled: 20 * minutes, code: 3, says: "no day is closed"},
		"back and forth with every page, together": {jumps: map[int]time.Duration{1: 3 * time.Hour, 2: -3 * time.Hour, 3: 365 * day, 4: 0}, settled: 20 * minutes, closed: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := simulate(t, convosotest.Config{
				Seed: 90, FirstDay: daysAgo(7), CallsPerDay: 60, RecordedShare: 0.5, MedianSize: 2_000, ClockSkew: test.skew,
				Listing: convosotest.Listing{MaxLimit: 10},
			})
			jump(source, test.jumps)
			a := onDisk(t, source, "--start-time", daysAgo(7), "--end-time", daysAgo(7))
			settle := sinceEndOf(t, source, daysAgo(7)) - test.settled
			r := a.run("--settle", settle.Round(time.Second).String())
			if r.code != test.code {
				t.Errorf("exit code %d, want %d: %s", r.code, test.code, tail(r.stderr))
			}
			if c := a.checkFiles(nil); len(c.closed) != test.closed {
				t.Errorf("%d days closed, want %d", len(c.closed), test.closed)
			}
			if said := strings.Join(r.summary.Warnings, "\n"); !strings.Contains(said, test.says) || test.says == "" && said != "" {
				t.Errorf("warnings %q, want %q", said, test.says)
			}
			source.SetAPIHook(nil)
			source.SetClockSkew(0)
			a.run().want(t, 0)
			if c := a.checkFiles(nil); len(c.closed) != 1 {
				t.Error("the day stays open with clocks in order")
			}
			checkOnce(t, source)
		})
	}
}

// TestClockJumpsAcrossThePurgeAge: "not found" means lost at once only if by both clocks the vendor
// has deleted the audio.
func TestClockJumpsAcrossThePurgeAge(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		skew  time.Duration
		jumps map[int]time.Duration
		past  time.Duration // time since the purge age by the machine's clock
		lost  int
	}{
		"by both":               {past: time.Hour, lost: 3},
		"not by the API":        {skew: -30 * time.Minute, past: 20 * time.Minute},
		"not by the machine":    {skew: 30 * time.Minute, past: -20 * time.Minute},
		"the API jumps forward": {jumps: map[int]time.Duration{2: 50 * time.Minute}, past: -20 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := simulate(t, convosotest.Config{
				Seed: 91, FirstDay: daysAgo(7), CallsPerDay: 30, RecordedShare: 1, MedianSize: 2_000, ClockSkew: test.skew,
				Listing: convosotest.Listing{MaxLimit: 10}, MediaFaults: map[convosotest.Fault]int{convosotest.FaultNotFound: 3},
			})
			jump(source, test.jumps)
			a := onDisk(t, source, "--start-time", daysAgo(7), "--end-time", daysAgo(7))
			r := a.run("--purge-after", (sinceEndOf(t, source, daysAgo(7))-test.past).Round(time.Second).String()).want(t, 3)
			if r.summary.Lost != test.lost || r.summary.Pending != 3-test.lost {
				t.Errorf("%d lost and %d pending, want %d lost", r.summary.Lost, r.summary.Pending, test.lost)
			}
			for _, line := range a.read().states {
				if line.Outcome == manifest.Lost && test.lost == 0 {
					t.Errorf("recording %s was written off", line.RecordingID)
				}
			}
		})
	}
}

// TestRetryDateOfAWrongClock: a date in Retry-After is relative to the host's own clock, so a wrong
// clock costs neither an hour nor the run.
func TestRetryDateOfAWrongClock(t *testing.T) {
	t.Parallel()
	for name, skew := range map[string]time.Duration{"ahead": 50 * time.Minute, "behind": -50 * time.Minute, "years ahead": 1000 * day} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := simulate(t, convosotest.Config{
				Seed: 92, FirstDay: daysAgo(7), CallsPerDay: 30, RecordedShare: 1, MedianSize: 2_000, ClockSkew: skew,
				MediaFaults: map[convosotest.Fault]int{convosotest.FaultLimitDate: 2},
				FaultTimes:  map[convosotest.Fault]int{convosotest.FaultLimitDate: 1},
				APIRules:    []convosotest.APIRule{{Fault: convosotest.APILimitDate, Times: 1}},
			})
			a := onDisk(t, source, "--start-time", daysAgo(7), "--end-time", daysAgo(7))
			begun := time.Now()
			if r := a.run(); r.code != 0 && skew < time.Hour || r.code == 1 {
				t.Errorf("exit code %d: %s", r.code, tail(r.stderr))
			}
			if took := time.Since(begun); took > 2*time.Minute {
				t.Errorf("the run took %v", took)
			}
			a.checkFiles(nil)
		})
	}
}
