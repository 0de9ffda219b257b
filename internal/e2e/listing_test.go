package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
	"convoso-archiver/manifest/report"
)

// listingFault is a way in which the API's listings go wrong, and the expected result of a run over
// two settled days.
type listingFault struct {
	listing  convosotest.Listing
	oddities convosotest.Oddities
	skew     time.Duration // of the API's clock

	flags  []string
	code   int    // -1: any but 1
	closed int    // days; -1: any number of complete days, which is always checked
	part   bool   // some recordings are unavailable: their rows were not sent
	none   bool   // nothing may be stored, and no audio requested
	says   string // on stderr, or in a warning
}

// listingFaults returns all cases.
func listingFaults() map[string]listingFault {
	return map[string]listingFault{
		"the total changes for a while":          {listing: convosotest.Listing{TotalChanges: 3}, closed: 2},
		"the total changes for good":             {listing: convosotest.Listing{TotalChanges: -1}, code: 3},
		"the total is too high":                  {listing: convosotest.Listing{TotalError: 1}, code: 3},
		"the total is too low":                   {listing: convosotest.Listing{TotalError: -1}, code: 3},
		"rows of one second change places":       {oddities: convosotest.Oddities{SharedSeconds: true, TieShuffle: 3}, closed: 2},
		"rows of one second always change":       {oddities: convosotest.Oddities{SharedSeconds: true, TieShuffle: -1}, code: -1, closed: -1, part: true},
		"a row repeated, another dropped":        {listing: convosotest.Listing{BoundarySwaps: 3}, closed: 2},
		"rows always repeated, others dropped":   {listing: convosotest.Listing{BoundarySwaps: -1}, code: 3, part: true},
		"rows inserted in mid-listing":           {listing: convosotest.Listing{HeldBack: 4}, closed: 2},
		"short pages":                            {oddities: convosotest.Oddities{ShortPages: true}, closed: 2},
		"no more than 7 rows on a page":          {listing: convosotest.Listing{MaxLimit: 7}, closed: 2},
		"rows of the day before":                 {listing: convosotest.Listing{Stray: 2}, code: 3},
		"an exclusive end":                       {listing: convosotest.Listing{ExclusiveEnd: true}, closed: 2},
		"an exclusive start and end":             {listing: convosotest.Listing{ExclusiveStart: true, ExclusiveEnd: true}, closed: 2},
		"an ignored order":                       {listing: convosotest.Listing{Ignore: []string{"order"}}, closed: 2},
		"an ignored limit":                       {listing: convosotest.Listing{Ignore: []string{"limit"}}, closed: 2},
		"an ignored offset":                      {listing: convosotest.Listing{Ignore: []string{"offset"}}, code: 3, part: true},
		"an ignored end":                         {listing: convosotest.Listing{Ignore: []string{"end_time"}}, code: 3},
		"an ignored start":                       {listing: convosotest.Listing{Ignore: []string{"start_time"}}, code: 1, none: true, says: "start_time"},
		"ignored times":                          {listing: convosotest.Listing{Ignore: []string{"start_time", "end_time"}}, code: 1, none: true, says: "start_time"},
		"an ignored campaign":                    {listing: convosotest.Listing{Ignore: []string{"campaign_id"}}, flags: []string{"--campaign-id", "1"}, code: 1, none: true, says: "campaign_id"},
		"an ignored type":                        {listing: convosotest.Listing{Ignore: []string{"call_type"}}, flags: []string{"--call-type", "3WAY"}, code: 1, none: true, says: "call_type"},
		"an ignored request for recordings":      {listing: convosotest.Listing{Ignore: []string{"include_recordings"}}, code: 3, none: true, part: true},
		"an API's clock ten minutes ahead":       {skew: 10 * time.Minute, closed: 2, says: "clock"},
		"an API's clock ten minutes behind":      {skew: -10 * time.Minute, closed: 2, says: "clock"},
		"an API's clock two hours ahead":         {skew: 2 * time.Hour, code: 3, says: "no day is closed"},
		"an API's clock two hours behind":        {skew: -2 * time.Hour, code: 3, says: "no day is closed"},
		"an API's clock of the year before":      {skew: -365 * day, code: 3, says: "no day is closed"},
		"an API's clock four minutes off is not": {skew: 4 * time.Minute, closed: 2},
	}
}

