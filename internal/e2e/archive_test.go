package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

const day = 24 * time.Hour

// TestArchiveThreeDays is the main job with every benign oddity switched on: all
// recordings stored once, under one key each, over no more connections than
// workers; a second run asks for nothing, and one more day lists that day alone.
func TestArchiveThreeDays(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{
		Seed: 1, FirstDay: daysAgo(10), Days: 4, CallsPerDay: 667, RecordedShare: 0.9, SeveralShare: 0.2,
		MedianSize: 20_000, Oddities: convosotest.AllBenign(),
	})
	a := onDisk(t, server, "--workers", "8")
	threeDays := func(r convosotest.Recording) bool { return r.Day <= daysAgo(8) }

	first := a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	c := a.checkFiles(threeDays)
	checkOnce(t, server)
	stats := server.Stats()
	if stats.Media.MaxOpenConnections > 8 {
		t.Errorf("%d connections to the media host", stats.Media.MaxOpenConnections)
	}
	if stats.BadLinks+stats.TokenLeaks+stats.Referers > 0 {
		t.Errorf("%d links changed, %d with the token, %d with a referer", stats.BadLinks, stats.TokenLeaks, stats.Referers)
	}
	if len(c.closed) != 3 || first.summary.DaysClosed != 3 || first.summary.Archived != len(c.archived) {
		t.Errorf("closed %v, summary %+v", len(c.closed), first.summary)
	}
	t.Logf("%d calls, %d recordings, %d media requests, %d connections at most",
		first.summary.Calls, first.summary.Archived, stats.Media.Requests, stats.Media.MaxOpenConnections)

	server.ResetStats()
	again := a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	if stats := server.Stats(); stats.API.Requests+stats.Media.Requests != 0 {
		t.Errorf("a run over closed days made %d API and %d media requests", stats.API.Requests, stats.Media.Requests)
	}
	if again.summary.DaysSkipped != 3 {
		t.Errorf("summary %+v", again.summary)
	}

	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(7)).want(t, 0)
	for _, w := range server.Stats().Windows {
		if w.EndTime[:10] < daysAgo(7) {
			t.Errorf("a closed day was listed: %s to %s", w.StartTime, w.EndTime)
		}
	}
	a.checkFiles(nil)
	checkOnce(t, server)
}

func TestClockChanges(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"2025-11-02", "2025-03-09"} {
		for _, compare := range []convosotest.Compare{convosotest.CompareText, convosotest.CompareInstants} {
			for _, ceiling := range []int{0, 60} {
				name := fmt.Sprintf("%s, compared as %q, ceiling %d", first, compare, ceiling)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					server := simulate(t, convosotest.Config{
						Seed: 2, FirstDay: first, CallsPerDay: 240, RecordedShare: 1, MedianSize: 3_000,
						Listing: convosotest.Listing{Compare: compare, OffsetCeiling: ceiling, MaxLimit: 30},
					})
					a := onDisk(t, server)
					args := []string{"--start-time", first, "--end-time", first}
					if ceiling > 0 {
						// The API says 7231 beyond its ceiling, which the program must take for a reason to split.
						args = append(args, "--page-size", "30")
					}
					r := a.run(args...).want(t, 0)
					c := a.checkFiles(nil)
					checkOnce(t, server)
					if len(c.closed) != 1 || r.summary.Calls != 240 {
						t.Errorf("closed %d days, %d calls", len(c.closed), r.summary.Calls)
					}
				})
			}
		}
	}
}

