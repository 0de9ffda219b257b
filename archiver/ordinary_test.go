package archiver

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// TestOrdinaryLife simulates healthy accounts from the first run to the closed day: nothing keeps a
// day open for ever, and nothing closes a day wrongly.
func TestOrdinaryLife(t *testing.T) {
	for name, live := range map[string]func(*testing.T, *world){
		"a weekend without calls":                             liveWeekend,
		"a new account without a recording":                   liveWithoutRecordings,
		"a new account without a call":                        liveWithoutCalls,
		"a filtered campaign without a recording":             liveFiltered,
		"an account whose audio is all deleted":               livePurged,
		"an account that keeps audio for 90 days":             liveShortRetention,
		"a night with one recording that is not found":        liveOneNotFound,
		"calls deleted at the vendor for good":                liveDeleted,
		"a total that is always one off":                      liveTotalOff,
		"stray rows every midnight":                           liveStrays,
		"three weeks without a run":                           liveThreeWeeks,
		"two filters that alternate":                          liveTwoFilters,
		"a recording that never gets a link, then gets one":   liveLateLink,
		"an id that is filled in later":                       liveLateID,
		"an outage of the media host that outlasts --give-up": liveLongOutage,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				time.Sleep(200 * 24 * time.Hour) // so that there are earlier days
				w.sleepUntilNight()
				live(t, w)
			})
		})
	}
}

// workdays adds some recorded calls to each of the last n days but the youngest skip.
func (w *world) workdays(n, skip int) {
	today := w.dayOf(time.Now())
	for i := n; i > skip; i-- {
		for k := range 3 {
			w.call(fmt.Sprintf("%s %02d:30:00", today.AddDays(-i), 9+k), 1)
		}
	}
}

// workNights makes a run each night for n nights, each after a day with three recorded calls.
func (w *world) workNights(n int, change func(*Config)) (last night) {
	for range n {
		yesterday := w.dayOf(time.Now()).AddDays(-1)
		for k := range 3 {
			w.call(fmt.Sprintf("%s %02d:15:00", yesterday, 10+k), 1)
		}
		last = w.nights(1, change)
	}
	return last
}

// mustClose fails unless the day is closed, with the given number of archived recordings.
func (w *world) mustClose(day fetcher.Date, archived int) {
	w.t.Helper()
	states, status := w.ledger(day)
	line, closed := status.Line("")
	if !closed {
		w.t.Errorf("%s is open: %+v", day, states)
		return
	}
	if line.ByOutcome[manifest.Archived] != archived {
		w.t.Errorf("%s closed with %v, want %d archived", day, line.ByOutcome, archived)
	}
}

func (w *world) mustStayOpen(day fetcher.Date) {
	w.t.Helper()
	if w.isClosed(day) {
		w.t.Errorf("%s is closed", day)
	}
}

func liveWeekend(t *testing.T, w *world) {
	today := w.dayOf(time.Now())
	w.workdays(10, 0)
	saturday, sunday := today.AddDays(-6), today.AddDays(-5)
	var kept []*worldCall
	for _, c := range w.calls {
		if day := w.dayOf(c.at); day != saturday && day != sunday {
			kept = append(kept, c)
		}
	}
	w.calls = kept
	n := w.nights(1, nil)
	w.mustClose(saturday, 0)
	w.mustClose(sunday, 0)
	w.mustClose(today.AddDays(-4), 3)
	if n.incomplete() {
		t.Errorf("incomplete: %+v", n.OpenDays)
	}
}

func liveWithoutRecordings(t *testing.T, w *world) {
	w.workdays(9, 0)
	for _, c := range w.calls {
		c.recorded = nil
	}
	day := w.dayOf(time.Now()).AddDays(-5)
	w.nights(2, nil)
	w.mustStayOpen(day)
	w.nights(2, nil)
	_, status := w.ledger(day)
	if line, closed := status.Line(""); !closed || !line.Unwitnessed {
		t.Errorf("closed %v: %+v", closed, line)
	}
}

func liveWithoutCalls(t *testing.T, w *world) {
	for range 5 {
		if n := w.nights(1, nil); n.err != nil || n.incomplete() || n.DaysClosed != 0 {
			t.Fatalf("%v, incomplete %v, %d days closed", n.err, n.incomplete(), n.DaysClosed)
		}
	}
}

