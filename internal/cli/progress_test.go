package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/fetcher"
)

func TestWatcher(t *testing.T) {
	start := time.Date(2025, 5, 1, 0, 0, 0, 0, time.UTC)
	var p archiver.Progress
	var paces []fetcher.Pace
	w := &watcher{run: func() archiver.Progress { return p }, paces: func() []fetcher.Pace { return paces }}

	v := w.look(start)
	if v.perSecond != 0 || v.eta != 0 || v.status() != "0 B, 0 B/s, 0.0 recordings/s" || v.headline() != "ETA ?  nothing listed yet" {
		t.Errorf("at the start: %+v, %s", v, v.status())
	}
	p.Summary = archiver.Summary{Archived: 90, Failed: 10, Known: 50, Recordings: 250, DaysAsked: 7, DaysSkipped: 1, DaysListed: 2}
	p.Received, p.Day, p.DaysLeft = 1_000_000, "2025-05-03", 5
	paces = []fetcher.Pace{{Host: "api.convoso.com"}, {Host: "media.convoso.com", PausedUntil: start.Add(32 * time.Second)}}
	v = w.look(start.Add(20 * time.Second))
	// 100 listed ones are left, and 4 days with 100 each, at 5 per second.
	if v.perSecond != 5 || v.bytesSecond != 50_000 || v.eta != 100*time.Second {
		t.Errorf("got %+v", v)
	}
	// 250 are listed on 2 days, and 4 days are not listed yet.
	if got, want := v.headline(), "ETA 1m 40s  150 of ~750 recordings"; got != want || v.share != 150./750 {
		t.Errorf("got %q", got)
	}
	if got, want := v.status(), "waiting 12s for the rate limit of media.convoso.com · 1.0 MB, 50.0 kB/s, 5.0 recordings/s · day 2025-05-03 · 5 days to go"; got != want {
		t.Errorf("got %q", got)
	}
	// Speeds cover the last minute, not of the whole run.
	for i := range 10 {
		v = w.look(start.Add(time.Duration(30+10*i) * time.Second))
	}
	if v.perSecond != 0 || v.eta != 0 || v.waiting != 0 || len(w.samples) > 10 {
		t.Errorf("after a minute without any: %+v, %d samples", v, len(w.samples))
	}
}

// TestShareNeverFalls: the total may grow as days are listed, but the displayed share never falls.
func TestShareNeverFalls(t *testing.T) {
	start := time.Date(2025, 5, 1, 0, 0, 0, 0, time.UTC)
	var p archiver.Progress
	w := &watcher{run: func() archiver.Progress { return p }, paces: func() []fetcher.Pace { return nil }}
	for i, c := range []struct {
		done, listed, daysListed int
		want                     float64
		headline                 string
	}{
		{0, 0, 0, 0, "ETA ?  nothing listed yet"},
		{0, 100, 0, 0, "ETA ?  0 of ~400 recordings"}, // the first page of three days
		{100, 200, 1, 100. / 600, "ETA 1m 40s  100 of ~600 recordings"},
		{200, 2200, 2, 100. / 600, "ETA 7m 45s  200 of ~3,300 recordings"}, // a large day
		{2000, 2300, 3, 2000. / 2300, "ETA 6.0s  2,000 of 2,300 recordings"},
		{2300, 2300, 3, 1, "ETA 0s  2,300 of 2,300 recordings"},
	} {
		p.Summary = archiver.Summary{DaysAsked: 3, Archived: c.done, Recordings: c.listed, DaysListed: c.daysListed}
		if v := w.look(start.Add(time.Duration(i) * 10 * time.Second)); v.share != c.want || v.headline() != c.headline {
			t.Errorf("%d: share %v, %s", i, v.share, v.headline())
		}
	}
}

// The progress of a dry run is in days, with the counted recordings.
func TestProgressOfDryRun(t *testing.T) {
	start := time.Date(2025, 5, 1, 0, 0, 0, 0, time.UTC)
	var p archiver.Progress
	w := &watcher{run: func() archiver.Progress { return p }, paces: func() []fetcher.Pace { return nil }}
	p.Summary = archiver.Summary{DryRun: true, DaysAsked: 365}
	p.DaysLeft = 365
	w.look(start)
	p.Recordings, p.DaysListed, p.DaysSkipped, p.DaysLeft, p.Day = 12345, 60, 5, 300, "2025-03-07"
	v := w.look(start.Add(30 * time.Second))
	if got, want := v.headline(), "ETA 2m 18s  65 of 365 days, 12,345 recordings"; got != want || v.share != 65./365 {
		t.Errorf("%s, share %v", got, v.share)
	}
	if got, want := v.status(), "130 days/min · day 2025-03-07 · 300 days to go"; got != want {
		t.Errorf("%s", got)
	}
}

