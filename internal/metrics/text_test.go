package metrics

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func at(seconds int64) time.Time { return time.Unix(seconds, 0) }

// TestRunText compares whole texts, so nothing else can be in them.
func TestRunText(t *testing.T) {
	skew := -90 * time.Second
	for name, test := range map[string]struct {
		run  Run
		want string
	}{
		"ended": {Run{
			Name: "nightly", Build: Build{"v1.2.3", "go1.26"}, Started: at(1000), Ended: at(1012).Add(500 * time.Millisecond), ExitCode: 3, LastSuccess: at(10), LastFinished: at(1012),
			Recordings: map[string]int{"lost": 0, "archived": 12}, Dates: map[string]int{"open": 1}, OldestWaiting: at(500), PurgeDeadline: at(9000), ClockSkew: &skew,
			Counters: Counters{3, 12, 1, 123456789012},
		}, `# HELP convoso_archiver_build_info The program that wrote this; always 1.
# TYPE convoso_archiver_build_info gauge
convoso_archiver_build_info{archive="nightly",version="v1.2.3",goversion="go1.26"} 1
# HELP convoso_archiver_running Whether a run is in progress: 1 or 0. It stays 1 when the run is killed.
# TYPE convoso_archiver_running gauge
convoso_archiver_running{archive="nightly"} 0
# HELP convoso_archiver_last_run_timestamp_seconds When the last run began.
# TYPE convoso_archiver_last_run_timestamp_seconds gauge
convoso_archiver_last_run_timestamp_seconds{archive="nightly"} 1000
# HELP convoso_archiver_last_run_exit_code Exit code of the last run; absent while it runs.
# TYPE convoso_archiver_last_run_exit_code gauge
convoso_archiver_last_run_exit_code{archive="nightly"} 3
# HELP convoso_archiver_last_run_duration_seconds How long the last run took; absent while it runs.
# TYPE convoso_archiver_last_run_duration_seconds gauge
convoso_archiver_last_run_duration_seconds{archive="nightly"} 12.5
# HELP convoso_archiver_last_success_timestamp_seconds When the last run with exit code 0 ended.
# TYPE convoso_archiver_last_success_timestamp_seconds gauge
convoso_archiver_last_success_timestamp_seconds{archive="nightly"} 10
# HELP convoso_archiver_last_finished_timestamp_seconds When the last run with exit code 0 or 3 ended.
# TYPE convoso_archiver_last_finished_timestamp_seconds gauge
convoso_archiver_last_finished_timestamp_seconds{archive="nightly"} 1012
# HELP convoso_archiver_recordings Recordings by outcome: in a file of archive those of its last run, from serve those of the whole archive.
# TYPE convoso_archiver_recordings gauge
convoso_archiver_recordings{archive="nightly",outcome="archived"} 12
convoso_archiver_recordings{archive="nightly",outcome="lost"} 0
# HELP convoso_archiver_dates Call days by state: in a file of archive those of its last run, from serve those of the whole archive.
# TYPE convoso_archiver_dates gauge
convoso_archiver_dates{archive="nightly",state="open"} 1
# HELP convoso_archiver_oldest_waiting_timestamp_seconds Start of the oldest call day with recordings that are not archived yet.
# TYPE convoso_archiver_oldest_waiting_timestamp_seconds gauge
convoso_archiver_oldest_waiting_timestamp_seconds{archive="nightly"} 500
# HELP convoso_archiver_purge_deadline_timestamp_seconds When the vendor starts to delete recordings that are not archived yet.
# TYPE convoso_archiver_purge_deadline_timestamp_seconds gauge
convoso_archiver_purge_deadline_timestamp_seconds{archive="nightly"} 9000
# HELP convoso_archiver_clock_skew_seconds How far the clock of this machine is ahead of the API's clock.
# TYPE convoso_archiver_clock_skew_seconds gauge
convoso_archiver_clock_skew_seconds{archive="nightly"} -90
# HELP convoso_archiver_requests_total Requests to the vendor, by all runs.
# TYPE convoso_archiver_requests_total counter
convoso_archiver_requests_total{archive="nightly",host_kind="api"} 3
convoso_archiver_requests_total{archive="nightly",host_kind="media"} 12
# HELP convoso_archiver_refusals_total Answers of the vendor that asked to slow down.
# TYPE convoso_archiver_refusals_total counter
convoso_archiver_refusals_total{archive="nightly"} 1
# HELP convoso_archiver_bytes_stored_total Bytes of recordings stored by all runs.
# TYPE convoso_archiver_bytes_stored_total counter
convoso_archiver_bytes_stored_total{archive="nightly"} 123456789012
`},
		"begun, with a name that needs escaping": {Run{Name: "a\"b\\c\n\xff", Started: at(1000)}, `build_info{archive="a\"b\\c\n�",version="",goversion=""} 1
running{archive="a\"b\\c\n�"} 1
last_run_timestamp_seconds{archive="a\"b\\c\n�"} 1000
requests_total{archive="a\"b\\c\n�",host_kind="api"} 0
requests_total{archive="a\"b\\c\n�",host_kind="media"} 0
refusals_total{archive="a\"b\\c\n�"} 0
bytes_stored_total{archive="a\"b\\c\n�"} 0
`},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.run.Text()
			if !strings.HasPrefix(test.want, "#") {
				got = bare(got)
			}
			if got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestArchiveText(t *testing.T) {
	a := Archive{
		Build: Build{"v1", "go1"}, LastLine: at(77), Recordings: map[string]int{"archived": 5, "waiting": 1}, Dates: map[string]int{"closed": 2},
		OldestWaiting: at(5), PurgeDeadline: at(6),
	}
	want := `build_info{version="v1",goversion="go1"} 1
last_line_timestamp_seconds 77
recordings{outcome="archived"} 5
recordings{outcome="waiting"} 1
dates{state="closed"} 2
oldest_waiting_timestamp_seconds 5
purge_deadline_timestamp_seconds 6
`
	if got := bare(a.Text()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// bare returns only the series, without the prefix of their names.
func bare(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			b.WriteString(strings.TrimPrefix(line, prefix))
		}
	}
	return b.String()
}

// TestKept: the next run reads exactly what a run wrote.
func TestKept(t *testing.T) {
	kept := Kept{at(10), at(20), at(30), at(40), Counters{1, 2, 3, 4_500_000_000_000}}
	run := Run{
		Name: `a"b`, Started: at(1), LastSuccess: kept.LastSuccess, LastFinished: kept.LastFinished,
		OldestWaiting: kept.OldestWaiting, PurgeDeadline: kept.PurgeDeadline, Counters: kept.Counters,
	}
	text := run.Text()
	for name, test := range map[string]struct {
		text, name string
		want       Kept
	}{
		"as written":     {text, run.Name, kept},
		"of another":     {text, "other", Kept{}},
		"nothing":        {"", run.Name, Kept{}},
		"no metrics":     {"\x00\xff no metrics\n{}\n", run.Name, Kept{}},
		"wrong numbers":  {"convoso_archiver_last_success_timestamp_seconds{archive=\"n\"} NaN\nconvoso_archiver_refusals_total{archive=\"n\"} -5\nconvoso_archiver_bytes_stored_total{archive=\"n\"} +Inf\n", "n", Kept{}},
		"cut in a line":  {text[:strings.Index(text, "last_finished_timestamp_seconds When")], run.Name, Kept{LastSuccess: at(10)}},
		"Windows' lines": {strings.ReplaceAll(text, "\n", "\r\n"), run.Name, kept},
	} {
		t.Run(name, func(t *testing.T) {
			if got := parseKept(test.text, test.name); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestWriteFile(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "nightly.prom")
	if kept, err := ReadKept(path); err != nil || kept != (Kept{}) {
		t.Errorf("without a file: %+v, %v", kept, err)
	}
	for _, text := range []string{"one\n", "two\n"} {
		if err := WriteFile(path, text); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Fatalf("read %q, %v", got, err)
		}
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != fileMode {
		t.Errorf("mode %v, %v: other users cannot read it", info.Mode(), err)
	}
	// A failed replacement leaves nothing behind.
	blocked := filepath.Join(folder, "blocked.prom")
	if err := os.MkdirAll(filepath.Join(blocked, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(blocked, "x"); err == nil {
		t.Error("a folder was replaced")
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 2 {
		t.Errorf("in the folder: %v, %v", entries, err)
	}
	if err := WriteFile(filepath.Join(folder, "none", "a.prom"), "x"); err == nil {
		t.Error("a missing folder is no error")
	}
	if _, err := ReadKept(blocked); err == nil {
		t.Error("a folder was read")
	}
}

func TestCheckFile(t *testing.T) {
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "there.prom"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{
		"a.prom": "", ".prom": "", "a.txt": ".prom", "a": ".prom", "a.prom.tmp": ".prom", "none/a.prom": "folder", "there.prom": "not a regular file",
	} {
		err := CheckFile(filepath.Join(folder, name))
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", name, err, says)
		}
	}
}
