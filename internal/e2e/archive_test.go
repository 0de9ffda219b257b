package e2e

import (
	"encoding/json"
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

// TestArchiveThreeDays is the main job with every benign oddity switched on: every recording is
// stored once, under one key, over no more connections than workers and those that end; a second run sends no request,
// and one more day lists only that day.
func TestArchiveThreeDays(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{
		Seed: 1, FirstDay: daysAgo(10), Days: 4, CallsPerDay: 250, RecordedShare: 0.9, SeveralShare: 0.2,
		MedianSize: 6_000, Oddities: convosotest.AllBenign(),
	})
	a := onDisk(t, server, "--workers", "8")
	threeDays := func(r convosotest.Recording) bool { return r.Day <= daysAgo(8) }

	first := a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	c := a.checkFiles(threeDays)
	checkOnce(t, server)
	stats := server.Stats()
	// net/http gives the place of a connection to a new one just before it closes it, so a busy server sees both.
	if stats.Media.MaxOpenConnections > 2*8 {
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
			for _, ceiling := range []int{0, 30} {
				name := fmt.Sprintf("%s, compared as %q, ceiling %d", first, compare, ceiling)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					server := simulate(t, convosotest.Config{
						Seed: 2, FirstDay: first, CallsPerDay: 120, RecordedShare: 1, MedianSize: 3_000,
						Listing: convosotest.Listing{Compare: compare, OffsetCeiling: ceiling, MaxLimit: 15},
					})
					a := onDisk(t, server)
					args := []string{"--start-time", first, "--end-time", first}
					if ceiling > 0 {
						// The API answers 7231 above its limit, and the program must then split the window.
						args = append(args, "--page-size", "15")
					}
					r := a.run(args...).want(t, 0)
					c := a.checkFiles(nil)
					checkOnce(t, server)
					if len(c.closed) != 1 || r.summary.Calls != 120 {
						t.Errorf("closed %d days, %d calls", len(c.closed), r.summary.Calls)
					}
				})
			}
		}
	}
}

// TestMisbehavingAnswers gives one recording each fault permanently and expects the outcome of the
// contract, with no byte stored.
func TestMisbehavingAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fault   convosotest.Fault
		outcome manifest.Outcome
		cause   string
		reason  string
	}{
		{convosotest.FaultNotFound, manifest.Pending, "not_found", "not found"},
		{convosotest.Fault404, manifest.Pending, "not_found", "404"},
		{convosotest.Fault410, manifest.Pending, "not_found", "410"},
		{convosotest.FaultHTML, manifest.Rejected, "not_audio", "HTML"},
		{convosotest.FaultEmpty, manifest.Rejected, "not_audio", "empty"},
		{convosotest.FaultOtherJSON, manifest.Rejected, "not_audio", "text"},
		{convosotest.FaultText, manifest.Rejected, "not_audio", "text"},
		{convosotest.FaultAuth, manifest.Failed, "denied", "401"},
		{convosotest.FaultForbidden, manifest.Failed, "denied", "403"},
		{convosotest.FaultServer, manifest.Failed, "bad_status", "500"},
		{convosotest.FaultEcho, manifest.Failed, "bad_status", "500"},
		{convosotest.FaultEchoOK, manifest.Rejected, "not_audio", "HTML"},
		{convosotest.FaultUnknown, manifest.Rejected, "not_audio", "quarantine"},
		{convosotest.FaultShort, manifest.Failed, "connection", "shorter"},
		{convosotest.FaultShortByte, manifest.Failed, "connection", "shorter"},
		{convosotest.FaultShortClose, manifest.Failed, "connection", "is cut off"},
		{convosotest.FaultShortChunked, manifest.Failed, "connection", "shorter"},
		{convosotest.FaultReset, manifest.Failed, "connection", ""},
		{convosotest.FaultResetEarly, manifest.Failed, "connection", ""},
		{convosotest.FaultRedirectElsewhere, manifest.Rejected, "host_not_allowed", "not allowed"},
		{convosotest.FaultRedirectPrivate, manifest.Rejected, "host_not_allowed", "not allowed"},
		{convosotest.FaultRedirectLoop, manifest.Rejected, "host_not_allowed", "not allowed"},
		{convosotest.FaultRedirectBad, manifest.Rejected, "host_not_allowed", "not allowed"},
		{convosotest.FaultDrip, manifest.Archived, "", ""},
		{convosotest.FaultWrongType, manifest.Archived, "", ""},
		{convosotest.FaultGzip, manifest.Archived, "", ""},
		{convosotest.FaultBadWAV, manifest.Archived, "", "shorter than its header says"}, // for HTTP it is complete
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
			delivered, code := test.outcome == manifest.Archived, 3
			if delivered {
				code = 0
			}
			a.run().want(t, code)
			c := a.checkFiles(func(r convosotest.Recording) bool { return r.Ref != faulty.Ref || delivered })
			got := c.outcome(faulty.Ref)
			if got.Outcome != test.outcome || got.Cause != test.cause || !strings.Contains(got.Reason, test.reason) {
				t.Errorf("outcome %q, cause %q, reason %q", got.Outcome, got.Cause, got.Reason)
			}
			if test.fault == convosotest.FaultUnknown {
				kept, err := os.ReadDir(filepath.Join(a.dest, "quarantine", daysAgo(5)))
				if err != nil || len(kept) != 1 {
					t.Errorf("quarantine holds %v, %v", kept, err)
				}
			}
			if (len(c.closed) == 1) != delivered {
				t.Errorf("%d days are closed", len(c.closed))
			}
			if delivered {
				return
			}
			server.ClearFaults()
			before := server.Stats().Media.Requests
			a.run().want(t, 0)
			c = a.checkFiles(nil)
			if len(c.closed) != 1 {
				t.Error("the day stays open once all is archived")
			}
			if asked := server.Stats().Media.Requests - before; asked != 1 {
				t.Errorf("the second run made %d media requests for one recording that waited", asked)
			}
		})
	}
}

