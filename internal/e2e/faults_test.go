package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// TestMixedFaults runs against all faults at once. Every available recording is archived, every
// other one has the correct outcome, and a run without faults downloads only the missing ones.
func TestMixedFaults(t *testing.T) {
	t.Parallel()
	outcomes := map[convosotest.Fault]manifest.Outcome{
		convosotest.FaultNotFound: manifest.Pending, convosotest.Fault404: manifest.Pending, convosotest.Fault410: manifest.Pending,
		convosotest.FaultHTML: manifest.Rejected, convosotest.FaultEmpty: manifest.Rejected, convosotest.FaultOtherJSON: manifest.Rejected,
		convosotest.FaultText: manifest.Rejected, convosotest.FaultUnknown: manifest.Rejected, convosotest.FaultEchoOK: manifest.Rejected,
		convosotest.FaultRedirectElsewhere: manifest.Rejected,
		convosotest.FaultRedirectPrivate:   manifest.Rejected, convosotest.FaultRedirectLoop: manifest.Rejected,
		convosotest.FaultAuth: manifest.Failed, convosotest.FaultForbidden: manifest.Failed, convosotest.FaultServer: manifest.Failed,
		convosotest.FaultEcho: manifest.Failed, convosotest.FaultShort: manifest.Failed, convosotest.FaultShortByte: manifest.Failed,
		convosotest.FaultShortClose: manifest.Failed, convosotest.FaultShortChunked: manifest.Failed, convosotest.FaultReset: manifest.Failed,
		convosotest.FaultResetEarly: manifest.Failed,
	}
	faults := map[convosotest.Fault]int{convosotest.FaultDrip: 3, convosotest.FaultWrongType: 3, convosotest.FaultGzip: 3}
	for fault := range outcomes {
		faults[fault] = 3
	}
	// These faults pass within the run: a host that asks to wait, once for each recording.
	times := map[convosotest.Fault]int{}
	for _, fault := range []convosotest.Fault{convosotest.FaultLimitWait, convosotest.FaultLimitDate, convosotest.FaultBusyWait} {
		faults[fault], times[fault] = 2, 1
	}
	oddities := convosotest.AllBenign()
	oddities.MissingIDs, oddities.SplitNames = false, false // so that ids identify every recording
	source := simulate(t, convosotest.Config{
		Seed: 50, FirstDay: daysAgo(7), Days: 3, CallsPerDay: 120, RecordedShare: 0.9, SeveralShare: 0.2, MedianSize: 8_000,
		Oddities: oddities, MediaFaults: faults, FaultTimes: times, LinkRefusal: convosotest.FaultForbidden,
		APIRules: []convosotest.APIRule{
			{Fault: convosotest.APIGateway, Skip: 2, Times: 1}, {Fault: convosotest.APIBrokenJSON, Skip: 3, Times: 1},
			{Fault: convosotest.APILimitWait, Skip: 4, Times: 1}, {Fault: convosotest.APIReset, Skip: 5, Times: 1},
			{Fault: convosotest.APIShort, Skip: 6, Times: 1},
		},
	})
	a := onDisk(t, source, "--start-time", daysAgo(7), "--end-time", daysAgo(5), "--workers", "24")
	r := a.run().want(t, 3)
	missing := map[string]convosotest.Recording{}
	for rec := range source.Recordings() {
		if _, faulty := outcomes[rec.Fault]; faulty {
			missing[rec.Ref] = rec
		}
	}
	c := a.checkFiles(func(rec convosotest.Recording) bool { _, gone := missing[rec.Ref]; return !gone })
	for ref, rec := range missing {
		if got := c.outcome(ref); got.Outcome != outcomes[rec.Fault] {
			t.Errorf("recording %s with fault %s: outcome %q (%s)", ref, rec.Fault, got.Outcome, got.Reason)
		}
	}
	if waiting := r.summary.Pending + r.summary.Failed + r.summary.Rejected; waiting != len(missing) {
		t.Errorf("%d wait, want %d", waiting, len(missing))
	}
	source.ClearFaults()
	source.ResetStats()
	a.run().want(t, 0)
	a.checkFiles(nil)
	for ref := range source.Stats().Recordings {
		if _, was := missing[ref]; !was {
			t.Errorf("recording %s was fetched again", ref)
		}
	}
	checkOnce(t, source)
}