// TestListingFaults lists two days through each fault. No incomplete day is closed, listed
// recordings are archived, the report agrees with the truth, and a run without the fault completes
// the archive and downloads only the missing recordings.
func TestListingFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range listingFaults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if fault.listing.MaxLimit == 0 {
				fault.listing.MaxLimit = 25 // as many rows show that a parameter is ignored
			}
			// The two requested days, days before and after them, and today.
			config := convosotest.Config{
				Seed: 70, FirstDay: daysAgo(10), Days: 11, CallsPerDay: 40, RecordedShare: 0.5, MedianSize: 2_000,
				Listing: fault.listing, Oddities: fault.oddities, ClockSkew: fault.skew,
			}
			if len(fault.listing.Ignore) == 2 { // callsOfToday counts what is listed: no call may be added meanwhile
				config.Now, config.ClockSkew = func() time.Time { return started }, time.Since(started)
			}
			source := simulate(t, config)
			flags := slices.Clone(fault.flags)
			if i := slices.Index(flags, "--campaign-id"); i >= 0 {
				flags[i+1] = someCampaign(source)
			}
			const enough = 20 // rows that show that a parameter is ignored
			if len(fault.listing.Ignore) == 2 && callsOfToday(source) < enough {
				// Without times the API lists today, and these few rows may all be strays: nothing
				// closes.
				fault.code, fault.none, fault.part, fault.says = 3, false, true, "calls of other days"
			}
			a := onDisk(t, source, "--start-time", daysAgo(7), "--end-time", daysAgo(6))
			r := a.run(flags...)
			if fault.code >= 0 || r.code != 0 && r.code != 3 {
				r.want(t, fault.code)
			}
			if said := r.stderr + strings.Join(r.summary.Warnings, "\n"); !strings.Contains(said, fault.says) ||
				fault.says == "" && len(r.summary.Warnings) > 0 {
				t.Errorf("warnings %v, stderr: %s", r.summary.Warnings, tail(r.stderr))
			}
			stored := a.checkStored()
			if fault.none && (len(stored.archived) > 0 || source.Stats().Media.Requests > 0) {
				t.Errorf("%d stored, %d media requests", len(stored.archived), source.Stats().Media.Requests)
			}
			closed := a.checkReport(daysAgo(7), daysAgo(6))
			if fault.closed >= 0 && closed != fault.closed {
				t.Errorf("%d days closed, want %d", closed, fault.closed)
			}
			if missing := unarchived(source, stored, listedOn(daysAgo(7), daysAgo(6))); len(missing) > 0 && !fault.part && !fault.none {
				t.Errorf("%d recordings that were listed are not archived; stderr: %s", len(missing), tail(r.stderr))
			}
			a.mendedRun(stored, daysAgo(7), daysAgo(6))
		})
	}
}

// callsOfToday counts the calls made today until started.
func callsOfToday(source *convosotest.Server) (n int) {
	now := started.Format(time.DateTime)
	for call := range source.Calls() {
		if call.Day == daysAgo(0) && call.CallDate <= now {
			n++
		}
	}
	return n
}

// someCampaign returns the campaign of the first call.
func someCampaign(source *convosotest.Server) string {
	for call := range source.Calls() {
		return call.CampaignID
	}
	return ""
}

// TestMixedListingFaults combines all faults of listings, over several pages with every oddity,
// with unavailable audio as well.
func TestMixedListingFaults(t *testing.T) {
	t.Parallel()
	oddities := convosotest.AllBenign()
	oddities.TieShuffle = 4
	oddities.MissingIDs, oddities.SplitNames = false, false // so that ids identify every recording
	source := simulate(t, convosotest.Config{
		Seed: 71, FirstDay: daysAgo(10), Days: 8, CallsPerDay: 100, RecordedShare: 0.5, SeveralShare: 0.2, MedianSize: 2_000,
		Oddities: oddities, ClockSkew: -10 * time.Minute,
		Listing: convosotest.Listing{
			MaxLimit: 30, TotalChanges: 2, BoundarySwaps: 2, HeldBack: 3, Stray: 2, ExclusiveStart: true, ExclusiveEnd: true,
			Ignore: []string{"order"}, LinksExpire: 200,
		},
		Late: convosotest.Late{Links: 8},
		MediaFaults: map[convosotest.Fault]int{
			convosotest.FaultNotFound: 4, convosotest.FaultServer: 4, convosotest.FaultHTML: 4, convosotest.FaultShort: 4,
		},
		APIRules: []convosotest.APIRule{
			{Fault: convosotest.APIShort, Skip: 5, Times: 2, Every: 3}, {Fault: convosotest.APIGateway, Skip: 4, Times: 2, Every: 4},
		},
	})
	a := onDisk(t, source, "--start-time", daysAgo(8), "--end-time", daysAgo(5))
	a.run().want(t, 3)
	stored := a.checkStored()
	if closed := a.checkReport(daysAgo(8), daysAgo(5)); closed != 0 {
		t.Errorf("%d days closed that hold rows of another", closed)
	}
	waits := 0
	for ref := range unarchived(source, stored, listedOn(daysAgo(8), daysAgo(5))) {
		r, _ := source.Recording(ref)
		if r.Fault == convosotest.FaultNone && !r.Late {
			t.Errorf("recording %s is sound and not archived: %q", ref, stored.outcome(ref).Reason)
		}
		waits++
	}
	if waits == 0 || len(stored.archived) < 3*waits {
		t.Errorf("%d wait, %d archived", waits, len(stored.archived))
	}
	source.ReleaseLate()
	source.ClearFaults()
	a.mendedRun(stored, daysAgo(8), daysAgo(5))
}

