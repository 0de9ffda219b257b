package archiver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// TestPresentCutsADayWhenItIsWorked plans a day at its noon and works it at several
// times: a run of days may come to a day long after it was planned.
func TestPresentCutsADayWhenItIsWorked(t *testing.T) {
	const day = fetcher.Date("2025-05-10")
	server := simulate(t, convosotest.Config{FirstDay: string(day), CallsPerDay: 40})
	for name, test := range map[string]struct {
		now    string
		settle time.Duration
		closed bool
	}{
		"at noon":                     {"2025-05-10 12:00:00", 0, false},
		"two minutes after the end":   {"2025-05-11 00:02:00", 0, false},
		"when it is over":             {"2025-05-11 00:06:00", 0, true},
		"when it has not settled yet": {"2025-05-12 12:00:00", 2 * oneDay, false},
		"when it has settled":         {"2025-05-13 12:00:00", 2 * oneDay, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := archiveOf(t, server)
			config := Config{Zone: losAngeles(t), Order: Ascending, Span: spanOf(t, day, day)}
			planned := config.plan(instant(t, string(day)+noon), nil)
			summary := a.runAt(instant(t, test.now), planned, func(s *setup) { s.Config.Settle = test.settle })
			want, latest := 0, at(t, test.now).Add(-endBefore)
			for call := range server.Calls() {
				if !at(t, call.CallDate).After(latest) {
					want++
				}
			}
			if summary.Archived != want {
				t.Errorf("%d archived, want %d", summary.Archived, want)
			}
			if a.closed(day) != test.closed {
				t.Errorf("closed: %v, open days %+v", !test.closed, summary.OpenDays)
			}
		})
	}
}

func TestDayThatBeganJustNowIsNotAskedFor(t *testing.T) {
	v := newVendor(t)
	v.onPage = func(fetcher.Date, int) { t.Error("a page was asked for") }
	summary := v.archive(t).runAt(instant(t, "2025-05-10 00:03:00"), []plannedDay{wholeDay("2025-05-10")}, nil)
	if len(summary.OpenDays) != 1 || summary.OpenDays[0].Settled {
		t.Errorf("open days %+v", summary.OpenDays)
	}
}

// twoDays is a vendor that sends one call of the second day with the rows of the
// first one too.
type twoDays struct {
	*vendor
	first, second fetcher.Date
	now           time.Time
}

func newTwoDays(t *testing.T) *twoDays {
	t.Helper()
	d := &twoDays{vendor: newVendor(t), first: "2025-05-10", second: "2025-05-11", now: instant(t, "2025-05-20"+noon)}
	stray := callAt("7", d.second, " 00:10:00", d.recording("111"))
	d.rows[d.first] = []row{stray, callAt("6", d.first, noon)}
	d.rows[d.second] = []row{stray}
	return d
}

// TestStrayIsOwedByItsOwnDay lists a stray with the rows of the day before, and then
// its own day, while nobody works the job: whichever listing found it, its own day
// must wait for it, and stay open when it is abandoned.
func TestStrayIsOwedByItsOwnDay(t *testing.T) {
	for name, abandoned := range map[string]bool{"worked": false, "abandoned": true} {
		t.Run(name, func(t *testing.T) {
			v := newTwoDays(t)
			listed := make(chan struct{})
			v.onPage = func(day fetcher.Date, _ int) {
				if day == v.second {
					close(listed)
				}
			}
			a := v.archive(t)
			s := a.open()
			r := s.prepare(t.Context())
			defer r.kill()
			r.now = func() time.Time { return v.now }
			var days sync.WaitGroup
			work := func(day fetcher.Date) {
				days.Go(func() {
					if err := r.workDay(wholeDay(day)); err != nil {
						t.Error(err)
					}
				})
			}
			work(v.first)
			queued := <-r.jobs
			work(v.second)
			<-listed // it holds its ledger by now
			if abandoned {
				queued.end(true)
				days.Wait()
			} else {
				r.jobs <- queued
				end := withWorkers(r)
				days.Wait()
				end()
			}
			if closed := isClosed(t, s, v.second); closed == abandoned {
				t.Errorf("the stray's own day closed: %v", closed)
			}
			if isClosed(t, s, v.first) {
				t.Error("a day is closed whose listing held a row of another day")
			}
			s.finish()
			if windows := a.lines(v.second, "window"); abandoned == (len(windows) > 0) {
				t.Errorf("window lines %+v", windows)
			}
			if got := len(a.recordings(v.second)); abandoned == (got == 1) {
				t.Errorf("%d recordings of the stray's day", got)
			}
		})
	}
}