// TestMisbehavingAnswers gives one recording each fault for good and expects the
// outcome that the contract names, and no byte of it stored.
func TestMisbehavingAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fault   convosotest.Fault
		outcome manifest.Outcome
		reason  string
	}{
		{convosotest.FaultNotFound, manifest.Pending, "not_found"},
		{convosotest.Fault404, manifest.Pending, "not_found"},
		{convosotest.Fault410, manifest.Pending, "not_found"},
		{convosotest.FaultHTML, manifest.Rejected, "HTML"},
		{convosotest.FaultEmpty, manifest.Rejected, "empty"},
		{convosotest.FaultOtherJSON, manifest.Rejected, "text"},
		{convosotest.FaultText, manifest.Rejected, "text"},
		{convosotest.FaultAuth, manifest.Failed, "401"},
		{convosotest.FaultForbidden, manifest.Failed, "403"},
		{convosotest.FaultServer, manifest.Failed, "500"},
		{convosotest.FaultEcho, manifest.Failed, "500"},
		{convosotest.FaultEchoOK, manifest.Rejected, "HTML"},
		{convosotest.FaultUnknown, manifest.Rejected, "quarantine"},
		{convosotest.FaultShort, manifest.Failed, "shorter"},
		{convosotest.FaultShortByte, manifest.Failed, "shorter"},
		{convosotest.FaultShortClose, manifest.Failed, "ends in the middle"},
		{convosotest.FaultShortChunked, manifest.Failed, "shorter"},
		{convosotest.FaultReset, manifest.Failed, ""},
		{convosotest.FaultResetEarly, manifest.Failed, ""},
		{convosotest.FaultBadWAV, manifest.Rejected, "container"},
		{convosotest.FaultGzip, manifest.Rejected, "encoding"},
		{convosotest.FaultRedirectElsewhere, manifest.Rejected, "not allowed"},
		{convosotest.FaultRedirectPrivate, manifest.Rejected, "not allowed"},
		{convosotest.FaultRedirectLoop, manifest.Rejected, "not allowed"},
		{convosotest.FaultRedirectBad, manifest.Rejected, "not allowed"},
		{convosotest.FaultDrip, manifest.Archived, ""},
		{convosotest.FaultWrongType, manifest.Archived, ""},
	} {
		t.Run(string(test.fault), func(t *testing.T) {
			t.Parallel()
			server := simulate(t, convosotest.Config{
				Seed: 3, FirstDay: daysAgo(5), CallsPerDay: 6, RecordedShare: 1, MedianSize: 4_000,
				MediaFaults: map[convosotest.Fault]int{test.fault: 1},
			})
			var faulty convosotest.Recording
			for r := range server.Recordings() {
				if r.Fault == test.fault {
					faulty = r
				}
			}
			a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
			code := 3
			if test.outcome == manifest.Archived {
				code = 0
			}
			a.run().want(t, code)
			c := a.checkFiles(func(r convosotest.Recording) bool { return r.Ref != faulty.Ref || test.fault.Delivers() })
			got := c.outcome(faulty.Ref)
			if got.Outcome != test.outcome || !strings.Contains(got.Reason, test.reason) {
				t.Errorf("outcome %q, reason %q", got.Outcome, got.Reason)
			}
			if test.fault == convosotest.FaultUnknown {
				kept, err := os.ReadDir(filepath.Join(a.dest, "quarantine", daysAgo(5)))
				if err != nil || len(kept) != 1 {
					t.Errorf("quarantine holds %v, %v", kept, err)
				}
			}
			if len(c.closed) != 0 && test.outcome != manifest.Archived {
				t.Error("the day was closed")
			}

			server.ClearFaults()
			before := server.Stats().Media.Requests
			a.run().want(t, 0)
			c = a.checkFiles(nil)
			if len(c.closed) != 1 {
				t.Error("the day stays open once all is archived")
			}
			if asked := server.Stats().Media.Requests - before; test.outcome != manifest.Archived && asked != 1 {
				t.Errorf("the second run made %d media requests for one recording that waited", asked)
			}
		})
	}
}

