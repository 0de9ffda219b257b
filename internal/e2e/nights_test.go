package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// night is a failing night after a successful one. docs/operate.md has a table of them.
type night struct {
	inS3     bool
	mounts   bool // the destination is a small file system of its own
	wrong    func(t *testing.T, w *nightWorld)
	behind   time.Duration // how far the clocks of the hosts are behind: a day that has not settled by them stays open
	starts   bool
	code     int
	steps    string // pings
	log      string // pattern of a line of the log
	metrics  map[string]float64
	absent   []string // metrics
	soon     []string // alerts, two hours later
	tomorrow []string // alerts in the third hour of a next night that failed in the same way
}

// nightWorld is an archive with nightly runs and monitoring.
type nightWorld struct {
	*archive
	bucket *bucket
	source *convosotest.Server
	watch  *service
	file   string
}

// nights returns all failing nights, by the name of their row in docs/operate.md.
func nights() map[string]night {
	return map[string]night{
		"vendor down": {
			wrong: func(_ *testing.T, w *nightWorld) { w.source.SetAPIDown(true) }, starts: true,
			code: 1, steps: "start 1", log: `"level":"ERROR".*no usable answer from the API`,
			metrics: map[string]float64{"last_run_exit_code": 1, "running": 0, `recordings{outcome="archived"}`: 0},
			soon:    []string{"RunFailed"}, tomorrow: []string{"NothingFinished", "RunFailed"},
		},
		"token revoked": {
			wrong: func(_ *testing.T, w *nightWorld) { w.source.SetTokenValid(false) }, starts: true,
			code: 2, steps: "start 2", log: `"level":"ERROR".*the API refused the token`,
			metrics: map[string]float64{"last_run_exit_code": 2},
			soon:    []string{"RunFailed"}, tomorrow: []string{"NothingFinished", "RunFailed"},
		},
		"store down": {
			inS3: true, starts: true,
			wrong: func(_ *testing.T, w *nightWorld) {
				w.bucket.trouble(func(http.ResponseWriter, *http.Request, int) bool { panic(http.ErrAbortHandler) })
			},
			code: 1, steps: "start 1", log: `"level":"ERROR".*no usable answer from bucket`,
			metrics: map[string]float64{"last_run_exit_code": 1, `requests_total{host_kind="api"}`: 0},
			soon:    []string{"RunFailed"}, tomorrow: []string{"NothingFinished", "RunFailed"},
		},
		"disk full": {
			mounts: true, starts: true,
			wrong: func(t *testing.T, w *nightWorld) { fill(t, filepath.Join(w.dest, "filler"), 40<<10) },
			code:  1, steps: "start 1", log: `"level":"ERROR".*space`,
			metrics: map[string]float64{"last_run_exit_code": 1},
			soon:    []string{"RunFailed"}, tomorrow: []string{"NothingFinished", "RunFailed"},
		},
		"clock wrong": {
			behind: 2 * time.Hour, starts: true,
			code: 3, steps: "start 3", log: `"level":"WARN".*clock`,
			metrics: map[string]float64{"last_run_exit_code": 3, `dates{state="closed"}`: 1, "clock_skew_seconds": 7200},
			soon:    []string{"Clock"}, tomorrow: []string{"Clock"},
		},
		"one recording rejected for days": {
			wrong: func(t *testing.T, w *nightWorld) {
				w.spoil(t, convosotest.FaultHTML)
				w.ageMetrics(t, 73*time.Hour) // earlier nights with exit code 3; each kept the last success
			},
			starts: true, code: 3, steps: "start 3", log: `"msg":"recording not archived".*"outcome":"rejected"`,
			metrics: map[string]float64{"last_run_exit_code": 3, `recordings{outcome="rejected"}`: 1, `dates{state="open"}`: 1},
			soon:    []string{"NoSuccess"}, tomorrow: []string{"NoSuccess"},
		},
		"a recording waits until shortly before the purge": {
			wrong: func(t *testing.T, w *nightWorld) {
				w.spoil(t, convosotest.FaultHTML)
				w.flags = append(w.flags, "--purge-after", "10d")
			},
			starts: true, code: 3, steps: "start 3", log: `"msg":"recording not archived".*"outcome":"rejected"`,
			metrics: map[string]float64{"last_run_exit_code": 3, `recordings{outcome="rejected"}`: 1},
			soon:    []string{"PurgeNear"}, tomorrow: []string{"PurgeNear"},
		},
		"a recording is lost": {
			wrong: func(t *testing.T, w *nightWorld) {
				w.spoil(t, convosotest.FaultNotFound)
				w.run().want(t, 3)
				w.age(25 * time.Hour)
			},
			starts: true, code: 3, steps: "start 3 start 3", log: `"level":"WARN","msg":"recording given up or lost; later runs do not retry it".*"outcome":"lost"`,
			metrics: map[string]float64{"last_run_exit_code": 3, `recordings{outcome="lost"}`: 1, `dates{state="open"}`: 0},
			soon:    []string{"Lost"}, tomorrow: []string{"Lost"},
		},
		"a run that never started": {
			metrics: map[string]float64{"last_run_exit_code": 0, "running": 0},
			soon:    nil, tomorrow: []string{"NotStarted", "NothingFinished"},
		},
		"a run that was killed": {
			wrong: func(t *testing.T, w *nightWorld) {
				w.source.SetMediaDown(convosotest.FaultHang)
				before := w.source.Stats().Media.Requests
				w.finish(w.command(t.Context()), func(p *os.Process) {
					waitFor(t, func() bool { return w.source.Stats().Media.Requests > before })
					_ = p.Kill()
				})
			},
			steps: "start", metrics: map[string]float64{"running": 1}, absent: []string{"last_run_exit_code"},
			soon: []string{"Stuck"}, tomorrow: []string{"NothingFinished", "Stuck"},
		},
	}
}

