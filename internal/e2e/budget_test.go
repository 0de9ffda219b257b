package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// TestMaxBytes: a run ends cleanly at the limit of stored bytes, and the next runs complete the
// archive.
func TestMaxBytes(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 71, FirstDay: daysAgo(6), Days: 2, CallsPerDay: 30, RecordedShare: 1, MedianSize: 10_000, MaxSize: 20_000})
	const workers, most = 4, 20_000 + 2_000
	a := onDisk(t, server, "--start-time", daysAgo(6), "--end-time", daysAgo(5), "--workers", "4")
	runs := 0
	for ; ; runs++ {
		r := a.run("--max-bytes", "100k")
		if r.code == 0 {
			break
		}
		r.want(t, 3)
		if r.summary.Stopped != "max-bytes" || r.summary.Bytes < 100_000 || r.summary.Bytes >= 100_000+workers*most {
			t.Errorf("stopped by %q with %d bytes", r.summary.Stopped, r.summary.Bytes)
		}
	}
	if runs < 3 {
		t.Errorf("only %d runs", runs)
	}
	a.checkFiles(nil)
	checkOnce(t, server)
}

// TestMaxRequests: a run makes at most the given number of requests, to API and media host together. The stop may
// cancel the next page of the two days before it is sent.
func TestMaxRequests(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 72, FirstDay: daysAgo(6), Days: 2, CallsPerDay: 30, RecordedShare: 1, MedianSize: 4_000})
	a := onDisk(t, server, "--start-time", daysAgo(6), "--end-time", daysAgo(5))
	requests := func() int { s := server.Stats(); return s.API.Requests + s.Media.Requests }
	for {
		before := requests()
		r := a.run("--max-requests", "17")
		made := requests() - before
		if r.code == 0 {
			break
		}
		r.want(t, 3)
		if told := int(r.summary.APIRequests + r.summary.MediaRequests); made < 15 || made > told || told > 17 || r.summary.Stopped != "max-requests" {
			t.Errorf("%d requests, stopped by %q", made, r.summary.Stopped)
		}
	}
	a.checkFiles(nil)
	checkOnce(t, server)
	if n := requests(); n < 60+4 || n > 60+4*6 {
		t.Errorf("%d requests in all", n)
	}
}

// entryOfNow is an entry of a schedule that covers the present, in the zone of the simulator.
func entryOfNow(limits string) string {
	at := time.Now().In(started.Location())
	return at.Add(-time.Hour).Format("15:04") + "-" + at.Add(2*time.Hour).Format("15:04") + " " + limits
}

// TestScheduleOff: while the schedule is off, a run sends no requests, holds its lock and says until when; a signal
// ends it.
func TestScheduleOff(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 73, FirstDay: daysAgo(5), CallsPerDay: 10, RecordedShare: 1})
	a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
	a.flags = append(a.flags, "--schedule", entryOfNow("off"))
	r := a.finish(a.command(t.Context()), func(process *os.Process) {
		for range 600 { // until it has the lock
			time.Sleep(50 * time.Millisecond)
			if _, err := os.Stat(filepath.Join(a.dest, "manifest", "archive.json")); err == nil {
				break
			}
		}
		a.run().want(t, 5)
		if err := process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	})
	r.want(t, 143)
	if n := server.Stats().API.Requests; n != 0 || r.summary.APIRequests != 0 {
		t.Errorf("%d requests", n)
	}
	if !strings.Contains(r.stderr, `"msg":"by the schedule","off":true`) || !strings.Contains(r.stderr, `"until":"`) {
		t.Errorf("the log does not say why: %s", tail(r.stderr))
	}
}

// TestScheduleLimits: rate and bandwidth follow the schedule, and no recording fails because it is slow.
func TestScheduleLimits(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]string{"rate": "5/s", "bandwidth": "60k"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := simulate(t, convosotest.Config{Seed: 74, FirstDay: daysAgo(5), CallsPerDay: 30, RecordedShare: 1, MedianSize: 10_000, MaxSize: 30_000})
			a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5), "--schedule", entryOfNow(limits))
			r := a.run().want(t, 0)
			if s := r.summary; s.Archived != 30 || s.Failed+s.Pending+s.Rejected != 0 || s.MediaRequests != 30 {
				t.Errorf("%+v", s)
			}
			least := 29.0 / 5
			if name == "bandwidth" {
				least = float64(r.summary.Bytes) / 60_000
			}
			if s := r.summary.Seconds; s < least*0.97 {
				t.Errorf("%.1f s for %d recordings with %d bytes, want at least %.1f", s, r.summary.Archived, r.summary.Bytes, least)
			}
			a.checkFiles(nil)
		})
	}
}

// TestEstimate: the requests that a dry run estimates match those of archiving: exactly for the vendor, nearly for
// S3.
func TestEstimate(t *testing.T) {
	t.Parallel()
	const days = 6
	server := simulate(t, convosotest.Config{Seed: 75, FirstDay: daysAgo(12), Days: days, CallsPerDay: 80, RecordedShare: 0.5, MedianSize: 4_000})
	b := onS3(t, server, false, "--start-time", daysAgo(12), "--end-time", daysAgo(13-days))
	e := b.run("--dry-run").want(t, 0).summary.Estimate
	if e == nil || e.S3 == nil || len(e.Months) == 0 || len(e.Months) > 2 {
		t.Fatalf("estimate %+v", e)
	}
	var mu sync.Mutex
	made := map[string]int64{}
	b.trouble(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case r.Method == http.MethodPut:
			made["PUT"]++
		case strings.Contains(r.URL.RawQuery, "list-type"):
			made["LIST"]++
		case r.Method == http.MethodGet, r.Method == http.MethodHead:
			made["GET"]++
		}
		return false
	})
	s := b.run().want(t, 0).summary
	if e.APIRequests != s.APIRequests || e.MediaRequests != s.MediaRequests || e.Total().ToFetch != s.Archived || e.Total().Calls != s.Calls || e.Total().Days != days {
		t.Errorf("estimated %+v, made %+v", e, s)
	}
	for kind, estimated := range map[string]int64{"PUT": e.S3.Puts, "LIST": e.S3.Lists, "GET": e.S3.Gets} {
		if n := made[kind]; 2*n < estimated || n > 2*estimated {
			t.Errorf("%d %s, estimated %d", n, kind, estimated)
		}
	}
	t.Logf("made %v, estimated %+v", made, *e.S3)
}

// TestFirstCall: a dry run from long ago names the first day with calls, and shows the months before it in one row.
func TestFirstCall(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 138, FirstDay: daysAgo(12), Days: 3, CallsPerDay: 20, RecordedShare: 0.5, MedianSize: 4_000})
	a := onDisk(t, server)
	span := []string{"--start-time", daysAgo(150), "--end-time", daysAgo(8), "--dry-run"}
	if e := a.run(span...).want(t, 0).summary.Estimate; e == nil || string(e.FirstCall) != daysAgo(12) || len(e.Months) < 5 {
		t.Errorf("estimate %+v", e)
	}
	a.env = append(a.env, "CONVOSO_AUTH_TOKEN="+server.Token())
	r := a.other(0, "archive", append(span, "--api-url", server.APIURL(), "--allow-host", server.MediaURL(), "--state-dir", a.state, "--api-rate", "0")...)
	empty := regexp.MustCompile(`(?m)^` + daysAgo(150)[:7] + ` to \d{4}-\d{2} +\d+ +no calls$`)
	if !strings.Contains(r.stdout, "first call   "+daysAgo(12)) || !empty.MatchString(r.stdout) {
		t.Errorf("the dry run says: %s", r.stdout)
	}
}