// TestPassingFaults: a recording that can be had in the end is had, in the same run.
func TestPassingFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []convosotest.Fault{
		convosotest.FaultServer, convosotest.FaultLimitWait, convosotest.FaultLimitDate, convosotest.FaultBusyWait,
		convosotest.FaultShort, convosotest.FaultShortByte, convosotest.FaultShortClose, convosotest.FaultShortChunked,
		convosotest.FaultReset, convosotest.FaultResetEarly, convosotest.FaultEcho,
	} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			server := simulate(t, convosotest.Config{
				Seed: 4, FirstDay: daysAgo(5), CallsPerDay: 6, RecordedShare: 1, MedianSize: 4_000,
				MediaFaults: map[convosotest.Fault]int{fault: 2}, FaultTimes: map[convosotest.Fault]int{fault: 2},
			})
			a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
			a.run().want(t, 0)
			a.checkFiles(nil)
		})
	}
}

// TestSlowFaults are those that wait for a clock: silent hosts, and 429 and 503
// that do not say for how long.
func TestSlowFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []convosotest.Fault{convosotest.FaultLimit, convosotest.FaultBusy, convosotest.FaultStall} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			server := simulate(t, convosotest.Config{
				Seed: 5, FirstDay: daysAgo(5), CallsPerDay: 6, RecordedShare: 1, MedianSize: 4_000,
				MediaFaults: map[convosotest.Fault]int{fault: 1}, FaultTimes: map[convosotest.Fault]int{fault: 1},
			})
			a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
			a.run().want(t, 0)
			a.checkFiles(nil)
		})
	}
	t.Run("two hours", func(t *testing.T) {
		t.Parallel()
		server := simulate(t, convosotest.Config{
			Seed: 5, FirstDay: daysAgo(5), CallsPerDay: 6, RecordedShare: 1, MedianSize: 4_000, MediaDown: convosotest.FaultLimitHours,
		})
		a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
		r := a.run().want(t, 1)
		if !strings.Contains(r.stderr, "2h0m0s") {
			t.Errorf("stderr: %s", tail(r.stderr))
		}
	})
}

// TestOutage: fifty recordings in a row that are not found, or refused, end the run
// and write nothing off.
func TestOutage(t *testing.T) {
	t.Parallel()
	for _, fault := range []convosotest.Fault{convosotest.FaultNotFound, convosotest.FaultForbidden} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			server := simulate(t, convosotest.Config{
				Seed: 6, FirstDay: daysAgo(5), CallsPerDay: 80, RecordedShare: 1, MedianSize: 4_000, MediaDown: fault,
			})
			a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
			r := a.run().want(t, 1)
			if r.summary.Lost != 0 || !strings.Contains(r.stderr, "in a row") {
				t.Errorf("%d lost, stderr %s", r.summary.Lost, tail(r.stderr))
			}
			server.ClearFaults()
			server.SetMediaDown(convosotest.FaultNone)
			a.run().want(t, 0)
			a.checkFiles(nil)
		})
	}
}

// TestLoss: told "not found" by links of two listings a day apart, a recording is
// lost; one answer is enough where the vendor has purged; what is no longer listed
// is lost too. None of them is asked for again, but by --retry lost.
func TestLoss(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{
		Seed: 7, FirstDay: daysAgo(5), CallsPerDay: 12, RecordedShare: 1, MedianSize: 4_000,
		MediaFaults: map[convosotest.Fault]int{convosotest.FaultNotFound: 2, convosotest.FaultServer: 1},
	})
	a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
	a.run().want(t, 3)
	a.age(25 * time.Hour)
	var unlisted convosotest.Recording
	for r := range server.Recordings() {
		if r.Fault == convosotest.FaultServer {
			unlisted = r
		}
	}
	if err := server.SetListed(unlisted.Ref, false); err != nil {
		t.Fatal(err)
	}
	second := a.run().want(t, 3)
	c := a.read()
	if second.summary.Lost != 3 || len(c.closed) != 1 {
		t.Fatalf("%d lost, %d days closed; stderr %s", second.summary.Lost, len(c.closed), tail(second.stderr))
	}
	if got := c.outcome(unlisted.Ref); got.Outcome != manifest.Lost || !strings.Contains(got.Reason, "no longer listed") {
		t.Errorf("outcome %q, reason %q", got.Outcome, got.Reason)
	}
	server.ResetStats()
	a.run().want(t, 0)
	if n := server.Stats().Media.Requests; n != 0 {
		t.Errorf("%d requests for what is lost", n)
	}
	server.ClearFaults()
	a.run("--retry", "lost").want(t, 0)
	a.checkFiles(func(r convosotest.Recording) bool { return r.Ref != unlisted.Ref })
}