// TestLedgerIsHeldWhileJobsAreQueued lets the day before finish its page, which held
// the stray's day open, before the stray's day is loaded and the job is worked.
func TestLedgerIsHeldWhileJobsAreQueued(t *testing.T) {
	v := newTwoDays(t)
	pageDone, listed := make(chan struct{}), make(chan struct{})
	v.onPage = func(day fetcher.Date, offset int) {
		switch {
		case day == v.first && offset == 1:
			close(pageDone)
		case day == v.second:
			close(listed)
		}
	}
	a := v.archive(t)
	a.pageSize = 1
	s := a.open()
	r := s.prepare(t.Context())
	defer r.kill()
	r.now = func() time.Time { return v.now }
	var days sync.WaitGroup
	for _, day := range []struct {
		date  fetcher.Date
		reach <-chan struct{}
	}{{v.first, pageDone}, {v.second, listed}} {
		days.Go(func() {
			if err := r.workDay(wholeDay(day.date)); err != nil {
				t.Error(err)
			}
		})
		<-day.reach
	}
	end := withWorkers(r)
	days.Wait()
	end()
	if !isClosed(t, s, v.second) {
		t.Errorf("the stray's day is open: %+v", s.Summary().OpenDays)
	}
	if len(r.open) != 0 {
		t.Errorf("%d days are still held", len(r.open))
	}
	s.finish()
	if asked := v.requests()["111"]; asked != 1 {
		t.Errorf("the recording was fetched %d times in one run", asked)
	}
	if lines := a.lines(v.second, "recording"); len(lines) != 1 {
		t.Errorf("%d lines of the recording", len(lines))
	}
}

// TestAbandonedJobLeavesNoWindow ends a job without a line while the run goes on,
// which is what the other workers see for a moment when a run stops.
func TestAbandonedJobLeavesNoWindow(t *testing.T) {
	const day = fetcher.Date("2025-05-10")
	v := newVendor(t)
	v.rows[day] = []row{callAt("1", day, noon, v.recording("111"))}
	a := v.archive(t)
	s := a.open()
	r := s.prepare(t.Context())
	defer r.kill()
	ended := make(chan error)
	go func() { ended <- r.workDay(wholeDay(day)) }()
	(<-r.jobs).end(true)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	s.finish()
	if windows := a.lines(day, "window"); len(windows) > 0 || a.closed(day) {
		t.Errorf("window lines %+v for a recording without a line", windows)
	}
}

// TestNamelessRecording follows a recording that has neither id nor link.
func TestNamelessRecording(t *testing.T) {
	const day = fetcher.Date("2025-05-10")
	for name, later := range map[string]struct {
		after         time.Duration
		link          bool
		lost, waiting int
		closed        bool
	}{
		"still nameless":    {60 * oneDay, false, 0, 1, false},
		"purged":            {200 * oneDay, false, 1, 0, true},
		"linked":            {60 * oneDay, true, 0, 0, true},
		"linked though old": {200 * oneDay, true, 0, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.rows[day] = []row{callAt("1", day, noon, vendorRecord{Filename: "a.mp3"})}
			a := v.archive(t)
			days := []plannedDay{wholeDay(day)}
			first := a.runAt(instant(t, string(day)+noon).Add(30*oneDay), days, nil)
			if len(first.OpenDays) != 1 || first.OpenDays[0].Waiting != 1 || !first.Incomplete(false) || a.closed(day) {
				t.Fatalf("open days %+v", first.OpenDays)
			}
			listed := vendorRecord{Filename: "a.mp3"}
			if later.link {
				listed.Link = v.recording("111").Link
			}
			v.change(func(v *vendor) { v.rows[day] = []row{callAt("1", day, noon, listed)} })
			summary := a.runAt(instant(t, string(day)+noon).Add(later.after), days, nil)
			waiting := 0
			for _, open := range summary.OpenDays {
				waiting += open.Waiting
			}
			if summary.Lost != later.lost || waiting != later.waiting || a.closed(day) != later.closed {
				t.Errorf("lost %d, open days %+v", summary.Lost, summary.OpenDays)
			}
			if later.lost > 0 {
				for _, line := range a.recordings(day) {
					if line.Outcome != manifest.Lost || line.Reason != reasonNameless {
						t.Errorf("noted as %q: %s", line.Outcome, line.Reason)
					}
				}
			}
			if later.link && summary.Archived != 1 {
				t.Errorf("%d archived", summary.Archived)
			}
		})
	}
}