// TestPassingFaults: a recording that becomes available is archived in the same run.
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

// TestSlowFaults tests the faults that take real time: silent hosts, and 429 and 503 without
// Retry-After.
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

// TestOutage: a day with fifty consecutive recordings that are not found, or refused, is set aside
// if the media host delivers nothing else either. Three consecutive days end the run, and nothing
// is written off.
func TestOutage(t *testing.T) {
	t.Parallel()
	for _, fault := range []convosotest.Fault{convosotest.FaultNotFound, convosotest.FaultForbidden} {
		for days, code := range map[int]int{1: 3, 4: 1} {
			t.Run(fmt.Sprintf("%s, %d days", fault, days), func(t *testing.T) {
				t.Parallel()
				server := simulate(t, convosotest.Config{
					Seed: 6, FirstDay: daysAgo(8), Days: days, CallsPerDay: 60, RecordedShare: 1, MedianSize: 4_000, MediaDown: fault,
				})
				a := onDisk(t, server, "--start-time", daysAgo(8), "--end-time", daysAgo(9-days))
				r := a.run().want(t, code)
				if r.summary.Lost+r.summary.GivenUp+r.summary.DaysClosed != 0 || !strings.Contains(r.stdout, "skipped in this run: 50 recordings in a row were ") {
					t.Errorf("summary %s", r.stdout)
				}
				if days > 1 && !strings.Contains(r.stderr, "3 days in a row were skipped") {
					t.Errorf("stderr %s", tail(r.stderr))
				}
				server.SetMediaDown(convosotest.FaultNone)
				a.run().want(t, 0)
				if c := a.checkFiles(nil); len(c.closed) != days {
					t.Errorf("%d days closed", len(c.closed))
				}
			})
		}
	}
}

// TestOneDayIsGone: if the media host works but has no recording of one day, that day is completed,
// the others are archived, and only a second answer a day later counts.
func TestOneDayIsGone(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 17, FirstDay: daysAgo(8), Days: 3, CallsPerDay: 60, RecordedShare: 1, MedianSize: 4_000})
	gone := deleted(server, daysAgo(7))
	a := onDisk(t, server, "--start-time", daysAgo(8), "--end-time", daysAgo(6))
	first := a.run().want(t, 3)
	if first.summary.Lost != 0 || first.summary.DaysClosed != 2 || !strings.Contains(strings.Join(first.summary.Warnings, "\n"), "--purge-after") {
		t.Errorf("summary %s", first.stdout)
	}
	a.age(25 * time.Hour)
	second := a.run().want(t, 3)
	if second.summary.Lost != 60 || second.summary.DaysClosed != 1 {
		t.Errorf("summary %s", second.stdout)
	}
	a.run().want(t, 0)
	a.checkFiles(func(r convosotest.Recording) bool { return !gone[r.Ref] })
}

