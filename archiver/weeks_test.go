package archiver

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// A vendor of TestWeeks runs for this many weeks with failures, and then for this many without.
const (
	badWeeks  = 6
	wellWeeks = 5
)

// TestWeeks makes vendors fail at random, night after night: outages of the API and of the media
// host of any length, empty and short listings, wrong totals, late and vanished rows, changing ids,
// clocks that jump. In the end, all available audio is archived, no recording is lost that the
// vendor can still deliver, and every day closes within 30 days after the vendor has recovered.
// WEEKS sets the number of weeks, SEED repeats one vendor.
func TestWeeks(t *testing.T) {
	weeks, seeds := 200, []uint64{3388821586, 3886494627, 4014423968, 3580749728, 3580749704} // these failed once
	if n, err := strconv.Atoi(os.Getenv("WEEKS")); err == nil {
		weeks = n
	}
	if seed, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seeds = []uint64{seed}
	} else {
		first := rand.Uint64N(1 << 32)
		for i := range (weeks + badWeeks + wellWeeks - 1) / (badWeeks + wellWeeks) {
			seeds = append(seeds, first+uint64(i))
		}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { liveAtRandom(t, seed) })
		})
	}
}

func liveAtRandom(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 7))
	w := newWorld(t)
	time.Sleep(time.Duration(100+random.IntN(300)) * 24 * time.Hour) // another season
	w.sleepUntilNight()
	if random.IntN(3) == 0 {
		w.keeps = time.Duration(60+random.IntN(100)) * 24 * time.Hour
	}
	for range 9 {
		w.randomDay(random, 9)
	}
	skip := 0
	for range badWeeks * 7 {
		w.randomDay(random, 0)
		if random.IntN(4) == 0 {
			w.randomTrouble(random)
		}
		if skip > 0 {
			skip--
		} else {
			w.runAndCheck(seed)
			if random.IntN(40) == 0 {
				skip = random.IntN(21)
			}
		}
		w.sleepUntilNight()
	}
	w.mu.Lock()
	w.troubles = nil
	w.mu.Unlock()
	var last night
	for range wellWeeks * 7 {
		w.workdays(1, 0)
		last = w.runAndCheck(seed)
		if last.err != nil {
			t.Errorf("SEED=%d: a run fails although the vendor is well: %v", seed, last.err)
		}
		w.sleepUntilNight()
	}
	w.checkEnd(seed, w.firstListed(), last)
}

// randomDay adds calls to yesterday, or one of the days before it.
func (w *world) randomDay(random *rand.Rand, back int) {
	day := w.dayOf(time.Now()).AddDays(-1 - random.IntN(back+1))
	hours := func(n int) time.Duration { return time.Duration(random.IntN(n*60)) * time.Minute }
	calls := random.IntN(5)
	if weekday := time.Now().Weekday(); weekday == time.Saturday || weekday == time.Sunday {
		calls = 0
	}
	for range calls {
		c := w.call(fmt.Sprintf("%s %02d:%02d:00", day, random.IntN(24), random.IntN(60)), random.IntN(3))
		switch random.IntN(20) {
		case 0:
			c.visible = c.at.Add(hours(40))
		case 1:
			c.gone = c.at.Add(hours(24 * 20))
		case 2:
			c.cutLength = true
		}
		for _, r := range c.recorded {
			switch random.IntN(12) {
			case 0:
				r.link = c.at.Add(hours(24 * 10))
				r.ready = r.link
			case 1:
				r.ready = c.at.Add(hours(36)) // not found until then
			case 2:
				r.broken = true
			case 3:
				r.idFrom = c.at.Add(hours(60))
			}
		}
	}
}