// TestAPIDiesWhilePaging: an API that closes every connection for a while costs
// time and nothing else.
func TestAPIDiesWhilePaging(t *testing.T) {
	t.Parallel()
	source := simulate(t, convosotest.Config{
		Seed: 51, FirstDay: daysAgo(7), Days: 2, CallsPerDay: 300, RecordedShare: 0.5, MedianSize: 4_000,
		Listing: convosotest.Listing{MaxLimit: 50}, APILatency: 20 * time.Millisecond,
	})
	a := onDisk(t, source, "--start-time", daysAgo(7), "--end-time", daysAgo(6))
	r := a.finish(a.command(t.Context()), func(*os.Process) {
		waitFor(t, func() bool { return len(source.Stats().Windows) > 4 })
		source.StopAPIFor(20 * time.Second)
	})
	r.want(t, 0)
	if r.summary.Seconds < 20 {
		t.Errorf("the run took %.0f s, less than the outage", r.summary.Seconds)
	}
	a.checkFiles(nil)
	checkOnce(t, source)
	if closed := a.checkReport(daysAgo(7), daysAgo(6)); closed != 2 {
		t.Errorf("%d days closed", closed)
	}
}

// TestTokenRevoked ends the run with the vendor's words; what was archived stays.
func TestTokenRevoked(t *testing.T) {
	t.Parallel()
	source := simulate(t, convosotest.Config{
		Seed: 52, FirstDay: daysAgo(7), Days: 3, CallsPerDay: 300, RecordedShare: 0.5, MedianSize: 4_000,
		Listing: convosotest.Listing{MaxLimit: 50}, TokenRequests: 9,
	})
	a := onDisk(t, source, "--start-time", daysAgo(7), "--end-time", daysAgo(5))
	r := a.run().want(t, 2)
	if !strings.Contains(r.stderr, "CONVOSO_AUTH_TOKEN") {
		t.Errorf("stderr: %s", tail(r.stderr))
	}
	if n := source.Stats().API.Requests; n > 9+4 { // up to three days are listed in parallel
		t.Errorf("%d requests with a token that is good for 9", n)
	}
	a.checkStored()
	a.checkReport(daysAgo(7), daysAgo(5))
	source.SetTokenValid(true)
	a.run().want(t, 0)
	a.checkFiles(nil)
	checkOnce(t, source)
	if closed := a.checkReport(daysAgo(7), daysAgo(5)); closed != 3 {
		t.Errorf("%d days closed", closed)
	}
}

// TestRateLimitStorm: both hosts refuse request after request without Retry-After, or with seconds
// or a date.
func TestRateLimitStorm(t *testing.T) {
	t.Parallel()
	for form, rule := range map[convosotest.RetryAfter]convosotest.APIRule{
		convosotest.RetrySeconds: {Fault: convosotest.APILimitWait, Skip: 1, Times: 3},
		convosotest.RetryDate:    {Fault: convosotest.APILimitDate, Skip: 1, Times: 3},
		convosotest.RetryNone:    {Fault: convosotest.APILimit, Skip: 1, Times: 1}, // each refusal costs 15 seconds or more
	} {
		t.Run(fmt.Sprintf("%q", form), func(t *testing.T) {
			t.Parallel()
			rate := convosotest.Rate{PerSecond: 20, Burst: 2, RetryAfter: form, Wait: time.Second}
			source := simulate(t, convosotest.Config{
				Seed: 53, FirstDay: daysAgo(7), CallsPerDay: 60, RecordedShare: 1, MedianSize: 4_000,
				Listing: convosotest.Listing{MaxLimit: 25}, APIRules: []convosotest.APIRule{rule}, MediaRate: rate,
			})
			a := onDisk(t, source, "--start-time", daysAgo(7), "--end-time", daysAgo(7)) // without a learned rate
			r := a.run().want(t, 0)
			if c := a.checkFiles(nil); len(c.closed) != 1 {
				t.Error("the day stays open")
			}
			stats := source.Stats()
			if stats.API.Refused != rule.Times || stats.Media.Refused == 0 {
				t.Errorf("%d refused by the API, %d by the media host: no storm", stats.API.Refused, stats.Media.Refused)
			}
			if r.summary.Refusals != int64(stats.API.Refused+stats.Media.Refused) {
				t.Errorf("the summary counts %d refusals of %d", r.summary.Refusals, stats.API.Refused+stats.Media.Refused)
			}
			t.Logf("media: %d requests, %d refused; API: %d requests, %d refused",
				stats.Media.Requests, stats.Media.Refused, stats.API.Requests, stats.API.Refused)
		})
	}
}