func liveFiltered(t *testing.T, w *world) {
	w.workdays(9, 0)
	for i, c := range w.calls {
		if i%3 == 0 {
			c.campaign, c.recorded = "8", nil
		}
	}
	day := w.dayOf(time.Now()).AddDays(-5)
	filtered := func(c *Config) { c.Filter.CampaignID = "8" }
	if n := w.nights(1, filtered); n.incomplete() {
		t.Errorf("incomplete: %+v", n.OpenDays)
	}
	_, status := w.ledger(day)
	if _, closed := status.Line("campaign_id=8"); !closed {
		t.Error("not closed for the filter")
	}
	w.mustStayOpen(day)
	w.nights(1, nil)
	w.mustClose(day, 2)
}

func livePurged(t *testing.T, w *world) {
	w.keeps = time.Hour
	today := w.dayOf(time.Now())
	for i := 170; i > 160; i-- {
		w.call(fmt.Sprintf("%s 09:00:00", today.AddDays(-i)), 1)
	}
	backfill := func(c *Config) {
		c.Span.From, _ = fetcher.ParseWall(string(today.AddDays(-171)))
		c.Span.CatchUp = false
	}
	n := w.run(0, backfill)
	if n.Lost > 0 {
		t.Errorf("%d lost by one answer and no witness", n.Lost)
	}
	w.sleepUntilNight()
	w.sleepUntilNight()
	w.run(0, backfill)
	states, _ := w.ledger(today.AddDays(-165))
	for id, s := range states {
		if s.Outcome != manifest.Lost {
			t.Errorf("%s is %s", id, s.Outcome)
		}
	}
	w.mustClose(today.AddDays(-165), 0)
}

func liveShortRetention(t *testing.T, w *world) {
	w.keeps = 90 * 24 * time.Hour
	today := w.dayOf(time.Now())
	for i := 120; i > 0; i-- {
		for k := range 60 {
			w.call(fmt.Sprintf("%s 09:%02d:00", today.AddDays(-i), k), min(1, i%4)) // a quiet day now and then
		}
	}
	backfill := func(c *Config) {
		c.Span.From, _ = fetcher.ParseWall(string(today.AddDays(-121)))
		c.Span.CatchUp = false
	}
	n := w.run(0, backfill)
	if n.err != nil {
		t.Fatal(n.err)
	}
	w.mustClose(today.AddDays(-50), 60)
	w.sleepUntilNight()
	w.sleepUntilNight()
	if n = w.run(0, backfill); n.err != nil {
		t.Fatal(n.err)
	}
	w.mustClose(today.AddDays(-119), 0)
	w.mustClose(today.AddDays(-120), 0)
}

func liveOneNotFound(t *testing.T, w *world) {
	w.workdays(9, 0)
	day := w.dayOf(time.Now()).AddDays(-4)
	w.nights(1, nil)
	broken := w.call(string(day.AddDays(2))+" 15:00:00", 1) // of a day not settled yet
	broken.recorded[0].broken = true
	if n := w.nights(1, nil); n.Lost != 0 {
		t.Errorf("lost at once: %+v", n.Summary)
	}
	n := w.nights(3, nil)
	states, status := w.ledger(day.AddDays(2))
	if s := states[broken.recorded[0].id]; s.Outcome != manifest.Lost {
		t.Errorf("%+v", s)
	}
	if _, closed := status.Line(""); !closed {
		t.Errorf("open: %+v", n.OpenDays)
	}
}

func liveDeleted(t *testing.T, w *world) {
	w.workdays(9, 0)
	today := w.dayOf(time.Now())
	day := today.AddDays(-2) // not settled yet
	w.nights(1, nil)
	for _, c := range w.calls {
		if w.dayOf(c.at) == day {
			c.gone = time.Now()
			break
		}
	}
	w.nights(1, nil)
	w.mustStayOpen(day)
	w.nights(2, nil)
	_, status := w.ledger(day)
	if line, closed := status.Line(""); !closed || line.Unlisted != 1 || line.ByOutcome[manifest.Archived] != 3 {
		t.Errorf("closed %v: %+v", closed, line)
	}
}

