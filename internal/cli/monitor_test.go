package cli

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/internal/metrics"
)

func losAngeles(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// TestRunMetrics: which metrics of earlier runs a run keeps, and which it replaces.
func TestRunMetrics(t *testing.T) {
	zone := losAngeles(t)
	rules := purgeRules{zone, 10 * 24 * time.Hour}
	date := func(text string) time.Time {
		parsed, err := time.ParseInLocation(time.DateOnly, text, zone)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	now := date("2025-05-20").Add(3 * time.Hour)
	kept := metrics.Kept{
		LastSuccess: date("2025-05-18"), LastFinished: date("2025-05-19"), OldestWaiting: date("2025-05-12"), PurgeDeadline: date("2025-05-22"),
		Counters: metrics.Counters{APIRequests: 100, MediaRequests: 200, Refusals: 3, Bytes: 1000},
	}
	waiting := archiver.OpenDay{Day: "2025-05-15", Settled: true, Waiting: 2}
	exit := func(code int) *int { return &code }
	for name, test := range map[string]struct {
		summary                                           archiver.Summary
		code                                              *int
		success, finished, oldest, deadline               time.Time
		ended                                             bool
		closed, open, unsettled, archived, known, apiSeen int
	}{
		"it begins":                 {archiver.Summary{}, nil, kept.LastSuccess, kept.LastFinished, kept.OldestWaiting, kept.PurgeDeadline, false, 0, 0, 0, 0, 0, 100},
		"at work, an older day":     {archiver.Summary{OpenDays: []archiver.OpenDay{{Day: "2025-05-11", Waiting: 1}}}, nil, kept.LastSuccess, kept.LastFinished, date("2025-05-11"), date("2025-05-21"), false, 0, 0, 1, 0, 0, 100},
		"done":                      {archiver.Summary{DaysClosed: 1, DaysSkipped: 2, DaysWhole: 1, Archived: 5, Known: 2, APIRequests: 7}, exit(0), now, now, time.Time{}, time.Time{}, true, 4, 0, 0, 5, 2, 107},
		"something waits":           {archiver.Summary{OpenDays: []archiver.OpenDay{waiting}}, exit(3), kept.LastSuccess, now, date("2025-05-15"), date("2025-05-25"), true, 0, 1, 0, 0, 0, 100},
		"the vendor is down":        {archiver.Summary{Stopped: "", OpenDays: []archiver.OpenDay{waiting}}, exit(1), kept.LastSuccess, kept.LastFinished, kept.OldestWaiting, kept.PurgeDeadline, true, 0, 1, 0, 0, 0, 100},
		"wrong flags":               {archiver.Summary{}, exit(2), kept.LastSuccess, kept.LastFinished, kept.OldestWaiting, kept.PurgeDeadline, true, 0, 0, 0, 0, 0, 100},
		"stopped by a cap":          {archiver.Summary{Stopped: "max recordings"}, exit(3), kept.LastSuccess, now, kept.OldestWaiting, kept.PurgeDeadline, true, 0, 0, 0, 0, 0, 100},
		"stopped by SIGTERM":        {archiver.Summary{Stopped: "stopped by SIGTERM"}, exit(143), kept.LastSuccess, kept.LastFinished, kept.OldestWaiting, kept.PurgeDeadline, true, 0, 0, 0, 0, 0, 100},
		"waits, and is past saving": {archiver.Summary{OpenDays: []archiver.OpenDay{{Day: "2025-05-10", Settled: true, Waiting: 1}}}, exit(3), kept.LastSuccess, now, date("2025-05-10"), time.Time{}, true, 0, 1, 0, 0, 0, 100},
	} {
		t.Run(name, func(t *testing.T) {
			m := runMetrics(kept, test.summary, rules, sight{catchUp: true}, now, test.code)
			if m.LastSuccess != test.success || m.LastFinished != test.finished || m.OldestWaiting != test.oldest || m.PurgeDeadline != test.deadline {
				t.Errorf("success %v, finished %v, oldest %v, deadline %v", m.LastSuccess, m.LastFinished, m.OldestWaiting, m.PurgeDeadline)
			}
			if !m.Ended.IsZero() != test.ended || test.ended && m.ExitCode != *test.code {
				t.Errorf("ended %v with %d", m.Ended, m.ExitCode)
			}
			if want := map[string]int{"closed": test.closed, "open": test.open, "unsettled": test.unsettled, "not_begun": 0}; !maps.Equal(m.Dates, want) {
				t.Errorf("dates %v, want %v", m.Dates, want)
			}
			if m.Recordings["archived"] != test.archived || m.Recordings["known"] != test.known || m.APIRequests != float64(test.apiSeen) || m.Bytes != 1000 {
				t.Errorf("recordings %v, counters %+v", m.Recordings, m.Counters)
			}
		})
	}
}

// TestRunsThatSeeLess: a run that did not cover all waiting recordings hides none of them, and adds its own.
func TestRunsThatSeeLess(t *testing.T) {
	zone := losAngeles(t)
	now := time.Date(2025, 5, 20, 3, 0, 0, 0, zone)
	day := func(n int) time.Time { return time.Date(2025, 5, n, 0, 0, 0, 0, zone) }
	waits := metrics.Kept{LastSuccess: day(16), LastFinished: day(19), OldestWaiting: day(12), PurgeDeadline: day(22)}
	fine := metrics.Kept{LastSuccess: day(19), LastFinished: day(19)}
	const settle = 48 * time.Hour
	for name, test := range map[string]struct {
		kept  metrics.Kept
		flags string
		whole bool
	}{
		"nightly":                             {waits, "--last 7d", true},
		"nightly without catching up":         {waits, "--last 30d --no-catch-up", true}, // it covers everything that waits
		"too short, without catching up":      {waits, "--last 3d --no-catch-up", false},
		"one campaign":                        {waits, "--last 7d --campaign-id 12", false},
		"one number":                          {waits, "--last 7d --phone-number 15551234567", false},
		"a shard":                             {waits, "--last 7d --shard 0/2", false},
		"the only shard":                      {waits, "--last 7d --shard 0/1", true},
		"one day":                             {waits, "--start-time 2025-05-10 --end-time 2025-05-10", false},
		"the day that waits":                  {waits, "--start-time 2025-05-12 --end-time 2025-05-12", false}, // earlier days may have waiting recordings
		"from the day that waits":             {waits, "--start-time 2025-05-12", true},
		"until today":                         {waits, "--start-time 2025-05-12 --end-time 2025-05-20", true},
		"until noon":                          {waits, `--start-time 2025-05-12 --end-time 2025-05-20T12:00:00`, false},
		"from the noon of the day that waits": {waits, "--start-time 2025-05-12T12:00:00", false},
		"behind the day that waits":           {waits, "--start-time 2025-05-13", false},
		"nothing waits, all that was open":    {fine, "--start-time 2025-05-16", true},
		"nothing waits, a day was open":       {fine, "--start-time 2025-05-17", false},
		"the first run, of a past span":       {metrics.Kept{}, "--start-time 2025-01-01 --end-time 2025-01-31", true},
	} {
		t.Run(name, func(t *testing.T) {
			values := map[string]string{"dest": "s3://bucket/prefix", "metrics-file": filepath.Join(t.TempDir(), "nightly.prom")}
			for flag := range strings.SplitSeq(strings.TrimPrefix(test.flags, "--"), " --") {
				name, value, hasValue := strings.Cut(flag, " ")
				if !hasValue {
					value = "true"
				}
				values[name] = value
			}
			read := readerOf(values)
			job := read.archiveJob(now, environment{"HOME": "/home/u"}, "linux")
			if read.err != nil {
				t.Fatal(read.err)
			}
			seen := job.monitor.sight
			if warns := strings.Contains(strings.Join(job.warnings, "\n"), "does not set last_success in --metrics-file"); warns != seen.partial {
				t.Errorf("warnings %q", job.warnings)
			}
			if seen.settle != settle || seen.whole(test.kept) != test.whole {
				t.Fatalf("%+v: whole %v", seen, seen.whole(test.kept))
			}
			done := ExitDone
			m := runMetrics(test.kept, archiver.Summary{}, purgeRules{zone, 10 * 24 * time.Hour}, seen, now, &done)
			got := metrics.Kept{LastSuccess: m.LastSuccess, LastFinished: m.LastFinished, OldestWaiting: m.OldestWaiting, PurgeDeadline: m.PurgeDeadline}
			want := test.kept
			if test.whole {
				want = metrics.Kept{LastSuccess: now, LastFinished: now}
			}
			if got != want {
				t.Errorf("with code 0: %+v", got)
			}
			if test.whole {
				return
			}
			code := ExitIncomplete
			older := archiver.Summary{OpenDays: []archiver.OpenDay{{Day: "2025-05-11", Settled: true, Waiting: 1}}}
			m = runMetrics(test.kept, older, purgeRules{zone, 10 * 24 * time.Hour}, seen, now, &code)
			if m.LastFinished != test.kept.LastFinished || !m.OldestWaiting.Equal(day(11)) || !m.PurgeDeadline.Equal(day(21)) {
				t.Errorf("an older day: finished %v, waiting %v, until %v", m.LastFinished, m.OldestWaiting, m.PurgeDeadline)
			}
		})
	}
}

// TestWaitingSince: a day that may have unknown recordings counts as a day with waiting ones.
func TestWaitingSince(t *testing.T) {
	zone := losAngeles(t)
	now := time.Date(2025, 5, 20, 0, 0, 0, 0, zone)
	for name, test := range map[string]struct {
		day   archiver.OpenDay
		waits bool
	}{
		"settled and open":           {archiver.OpenDay{Settled: true}, true},
		"without any call":           {archiver.OpenDay{Settled: true, Excused: true}, false},
		"may still change":           {archiver.OpenDay{}, false},
		"may still change, waits":    {archiver.OpenDay{Waiting: 1}, true},
		"its notes cannot be read":   {archiver.OpenDay{Unreadable: true}, true},
		"excused, and one waits all": {archiver.OpenDay{Settled: true, Excused: true, Waiting: 1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			test.day.Day = "2025-03-08" // a day before the clocks change
			oldest, deadline := waitingSince([]archiver.OpenDay{{Day: "2025-05-18"}, test.day}, purgeRules{zone, 155 * 24 * time.Hour}, now)
			start := time.Date(2025, 3, 8, 0, 0, 0, 0, zone)
			if test.waits && (!oldest.Equal(start) || !deadline.Equal(start.Add(155*24*time.Hour))) || !test.waits && (!oldest.IsZero() || !deadline.IsZero()) {
				t.Errorf("since %v, until %v", oldest, deadline)
			}
		})
	}
}

// TestPingBody: the part of a body that a service keeps has the counts, with any number of open
// days.
func TestPingBody(t *testing.T) {
	many := func(n int) (days []archiver.OpenDay, warnings []string) {
		for i := range n {
			days = append(days, archiver.OpenDay{Day: fmt.Sprint(i), Reasons: []string{strings.Repeat("r", 50)}})
			warnings = append(warnings, strings.Repeat("w", 50))
		}
		return days, warnings
	}
	for name, test := range map[string]struct {
		days    int
		message string
		whole   bool
	}{
		"nothing": {0, "", true}, "few": {10, "no", true}, "many": {5000, "no", false}, "an endless error": {100, strings.Repeat("e", 200_000), false},
	} {
		t.Run(name, func(t *testing.T) {
			s := archiver.Summary{Run: "r", ExitCode: 3, Archived: 7, Error: test.message}
			s.OpenDays, s.Warnings = many(test.days)
			body := pingBody(s, 100_000)
			var read archiver.Summary
			if err := json.Unmarshal(body, &read); err != nil || len(body) > 100_000 {
				t.Fatalf("%d bytes: %v", len(body), err)
			}
			if read.Archived != 7 || read.ExitCode != 3 || test.whole != (len(read.OpenDays) == test.days && read.Error == test.message) {
				t.Errorf("%d days, %+v", len(read.OpenDays), read.Run)
			}
			if name == "many" && (len(read.OpenDays) == 0 || read.Error != "no") {
				t.Errorf("%d days left, error %q", len(read.OpenDays), read.Error)
			}
		})
	}
}

// TestMonitorRefuses: invalid settings are reported before any request.
func TestMonitorRefuses(t *testing.T) {
	r := newRunner(t, tokenVariable+"=a-token-of-some-length")
	folder := t.TempDir()
	for flags, says := range map[string]string{
		"--metrics-file " + filepath.Join(folder, "a.txt"):          "--metrics-file: the name does not end in .prom",
		"--metrics-file " + filepath.Join(folder, "none", "a.prom"): "--metrics-file: its folder does not exist",
		"--ping-url hc-ping.com/canary-1234":                        "--ping-url: it is not an http or https URL",
		"--ping-url=":                                               "--ping-url: the value is empty",
		"--ping-on 3":                                               "--ping-on: it is not two exit codes: write it like 3=0",
		"--ping-on 3=0,x=1":                                         "--ping-on: it is not two exit codes",
		"--ping-on 3=256":                                           "--ping-on: it is not two exit codes",
	} {
		args := append([]string{"archive", "--dest", filepath.Join(folder, "dest"), "--last", "1d", "--api-url", "http://127.0.0.1:1/v1"}, strings.Fields(flags)...)
		code, stdout, stderr := r.run(t.Context(), args...)
		if code != ExitUsage || stdout != "" || !strings.Contains(stderr, says) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: code %d, %q, %q, want %q", flags, code, stdout, stderr, says)
		}
		if strings.Contains(stderr, "canary") {
			t.Errorf("%s: the address is repeated: %q", flags, stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "dest")); err == nil {
		t.Error("a destination was made")
	}
}

// TestMetricsOfRefusedRuns: the file says that a run failed because of its settings, from any source of the file's
// name, if the name could be read. A dry run writes no file.
func TestMetricsOfRefusedRuns(t *testing.T) {
	for name, test := range map[string]struct {
		flags, config, variable string // METRICS is replaced by the file's name
		written                 bool
	}{
		"unknown flag":          {"--wrokers 3 --metrics-file METRICS", "", "", true},
		"unknown flag, with =":  {"--metrics-file=METRICS --wrokers 3", "", "", true},
		"wrong value":           {"--workers x --metrics-file METRICS", "", "", true},
		"stray argument":        {"--metrics-file METRICS extra", "", "", true},
		"by a variable":         {"--last x", "", "METRICS", true},
		"by the file":           {"--last x", "metrics-file: METRICS\n", "", true},
		"misspelt key after it": {"--last 1d", "metrics-file: METRICS\nwrokers: 3\n", "", true},
		"misspelt key above it": {"--last 1d", "wrokers: 3\nmetrics-file: METRICS\n", "", true},
		"no token":              {"--last 1d --metrics-file METRICS", "", "", true},
		"unknown flag, dry run": {"--wrokers 3 --dry-run --metrics-file METRICS", "", "", false},
		"dry run":               {"--last x --dry-run --metrics-file METRICS", "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			path := filepath.Join(folder, "m.prom")
			place := strings.NewReplacer("METRICS", path)
			r := newRunner(t, EnvPrefix+"METRICS_FILE="+place.Replace(test.variable))
			args := append([]string{"archive", "--dest", filepath.Join(folder, "dest")}, strings.Fields(place.Replace(test.flags))...)
			if test.config != "" {
				config := filepath.Join(folder, "config.yaml")
				if err := os.WriteFile(config, []byte(place.Replace(test.config)), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--config", config)
			}
			code, _, stderr := r.run(t.Context(), args...)
			text, err := os.ReadFile(path)
			if code != ExitUsage || test.written != (err == nil) {
				t.Fatalf("code %d, %v: %s", code, err, stderr)
			}
			if test.written && (!strings.Contains(string(text), "\nconvoso_archiver_last_run_exit_code{archive=\"m\"} 2\n") || strings.Contains(string(text), "success_timestamp")) {
				t.Errorf("metrics:\n%s", text)
			}
			if left, err := fs.Glob(os.DirFS(folder), ".*"); err != nil || len(left) > 0 {
				t.Errorf("left in the folder: %v, %v", left, err)
			}
		})
	}
}