// deleted makes the media host lose all recordings of a day.
func deleted(server *convosotest.Server, day string) (gone map[string]bool) {
	gone = map[string]bool{}
	for r := range server.Recordings() {
		if r.Day == day {
			gone[r.Ref] = true
		}
	}
	server.SetMediaHook(func(r convosotest.MediaRequest) convosotest.Fault {
		if gone[r.Ref] {
			return convosotest.FaultNotFound
		}
		return convosotest.FaultNone
	})
	return gone
}

// TestLoss: a recording is lost after "not found" for links of two listings a day apart, or if two
// complete listings a day apart lack it. It is not requested again, except by --retry lost.
func TestLoss(t *testing.T) {
	t.Parallel()
	// The other day proves that the API works.
	server := simulate(t, convosotest.Config{Seed: 7, FirstDay: daysAgo(6), Days: 2, CallsPerDay: 12, RecordedShare: 1, MedianSize: 4_000})
	spoil(t, server, map[string]map[convosotest.Fault]int{daysAgo(5): {convosotest.FaultNotFound: 2, convosotest.FaultServer: 1}}, nil)
	a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
	a.run().want(t, 3)
	if soon := a.run().want(t, 3); soon.summary.Lost != 0 {
		t.Errorf("%d lost within minutes", soon.summary.Lost)
	}
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
	if second.summary.Lost != 2 || second.summary.Pending != 0 || second.summary.DaysClosed != 0 {
		t.Fatalf("%d lost, %d wait; stderr %s", second.summary.Lost, second.summary.Pending, tail(second.stderr))
	}
	a.age(25 * time.Hour)
	third := a.run().want(t, 3)
	c := a.read()
	if third.summary.Lost != 1 || len(c.closed) != 1 || c.closed[daysAgo(5)].Unlisted != 1 {
		t.Fatalf("%d lost, closed %+v; stderr %s", third.summary.Lost, c.closed, tail(third.stderr))
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
	a.checkFiles(func(r convosotest.Recording) bool { return r.Day == daysAgo(5) && r.Ref != unlisted.Ref })
}

// TestPurgedDays: if the media host has nothing left to deliver, two answers a day apart make an
// old day lost; if it delivers audio of a recent day, one answer does.
func TestPurgedDays(t *testing.T) {
	t.Parallel()
	t.Run("nothing is left", func(t *testing.T) {
		t.Parallel()
		server := simulate(t, convosotest.Config{
			Seed: 8, FirstDay: daysAgo(200), CallsPerDay: 80, RecordedShare: 1, MedianSize: 4_000, MediaDown: convosotest.FaultNotFound,
		})
		a := onDisk(t, server, "--start-time", daysAgo(200), "--end-time", daysAgo(200))
		if r := a.run().want(t, 3); r.summary.Lost != 0 || r.summary.Pending != r.summary.Recordings {
			t.Errorf("summary %s", r.stdout)
		}
		checkOnce(t, server)
		a.age(25 * time.Hour)
		if r := a.run().want(t, 3); r.summary.Lost != r.summary.Recordings || r.summary.Pending != 0 || r.summary.DaysClosed != 1 {
			t.Errorf("summary %s", r.stdout)
		}
		a.run().want(t, 0)
	})
	// A day is past the age of six days when it ended more than six days ago.
	for name, test := range map[string]struct {
		before []string // days archived while the host still had everything
		gone   string   // the day that it lost
		lost   int      // after the first answer
		says   string
	}{
		"a young day is there":                 {gone: daysAgo(9), lost: 20},
		"older audio was had before":           {before: []string{daysAgo(9)}, gone: daysAgo(8), says: "raise --purge-after"},
		"a day younger than that is not there": {gone: daysAgo(6)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := simulate(t, convosotest.Config{Seed: 18, FirstDay: daysAgo(9), Days: 5, CallsPerDay: 20, RecordedShare: 1, MedianSize: 4_000})
			a := onDisk(t, server, "--purge-after", "6d", "--start-time", daysAgo(9), "--end-time", daysAgo(5))
			for _, day := range test.before {
				a.run("--start-time", day, "--end-time", day).want(t, 0)
			}
			gone := deleted(server, test.gone)
			r := a.run().want(t, 3)
			if r.summary.Lost != test.lost || r.summary.Pending != 20-test.lost || !strings.Contains(strings.Join(r.summary.Warnings, "\n"), test.says) {
				t.Errorf("summary %s", r.stdout)
			}
			a.age(25 * time.Hour)
			if r := a.run(); r.summary.Lost != 20-test.lost {
				t.Errorf("a day later: summary %s", r.stdout)
			}
			a.run().want(t, 0)
			if c := a.checkFiles(func(r convosotest.Recording) bool { return !gone[r.Ref] }); len(c.closed) != 5 {
				t.Errorf("%d days closed", len(c.closed))
			}
		})
	}
}

