package archiver

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// byHand is a run whose days a test works one by one.
type byHand struct {
	*run
	t     *testing.T
	setup *setup
	end   func() // of the workers
}

// byHand begins a run at a time of the test's choosing.
func (a *archive) byHand(now time.Time) *byHand {
	a.t.Helper()
	s := a.open()
	r := s.prepare(a.t.Context())
	a.t.Cleanup(r.kill)
	r.now = func() time.Time { return now }
	h := &byHand{run: r, t: a.t, setup: s, end: sync.OnceFunc(withWorkers(r))}
	a.t.Cleanup(h.end)
	return h
}

// work works one day.
func (h *byHand) work(day fetcher.Date) {
	h.t.Helper()
	if err := h.workDay(wholeDay(day)); err != nil {
		h.t.Fatal(err)
	}
}

// settle ends the run as Run does.
func (h *byHand) settle() Summary {
	h.t.Helper()
	h.end()
	if err := h.settleHeld(); err != nil {
		h.t.Fatal(err)
	}
	if len(h.open) > 0 || len(h.held) > 0 || len(h.postponed) > 0 {
		h.t.Errorf("%d days are held, %d verdicts, %d days put off", len(h.open), len(h.held), len(h.postponed))
	}
	h.setup.finish()
	return h.setup.Summary()
}

// TestDayThatWasPutOffIsConcludedWhenProved has a second "not found" on one day, on
// the next nothing, on the third a recording that can be had.
func TestDayThatWasPutOffIsConcludedWhenProved(t *testing.T) {
	const first = fetcher.Date("2025-05-10")
	empty, well := first.AddDays(1), first.AddDays(2)
	now := instant(t, "2025-06-01"+noon)
	for name, proof := range map[string]func(*byHand){
		"by the end of another day": func(h *byHand) { h.work(well) },
		"within a page of a long day": func(h *byHand) {
			h.streaks.note(nil, false)
			if err := h.concludeReady(); err != nil {
				h.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.rows[first] = []row{callAt("1", first, noon, v.recording("gone"))}
			v.rows[well] = []row{callAt("2", well, noon, v.recording("here"))}
			v.status["gone"] = http.StatusNotFound
			a := v.archive(t)
			a.note(first, manifest.Recording{
				RecordingID: "gone", Outcome: manifest.Pending, Time: now.Add(-2 * oneDay), Reason: manifest.NotFoundReason("another"),
			})
			h := a.byHand(now)
			h.work(first)
			h.work(empty)
			if isClosed(t, h.setup, first) || len(a.lines(first, "window")) > 0 || h.setup.Summary().Lost > 0 {
				t.Error("written off before there was an answer that proves it")
			}
			proof(h)
			if !isClosed(t, h.setup, first) {
				t.Error("still put off after there was an answer that proves it")
			}
			if len(h.open) > 0 {
				t.Errorf("%d ledgers are held", len(h.open))
			}
			if s := h.settle(); s.Lost != 1 || len(s.OpenDays) > 0 {
				t.Errorf("lost %d, open days %+v", s.Lost, s.OpenDays)
			}
		})
	}
}

// TestPagesConcludeWhatIsProved works a long day: the days that were put off before it
// do not wait for its end.
func TestPagesConcludeWhatIsProved(t *testing.T) {
	const first = fetcher.Date("2025-05-10")
	long := first.AddDays(1)
	now := instant(t, "2025-06-01"+noon)
	v := newVendor(t)
	v.rows[first] = []row{callAt("1", first, noon, v.recording("gone"))}
	v.rows[long] = []row{callAt("2", long, noon), callAt("3", long, noon)}
	v.status["gone"] = http.StatusNotFound
	a := v.archive(t)
	a.pageSize = 1
	a.note(first, manifest.Recording{
		RecordingID: "gone", Outcome: manifest.Pending, Time: now.Add(-2 * oneDay), Reason: manifest.NotFoundReason("another"),
	})
	h := a.byHand(now)
	h.work(first)
	v.change(func(v *vendor) {
		v.onPage = func(day fetcher.Date, offset int) {
			switch {
			case day == long && offset == 0:
				h.streaks.note(nil, false)
			case day == long && offset == 1 && !isClosed(t, h.setup, first):
				t.Error("a day waits for the end of another, though it is proved")
			}
		}
	})
	h.work(long)
	h.settle()
}

// strayed is a vendor that lists a call of the second day with the first day's rows
// alone, long after its audio was purged: one "not found" is a verdict, and there is
// no earlier line.
func strayed(t *testing.T) (v *vendor, first, second fetcher.Date, now time.Time) {
	t.Helper()
	first, second = "2025-05-10", "2025-05-11"
	v = newVendor(t)
	v.rows[first] = []row{callAt("7", second, " 00:10:00", v.recording("111")), callAt("6", first, noon)}
	v.rows[second] = []row{callAt("8", second, noon)}
	v.status["111"] = http.StatusNotFound
	return v, first, second, instant(t, "2025-12-01"+noon)
}