func liveTotalOff(t *testing.T, w *world) {
	w.workdays(9, 0)
	day := w.dayOf(time.Now()).AddDays(-5)
	w.trouble("total", 100*24*time.Hour, 1)
	w.workNights(10, nil)
	w.mustStayOpen(day)
	for range 6 {
		w.workNights(1, nil)
	}
	_, status := w.ledger(day)
	if line, closed := status.Line(""); !closed || line.Uncounted != -1 || line.ByOutcome[manifest.Archived] != 3 {
		t.Errorf("closed %v: %+v", closed, line)
	}
}

func liveStrays(t *testing.T, w *world) {
	today := w.dayOf(time.Now())
	w.workdays(9, 0)
	for i := 9; i > 0; i-- {
		w.call(string(today.AddDays(-i))+" 23:58:30", 1)
		w.call(string(today.AddDays(-i))+" 00:01:30", 1)
	}
	w.trouble("strays", 100*24*time.Hour, 3)
	w.nights(1, nil)
	w.mustStayOpen(today.AddDays(-5))
	w.nights(2, nil)
	for i := 6; i > 3; i-- {
		w.mustClose(today.AddDays(-i), 5)
	}
}

func liveThreeWeeks(t *testing.T, w *world) {
	w.workNights(5, nil)
	missed := w.dayOf(time.Now()).AddDays(3)
	for range 21 {
		yesterday := w.dayOf(time.Now()).AddDays(-1)
		w.call(string(yesterday)+" 11:00:00", 1)
		w.sleepUntilNight()
	}
	w.nights(1, nil)
	w.mustClose(missed, 1)
}

func liveTwoFilters(t *testing.T, w *world) {
	w.workdays(9, 0)
	for i, c := range w.calls {
		c.campaign = fmt.Sprint(7 + i%2)
	}
	day := w.dayOf(time.Now()).AddDays(-5)
	for i := range 4 {
		n := w.run(7*24*time.Hour, func(c *Config) { c.Filter.CampaignID = fmt.Sprint(7 + i%2) })
		if i > 1 && n.asked > 0 {
			t.Errorf("%d recordings asked for again", n.asked)
		}
	}
	_, status := w.ledger(day)
	for _, filter := range []string{"campaign_id=7", "campaign_id=8"} {
		if _, closed := status.Line(filter); !closed {
			t.Errorf("not closed for %s", filter)
		}
	}
	n := w.nights(1, nil)
	if n.asked > 3*3 { // the youngest days
		t.Errorf("%d recordings asked for again", n.asked)
	}
	w.mustClose(day, 3)
}

func liveLateLink(t *testing.T, w *world) {
	w.workdays(9, 0)
	late := w.calls[len(w.calls)-5].recorded[0]
	day := w.dayOf(w.calls[len(w.calls)-5].at)
	late.link = time.Now().Add(30 * 24 * time.Hour)
	w.workNights(16, nil)
	states, _ := w.ledger(day)
	if s := states[late.id]; s.Outcome != manifest.Pending || !s.Final {
		t.Fatalf("not given up: %+v", s)
	}
	w.workNights(16, nil)
	w.run(40*24*time.Hour, func(c *Config) { c.Retry = map[manifest.Outcome]bool{manifest.Pending: true} })
	states, _ = w.ledger(day)
	if s := states[late.id]; s.Outcome != manifest.Archived {
		t.Errorf("%+v", s)
	}
}

func liveLateID(t *testing.T, w *world) {
	w.workdays(9, 0)
	late := w.calls[len(w.calls)-1]
	late.recorded[0].idFrom = time.Now().Add(20 * time.Hour)
	w.nights(4, nil)
	w.mustClose(w.dayOf(late.at), 3)
	if n := w.requested[late.recorded[0].token]; n != 1 {
		t.Errorf("asked for %d times", n)
	}
}

func liveLongOutage(t *testing.T, w *world) {
	w.workNights(3, nil)
	day := w.dayOf(time.Now())
	w.trouble("media page", 30*24*time.Hour, 0)
	w.workNights(25, nil)
	states, _ := w.ledger(day)
	for id, s := range states {
		if s.Final {
			t.Errorf("%s is final during the outage: %+v", id, s)
		}
	}
	w.workNights(8, nil)
	w.mustClose(day, 3)
}