// mendedRun runs once more without faults, over the requested span and every settled day found with
// it, and fails unless it downloads only the missing recordings and closes every day.
func (a *archive) mendedRun(before contents, from, to string) {
	a.t.Helper()
	a.server.ClearListingFaults()
	a.server.SetClockSkew(0)
	from, to = slices.Min(append(before.days, from)), min(slices.Max(append(before.days, to)), settled(time.Now(), usualSettle))
	inSpan := func(c convosotest.Call) bool { return c.Day >= from && c.Day <= to }
	missing := unarchived(a.server, before, inSpan)
	a.server.ResetStats()
	a.run("--start-time", from, "--end-time", to).want(a.t, 0)
	checkOnce(a.t, a.server)
	fetched := a.server.Stats().Recordings
	for ref := range fetched {
		if !missing[ref] {
			a.t.Errorf("recording %s was fetched again", ref)
		}
	}
	if len(fetched) != len(missing) {
		a.t.Errorf("%d recordings fetched, want %d", len(fetched), len(missing))
	}
	if missing := unarchived(a.server, a.checkStored(), inSpan); len(missing) > 0 {
		a.t.Errorf("%d recordings are not archived", len(missing))
	}
	if closed, want := a.checkReport(from, to), daysBetween(from, to)+1; closed != want {
		a.t.Errorf("%d days closed, want %d", closed, want)
	}
}

func daysBetween(from, to string) int {
	first, _ := time.Parse(time.DateOnly, from) // both are dates
	last, _ := time.Parse(time.DateOnly, to)
	return int(last.Sub(first) / day)
}

// unarchived returns the recordings of some calls that are not archived yet.
func unarchived(source *convosotest.Server, stored contents, wanted func(convosotest.Call) bool) map[string]bool {
	missing := map[string]bool{}
	for call := range source.Calls() {
		for _, r := range call.Recordings {
			if wanted(call) && stored.outcome(r.Ref).Outcome != manifest.Archived {
				missing[r.Ref] = true
			}
		}
	}
	return missing
}

// listedOn returns the calls in the listings of a span of days.
func listedOn(from, to string) func(convosotest.Call) bool {
	return func(c convosotest.Call) bool { return !c.Hidden && c.ListedDay >= from && c.ListedDay <= to }
}

// checkStored fails unless the files on disk are those in the manifest, byte for byte the
// simulator's. Missing recordings are allowed.
func (a *archive) checkStored() contents {
	a.t.Helper()
	archived := map[string]bool{}
	for _, line := range a.read().archived {
		archived[line.RecordingID] = true
	}
	return a.checkFiles(func(r convosotest.Recording) bool { return archived[r.Ref] })
}

// checkReport compares the report with the manifest and the truth, and returns how many days are
// closed: those with every call of the simulator and only final recordings.
func (a *archive) checkReport(from, to string) (closed int) {
	a.t.Helper()
	r := a.report("--json", "--start-time", from, "--end-time", to).want(a.t, 0)
	var got report.Report
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
		a.t.Fatal(err)
	}
	ledger := a.read()
	calls, recordings := map[string]int{}, map[string][]convosotest.Recording{}
	for call := range a.server.Calls() {
		if call.Hidden {
			continue
		}
		calls[call.Day]++
		recordings[call.Day] = append(recordings[call.Day], call.Recordings...)
	}
	for _, d := range got.Days {
		outcomes := map[manifest.Outcome]int{}
		for name, line := range ledger.states {
			if strings.HasSuffix(name, " "+d.Day) {
				outcomes[line.Outcome]++
			}
		}
		for outcome, n := range outcomes {
			if d.ByOutcome[outcome] != n {
				a.t.Errorf("%s: the report counts %v, the manifest %v", d.Day, d.ByOutcome, outcomes)
			}
		}
		if _, isClosed := ledger.closed[d.Day]; isClosed != (d.State == report.Closed) {
			a.t.Errorf("%s: reported as %s, closed in the manifest: %t", d.Day, d.State, isClosed)
		}
		if d.State != report.Closed {
			if len(d.Reasons) == 0 || got.Complete {
				a.t.Errorf("%s is %s without a reason, complete: %t", d.Day, d.State, got.Complete)
			}
			continue
		}
		closed++
		if d.Calls != calls[d.Day] {
			a.t.Errorf("%s was closed with %d calls of %d", d.Day, d.Calls, calls[d.Day])
		}
		for _, recording := range recordings[d.Day] {
			if _, noted := ledger.states[recording.Ref+" "+d.Day]; !noted || d.Waiting > 0 {
				a.t.Errorf("%s was closed with recording %s not noted, or %d that wait", d.Day, recording.Ref, d.Waiting)
			}
		}
	}
	return closed
}
