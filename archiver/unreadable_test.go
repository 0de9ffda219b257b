package archiver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// spoilDay makes a day's manifest one that cannot even be looked at, for the superuser
// too.
func (a *archive) spoilDay(day fetcher.Date) {
	a.t.Helper()
	if err := os.MkdirAll(filepath.Join(a.dir, "manifest", string(day)+".jsonl"), 0o700); err != nil {
		a.t.Fatal(err)
	}
}

// TestDayThatCannotBeLookedAt has such a day among those that the run comes to: it is
// named, the others go on.
func TestDayThatCannotBeLookedAt(t *testing.T) {
	day := daysAgo(t, 10)
	bad := day.AddDays(1)
	for name, change := range map[string]func(*setup){
		"asked for": func(*setup) {},
		"caught up with": func(s *setup) {
			s.Config.Span = Span{From: at(t, string(day.AddDays(2))), To: s.Config.Span.To, CatchUp: true}
		},
		"asked for, not settled": func(s *setup) { s.Config.Settle = 100 * oneDay },
	} {
		t.Run(name, func(t *testing.T) {
			server := simulate(t, convosotest.Config{FirstDay: string(day), Days: 3, CallsPerDay: 5})
			a := archiveOf(t, server)
			a.note(day, manifest.Recording{RecordingID: "1", Outcome: manifest.Pending}) // so that it is known as open
			a.spoilDay(bad)
			summary, err := a.run(day, day.AddDays(2), change)
			if err != nil {
				t.Fatal(err)
			}
			at := slices.IndexFunc(summary.OpenDays, func(open OpenDay) bool { return open.Day == string(bad) })
			if at < 0 || !summary.OpenDays[at].Unreadable || len(summary.OpenDays[at].Reasons) != 1 {
				t.Fatalf("open days %+v", summary.OpenDays)
			}
			alone := Summary{OpenDays: summary.OpenDays[at : at+1]}
			if !alone.Incomplete(false) {
				t.Error("no reason for exit code 3")
			}
			if summary.DaysAsked != 3 || summary.DaysListed != 2 {
				t.Errorf("%d days asked for, %d listed", summary.DaysAsked, summary.DaysListed)
			}
		})
	}
}

// TestStrayOfADayThatCannotBeRead lists a recording of such a day with another's rows.
func TestStrayOfADayThatCannotBeRead(t *testing.T) {
	v := newTwoDays(t)
	a := v.archive(t)
	a.spoilDay(v.second)
	summary := a.runAt(v.now, []plannedDay{wholeDay(v.first)}, nil)
	if len(summary.OpenDays) != 1 || summary.OpenDays[0].Unreadable || summary.DaysListed != 1 {
		t.Errorf("open days %+v", summary.OpenDays)
	}
	if asked := v.requests()["111"]; asked > 0 {
		t.Errorf("%d requests for what cannot be noted", asked)
	}
}

// TestErrorsThatConcernAllDays end the run, and are not put down to one day.
func TestErrorsThatConcernAllDays(t *testing.T) {
	day := daysAgo(t, 10)
	server := simulate(t, convosotest.Config{FirstDay: string(day), CallsPerDay: 5})
	a := archiveOf(t, server)
	later := filepath.Join(a.dir, "manifest", string(day.AddDays(-5))+".jsonl")
	if err := os.MkdirAll(filepath.Dir(later), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(later, []byte("{\"v\":2,\"kind\":\"day\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	summary, err := a.run(day, day, func(s *setup) { s.Config.Span.CatchUp = true })
	if _, ok := errors.AsType[*manifest.VersionError](err); !ok || summary.Archived > 0 {
		t.Errorf("a day of a later version: %v", err)
	}

	r := a.open().prepare(t.Context())
	defer r.kill()
	for name, err := range map[string]error{
		"none": nil, "out of order": passingError(t), "refused": fmt.Errorf("look: %w", store.ErrUnusable),
		"a later version": fmt.Errorf("look: %w", &manifest.VersionError{}),
	} {
		if r.concernsDayAlone(err) {
			t.Errorf("put down to one day: %s", name)
		}
	}
	r.stop(nil)
	if r.concernsDayAlone(errors.New("cut short")) {
		t.Error("put down to one day: the end of the run")
	}
}