// TestWindowWaitsForTheVerdictOfAStray looks that no line says what was listed while a
// recording in it has no line, and that there is one in the end.
func TestWindowWaitsForTheVerdictOfAStray(t *testing.T) {
	for name, asked := range map[string]bool{"its day is worked later": true, "its day is not asked for": false} {
		t.Run(name, func(t *testing.T) {
			v, first, second, now := strayed(t)
			a := v.archive(t)
			h := a.byHand(now)
			h.work(first)
			if windows := a.lines(first, "window"); len(windows) > 0 && len(a.recordings(second)) == 0 {
				t.Errorf("window lines %+v before the line of what was listed", windows)
			}
			if asked {
				h.work(second)
				if len(a.recordings(second)) != 1 || len(a.lines(first, "window")) == 0 {
					t.Error("the verdict or the window is not noted when the stray's day is done")
				}
			}
			s := h.settle()
			if line := a.recordings(second)["111"]; line.Outcome != manifest.Lost || s.Lost != 1 {
				t.Errorf("noted as %q, lost %d", line.Outcome, s.Lost)
			}
			if len(a.lines(first, "window")) != 1 || len(s.OpenDays) != 1 {
				t.Errorf("window lines %+v, open days %+v", a.lines(first, "window"), s.OpenDays)
			}
		})
	}
}

// TestDaysThatListedStraysOfEachOther does not let them wait for each other.
func TestDaysThatListedStraysOfEachOther(t *testing.T) {
	v, first, second, now := strayed(t)
	v.rows[second] = []row{callAt("9", first, " 23:50:00", v.recording("222")), callAt("8", second, noon)}
	v.status["222"] = http.StatusNotFound
	var listed sync.WaitGroup // both strays, before either day is done and takes no more
	listed.Add(2)
	v.onPage = func(_ fetcher.Date, offset int) {
		if offset == 1 {
			listed.Done()
			listed.Wait()
		}
	}
	a := v.archive(t)
	a.pageSize = 1
	h := a.byHand(now)
	var days sync.WaitGroup
	for _, day := range []fetcher.Date{first, second} {
		days.Go(func() {
			if err := h.workDay(wholeDay(day)); err != nil {
				t.Error(err)
			}
		})
	}
	days.Wait()
	if err := h.concludeReady(); err != nil { // as the next page of any day does
		t.Error(err)
	}
	if len(h.postponed) > 0 {
		t.Errorf("%d days wait for each other", len(h.postponed))
	}
	h.settle()
	for day, stray := range map[fetcher.Date]string{first: "222", second: "111"} {
		if len(a.lines(day, "window")) != 1 || a.recordings(day)[stray].Outcome != manifest.Lost {
			t.Errorf("%s: window lines %+v, recordings %+v", day, a.lines(day, "window"), a.recordings(day))
		}
	}
}

// TestStrayFoundTooLateLeavesNoWindow lists a stray when its own day is done already
// and takes no more: nobody works it in this run.
func TestStrayFoundTooLateLeavesNoWindow(t *testing.T) {
	const first, second = fetcher.Date("2025-05-10"), fetcher.Date("2025-05-11")
	v := newVendor(t)
	v.rows[first] = []row{
		callAt("7", second, " 00:10:00", v.recording("111")), callAt("5", first, noon), callAt("6", first, noon),
		callAt("8", second, " 00:20:00", v.recording("222")),
	}
	v.rows[second] = []row{callAt("7", second, " 00:10:00", v.recording("111"))}
	a := v.archive(t)
	a.pageSize = 3
	now := instant(t, "2025-05-20"+noon)
	h := a.byHand(now)
	v.change(func(v *vendor) {
		v.onPage = func(day fetcher.Date, offset int) {
			if day == first && offset > 0 && len(a.lines(second, "day")) == 0 {
				if err := h.workDay(wholeDay(second)); err != nil { // while the first day holds its ledger
					t.Error(err)
				}
			}
		}
	})
	h.work(first)
	s := h.settle()
	if windows := a.lines(first, "window"); len(windows) > 0 {
		t.Errorf("window lines %+v, though one of its recordings has no line", windows)
	}
	if len(s.OpenDays) != 1 || !a.closed(second) {
		t.Fatalf("open days %+v", s.OpenDays)
	}
	v.change(func(v *vendor) { v.onPage = nil })
	again := a.byHand(now)
	again.work(first)
	again.settle()
	if len(a.lines(first, "window")) != 1 || a.recordings(second)["222"].Outcome != manifest.Archived {
		t.Errorf("the next run notes %+v and %+v", a.lines(first, "window"), a.recordings(second))
	}
}