// TestFailingNights: each has its exit code, its metrics, its ping and its line in the log. With make test-prometheus,
// TestAlertsOfFailingNights checks its alerts too.
func TestFailingNights(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "operate.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range nights() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, row, _ := strings.Cut(string(page), "\n| "+name+" | ")
			row, _, _ = strings.Cut(row, "\n")
			for _, alert := range n.tomorrow {
				if !strings.Contains(row, "`ConvosoArchiver"+alert+"`") {
					t.Errorf("the row of docs/operate.md does not name %s: %q", alert, row)
				}
			}
			live(t, n)
		})
	}
}

// live runs a good night and a failing one, and returns the file of metrics in the morning.
func live(t *testing.T, n night) map[string]float64 {
	t.Helper()
	w := newNightWorld(t, n)
	w.run("--start-time", daysAgo(6), "--end-time", daysAgo(6)).want(t, 0)
	if got := w.watch.steps(); got != "start 0" {
		t.Fatalf("pings of a good night: %q", got)
	}
	good := metricsOf(t, w.file)
	if n.wrong != nil {
		n.wrong(t, w)
	}
	w.source.SetClockSkew(-n.behind)
	if n.starts {
		r := w.run().want(t, n.code)
		if !regexp.MustCompile(n.log).MatchString(r.stderr) {
			t.Errorf("no line of the log is like %q: %s", n.log, tail(r.stderr))
		}
		if got := w.watch.last().body; got.ExitCode != n.code || got.Error != r.summary.Error {
			t.Errorf("told %+v, summary %+v", got, r.summary)
		}
	}
	if got := w.watch.steps(); got != n.steps {
		t.Errorf("pings %q, want %q", got, n.steps)
	}
	values := metricsOf(t, w.file)
	if n.behind > 0 {
		open := daysBetween(daysAgo(6), settled(time.Now().Add(-n.behind), nightSettle))
		if got, there := values[`dates{state="open"}`]; !there || got != float64(open) {
			t.Errorf("%v days are open (%v), want %d", got, there, open)
		}
	}
	for name, want := range n.metrics {
		if strings.HasPrefix(name, "requests_total") { // only those of this night
			want += good[name]
		}
		if got, there := values[name]; !there || got < want-5 || got > want+5 || want < 1000 && got != want {
			t.Errorf("%s is %v (%v), want %v", name, got, there, want)
		}
	}
	for _, name := range n.absent {
		if got, there := values[name]; there {
			t.Errorf("%s is %v, want none", name, got)
		}
	}
	if values["last_success_timestamp_seconds"] == 0 || values["last_success_timestamp_seconds"] > good["last_success_timestamp_seconds"] {
		t.Errorf("the last success moved from %v to %v", good["last_success_timestamp_seconds"], values["last_success_timestamp_seconds"])
	}
	return values
}