// TestDiskFull archives into a file system of 1 MiB: the run ends with exit code 1 and a clear
// message, and continues once there is space.
func TestDiskFull(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("mounts a tmpfs, which is Linux's")
	}
	if os.Geteuid() != 0 {
		t.Skip("GOOS linux, but mounting needs root")
	}
	source := simulate(t, convosotest.Config{Seed: 54, FirstDay: daysAgo(7), CallsPerDay: 100, RecordedShare: 1, MedianSize: 54_000})
	a := onDisk(t, source, "--start-time", daysAgo(7), "--end-time", daysAgo(7))
	if err := os.Mkdir(a.dest, 0o700); err != nil {
		t.Fatal(err)
	}
	mount := func(options string) {
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", a.dest).CombinedOutput(); err != nil {
			t.Fatalf("mount: %v: %s", err, out)
		}
	}
	mount("size=1m")
	t.Cleanup(func() { _ = exec.Command("umount", "-l", a.dest).Run() })
	r := a.run().want(t, 1)
	if !strings.Contains(r.stderr, "space") {
		t.Errorf("stderr: %s", tail(r.stderr))
	}
	c := a.read()
	a.checkSound(c)
	if len(c.closed) != 0 || len(c.archived) != r.summary.Archived {
		t.Errorf("%d noted of %d archived, %d days closed", len(c.archived), r.summary.Archived, len(c.closed))
	}
	mount("remount,size=64m")
	a.run().want(t, 0)
	if c := a.checkFiles(nil); len(c.closed) != 1 {
		t.Error("the day stays open once there is room")
	}
	// A read-only folder is reported before any request.
	mount("remount,ro")
	source.ResetStats()
	if r := a.run("--relist").want(t, 1); !strings.Contains(r.stderr, "--dest") && !strings.Contains(r.stderr, "read-only") {
		t.Errorf("stderr: %s", tail(r.stderr))
	}
	if n := source.Stats().Media.Requests; n != 0 {
		t.Errorf("%d media requests", n)
	}
	mount("remount,rw")
	a.run("--relist").want(t, 0)
	a.checkFiles(nil)
}

// TestClockSkew: with a clock two hours or a year off, no day is closed, and the run says so. Every recording
// is still archived, also those of days that the run begins after it has seen the API's Date.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	for name, skew := range map[string]time.Duration{
		"ahead": 2 * time.Hour, "behind": -2 * time.Hour, "a year ahead": 365 * day, "a year behind": -365 * day,
	} {
		t.Run(name, func(t *testing.T) {
			source := simulate(t, convosotest.Config{
				Seed: 55, FirstDay: daysAgo(12), Days: 6, CallsPerDay: 10, RecordedShare: 1, MedianSize: 4_000, ClockSkew: skew,
			})
			a := onDisk(t, source, "--start-time", daysAgo(12), "--end-time", daysAgo(7))
			r := a.run().want(t, 3)
			if c := a.checkFiles(nil); len(c.closed) != 0 {
				t.Error("a day was closed")
			}
			if len(r.summary.Warnings) == 0 || !strings.Contains(r.summary.Warnings[0], "clock") {
				t.Errorf("warnings %v", r.summary.Warnings)
			}
		})
	}
}

func TestWrongTimeZone(t *testing.T) {
	t.Parallel()
	source := simulate(t, convosotest.Config{Seed: 56, FirstDay: daysAgo(7), CallsPerDay: 30, RecordedShare: 1, MedianSize: 4_000})
	a := onDisk(t, source, "--start-time", daysAgo(7), "--end-time", daysAgo(7), "--time-zone", "America/New_York")
	r := a.run().want(t, 0)
	if len(r.summary.Warnings) != 1 || !strings.Contains(r.summary.Warnings[0], "--time-zone") {
		t.Errorf("warnings %v", r.summary.Warnings)
	}
}