// TestNamelessRecordingsAreCounted counts what has neither id nor link as listed, and
// once by what became of it; while its call runs, neither.
func TestNamelessRecordingsAreCounted(t *testing.T) {
	const day = fetcher.Date("2025-05-10")
	soon, late := instant(t, "2025-06-10"+noon), instant(t, "2025-12-10"+noon)
	nameless := func(file string) vendorRecord { return vendorRecord{Filename: file} }
	for name, test := range map[string]struct {
		runs    []time.Time
		running bool // the call is still in progress by its row
		dryRun  bool
		want    Summary // of the last run
		waiting int
	}{
		"waits":           {runs: []time.Time{soon}, want: Summary{Recordings: 3, Archived: 1, Pending: 2}, waiting: 2},
		"waits still":     {runs: []time.Time{soon, soon}, want: Summary{Recordings: 3, Known: 1, Pending: 2}, waiting: 2},
		"is written off":  {runs: []time.Time{late}, want: Summary{Recordings: 3, Archived: 1, Lost: 2, DaysClosed: 1}},
		"was written off": {runs: []time.Time{late, late}, want: Summary{Recordings: 3, Known: 3, DaysClosed: 1}},
		"is counted only": {runs: []time.Time{soon}, dryRun: true, want: Summary{Recordings: 3, Pending: 2, ToFetch: 1}},
		"in progress":     {runs: []time.Time{soon}, running: true, want: Summary{Recordings: 1, Archived: 1, DaysClosed: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			call := callAt("1", day, noon, nameless("a.mp3"), nameless("b.mp3"))
			if test.running {
				call.Length = "null"
			}
			v.rows[day] = []row{call, callAt("2", day, noon, v.recording("111"))}
			a := v.archive(t)
			var s Summary
			for _, now := range test.runs {
				s = a.runAt(now, []plannedDay{wholeDay(day)}, func(s *setup) {
					s.Config.DryRun, s.Config.Relist = test.dryRun, true
				})
			}
			got := Summary{
				Recordings: s.Recordings, Archived: s.Archived, Known: s.Known, Pending: s.Pending, Lost: s.Lost,
				ToFetch: s.ToFetch, DaysClosed: s.DaysClosed,
			}
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("counted %+v", got)
			}
			waiting := 0
			for _, open := range s.OpenDays {
				waiting += open.Waiting
			}
			if waiting != test.waiting {
				t.Errorf("open days %+v", s.OpenDays)
			}
		})
	}
}

