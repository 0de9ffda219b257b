package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/fetcher/convosotest"
)

// received is one ping that a service got.
type received struct {
	step, rid, query string
	body             archiver.Summary
	size             int
}

// service is a service that watches jobs, like healthchecks.io. The address of its check is a
// secret.
type service struct {
	*httptest.Server
	t      *testing.T
	answer func(w http.ResponseWriter, r *http.Request) bool // true: answered; nil for none

	mu    sync.Mutex
	pings []received
}

func newService(t *testing.T, answer func(w http.ResponseWriter, r *http.Request) bool) *service {
	t.Helper()
	s := &service{t: t, answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(s.take))
	t.Cleanup(s.Close)
	return s
}

// hang does not answer until the client disconnects.
func hang(_ http.ResponseWriter, r *http.Request) bool {
	<-r.Context().Done()
	return true
}

const checkPath = "/" + canary + "-check-7Hq2"

// flag returns the flag with the address of the check.
func (s *service) flag() string { return "--ping-url=" + s.URL + checkPath + "?create=1" }

func (s *service) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if s.answer != nil && s.answer(w, r) {
		return
	}
	step, ours := strings.CutPrefix(r.URL.Path, checkPath+"/")
	if err != nil || !ours || r.Method != http.MethodPost {
		s.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	got := received{step: step, rid: r.URL.Query().Get("rid"), query: r.URL.Query().Get("create"), size: len(body)}
	if strings.Contains(string(body), canary) {
		s.t.Errorf("a body holds a secret: %s", body)
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &got.body); err != nil {
			s.t.Errorf("a body is no JSON: %v: %s", err, body)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pings = append(s.pings, got)
}

// steps returns the pings since the last call, and fails if the two pings of a run do not belong
// together.
func (s *service) steps() string {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var steps []string
	for i, p := range s.pings {
		steps = append(steps, p.step)
		if p.query != "1" || len(p.rid) != 36 || i%2 == 1 && p.rid != s.pings[i-1].rid {
			s.t.Errorf("pings %+v", s.pings)
		}
	}
	s.pings = nil
	return strings.Join(steps, " ")
}

// last returns the newest ping.
func (s *service) last() received {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pings) == 0 {
		return received{}
	}
	return s.pings[len(s.pings)-1]
}

// pingedAccount is a small account.
func pingedAccount(t *testing.T) *convosotest.Server {
	return simulate(t, convosotest.Config{Seed: 71, FirstDay: daysAgo(7), CallsPerDay: 20, RecordedShare: 1, MedianSize: 4_000})
}

// TestPings: a service gets the start of a run and its result, for every kind of end.
func TestPings(t *testing.T) {
	t.Parallel()
	source, watch := pingedAccount(t), newService(t, nil)
	a := onDisk(t, source, watch.flag(), "--start-time", daysAgo(7), "--end-time", daysAgo(7))
	r := a.run().want(t, 0)
	last := watch.last()
	if got := watch.steps(); got != "start 0" {
		t.Errorf("pings %q", got)
	}
	if b := last.body; b.Run != r.summary.Run || b.Archived != 20 || b.Bytes != r.summary.Bytes || b.APIRequests != r.summary.APIRequests {
		t.Errorf("told %+v, summary %+v", b, r.summary)
	}
	for name, test := range map[string]struct {
		args  []string
		env   string
		code  int
		steps string
	}{
		"unknown flag":         {[]string{"--wrokers", "3"}, "", 2, "start 2"},
		"wrong value":          {[]string{"--workers", "x"}, "", 2, "start 2"},
		"wrong token":          {[]string{"--relist"}, "CONVOSO_AUTH_TOKEN=wrong-token", 2, "start 2"},
		"no token":             {nil, "CONVOSO_AUTH_TOKEN=", 2, "start 2"},
		"destination a file":   {[]string{"--dest", os.Args[0]}, "", 2, "start 2"},
		"a capped run":         {[]string{"--relist", "--max-recordings", "1", "--start-time", daysAgo(7), "--dest", a.dest + "2"}, "", 3, "start 3"},
		"a capped run is fine": {[]string{"--relist", "--max-recordings", "1", "--ping-on", "143=0,3=0", "--dest", a.dest + "3"}, "", 3, "start 0"},
		"dry run":              {[]string{"--dry-run", "--dest", a.dest + "4"}, "", 0, ""},
	} {
		b := *a
		if test.env != "" {
			b.env = []string{test.env}
		}
		r := b.run(test.args...)
		last := watch.last()
		if got := watch.steps(); r.code != test.code || got != test.steps {
			t.Errorf("%s: exit code %d, want %d, pings %q, want %q\n%s", name, r.code, test.code, got, test.steps, tail(r.stderr))
		}
		if test.steps != "" && last.body.ExitCode != test.code {
			t.Errorf("%s: told %+v", name, last.body)
		}
	}
}

