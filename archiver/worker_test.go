package archiver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// TestDamagedIsFetchedUnderANewKey damages a recording again and again, longer ago
// than recordings are given up after: each time it is asked for once more, and what
// comes stands under a key that it never had.
func TestDamagedIsFetchedUnderANewKey(t *testing.T) {
	const day = fetcher.Date("2025-05-10")
	v := newVendor(t)
	v.rows[day] = []row{callAt("1", day, noon, v.recording("111"))}
	a := v.archive(t)
	now := instant(t, "2025-05-20"+noon)
	a.runAt(now, []plannedDay{wholeDay(day)}, nil)
	keys := map[string]bool{}
	for i := range 4 {
		stored := a.recordings(day)["111"]
		if stored.Outcome != manifest.Archived || keys[stored.Key] || !a.stands(stored) {
			t.Fatalf("after %d times noted as %q, under a key had before: %v, file as noted: %v",
				i, stored.Outcome, keys[stored.Key], a.stands(stored))
		}
		keys[stored.Key] = true
		a.note(day, manifest.Recording{RecordingID: "111", Outcome: manifest.Damaged, Key: stored.Key, Time: now.Add(time.Hour)})
		now = now.Add(20 * oneDay)
		summary := a.runAt(now, []plannedDay{wholeDay(day)}, nil)
		if summary.Archived != 1 || summary.DaysClosed != 1 {
			t.Fatalf("archived %d, known %d, closed %d", summary.Archived, summary.Known, summary.DaysClosed)
		}
	}
	if asked := v.requests()["111"]; asked != 5 {
		t.Errorf("%d requests", asked)
	}
}

// TestDamagedAlwaysWaits has no more of a damaged recording to fetch.
func TestDamagedAlwaysWaits(t *testing.T) {
	day := daysAgo(t, 60)
	then := time.Now().Add(-50 * oneDay)
	for name, change := range map[string]func(*vendor, *vendorRecord){
		"not found":     func(v *vendor, _ *vendorRecord) { v.status["111"] = http.StatusNotFound },
		"refused":       func(v *vendor, _ *vendorRecord) { v.status["111"] = http.StatusForbidden },
		"without link":  func(_ *vendor, r *vendorRecord) { r.Link = nil },
		"not allowed":   func(_ *vendor, r *vendorRecord) { other := "https://other.invalid/a"; r.Link = &other },
		"another thing": func(v *vendor, _ *vendorRecord) { v.bodies["111"] = []byte("<html>sign in</html>") },
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			recording := v.recording("111")
			change(v, &recording)
			v.rows[day] = []row{callAt("1", day, noon, recording)}
			a := v.archive(t)
			a.note(day,
				manifest.Recording{RecordingID: "111", Outcome: manifest.Archived, Key: "111.mp3", Size: 9, SHA256: strings.Repeat("0", 64), Time: then},
				manifest.Recording{RecordingID: "111", Outcome: manifest.Damaged, Key: "111.mp3", Time: then.Add(oneDay)})
			for range 2 {
				summary := a.mustRun(day, func(s *setup) { s.Config.PurgeAfter = 30 * oneDay })
				if len(summary.OpenDays) != 1 || summary.OpenDays[0].Waiting != 1 || summary.Lost+summary.GivenUp != 0 {
					t.Errorf("open days %+v, lost %d, given up %d", summary.OpenDays, summary.Lost, summary.GivenUp)
				}
			}
		})
	}
}

// TestOneNameForSeveralRecordings lets recordings with one name and the same bytes
// arrive together.
func TestOneNameForSeveralRecordings(t *testing.T) {
	const count = 8
	day := daysAgo(t, 10)
	v := newVendor(t)
	var together sync.WaitGroup
	together.Add(count)
	v.onAudio = func(string) {
		together.Done()
		together.Wait()
	}
	var found []vendorRecord
	for i := range count {
		recording := v.recording(fmt.Sprint(100 + i))
		recording.Filename = "call.mp3"
		found = append(found, recording)
	}
	v.rows[day] = []row{callAt("1", day, noon, found...)}
	a := v.archive(t)
	summary := a.mustRun(day, func(s *setup) { s.Config.Workers = count })
	if summary.Archived != count || summary.Adopted != 0 {
		t.Errorf("%d archived, %d adopted", summary.Archived, summary.Adopted)
	}
	keys := map[string]string{}
	for id, line := range a.recordings(day) {
		if other, taken := keys[line.Key]; taken {
			t.Errorf("recordings %s and %s have one key", id, other)
		}
		keys[line.Key] = id
		if !a.stands(line) {
			t.Errorf("recording %s does not stand under its key", id)
		}
	}
}