func TestPurgedDays(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{
		Seed: 8, FirstDay: daysAgo(200), CallsPerDay: 80, RecordedShare: 1, MedianSize: 4_000, MediaDown: convosotest.FaultNotFound,
	})
	a := onDisk(t, server, "--start-time", daysAgo(200), "--end-time", daysAgo(200))
	r := a.run().want(t, 3)
	if r.summary.Lost != r.summary.Recordings || r.summary.DaysClosed != 1 {
		t.Errorf("summary %+v", r.summary)
	}
	checkOnce(t, server)
	a.run().want(t, 0)
}

// age moves every time in the manifest back, as if the runs had been so long ago.
func (a *archive) age(by time.Duration) {
	a.t.Helper()
	files, err := filepath.Glob(filepath.Join(a.dest, "manifest", "*.jsonl"))
	if err != nil || len(files) == 0 {
		a.t.Fatalf("%v %v", files, err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			a.t.Fatal(err)
		}
		if err := os.WriteFile(name, timestamps.ReplaceAllFunc(data, func(stamp []byte) []byte {
			at, err := time.Parse(time.RFC3339, string(stamp))
			if err != nil {
				a.t.Fatal(err)
			}
			return []byte(at.Add(-by).UTC().Format(time.RFC3339))
		}), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
}

// TestGiveUp: what waited too long is asked for once more, and is final then.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{
		Seed: 9, FirstDay: daysAgo(5), CallsPerDay: 6, RecordedShare: 1, MedianSize: 4_000,
		MediaFaults: map[convosotest.Fault]int{convosotest.FaultHTML: 1},
	})
	a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
	a.run().want(t, 3)
	a.age(15 * day)
	r := a.run().want(t, 3)
	if c := a.read(); r.summary.GivenUp != 1 || len(c.closed) != 1 {
		t.Errorf("%d given up, %d closed", r.summary.GivenUp, len(c.closed))
	}
	server.ResetStats()
	a.run().want(t, 0)
	if n := server.Stats().API.Requests; n != 0 {
		t.Errorf("%d API requests for a closed day", n)
	}
	server.ClearFaults()
	a.run("--retry", "rejected").want(t, 0)
	a.checkFiles(nil)
}

// TestLate: recordings and links that come later are picked up, while the day is
// not settled by any run, and once it is by the next.
func TestLate(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{
		Seed: 10, FirstDay: daysAgo(1), CallsPerDay: 40, RecordedShare: 1, MedianSize: 4_000,
		Late: convosotest.Late{Recordings: 5, Links: 5},
	})
	a := onDisk(t, server, "--last", "3d")
	first := a.run().want(t, 0)
	if first.summary.Pending != 5 {
		t.Errorf("%d pending", first.summary.Pending)
	}
	a.run("--strict").want(t, 3)
	server.ReleaseLate()
	a.run("--strict").want(t, 0)
	a.checkFiles(nil)
	checkOnce(t, server)
}