// TestGiveUp: a recording that failed on three days is final after --give-up.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{
		Seed: 9, FirstDay: daysAgo(5), CallsPerDay: 6, RecordedShare: 1, MedianSize: 4_000,
		MediaFaults: map[convosotest.Fault]int{convosotest.FaultHTML: 1},
	})
	a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
	a.run().want(t, 3)
	a.age(15 * day)
	if r := a.run().want(t, 3); r.summary.GivenUp != 0 {
		t.Errorf("%d given up at the second refusal", r.summary.GivenUp)
	}
	a.age(25 * time.Hour)
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

// TestNothingIsGivenUpInAnOutage: even after --give-up, only a media host that delivers other audio
// proves that a recording is not available.
func TestNothingIsGivenUpInAnOutage(t *testing.T) {
	t.Parallel()
	for _, fault := range []convosotest.Fault{convosotest.FaultServer, convosotest.FaultHTML, convosotest.FaultResetEarly, convosotest.FaultNotFound} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			server := simulate(t, convosotest.Config{Seed: 19, FirstDay: daysAgo(6), Days: 2, CallsPerDay: 6, RecordedShare: 1, MedianSize: 4_000})
			a := onDisk(t, server)
			a.run("--start-time", daysAgo(6), "--end-time", daysAgo(6)).want(t, 0)
			server.SetMediaDown(fault)
			for range 4 {
				r := a.run("--start-time", daysAgo(5), "--end-time", daysAgo(5)).want(t, 3)
				if r.summary.Lost+r.summary.GivenUp+r.summary.DaysClosed != 0 {
					t.Errorf("summary %s", r.stdout)
				}
				a.age(8 * day)
			}
			server.SetMediaDown(convosotest.FaultNone)
			a.run("--start-time", daysAgo(5), "--end-time", daysAgo(5)).want(t, 0)
			a.checkFiles(nil)
		})
	}
}

// TestLate: recordings and links that appear later are archived: by any run before the day settles,
// and by the next run after that.
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

// TestHostileNames: file names that point outside of the folder, into the manifest, or nowhere.
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

// TestPartOfADay: the requested hours are archived, and close no day.
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

// TestLines: call rows are in calls/, a segment of manifest/ has the lines of recordings before the line of
// their window, and closed.json names both.
func TestLines(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 16, FirstDay: daysAgo(5), CallsPerDay: 50, RecordedShare: 1, MedianSize: 4_000})
	a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
	run := a.run().want(t, 0).summary.Run
	want := slices.Concat([]string{"begin"}, slices.Repeat([]string{"recording"}, 50), []string{"window"})
	segment := run + "-000001.jsonl"
	if got := a.kinds("manifest/" + daysAgo(5) + "/" + segment); !slices.Equal(got, want) {
		t.Errorf("lines are %v", got)
	}
	if got := a.kinds("calls/" + daysAgo(5) + "/" + segment); !slices.Equal(got, slices.Repeat([]string{"call"}, 50)) {
		t.Errorf("lines of calls/ are %v", got)
	}
	if got := a.kinds("manifest/" + daysAgo(5) + "/closed.json"); !slices.Equal(got, []string{"day"}) {
		t.Errorf("lines of closed.json are %v", got)
	}
	line := a.read().closed[daysAgo(5)]
	if len(line.Segments) != 1 || line.Segments[0].Name != segment || len(line.CallsSegments) != 1 || line.CallsSegments[0].Name != segment {
		t.Errorf("the day line names %+v and %+v", line.Segments, line.CallsSegments)
	}
}

// kinds returns the kinds of the lines of a file.
func (a *archive) kinds(name string) (kinds []string) {
	a.t.Helper()
	data, err := os.ReadFile(filepath.Join(a.folder, name))
	if err != nil {
		a.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var header struct {
			Kind string `json:"kind"`
		}
		if err := json.Unmarshal([]byte(line), &header); err != nil {
			a.t.Errorf("%s: %v", name, err)
		}
		kinds = append(kinds, header.Kind)
	}
	return kinds
}