// TestQueuedJobRetainsNoPage queues one recording of each of many large pages.
func TestQueuedJobRetainsNoPage(t *testing.T) {
	const (
		day   = fetcher.Date("2025-05-10")
		pages = 20
		rows  = 20
		pad   = 20_000 // bytes a row, so that all pages are 8 MB
		most  = 3 << 20
	)
	v := newVendor(t)
	padding := strings.Repeat("x", pad)
	for i := range pages * rows {
		call := callAt(fmt.Sprint(i), day, noon)
		if i%rows == 7 {
			call.Found = []vendorRecord{v.recording(fmt.Sprint("r", i))}
		} else {
			call.Pad = padding
		}
		v.rows[day] = append(v.rows[day], call)
	}
	a := v.archive(t)
	a.pageSize = rows
	s := a.open()
	r := s.prepare(t.Context())
	defer r.kill()
	ended := make(chan error)
	queued := make([]*job, 0, pages)
	before := heapInUse()
	go func() { ended <- r.workDay(wholeDay(day)) }()
	for range pages {
		queued = append(queued, <-r.jobs)
	}
	for _, j := range queued[:pages-1] {
		j.end(true)
	}
	// The listing has nothing more to do than to wait for the last job.
	if held := heapInUse() - before; held > most {
		t.Errorf("%d queued jobs hold %d KB", pages, held>>10)
	}
	queued[pages-1].end(true)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	runtime.KeepAlive(queued)
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // the first one may only have begun to sweep
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestRelistOfAPartKeepsADayClosedForAll asks again, with a filter, for a day that
// is closed for every filter.
func TestRelistOfAPartKeepsADayClosedForAll(t *testing.T) {
	day := daysAgo(t, 10)
	server := simulate(t, convosotest.Config{FirstDay: string(day), CallsPerDay: 30})
	a := archiveOf(t, server)
	a.mustRun(day, nil)
	first := a.lines(day, "day")
	a.mustRun(day, func(s *setup) {
		s.Config.Relist = true
		s.Config.Filter.Status = "SALE"
	})
	server.ResetStats()
	if again := a.mustRun(day, nil); again.DaysSkipped != 1 || server.Stats().API.Requests != 0 {
		t.Errorf("%d days skipped, %d requests", again.DaysSkipped, server.Stats().API.Requests)
	}
	last := a.lines(day, "day")
	if len(first) != 1 || len(last) == 0 || last[len(last)-1].Calls != first[0].Calls || last[len(last)-1].Filter != "" {
		t.Errorf("closed by %+v, then by %+v", first, last)
	}
}

// TestRetryLostOfARowWithoutLink asks again for what is lost where the row has no
// link any more: nothing can be asked for, and lost it stays.
func TestRetryLostOfARowWithoutLink(t *testing.T) {
	day := daysAgo(t, 40)
	v := newVendor(t)
	unlinked := v.recording("111")
	unlinked.Link = nil
	v.rows[day] = []row{callAt("1", day, noon, unlinked)}
	a := v.archive(t)
	then := time.Now().Add(-30 * oneDay)
	a.note(day, manifest.Recording{RecordingID: "111", Outcome: manifest.Lost, Time: then, FirstSeen: then})
	summary := a.mustRun(day, func(s *setup) { s.Config.Retry = map[manifest.Outcome]bool{manifest.Lost: true} })
	if summary.Known != 1 || summary.Pending != 0 || summary.GivenUp != 0 || summary.DaysClosed != 1 {
		t.Errorf("known %d, pending %d, given up %d, closed %d", summary.Known, summary.Pending, summary.GivenUp, summary.DaysClosed)
	}
	if lines := a.lines(day, "recording"); len(lines) != 1 {
		t.Errorf("%d lines", len(lines))
	}
}

// TestBadManifestLine spoils the manifest of a day that has not settled, between two
// others: the run goes on, leaves it alone and says so.
func TestBadManifestLine(t *testing.T) {
	day := daysAgo(t, 10)
	bad := day.AddDays(1)
	server := simulate(t, convosotest.Config{FirstDay: string(day), Days: 3, CallsPerDay: 5})
	a := archiveOf(t, server)
	folder := filepath.Join(a.dir, "manifest")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	spoilt := []byte("{\"v\":1,\"kind\":\"recording\",\n{\"v\":1,\"kind\":\"later\"}\n")
	file := filepath.Join(folder, string(bad)+".jsonl")
	if err := os.WriteFile(file, spoilt, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, settle := range map[string]time.Duration{"settled": 2 * oneDay, "not settled": 100 * oneDay} {
		t.Run(name, func(t *testing.T) {
			summary, err := a.run(day, day.AddDays(2), func(s *setup) { s.Config.Settle = settle })
			if err != nil {
				t.Fatal(err)
			}
			at := slices.IndexFunc(summary.OpenDays, func(open OpenDay) bool { return open.Day == string(bad) })
			if at < 0 || !summary.OpenDays[at].Unreadable || summary.OpenDays[at].Settled != (name == "settled") {
				t.Fatalf("open days %+v", summary.OpenDays)
			}
			alone := Summary{OpenDays: summary.OpenDays[at : at+1]}
			if !alone.Incomplete(false) {
				t.Error("an unreadable manifest is no reason for exit code 3")
			}
			if now, err := os.ReadFile(file); err != nil || string(now) != string(spoilt) {
				t.Errorf("the spoilt manifest was changed: %v", err)
			}
		})
	}
	if got := len(a.recordings(day)) + len(a.recordings(day.AddDays(2))); got != 10 {
		t.Errorf("%d recordings of the other days", got)
	}
}

// TestDayCancelledInItsListing looks that a listing that is cut short leaves the day
// open and no window line.
func TestDayCancelledInItsListing(t *testing.T) {
	day := daysAgo(t, 10)
	v := newVendor(t)
	for i := range 3 {
		v.rows[day] = append(v.rows[day], callAt(fmt.Sprint(i), day, noon, v.recording(fmt.Sprint("r", i))))
	}
	ctx, cancel := context.WithCancel(t.Context())
	v.onPage = func(_ fetcher.Date, offset int) {
		if offset == 2 {
			cancel()
		}
	}
	a := v.archive(t)
	a.pageSize = 1
	s := a.open()
	s.Config.Span = spanOf(t, day, day)
	if err := s.Run(ctx); err == nil {
		t.Error("no error of a run that was cancelled")
	}
	s.finish()
	if len(a.lines(day, "window")) > 0 || a.closed(day) || len(s.Summary().OpenDays) != 1 {
		t.Errorf("open days %+v", s.Summary().OpenDays)
	}
}