func TestProgressWhileOff(t *testing.T) {
	start := time.Date(2025, 5, 5, 9, 0, 0, 0, time.UTC)
	w := &watcher{
		run:   func() archiver.Progress { return archiver.Progress{} },
		paces: func() []fetcher.Pace { return nil },
		off:   func(now time.Time) (time.Time, bool) { return now.Add(11 * time.Hour), true },
	}
	v := w.look(start)
	if got, want := v.status(), "off until Mon 20:00 by --schedule · 0 B, 0 B/s, 0.0 recordings/s"; got != want {
		t.Errorf("%s", got)
	}
	var out bytes.Buffer
	v.log(slog.New(slog.NewTextHandler(&out, nil)))
	if !strings.Contains(out.String(), "off_until=2025-05-05T20:00:00Z") {
		t.Errorf("%s", out.String())
	}
}

func TestProgressLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := &screen{base: &out}
		logger := slog.New(slog.NewJSONHandler(s, nil))
		w := &watcher{
			run: func() archiver.Progress {
				return archiver.Progress{Summary: archiver.Summary{Archived: 3, Recordings: 4}, Day: "2025-05-01"}
			},
			paces: func() []fetcher.Pace { return nil },
		}
		stop := showProgress(output{}, s, nil, logger, w)
		time.Sleep(95 * time.Second) // the bubble's clock
		stop()
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 3 {
			t.Fatalf("got %d lines: %s", len(lines), out.String())
		}
		var line struct {
			Msg, Day           string
			Recordings, Listed int
		}
		if err := json.Unmarshal([]byte(lines[2]), &line); err != nil || line.Msg != "progress" || line.Recordings != 3 || line.Listed != 4 || line.Day != "2025-05-01" {
			t.Errorf("got %s, %v", lines[2], err)
		}
	})
}

func TestQuietProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		showProgress(output{quiet: true}, &screen{base: io.Discard}, nil, nil, nil)()
	})
}

// Log lines written while bars are drawn are all printed completely, including those at the very
// end.
func TestBarsAndLogs(t *testing.T) {
	var out bytes.Buffer
	s := &screen{base: &out}
	w := &watcher{
		run: func() archiver.Progress {
			return archiver.Progress{Summary: archiver.Summary{Archived: 1, Recordings: 2}}
		},
		paces: func() []fetcher.Pace { return nil },
	}
	stop := showBars(s, w)
	const writers, lines = 4, 50
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			for j := range lines {
				fmt.Fprintf(s, "line %d of writer %d\n", j, i)
			}
		})
	}
	group.Wait()
	stop()
	fmt.Fprintln(s, "after the bars")
	for i := range writers {
		for j := range lines {
			if want := fmt.Sprintf("line %d of writer %d\n", j, i); strings.Count(out.String(), want) != 1 {
				t.Errorf("%q is there %d times", want, strings.Count(out.String(), want))
			}
		}
	}
	if !strings.HasSuffix(out.String(), "after the bars\n") {
		t.Errorf("ends %q", out.String()[max(0, out.Len()-100):])
	}
}

func TestScreenHidesSecrets(t *testing.T) {
	var out bytes.Buffer
	s := &screen{base: &out}
	s.hide("canary+token/5551234")
	s.hide("short") // too short: would mangle words
	fmt.Fprintln(s, "asked with canary+token/5551234 and canary%2Btoken%2F5551234; short")
	if got, want := out.String(), "asked with [redacted] and [redacted]; short\n"; got != want {
		t.Errorf("got %q", got)
	}
	if got := s.hidden("x canary+token/5551234"); got != "x [redacted]" {
		t.Errorf("got %q", got)
	}
}

func TestLevels(t *testing.T) {
	for _, c := range []struct {
		output output
		want   slog.Level
	}{
		{output{}, slog.LevelInfo},
		{output{quiet: true}, slog.LevelWarn},
		{output{quiet: true, logLevel: "debug"}, slog.LevelDebug},
		{output{logLevel: "error"}, slog.LevelError},
		{output{logLevel: "info"}, slog.LevelInfo},
		{output{logLevel: "warn"}, slog.LevelWarn},
	} {
		if got := c.output.level(); got != c.want {
			t.Errorf("%+v: got %v", c.output, got)
		}
	}
}

func TestLogFormats(t *testing.T) {
	for format, json := range map[string]bool{"auto": true, "json": true, "text": false} {
		var out bytes.Buffer
		newLogger(&screen{base: &out}, output{format: format}, nil).Info("hello", "n", 1)
		if got := strings.HasPrefix(out.String(), "{"); got != json || strings.Contains(out.String(), "\x1b") {
			t.Errorf("%s: got %q", format, out.String())
		}
	}
}