// TestHostileNames: file names that lead out of the folder, into the manifest, or
// nowhere.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	names := append(convosotest.HostileNames(), "manifest/"+daysAgo(5)+".jsonl", "MANIFEST/archive.json", ".tmp/x.part")
	for _, template := range []string{"{{.filename}}", "{{.campaign_id}}/{{.filename}}"} {
		t.Run(template, func(t *testing.T) {
			server := simulate(t, convosotest.Config{
				Seed: 11, FirstDay: daysAgo(5), CallsPerDay: 40, RecordedShare: 1, MedianSize: 4_000,
				Oddities: convosotest.Oddities{HostileNames: names},
			})
			a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5), "--path-template", template)
			outside := filepath.Dir(a.dest)
			a.run().want(t, 0)
			c := a.checkFiles(nil)
			if len(c.closed) != 1 {
				t.Error("the day stays open")
			}
			entries, err := os.ReadDir(outside)
			if err != nil || len(entries) != 1 {
				t.Errorf("beside the destination stand %v, %v", entries, err)
			}
			a.run("--relist").want(t, 0)
			a.checkFiles(nil)
			checkOnce(t, server)
		})
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 12, FirstDay: daysAgo(5), CallsPerDay: 200, RecordedShare: 1, MedianSize: 4_000})
	campaign := map[string]string{}
	count := map[string]int{}
	for c := range server.Calls() {
		campaign[c.ID] = c.CampaignID
		count[c.CampaignID]++
	}
	var one string
	for id := range count {
		one = max(one, id)
	}
	a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
	a.run("--campaign-id", one).want(t, 0)
	a.checkFiles(func(r convosotest.Recording) bool { return campaign[r.CallID] == one })
	server.ResetStats()
	a.run("--campaign-id", one).want(t, 0)
	if n := server.Stats().API.Requests; n != 0 {
		t.Errorf("%d API requests for a day closed for this filter", n)
	}
	a.run().want(t, 0)
	a.checkFiles(nil)
	checkOnce(t, server)
	server.ResetStats()
	a.run("--campaign-id", one).want(t, 0)
	if n := server.Stats().API.Requests; n != 0 {
		t.Errorf("%d API requests for a day closed without a filter", n)
	}
}

func TestMaxRecordings(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 13, FirstDay: daysAgo(5), CallsPerDay: 50, RecordedShare: 1, MedianSize: 4_000})
	a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
	r := a.run("--max-recordings", "7").want(t, 3)
	if r.summary.Archived != 7 || len(a.read().archived) != 7 {
		t.Errorf("%d archived", r.summary.Archived)
	}
	a.run().want(t, 0)
	a.checkFiles(nil)
	checkOnce(t, server)
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 14, FirstDay: daysAgo(5), CallsPerDay: 50, RecordedShare: 1})
	a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
	r := a.run("--dry-run").want(t, 0)
	if r.summary.ToFetch != 50 || server.Stats().Media.Requests != 0 {
		t.Errorf("summary %+v", r.summary)
	}
	if entries, err := os.ReadDir(a.dest); err == nil && len(entries) > 0 {
		t.Errorf("a dry run left %v", entries)
	}
}

// TestPartOfADay: the hours that were asked for are done, and close nothing.
func TestPartOfADay(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 15, FirstDay: daysAgo(5), CallsPerDay: 200, RecordedShare: 1, MedianSize: 4_000})
	a := onDisk(t, server)
	from, to := daysAgo(5)+" 11:00:00", daysAgo(5)+" 15:00:00"
	r := a.run("--start-time", from, "--end-time", to).want(t, 0)
	c := a.checkFiles(func(r convosotest.Recording) bool { return r.CallDate >= from && r.CallDate <= to })
	if len(c.closed) != 0 || r.summary.DaysWhole != 1 {
		t.Errorf("%d closed, summary %+v", len(c.closed), r.summary)
	}
	a.run("--start-time", daysAgo(5), "--end-time", daysAgo(5)).want(t, 0)
	a.checkFiles(nil)
	checkOnce(t, server)
}

// TestWindowLines: they follow every line of what they listed.
func TestWindowLines(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 16, FirstDay: daysAgo(5), CallsPerDay: 50, RecordedShare: 1, MedianSize: 4_000})
	a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
	a.run().want(t, 0)
	data, err := os.ReadFile(filepath.Join(a.dest, "manifest", daysAgo(5)+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for line := range strings.Lines(string(data)) {
		for _, kind := range []string{"recording", "window", "day"} {
			if strings.Contains(line, `"kind":"`+kind+`"`) {
				kinds = append(kinds, kind)
			}
		}
	}
	want := append(slices.Repeat([]string{"recording"}, 50), "window", "day")
	if !slices.Equal(kinds, want) {
		t.Errorf("lines are %v", kinds)
	}
}