// TestClaimWaitsForTheLine holds a second recording that wants the same key back
// until the first one's line is durable.
func TestClaimWaitsForTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hard, kill := context.WithCancel(t.Context())
		r := &run{hard: hard, claims: map[string]*claim{}}
		release, err := r.claim("a.mp3")
		if err != nil {
			t.Fatal(err)
		}
		claimed := make(chan func(), 1)
		go func() {
			release, err := r.claim("a.mp3")
			if err != nil {
				t.Error(err)
			}
			claimed <- release
		}()
		synctest.Wait()
		if len(claimed) > 0 {
			t.Error("one key is claimed twice")
		}
		release()
		defer (<-claimed)()
		ended := make(chan error, 1)
		go func() {
			_, err := r.claim("a.mp3")
			ended <- err
		}()
		synctest.Wait()
		kill()
		if err := <-ended; !errors.Is(err, errStopping) {
			t.Errorf("a claim that the run's end cut short: %v", err)
		}
	})
}

// TestMaxRecordings stops a run within a day and before others.
func TestMaxRecordings(t *testing.T) {
	const days = 12
	day := daysAgo(t, 40)
	server := simulate(t, convosotest.Config{FirstDay: string(day), Days: days, CallsPerDay: 4})
	a := archiveOf(t, server)
	summary, err := a.run(day, day.AddDays(days-1), func(s *setup) { s.Config.MaxRecordings, s.Config.Workers = 3, 1 })
	if err != nil || summary.Archived != 3 || !summary.Incomplete(false) {
		t.Errorf("archived %d, stopped by %q, error %v", summary.Archived, summary.Stopped, err)
	}
	if told := summary.DaysClosed + summary.DaysSkipped + len(summary.OpenDays) + summary.DaysNotBegun; told != summary.DaysAsked || summary.DaysAsked != days {
		t.Errorf("%d days asked for; closed %d, skipped %d, open %d, not begun %d",
			summary.DaysAsked, summary.DaysClosed, summary.DaysSkipped, len(summary.OpenDays), summary.DaysNotBegun)
	}
	for i := range days {
		if date := day.AddDays(i); len(a.lines(date, "window")) > 0 || a.closed(date) {
			t.Errorf("%s has a window line, though some of its recordings have none", date)
		}
	}
	rest, err := a.run(day, day.AddDays(days-1), nil)
	if err != nil || rest.Archived != 4*days-3 || rest.DaysClosed != days {
		t.Errorf("the next run archived %d and closed %d days: %v", rest.Archived, rest.DaysClosed, err)
	}
}

// TestRunLeavesNoGoroutine looks for goroutines of this package after a run, whose
// grace would be an hour.
func TestRunLeavesNoGoroutine(t *testing.T) {
	day := daysAgo(t, 10)
	server := simulate(t, convosotest.Config{FirstDay: string(day), CallsPerDay: 5})
	a := archiveOf(t, server)
	a.mustRun(day, func(s *setup) { s.Config.Grace = time.Hour })
	for begun := time.Now(); ; runtime.Gosched() {
		left := goroutinesOfRun()
		if left == "" {
			return
		}
		if time.Since(begun) > 10*time.Second { // those that were told to end may not have come to run yet
			t.Fatalf("a goroutine is left:\n%s", left)
		}
	}
}

// goroutinesOfRun returns the stack of a goroutine that works for a run, "" for none.
func goroutinesOfRun() string {
	buf := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		for _, frame := range []string{"archiver.(*run)", "archiver.(*Archiver)", "archiver.(*dayRun)"} {
			if strings.Contains(stack, frame) {
				return stack
			}
		}
	}
	return ""
}

// stands reports whether a recording's file is as its line says.
func (a *archive) stands(line manifestLine) bool {
	a.t.Helper()
	body, err := a.read(line.Key)
	return err == nil && int64(len(body)) == line.Size && fmt.Sprintf("%x", sha256.Sum256(body)) == line.SHA256
}

// objectOf is a body as the archiver stores it.
func objectOf(id, key string, body []byte) store.Object {
	return store.Object{Keys: []string{key}, Body: strings.NewReader(string(body)), Size: int64(len(body)), SHA256: sha256.Sum256(body), RecordingID: id}
}