// TestPingTrouble: a service that does not answer causes only a line in the log.
func TestPingTrouble(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer  func(w http.ResponseWriter, r *http.Request) bool
		down    bool
		longest time.Duration
	}{
		"down": {down: true, longest: 40 * time.Second},
		"does not know the check": {answer: func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusNotFound)
			return true
		}, longest: 30 * time.Second},
		"leads elsewhere": {answer: func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "/elsewhere"+r.URL.Path, http.StatusFound)
			return true
		}, longest: 30 * time.Second},
		"hangs": {answer: hang, longest: 75 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, flag := pingedAccount(t), "--ping-url=http://127.0.0.1:1"+checkPath
			if !test.down {
				flag = newService(t, test.answer).flag()
			}
			a := onDisk(t, source, flag, "--start-time", daysAgo(7), "--end-time", daysAgo(7))
			begun := time.Now()
			r := a.run().want(t, 0)
			if took := time.Since(begun); took > test.longest {
				t.Errorf("the run took %v", took)
			}
			if n := strings.Count(r.stderr, "a ping failed"); n != 2 {
				t.Errorf("%d warnings: %s", n, tail(r.stderr))
			}
			a.checkFiles(nil)
		})
	}
}

// TestPingsOfAStoppedRun: SIGTERM is reported, also to a hanging service, which does not delay the end.
func TestPingsOfAStoppedRun(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("signals cannot be sent on Windows")
	}
	t.Parallel()
	for name, test := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request) bool
		steps  string
	}{"well": {nil, "start 143"}, "hangs": {hang, ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := simulate(t, convosotest.Config{Seed: 72, FirstDay: daysAgo(7), CallsPerDay: 100, RecordedShare: 1, MedianSize: 4_000, MediaLatency: 100 * time.Millisecond})
			watch := newService(t, test.answer)
			a := onDisk(t, source, watch.flag(), "--start-time", daysAgo(7), "--end-time", daysAgo(7), "--workers", "1")
			var signalled time.Time
			a.finish(a.command(t.Context()), func(p *os.Process) {
				waitFor(t, func() bool { return source.Stats().Media.Requests > 3 })
				signalled = time.Now()
				_ = p.Signal(syscall.SIGTERM)
			}).want(t, 143)
			if took := time.Since(signalled); took > 30*time.Second {
				t.Errorf("the stop took %v", took)
			}
			if got := watch.steps(); got != test.steps {
				t.Errorf("pings %q, want %q", got, test.steps)
			}
		})
	}
}

// metricsOf reads a file of metrics: values by series, without the common label.
func metricsOf(t *testing.T, path string) map[string]float64 {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		found := regexp.MustCompile(`^convoso_archiver_([a-z_]+)\{archive="nightly",?([^}]*)\} (\S+)\n$`).FindStringSubmatch(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		if found == nil {
			t.Fatalf("%s holds %q", path, line)
		}
		value, err := strconv.ParseFloat(found[3], 64)
		if err != nil {
			t.Fatal(err)
		}
		name := found[1]
		if found[2] != "" {
			name += "{" + found[2] + "}"
		}
		values[name] = value
	}
	return values
}