// randomTrouble adds a random failure.
func (w *world) randomTrouble(random *rand.Rand) {
	lasts := time.Duration(1+random.IntN(48)) * time.Hour
	if random.IntN(4) == 0 {
		lasts = time.Duration(1+random.IntN(20)) * 24 * time.Hour
	}
	kinds := []struct {
		kind string
		n    int
	}{
		{"api down", 0}, {"api error", 0}, {"api page", 0}, {"empty", 0}, {"short", 2 + random.IntN(6)}, {"total", random.IntN(9) - 4},
		{"no recordings", 0}, {"dates ignored", 0}, {"strays", 1 + random.IntN(30)}, {"skew", random.IntN(400) - 200},
		{"media down", 0}, {"media 404", 0}, {"media 403", 0}, {"media 500", 0}, {"media 503", 0}, {"media page", 0},
	}
	k := kinds[random.IntN(len(kinds))]
	if k.kind == "short" || k.kind == "total" {
		// A persistent wrong total finally closes a day, and two errors that cancel out are
		// undetectable.
		if lasts = min(lasts, 10*24*time.Hour); w.has("short") || w.has("total") {
			return
		}
	}
	w.trouble(k.kind, lasts, k.n)
}

// runAndCheck makes a run, and checks what must hold after each run.
func (w *world) runAndCheck(seed uint64) night {
	w.t.Helper()
	recordings := 0
	for _, c := range w.calls {
		recordings += len(c.recorded)
	}
	n := w.run(7*24*time.Hour, nil)
	if limit := recordings*11/10 + 30; n.asked > limit { // a few attempts each, if there are few recordings
		w.t.Errorf("SEED=%d: %d requests for %d recordings", seed, n.asked, recordings)
	}
	return n
}

// checkEnd checks the final state of the archive.
func (w *world) checkEnd(seed uint64, first fetcher.Date, last night) {
	w.t.Helper()
	states := map[fetcher.Date]map[string]manifest.State{}
	today := w.dayOf(time.Now())
	for day := first; day < today.AddDays(-4); day = day.AddDays(1) {
		s, status := w.ledger(day)
		states[day] = s
		if _, closed := status.Line(""); !closed {
			w.t.Errorf("SEED=%d: %s is open after %d weeks: %v", seed, day, wellWeeks, reasonsOf(last, day))
		}
	}
	for _, c := range w.calls {
		day := w.dayOf(c.at)
		for _, r := range c.recorded {
			noted := states[day]
			if noted == nil || time.Now().Before(c.visible) || !c.gone.IsZero() || !w.isThere(c, r) || time.Now().Before(r.link) {
				continue
			}
			sum := sha256.Sum256(r.audio())
			found := false
			for id, s := range noted {
				if s.SHA256 == sum && s.Outcome == manifest.Archived {
					found = true
				}
				if s.Outcome == manifest.Lost && (id == r.id || s.CallID == c.id && len(c.recorded) == 1) {
					w.t.Errorf("SEED=%d: %s of %s is lost, and could be had: %+v", seed, id, day, s)
				}
			}
			if !found {
				_, status := w.ledger(day)
				w.t.Errorf("SEED=%d: recording %s of %s is not archived: %+v; %+v", seed, r.id, day, noted[r.id], status.Lines)
			}
		}
	}
}

func reasonsOf(n night, day fetcher.Date) []string {
	for _, open := range n.OpenDays {
		if open.Day == string(day) {
			return open.Reasons
		}
	}
	return []string{"not worked"}
}

// firstListed returns the first day that a run has listed.
func (w *world) firstListed() fetcher.Date {
	opened, err := Open(context.Background(), Location{Folder: w.dir}, Read, "", w.log())
	if err != nil {
		w.t.Fatal(err)
	}
	defer opened.Close(context.Background())
	for day, err := range opened.Ledger.Days(context.Background()) {
		if err != nil {
			w.t.Fatal(err)
		}
		d, err := opened.Ledger.Load(context.Background(), day)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(d.Windows()) > 0 {
			return fetcher.Date(day)
		}
	}
	w.t.Fatal("no day was ever listed")
	return ""
}
