package archiver

import (
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// TestEarlierClockSettles runs over yesterday with a settling time that is over by
// one of the two clocks alone. The run has seen no answer of the API when it begins
// the day.
func TestEarlierClockSettles(t *testing.T) {
	day := daysAgo(t, 1)
	for name, test := range map[string]struct {
		apiAhead time.Duration
		left     time.Duration // until the day settles, by the machine's clock
		closed   bool
	}{
		"settled by both":                 {0, -30 * time.Minute, true},
		"not by the API's clock":          {-50 * time.Minute, -30 * time.Minute, false},
		"not by the machine's clock":      {50 * time.Minute, 30 * time.Minute, false},
		"settled by both, which differ":   {-10 * time.Minute, -30 * time.Minute, true},
		"settled, over an hour apart":     {-2 * time.Hour, -12 * time.Hour, false},
		"settled, over an hour the other": {2 * time.Hour, -12 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			server := simulate(t, convosotest.Config{FirstDay: string(day), CallsPerDay: 5, ClockSkew: test.apiAhead})
			a := archiveOf(t, server)
			summary := a.mustRun(day, func(s *setup) { s.Config.Settle = time.Since(day.End(losAngeles(t))) + test.left })
			if closed := summary.DaysClosed == 1; closed != test.closed {
				t.Errorf("closed: %v, open days %+v", closed, summary.OpenDays)
			}
			if summary.Archived != 5 {
				t.Errorf("%d archived", summary.Archived)
			}
		})
	}
}

// TestLinesHoldOneClock meets refusals while the machine's clock is 20 days ahead,
// and then runs with both clocks right: nothing may have been given up meanwhile.
func TestLinesHoldOneClock(t *testing.T) {
	const ahead = 20 * oneDay
	day := daysAgo(t, 30)
	config := convosotest.Config{FirstDay: string(day), CallsPerDay: 3, ClockSkew: -ahead, MediaDown: convosotest.FaultForbidden}
	wrong := simulate(t, config)
	config.ClockSkew, config.MediaDown = 0, convosotest.FaultNone
	right := simulate(t, config)
	a := archiveOf(t, wrong)
	apiAddress := a.api
	first := a.mustRun(day, nil)
	if first.Failed != 3 || first.GivenUp != 0 {
		t.Errorf("failed %d, given up %d", first.Failed, first.GivenUp)
	}
	for id, line := range a.recordings(day) {
		if !line.Time.Equal(line.FirstSeen) {
			t.Errorf("recording %s: first seen %v, noted %v", id, line.FirstSeen, line.Time)
		}
		if off := time.Since(line.Time) - ahead; off.Abs() > time.Hour {
			t.Errorf("recording %s: noted %v off the API's clock", id, off)
		}
	}
	a.api, a.media = right.APIURL(), right.MediaURL()
	second := a.mustRun(day, func(s *setup) { s.Config.APIURL = apiAddress })
	if second.Archived != 3 || second.DaysClosed != 1 {
		t.Errorf("archived %d, known %d, closed %d", second.Archived, second.Known, second.DaysClosed)
	}
}

// TestEarlierClockPurges runs over a day that is past the purge age by the machine's
// clock alone, which runs ahead: one "not found" is no proof yet, and a recording
// without id and link may still get one.
func TestEarlierClockPurges(t *testing.T) {
	day := daysAgo(t, 30)
	for name, ahead := range map[string]time.Duration{"by less than an hour": 50 * time.Minute, "by days": 15 * oneDay} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.ahead = -ahead
			v.rows[day] = []row{
				callAt("1", day, noon, v.recording("111")),
				callAt("2", day, noon, vendorRecord{Filename: "a.mp3"}),
			}
			v.status["111"] = 404
			a := v.archive(t)
			summary := a.mustRun(day, func(s *setup) {
				s.Config.PurgeAfter = time.Since(day.End(losAngeles(t))) - ahead/2
			})
			for id, line := range a.recordings(day) {
				if line.Outcome == manifest.Lost {
					t.Errorf("recording %s is lost: %s", id, line.Reason)
				}
			}
			if summary.Lost != 0 || a.closed(day) {
				t.Errorf("%d lost, open days %+v", summary.Lost, summary.OpenDays)
			}
		})
	}
}

// TestWindowIsListedBeforeItIsNoted looks that the times of a window's line come from
// one clock.
func TestWindowIsListedBeforeItIsNoted(t *testing.T) {
	day := daysAgo(t, 10)
	v := newVendor(t)
	v.ahead = -50 * time.Minute
	v.rows[day] = []row{callAt("1", day, noon, v.recording("111"))}
	a := v.archive(t)
	a.mustRun(day, nil)
	for _, kind := range []string{"window", "day"} {
		for _, line := range a.lines(day, kind) {
			if line.ListedAt.After(line.Time) {
				t.Errorf("%s line: listed at %v, noted at %v", kind, line.ListedAt, line.Time)
			}
		}
	}
}