// TestMetricsOfARun: the file says that a run is in progress before its first request, and still after it is
// killed.
func TestMetricsOfARun(t *testing.T) {
	t.Parallel()
	source := simulate(t, convosotest.Config{Seed: 73, FirstDay: daysAgo(7), CallsPerDay: 40, RecordedShare: 1, MedianSize: 4_000})
	path := filepath.Join(t.TempDir(), "nightly.prom")
	atFirst := make(chan map[string]float64, 1)
	source.SetAPIHook(func(r convosotest.APIRequest) convosotest.APIFault {
		if r.Number == 1 {
			atFirst <- metricsOf(t, path)
		}
		return convosotest.APIOK
	})
	a := onDisk(t, source, "--start-time", daysAgo(7), "--end-time", daysAgo(7), "--metrics-file", path)
	r := a.run().want(t, 0)
	source.SetAPIHook(nil)
	early := <-atFirst
	if _, ended := early["last_run_exit_code"]; early["running"] != 1 || early["last_run_timestamp_seconds"] == 0 || ended {
		t.Errorf("at the first request: %v", early)
	}
	first := metricsOf(t, path)
	for name, want := range map[string]float64{
		"running": 0, "last_run_exit_code": 0, "recordings{outcome=\"archived\"}": 40, "dates{state=\"closed\"}": 1, "dates{state=\"open\"}": 0,
		"bytes_stored_total": float64(r.summary.Bytes), "requests_total{host_kind=\"api\"}": float64(r.summary.APIRequests),
		"requests_total{host_kind=\"media\"}": 40, "refusals_total": 0,
	} {
		if got, there := first[name]; !there || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if now := float64(time.Now().Unix()); first["last_success_timestamp_seconds"] < now-60 || first["last_success_timestamp_seconds"] != first["last_finished_timestamp_seconds"] {
		t.Errorf("success %v, now %v", first["last_success_timestamp_seconds"], now)
	}
	if skew, there := first["clock_skew_seconds"]; !there || skew < -5 || skew > 5 {
		t.Errorf("clock skew %v, %v", skew, there)
	}

	// A killed run leaves a file that says that it is in progress, with the last success.
	source.SetMediaDown(convosotest.FaultHang)
	a.finish(a.command(t.Context(), "--dest", a.dest+"2"), func(p *os.Process) {
		const requests = "requests_total{host_kind=\"media\"}" // which are in the file within 30 seconds
		waitFor(t, func() bool { return metricsOf(t, path)[requests] > first[requests] })
		_ = p.Kill()
	})
	killed := metricsOf(t, path)
	if _, ended := killed["last_run_exit_code"]; killed["running"] != 1 || ended || killed["last_success_timestamp_seconds"] != first["last_success_timestamp_seconds"] {
		t.Errorf("after a kill: %v", killed)
	}

	// If the lock is held, the file is left to the active run; an unwritable file causes a warning.
	source.SetMediaDown(convosotest.FaultNone)
	a.run().want(t, 0)
	if got := metricsOf(t, path)["bytes_stored_total"]; got != first["bytes_stored_total"] {
		t.Errorf("counters start anew: %v bytes", got)
	}
	source.SetMediaDown(convosotest.FaultHang)
	before := source.Stats().Media.Requests
	a.finish(a.command(t.Context(), "--dest", a.dest+"3"), func(p *os.Process) {
		waitFor(t, func() bool { return source.Stats().Media.Requests > before })
		works := metricsOf(t, path)
		a.run("--dest", a.dest+"3").want(t, 5)
		if got := metricsOf(t, path); works["running"] != 1 || got["running"] != 1 || got["last_run_timestamp_seconds"] != works["last_run_timestamp_seconds"] {
			t.Errorf("with the lock held: %v, before %v", got, works)
		}
		_ = p.Kill()
	})
	source.SetMediaDown(convosotest.FaultNone)
	source.SetAPIHook(func(convosotest.APIRequest) convosotest.APIFault {
		if err := os.RemoveAll(filepath.Dir(path)); err != nil {
			t.Error(err)
		}
		return convosotest.APIOK
	})
	if r := a.run("--relist").want(t, 0); !strings.Contains(r.stderr, "cannot write the metrics file") {
		t.Errorf("stderr: %s", tail(r.stderr))
	}
}