// nightSettle makes the second day settled and the third not, except after 23:00.
const nightSettle = 95 * time.Hour

// newNightWorld makes an account of two settled days. The first night covers the first day, the second night both.
func newNightWorld(t *testing.T, n night) *nightWorld {
	t.Helper()
	w := &nightWorld{
		source: simulate(t, convosotest.Config{Seed: 74, FirstDay: daysAgo(6), Days: 2, CallsPerDay: 20, RecordedShare: 1, MedianSize: 8_000}),
		watch:  newService(t, nil),
		file:   filepath.Join(t.TempDir(), "nightly.prom"),
	}
	if n.inS3 {
		w.bucket = onS3(t, w.source, false)
		w.archive = w.bucket.archive
	} else {
		w.archive = onDisk(t, w.source)
	}
	w.flags = append(w.flags, w.watch.flag(), "--metrics-file", w.file, "--settle", fmt.Sprintf("%gh", nightSettle.Hours()), "--retry-for", "3s")
	w.env = append(w.env, fmt.Sprintf("CONVOSO_ARCHIVER_LAST=%dd", daysBetween(daysAgo(6), today())))
	if n.mounts {
		if runtime.GOOS != "linux" || os.Geteuid() != 0 {
			t.Skip("mounts a tmpfs, which needs Linux and root")
		}
		if err := os.Mkdir(w.dest, 0o700); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", w.dest).CombinedOutput(); err != nil {
			t.Fatalf("mount: %v: %s", err, out)
		}
		t.Cleanup(func() { _ = exec.Command("umount", "-l", w.dest).Run() })
	}
	return w
}

// spoil damages one recording of the second day.
func (w *nightWorld) spoil(t *testing.T, fault convosotest.Fault) {
	t.Helper()
	for r := range w.source.Recordings() {
		if r.Day == daysAgo(5) {
			if err := w.source.SetFault(r.Ref, fault, 0); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("the day has no recording")
}

// ageMetrics moves all times in the file of metrics back.
func (w *nightWorld) ageMetrics(t *testing.T, by time.Duration) {
	t.Helper()
	text, err := os.ReadFile(w.file)
	if err != nil {
		t.Fatal(err)
	}
	aged := regexp.MustCompile(`(?m)(_timestamp_seconds\{.*\}) (\d+)$`).ReplaceAllStringFunc(string(text), func(line string) string {
		i := strings.LastIndexByte(line, ' ')
		seconds, err := strconv.ParseInt(line[i+1:], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return line[:i+1] + strconv.FormatInt(seconds-int64(by.Seconds()), 10)
	})
	if err := os.WriteFile(w.file, []byte(aged), 0o644); err != nil || aged == string(text) {
		t.Fatal(err, aged)
	}
}

// fill fills a file system until only n bytes are free.
func fill(t *testing.T, name string, free int64) {
	t.Helper()
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for block := make([]byte, 4<<10); err == nil; {
		_, err = file.Write(block)
	}
	info, errStat := file.Stat()
	if !errors.Is(err, syscall.ENOSPC) || errStat != nil {
		t.Fatal(err, errStat)
	}
	if err := file.Truncate(info.Size() - free); err != nil {
		t.Fatal(err)
	}
}
