package archiver

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

func at(t *testing.T, s string) time.Time {
	t.Helper()
	wall, err := fetcher.ParseWall(s)
	if err != nil {
		t.Fatal(err)
	}
	return wall
}

func losAngeles(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestPlan(t *testing.T) {
	zone := losAngeles(t)
	now := time.Date(2025, 5, 10, 12, 0, 0, 0, zone)
	for name, test := range map[string]struct {
		from, to string
		order    Order
		purge    time.Duration
		open     []fetcher.Date
		want     string // days, a part of one in parentheses
	}{
		"two days":              {"2025-05-01", "2025-05-02 23:59:59", Ascending, 0, nil, "2025-05-01 2025-05-02"},
		"newest first":          {"2025-05-01", "2025-05-02 23:59:59", Descending, 0, nil, "2025-05-02 2025-05-01"},
		"ends now":              {"2025-05-09", "2025-05-31", Ascending, 0, nil, "2025-05-09 2025-05-10"},
		"parts":                 {"2025-05-01 13:00:00", "2025-05-02 09:00:00", Ascending, 0, nil, "(2025-05-01) (2025-05-02)"},
		"midnight as end":       {"2025-05-01", "2025-05-02", Ascending, 0, nil, "2025-05-01 (2025-05-02)"},
		"in the future":         {"2025-06-01", "2025-06-02", Ascending, 0, nil, ""},
		"open days come too":    {"2025-05-08", "2025-05-08 23:59:59", Ascending, 0, []fetcher.Date{"2025-05-01", "2025-05-08", "2025-05-09"}, "2025-05-01 2025-05-08"},
		"expiring, then purged": {"2025-05-01", "2025-05-06 23:59:59", Expiring, 6 * 24 * time.Hour, nil, "2025-05-04 2025-05-05 2025-05-06 2025-05-03 2025-05-02 2025-05-01"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{Zone: zone, Span: Span{From: at(t, test.from), To: at(t, test.to)}, Order: test.order, PurgeAfter: test.purge}
			var got []string
			for _, day := range c.plan(now, test.open) {
				text := string(day.date)
				if !day.whole {
					text = "(" + text + ")"
				}
				got = append(got, text)
			}
			if joined := strings.Join(got, " "); joined != test.want {
				t.Errorf("%s, want %s", joined, test.want)
			}
		})
	}
}

func TestPlanWindows(t *testing.T) {
	zone := losAngeles(t)
	now := time.Date(2025, 5, 10, 12, 0, 0, 0, zone)
	c := Config{Zone: zone, Order: Ascending, Span: Span{From: at(t, "2025-05-08 13:00:00"), To: at(t, "2025-05-10 23:59:59")}}
	var got []string
	for _, day := range c.plan(now, nil) {
		got = append(got, day.span.String())
	}
	want := "2025-05-08 13:00:00 to 2025-05-09 00:00:00, 2025-05-08 23:59:59 to 2025-05-10 00:00:00, 2025-05-09 23:59:59 to 2025-05-11 00:00:00"
	if joined := strings.Join(got, ", "); joined != want {
		t.Errorf("got  %s\nwant %s", joined, want)
	}
}

func TestSettled(t *testing.T) {
	zone := losAngeles(t)
	c := Config{Zone: zone, Settle: 48 * time.Hour, PurgeAfter: 155 * 24 * time.Hour}
	over := time.Date(2025, 5, 2, 0, 0, 0, 0, zone)
	for after, want := range map[time.Duration]bool{-time.Hour: false, 0: false, 48*time.Hour - 1: false, 48 * time.Hour: true} {
		if got := c.settled(over.Add(after), "2025-05-01"); got != want {
			t.Errorf("%v after its end: %v", after, got)
		}
	}
}

func TestConfirmsLoss(t *testing.T) {
	now := time.Date(2025, 5, 10, 0, 0, 0, 0, time.UTC)
	told := func(ago time.Duration, listing string) manifest.State {
		return manifest.State{Outcome: manifest.Pending, NotFoundSince: now.Add(-ago), NotFoundListing: listing}
	}
	settled, fresh, expired := dayAge{settled: true}, dayAge{}, dayAge{settled: true, expired: true}
	for name, test := range map[string]struct {
		prior manifest.State
		age   dayAge
		want  bool
	}{
		"first time":                     {manifest.State{}, settled, false},
		"first time beyond purge":        {manifest.State{}, expired, true},
		"twice within a day":             {told(23*time.Hour, "a"), settled, false},
		"twice, a day apart":             {told(24*time.Hour, "a"), settled, true},
		"twice by one listing":           {told(48*time.Hour, "this"), settled, false},
		"twice on a day not yet settled": {told(48*time.Hour, "a"), fresh, false},
		"failed before":                  {manifest.State{Outcome: manifest.Failed}, settled, false},
		"damaged":                        {manifest.State{Outcome: manifest.Damaged, NotFoundSince: now.Add(-99 * time.Hour)}, expired, false},
	} {
		if got := confirmsLoss(test.prior, "this", test.age, now); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestFinal(t *testing.T) {
	now := time.Date(2025, 5, 20, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	state := func(o manifest.Outcome, seen, line time.Duration) manifest.State {
		return manifest.State{Outcome: o, FirstSeen: now.Add(-seen), Time: now.Add(-line)}
	}
	for name, test := range map[string]struct {
		state manifest.State
		want  bool
	}{
		"archived":                         {state(manifest.Archived, 0, 0), true},
		"lost":                             {state(manifest.Lost, 0, 0), true},
		"unknown":                          {state("erased", 0, 0), true},
		"failed lately":                    {state(manifest.Failed, 3*day, day), false},
		"failed long ago, not asked since": {state(manifest.Failed, 20*day, 19*day), false},
		"failed after the time was up":     {state(manifest.Failed, 20*day, 5*day), true},
		"damaged long ago":                 {state(manifest.Damaged, 300*day, 150*day), false},
	} {
		if got := final(test.state, 14*day); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestStreaks(t *testing.T) {
	missing, denied, failed := &finding{notFound: true}, &finding{denied: true}, &finding{}
	var s streaks
	for range mostRefused - 1 {
		if s.note(missing, false) {
			t.Fatal("too early")
		}
	}
	s.note(failed, false) // says nothing of what the host has
	if !s.note(missing, false) {
		t.Error("a full streak is not told")
	}
	s = streaks{}
	for range 3 * mostRefused {
		if s.note(missing, true) {
			t.Fatal("days whose audio is purged count")
		}
	}
	for i := range 3 * mostRefused {
		if i%(mostRefused-1) == 0 {
			s.note(nil, false)
		}
		if s.note(missing, false) {
			t.Fatal("an archived recording does not end the streak")
		}
	}
	s = streaks{}
	for range mostRefused - 1 {
		s.note(denied, false)
	}
	if !s.note(denied, true) {
		t.Error("a streak of refusals is not told")
	}
}