// TestS3Trouble: faulty answers of a bucket's server.
func TestS3Trouble(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request, number int) bool // true: answered
		code   int
		says   string
	}{
		"slow down": {func(w http.ResponseWriter, r *http.Request, n int) bool {
			if r.Method == http.MethodPut && n%5 == 0 {
				s3Error(w, http.StatusServiceUnavailable, "SlowDown")
				return true
			}
			return false
		}, 0, ""},
		"connections break": {func(_ http.ResponseWriter, _ *http.Request, n int) bool {
			if n%7 == 0 {
				panic(http.ErrAbortHandler)
			}
			return false
		}, 0, ""},
		"access denied": {func(w http.ResponseWriter, r *http.Request, n int) bool {
			if r.Method == http.MethodPut && n > 20 {
				s3Error(w, http.StatusForbidden, "AccessDenied")
				return true
			}
			return false
		}, 1, "denied"},
	} {
		t.Run(name, func(t *testing.T) {
			source := simulate(t, convosotest.Config{Seed: 57, FirstDay: daysAgo(7), CallsPerDay: 60, RecordedShare: 1, MedianSize: 4_000})
			b := onS3(t, source, false, "--start-time", daysAgo(7), "--end-time", daysAgo(7))
			b.trouble(test.answer)
			r := b.run().want(t, test.code)
			if !strings.Contains(strings.ToLower(r.stderr), test.says) {
				t.Errorf("stderr: %s", tail(r.stderr))
			}
			b.trouble(nil)
			b.run().want(t, 0)
			b.check(nil)
			if test.code == 0 { // otherwise the recordings that could not be stored are downloaded again
				checkOnce(t, source)
			}
		})
	}
	t.Run("reply lost", func(t *testing.T) {
		source := simulate(t, convosotest.Config{Seed: 58, FirstDay: daysAgo(7), CallsPerDay: 60, RecordedShare: 1, MedianSize: 4_000})
		b := onS3(t, source, false, "--start-time", daysAgo(7), "--end-time", daysAgo(7))
		b.loseReplies(5)
		b.run().want(t, 0)
		c := b.check(nil)
		if len(c.closed) != 1 {
			t.Error("the day stays open")
		}
		checkOnce(t, source)
	})
}

// TestS3StopsReading: a server that takes half of a recording and then neither reads nor answers.
// The attempt times out, the next one stores it, and no partial object exists.
func TestS3StopsReading(t *testing.T) {
	t.Parallel()
	source := simulate(t, convosotest.Config{
		Seed: 62, FirstDay: daysAgo(7), CallsPerDay: 20, RecordedShare: 1, MedianSize: 4_000, BigRecordings: []int64{1_500_000},
	})
	b := onS3(t, source, false, "--start-time", daysAgo(7), "--end-time", daysAgo(7))
	released := make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	t.Cleanup(release) // otherwise the proxy would not close
	var stuck atomic.Int64
	b.trouble(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Method == http.MethodPut && r.ContentLength > 1<<20 && stuck.Add(1) == 1 {
			r.Body = &stuckBody{ReadCloser: r.Body, left: 200_000, released: released}
		}
		return false
	})
	r := b.run().want(t, 0)
	if stuck.Load() < 2 || r.summary.Seconds < 50 || r.summary.Seconds > 200 {
		t.Errorf("%d attempts, the run took %.0f s", stuck.Load(), r.summary.Seconds)
	}
	if c := b.check(nil); len(c.closed) != 1 {
		t.Error("the day stays open")
	}
	checkOnce(t, source)
	release() // now the server sees the end of the first attempt
	b.run("--relist").want(t, 0)
	b.check(nil)
	checkOnce(t, source)
}

// stuckBody returns some bytes and then blocks until it is released, which ends it.
type stuckBody struct {
	io.ReadCloser
	left     int
	released <-chan struct{}
}

func (b *stuckBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		<-b.released
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

func s3Error(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>canary in %s</Message><RequestId>1</RequestId></Error>", code, filepath.Base("message"))
}

// TestTwoRunsOnOneBucket: both finish, and together they store everything once.
func TestTwoRunsOnOneBucket(t *testing.T) {
	t.Parallel()
	source := simulate(t, convosotest.Config{
		Seed: 60, FirstDay: daysAgo(7), Days: 2, CallsPerDay: 60, RecordedShare: 1, MedianSize: 4_000, MediaLatency: 20 * time.Millisecond,
	})
	b := onS3(t, source, false, "--start-time", daysAgo(7), "--end-time", daysAgo(6))
	other := *b.archive
	other.state = filepath.Join(t.TempDir(), "other")
	b.run("--max-recordings", "1").want(t, 3) // so that the bucket is already checked
	first := b.finish(b.command(t.Context()), func(*os.Process) {
		second := other.run()
		if second.code != 0 && second.code != 3 { // 3: the other one wrote to a day in between
			t.Errorf("exit code %d: %s", second.code, tail(second.stderr))
		}
	})
	if first.code != 0 && first.code != 3 {
		t.Errorf("exit code %d: %s", first.code, tail(first.stderr))
	}
	b.run().want(t, 0)
	if c := b.check(nil); len(c.closed) != 2 {
		t.Errorf("%d days closed", len(c.closed))
	}
}
