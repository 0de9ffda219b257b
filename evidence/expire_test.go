package evidence

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

func TestMissing(t *testing.T) {
	for name, c := range map[string]struct {
		m    Missing
		want bool
	}{
		"past":                  {Missing{Ends: true, Ended: "2026-03-04", Today: "2026-03-04"}, true},
		"long past":             {Missing{Ends: true, Ended: "2025-03-04", Today: "2026-03-04"}, true},
		"the day before":        {Missing{Ends: true, Ended: "2026-03-05", Today: "2026-03-04"}, false},
		"kept for ever":         {Missing{Today: "2026-03-04"}, false},
		"held":                  {Missing{Ends: true, Ended: "2026-03-04", Held: true, Today: "2026-03-04"}, false},
		"campaign not known":    {Missing{Ends: true, Ended: "2026-03-04", NoRow: true, Today: "2026-03-04"}, false},
		"no day to be told":     {Missing{Ends: true, Ended: "2026-03-04"}, false},
		"nothing is known":      {Missing{}, false},
		"held before its date":  {Missing{Ends: true, Ended: "2026-03-05", Held: true, Today: "2026-03-04"}, false},
		"no retention and held": {Missing{Held: true, Today: "2026-03-04"}, false},
	} {
		if got := c.m.IsExpired(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// short keeps recordings of campaign 7 for three days, those of 8 for ten years, and all others for
// ever.
func short() Retention {
	return Retention{
		Classes:   map[string]store.Period{"short": {Rest: 3 * 24 * time.Hour}, "long": {Years: 10}},
		Campaigns: map[string]string{"7": "short", "8": "long", "9": "unknown"},
	}
}

// standing returns which recordings of a day have audio.
func (w *world) standing(day string) (names []string) {
	w.t.Helper()
	entries, err := os.ReadDir(filepath.Join(w.dir, day))
	if !errors.Is(err, os.ErrNotExist) {
		w.must(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Recordings past their retention are removed, by the campaign of their call and by day; a dry run reports the same and
// changes nothing.
func TestExpiring(t *testing.T) {
	w := newWorld(t)
	days := []string{"2026-03-01", "2026-03-02", "2026-03-03"}
	w.campaigns = []string{"7", "8", "9", "", "7"}
	for _, day := range days {
		w.keepDay(day, 5)
	}
	w.write(func(l *manifest.Ledger) { // a recording without a row, so without a known campaign
		d, err := l.Load(t.Context(), days[0])
		w.must(err)
		lone := manifest.Recording{
			RecordingID: "lone", Outcome: manifest.Archived, Key: days[0] + "/lone.mp3", Size: 4, Time: w.now, CallID: "clone",
			SHA256: "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9",
		}
		w.must(os.WriteFile(filepath.Join(w.dir, lone.Key), []byte("lone"), 0o600))
		w.must(d.Note(t.Context(), lone))
	})
	run := func(today string, yes bool) (got Expired) {
		t.Helper()
		w.erasing(nil, func(e *Erasing) {
			x := &Expiring{Erasing: e, Retention: short(), Today: today, Yes: yes}
			w.must(x.Run(t.Context()))
			got = x.Result()
		})
		return got
	}
	size := int64(len("audio of 2026-03-01-0"))
	next := func(today string, want *NextExpiry) {
		t.Helper()
		w.erasing(nil, func(e *Erasing) {
			x := &Expiring{Erasing: e, Retention: short(), Today: today}
			_, got, err := x.Outlook(t.Context())
			w.must(err)
			if (got == nil) != (want == nil) || got != nil && *got != *want {
				t.Errorf("next after %s: %+v, want %+v", today, got, want)
			}
		})
	}
	next("2026-03-01", &NextExpiry{"2026-03-04", 2, 2 * size, days[0], days[0]})
	next("2026-03-04", &NextExpiry{"2026-03-05", 2, 2 * size, days[1], days[1]})
	next("2026-03-06", &NextExpiry{"2036-03-01", 1, size, days[0], days[0]})
	next("2036-03-03", nil)
	stored := func(want ...ExpiredClass) {
		t.Helper()
		w.erasing(nil, func(e *Erasing) {
			got, _, err := (&Expiring{Erasing: e, Retention: short(), Today: "2026-03-05"}).Outlook(t.Context())
			w.must(err)
			if !slices.Equal(got, want) {
				t.Errorf("stored: %+v, want %+v", got, want)
			}
		})
	}
	forEver, long := ExpiredClass{"", 6, 6 * size, days[0], days[2]}, ExpiredClass{"long", 3, 3 * size, days[0], days[2]}
	stored(forEver, long, ExpiredClass{"short", 6, 6 * size, days[0], days[2]})
	w.write(func(l *manifest.Ledger) {
		r := short()
		r.Campaigns["77"], r.Campaigns["Sales"] = "long", "long"
		if got, err := UnseenCampaigns(t.Context(), l, r); err != nil || !slices.Equal(got, []string{"77", "Sales"}) {
			t.Errorf("campaigns without a call: %q, %v", got, err)
		}
		if got, err := UnseenCampaigns(t.Context(), l, short()); err != nil || len(got) > 0 {
			t.Errorf("campaigns without a call: %q, %v", got, err)
		}
	})
	if got := run("2026-03-03", true); got.Recordings+got.Removed != 0 {
		t.Errorf("before its time: %+v", got)
	}
	var list []Due
	w.erasing(nil, func(e *Erasing) { // by campaign, and with one class for all, where a recording needs no row
		for _, r := range []Retention{short(), {Classes: map[string]store.Period{"all": {Rest: 4 * 24 * time.Hour}}, Default: "all"}} {
			x := &Expiring{Erasing: e, Retention: r, Today: "2026-03-05", Each: func(d Due) error {
				list = append(list, d)
				return nil
			}}
			w.must(x.Run(t.Context()))
		}
	})
	id := func(day string, n string) Due {
		return Due{day + "-" + n, "c" + day + "-" + n, day, "7", "short", size, "2026-03-04"}
	}
	wantList := []Due{id(days[0], "0"), id(days[0], "4"), id(days[1], "0"), id(days[1], "4")}
	wantList[2].Ended, wantList[3].Ended = "2026-03-05", "2026-03-05"
	for n, campaign := range []string{"7", "8", "9", "", "7"} {
		d := id(days[0], strconv.Itoa(n))
		d.Campaign, d.Class, d.Ended = campaign, "all", "2026-03-05"
		wantList = append(wantList, d)
	}
	wantList = append(wantList, Due{"lone", "clone", days[0], "", "all", 4, "2026-03-05"})
	if !slices.Equal(list, wantList) {
		t.Errorf("listed\n%+v, want\n%+v", list, wantList)
	}
	shown := run("2026-03-05", false)
	want := []ExpiredClass{{Class: "short", Recordings: 4, Bytes: 4 * size, FirstDay: days[0], LastDay: days[1]}}
	if !slices.Equal(shown.Classes, want) || shown.NoRow != 1 || shown.Removed != 0 || len(w.standing(days[0])) != 6 {
		t.Errorf("shown: %+v, want %+v", shown, want)
	}
	done := run("2026-03-05", true)
	if !slices.Equal(done.Classes, want) || done.Removed != 4 || done.Audio != 4 || len(done.Expiries) != 1 || len(done.Unfinished) != 0 {
		t.Errorf("removed: %+v", done)
	}
	for i, day := range days {
		left := []string{day + "-0.mp3", day + "-1.mp3", day + "-2.mp3", day + "-3.mp3", day + "-4.mp3"}
		if i < 2 {
			left = left[1:4]
		}
		if i == 0 {
			left = append(left, "lone.mp3")
		}
		if is := w.standing(day); !slices.Equal(is, left) {
			t.Errorf("%s: %v, want %v", day, is, left)
		}
	}
	next("2026-03-03", &NextExpiry{"2026-03-06", 2, 2 * size, days[2], days[2]})
	stored(forEver, long, ExpiredClass{"short", 2, 2 * size, days[2], days[2]})
	if again := run("2026-03-05", true); again.Recordings+again.Removed+len(again.Expiries) != 0 {
		t.Errorf("again: %+v", again)
	}
}

// A recording that a later day also lists, with the same audio, expires with that day; audio shared with a recording
// that stays is reported and kept.
func TestExpiringShared(t *testing.T) {
	w := newWorld(t)
	days := []string{"2026-03-01", "2026-03-02"}
	w.campaigns = []string{"7", "7"}
	for _, day := range days {
		w.keepDay(day, 2)
	}
	w.write(func(l *manifest.Ledger) {
		first, err := l.Load(t.Context(), days[0])
		w.must(err)
		second, err := l.Load(t.Context(), days[1])
		w.must(err)
		line := func(id, noted string, d *manifest.Day) {
			state, _ := first.Recording(noted)
			w.must(d.Note(t.Context(), manifest.Recording{
				RecordingID: id, Outcome: manifest.Archived, Key: state.Key, Size: state.Size, Time: w.now, CallID: "c2026-03-02-0",
				SHA256: "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9",
			}))
		}
		line(days[0]+"-0", days[0]+"-0", second)
		line("thief", days[0]+"-1", second)
	})
	run := func(today string) (got Expired) {
		t.Helper()
		w.erasing(nil, func(e *Erasing) {
			x := &Expiring{Erasing: e, Retention: short(), Today: today, Yes: true}
			w.must(x.Run(t.Context()))
			got = x.Result()
		})
		return got
	}
	if got := run("2026-03-04"); got.Recordings != 1 || got.Removed != 0 || got.Stays != 1 || got.Kept[0].Shared != "thief" {
		t.Errorf("the first day: %+v", got)
	}
	if got := run("2026-03-05"); got.Removed != 6 || got.Stays != 0 || len(w.standing(days[0])) != 0 {
		t.Errorf("both days: %+v", got)
	}
}

// Recordings that a case holds after an expiry was stopped stay, and the expiry stays unfinished until the case
// is closed.
func TestExpiryResumesHeld(t *testing.T) {
	w := newWorld(t)
	w.keepDay(erasedDay, 3)
	held := erasedDay + "-1"
	w.write(func(l *manifest.Ledger) {
		r := &manifest.ExpiryRecord{State: manifest.ErasureIntent, Class: "short", Ended: "2026-03-04", Recordings: []string{erasedDay + "-0", held}}
		w.must(l.PutExpiry(t.Context(), erasedDay, r))
		_, err := AddHold(t.Context(), l, "case 1", []HeldID{{Day: erasedDay, Call: "c" + held}}) // only by its call
		w.must(err)
	})
	resume := func() (got Expired) {
		t.Helper()
		w.erasing(nil, func(e *Erasing) {
			erasures, err := e.Ledger.Erasures(t.Context())
			w.must(err)
			x := &Expiring{Erasing: e, Yes: true}
			for expiry, days := range maps.All(erasures.UnfinishedExpiries()) {
				w.must(x.Resume(t.Context(), expiry, days))
			}
			got = x.Result()
		})
		return got
	}
	if got := resume(); got.Removed != 1 || got.Held != 1 || len(got.Unfinished) != 1 || !slices.Contains(w.standing(erasedDay), held+".mp3") {
		t.Errorf("while it is held: %+v", got)
	}
	w.write(func(l *manifest.Ledger) {
		_, err := ReleaseHold(t.Context(), l, "case 1")
		w.must(err)
	})
	if got := resume(); got.Removed != 2 || len(got.Unfinished) != 0 || len(got.Expiries) != 1 || !slices.Equal(w.standing(erasedDay), []string{erasedDay + "-2.mp3"}) {
		t.Errorf("after that: %+v, %v", got, w.standing(erasedDay))
	}
	if got := resume(); len(got.Expiries) != 0 {
		t.Errorf("again: %+v", got)
	}
}

func TestToday(t *testing.T) {
	w := newWorld(t)
	w.keepDay(erasedDay, 1)
	l, end := w.open(true)
	defer end()
	newest, err := l.Newest(t.Context())
	w.must(err)
	if time.Since(newest).Abs() > time.Minute {
		t.Errorf("the newest file is of %s", newest)
	}
	zone, err := time.LoadLocation("America/Los_Angeles")
	w.must(err)
	for after, ok := range map[time.Duration]bool{-24 * time.Hour: false, -10 * time.Minute: false, 0: true, 1000 * time.Hour: true} {
		now := newest.Add(after)
		today, err := Today(t.Context(), l, now)
		if _, refused := errors.AsType[*ClockError](err); refused == ok || ok && today != now.In(zone).Format(time.DateOnly) {
			t.Errorf("%s after: %q, %v", after, today, err)
		}
	}
}

// Audio that a killed run stored under a key with a hash is removed too, and so are quarantined copies; those of other
// recordings stay.
func TestExpiringCopies(t *testing.T) {
	w := newWorld(t)
	w.campaigns = []string{"7"}
	w.keepDay(erasedDay, 1)
	audio, later, others := w.store("p/a.mp3"), w.store("p/a-plain_1a2b3c4d.mp3"), w.store("p/a-other_1a2b3c4d.mp3")
	quarantined, again := w.store("quarantine/"+erasedDay+"/plain.bin"), w.store("quarantine/"+erasedDay+"/plain_1a2b3c4d.bin")
	neighbour := w.store("quarantine/" + erasedDay + "/plain2.bin")
	w.write(func(l *manifest.Ledger) {
		d, err := l.Load(t.Context(), erasedDay)
		w.must(err)
		w.must(d.Note(t.Context(), manifest.Recording{
			RecordingID: "plain", Outcome: manifest.Archived, Key: "p/a.mp3", Size: 4, Time: w.now, CallID: "c" + erasedDay + "-0",
			SHA256: "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9",
		}))
	})
	w.erasing(nil, func(e *Erasing) {
		x := &Expiring{Erasing: e, Retention: short(), Today: "2026-03-04", Yes: true}
		w.must(x.Run(t.Context()))
		if got := x.Result(); got.Removed != 2 || got.Audio != 3 || got.Quarantine != 2 {
			t.Errorf("%+v", got)
		}
	})
	for _, name := range []string{audio, later, quarantined, again} {
		w.wantFile(name, false)
	}
	w.wantFile(others, true)
	w.wantFile(neighbour, true)
}