// TestStrayIsNotUnlisted never takes a recording for gone because its own day's
// listing lacks what another day's listing holds.
func TestStrayIsNotUnlisted(t *testing.T) {
	const first, second = fetcher.Date("2025-05-10"), fetcher.Date("2025-05-11")
	now := instant(t, "2025-05-20"+noon)
	for name, days := range map[string][]plannedDay{
		"its own day comes first": {wholeDay(first), wholeDay(second)},
		"its own day comes last":  {wholeDay(second), wholeDay(first)},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.rows[first] = []row{callAt("6", first, noon)}
			v.rows[second] = []row{callAt("7", first, " 20:30:00", v.recording("111")), callAt("8", second, noon)}
			v.status["111"] = http.StatusNotFound
			a := v.archive(t)
			for i := range 3 {
				if s := a.runAt(now.Add(time.Duration(i)*time.Hour), days, nil); s.Lost > 0 {
					t.Errorf("run %d: lost after one answer, though listed", i+1)
				}
			}
			v.change(func(v *vendor) { delete(v.status, "111") })
			s := a.runAt(now.Add(oneDay), days, nil)
			if line := a.recordings(first)["111"]; line.Outcome != manifest.Archived || s.Archived != 1 {
				t.Errorf("noted as %q, %d archived", line.Outcome, s.Archived)
			}
		})
	}
}

// TestNoAdoptionOfWhatMayBeAnothers has a file under a name that two recordings want,
// which a killed run may have stored for either of them.
func TestNoAdoptionOfWhatMayBeAnothers(t *testing.T) {
	day := daysAgo(t, 200)
	named := func(v *vendor, id string) vendorRecord {
		recording := v.recording(id)
		recording.Filename = "x.mp3"
		return recording
	}
	for name, test := range map[string]struct {
		gone    []string // not found at the source
		stray   bool     // listed with another day's calls alone
		stored  string
		adopted string
	}{
		"one is gone":                       {gone: []string{"b"}, stored: "x.mp3"},
		"both are gone":                     {gone: []string{"a", "b"}, stored: "x.mp3"},
		"both are gone, on a day not asked": {gone: []string{"a", "b"}, stray: true, stored: "x.mp3"},
		"its id is in the name":             {gone: []string{"a", "b"}, stored: "x-b.mp3", adopted: "b"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			asked := day
			if test.stray {
				asked = day.AddDays(1)
			}
			v.rows[asked] = []row{
				callAt("1", day, " 23:50:00", named(v, "b")), callAt("2", day, " 23:51:00", named(v, "a")),
				callAt("3", asked, noon), callAt("4", asked, noon),
			}
			for _, id := range test.gone {
				v.status[id] = http.StatusNotFound
			}
			a := v.archive(t)
			if err := os.WriteFile(filepath.Join(a.dir, test.stored), someMP3(), 0o600); err != nil {
				t.Fatal(err)
			}
			s := a.mustRun(asked, func(s *setup) { s.Config.Workers, s.Config.Storing = 1, 0 })
			got := a.recordings(day)
			for _, id := range test.gone {
				want := manifest.Lost
				if id == test.adopted {
					want = manifest.Archived
				}
				if got[id].Outcome != want {
					t.Errorf("%s is noted as %q", id, got[id].Outcome)
				}
			}
			if adopted := len(test.adopted); s.Lost != len(test.gone)-adopted || s.Adopted < adopted {
				t.Errorf("lost %d, adopted %d", s.Lost, s.Adopted)
			}
		})
	}
}

// TestAdoptedInPlaceOfALossCountsAsNew lets no more recordings be adopted than a run
// may archive.
func TestAdoptedInPlaceOfALossCountsAsNew(t *testing.T) {
	const count, most = 5, 2
	day := daysAgo(t, 200)
	v := newVendor(t)
	a := v.archive(t)
	var found []vendorRecord
	for i := range count {
		id := fmt.Sprint("r", i)
		found = append(found, v.recording(id))
		v.status[id] = http.StatusNotFound
		if err := os.WriteFile(filepath.Join(a.dir, id+".mp3"), someMP3(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	v.rows[day] = []row{callAt("1", day, noon, found...)}
	s := a.mustRun(day, func(s *setup) { s.Config.MaxRecordings = most })
	if s.Archived != most || s.Adopted != most || s.Lost != 0 || s.Stopped != "max-recordings" {
		t.Errorf("archived %d, adopted %d, lost %d, stopped by %q", s.Archived, s.Adopted, s.Lost, s.Stopped)
	}
	if len(s.OpenDays) != 1 || len(a.lines(day, "window")) > 0 {
		t.Errorf("open days %+v, window lines %+v", s.OpenDays, a.lines(day, "window"))
	}
	rest := a.mustRun(day, nil)
	if rest.Adopted != count-most || rest.DaysClosed != 1 {
		t.Errorf("then adopted %d, closed %d", rest.Adopted, rest.DaysClosed)
	}
}
