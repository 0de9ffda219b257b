package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// TestRefusedInput: each mistake is reported in one clear line before any recording is requested.
func TestRefusedInput(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 1, FirstDay: daysAgo(5), CallsPerDay: 20, RecordedShare: 1})
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("wrokers: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	notAFolder := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notAFolder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	span := []string{"--start-time", daysAgo(5), "--end-time", daysAgo(5)}
	for name, test := range map[string]struct {
		args []string
		env  []string
		code int
		says string
	}{
		"misspelt key":          {append(span, "--config", config), nil, 2, "workers"},
		"impossible month":      {[]string{"--start-time", "2025-13-01"}, nil, 2, "2025-13-01"},
		"no span":               {nil, nil, 2, "--start-time"},
		"two spans":             {append(span, "--last", "3d"), nil, 2, "--last"},
		"start after end":       {[]string{"--start-time", daysAgo(5), "--end-time", daysAgo(6)}, nil, 2, "--end-time"},
		"destination is a file": {append(span, "--dest", notAFolder), nil, -12, "--dest"},
		"short bucket":          {append(span, "--dest", "s3://b2/calls"), nil, 2, "at least three characters"},
		"no token":              {span, []string{"CONVOSO_AUTH_TOKEN="}, 2, "CONVOSO_AUTH_TOKEN"},
		"wrong token":           {span, []string{"CONVOSO_AUTH_TOKEN=wrong"}, 2, "CONVOSO_AUTH_TOKEN"},
		"unknown zone":          {append(span, "--time-zone", "Mars/Olympus"), nil, 2, "Mars/Olympus"},
		"broken template":       {append(span, "--path-template", "{{.filename"), nil, 2, "--path-template"},
		"unknown field":         {append(span, "--path-template", "{{.filenam}}"), nil, 2, "filenam"},
		"stray argument":        {append(span, "extra"), nil, 2, "argument"},
		"plain http API":        {append(span, "--api-url", "http://api.example.org/v1"), nil, 2, "https"},
		"unknown flag":          {append(span, "--wrokers", "3"), nil, 2, "wrokers"},
		"unknown campaign":      {append(span, "--campaign-id", "424242"), nil, 2, "campaign"},
	} {
		t.Run(name, func(t *testing.T) {
			a := onDisk(t, server)
			a.env = test.env
			server.ResetStats()
			begun := time.Now()
			r := a.run(test.args...)
			if test.code == -12 && r.code != 1 && r.code != 2 || test.code >= 0 && r.code != test.code {
				t.Errorf("exit code %d, want %d: %s", r.code, test.code, tail(r.stderr))
			}
			if !strings.Contains(r.stderr, test.says) {
				t.Errorf("stderr does not mention %q: %s", test.says, tail(r.stderr))
			}
			if n := server.Stats().Media.Requests; n != 0 {
				t.Errorf("%d media requests", n)
			}
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
			if lines := strings.Count(errorLines(r.stderr), "\n"); lines != 1 {
				t.Errorf("%d lines of errors: %s", lines, tail(r.stderr))
			}
		})
	}
}

// errorLines returns the log lines with errors, and the lines that are not a log.
func errorLines(stderr string) string {
	var b strings.Builder
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "{") || strings.Contains(line, `"level":"ERROR"`) {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestOtherAccount(t *testing.T) {
	t.Parallel()
	config := convosotest.Config{Seed: 1, FirstDay: daysAgo(5), CallsPerDay: 20, RecordedShare: 1, MedianSize: 4_000}
	first := simulate(t, config)
	a := onDisk(t, first, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
	a.run().want(t, 0)
	r := a.run("--time-zone", "America/New_York").want(t, 2)
	if !strings.Contains(r.stderr, "America/Los_Angeles") {
		t.Errorf("stderr: %s", r.stderr)
	}
	if r := a.run("--api-url", "http://127.0.0.1:1/v1").want(t, 2); !strings.Contains(r.stderr, "127.0.0.1:1") {
		t.Errorf("stderr: %s", r.stderr)
	}
	// The same API with another account's token.
	name := filepath.Join(a.dest, "manifest", "archive.json")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(data), `"100200"`, `"900900"`, 1)
	if changed == string(data) {
		t.Fatalf("archive.json names no account: %s", data)
	}
	if err := os.WriteFile(name, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	first.ResetStats()
	if r := a.run("--relist").want(t, 2); !strings.Contains(r.stderr, "900900") {
		t.Errorf("stderr: %s", r.stderr)
	}
	if n := first.Stats().Media.Requests; n != 0 {
		t.Errorf("%d media requests", n)
	}
}

func TestTwoRunsOnOneFolder(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 1, FirstDay: daysAgo(5), CallsPerDay: 30, RecordedShare: 1, MedianSize: 4_000})
	a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5), "--workers", "2")
	held, release := holdMedia(t, server)
	r := a.finish(a.command(t.Context()), func(*os.Process) {
		defer release()
		waitFor(t, held)
		a.run().want(t, 5)
	})
	r.want(t, 0)
	a.checkFiles(nil)
	checkOnce(t, server)
}

// holdMedia makes one recording wait until release, and with it the run that asks for it. held tells whether it waits.
func holdMedia(t *testing.T, server *convosotest.Server) (held func() bool, release func()) {
	t.Helper()
	const third = 3 // so that something is stored before
	var asked atomic.Int64
	over := make(chan struct{})
	server.SetMediaHook(func(convosotest.MediaRequest) convosotest.Fault {
		if asked.Add(1) == third {
			<-over
		}
		return convosotest.FaultNone
	})
	release = sync.OnceFunc(func() { close(over) })
	t.Cleanup(release)
	return func() bool { return asked.Load() >= third }, release
}

// waitFor polls until the condition holds.
func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("waited for a minute in vain")
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// TestFirstRunWithoutAnswer gives the first run an address where nothing answers: this does not bind the archive, and
// the next run, with another address and zone, succeeds.
func TestFirstRunWithoutAnswer(t *testing.T) {
	t.Parallel()
	server := threeDays(t, 108)
	for name, a := range map[string]*archive{"disk": onDisk(t, server), "s3": onS3(t, server, false).archive} {
		span := []string{"--start-time", daysAgo(10), "--end-time", daysAgo(8)}
		a.run(append(span, "--api-url", "http://127.0.0.1:1/v1", "--time-zone", "America/New_York", "--retry-for", "1s")...).want(t, 1)
		vendor := []string{"--allow-host", server.MediaURL(), "--state-dir", a.state, "--api-url", server.APIURL()}
		a.env = append(a.env, "CONVOSO_AUTH_TOKEN="+server.Token())
		if r := a.other(0, "doctor", append(vendor, span...)...); !strings.Contains(r.stdout, "there is an archive without any day") {
			t.Errorf("%s: doctor: %s", name, r.stdout)
		}
		if r := a.run(span...).want(t, 0); r.summary.Archived != 60 {
			t.Errorf("%s: %s", name, r.stdout)
		}
		if r := a.run(append(span, "--api-url", "http://127.0.0.1:1/v1")...).want(t, 2); !strings.Contains(r.stderr, "the archive was made with the API address") {
			t.Errorf("%s: %s", name, r.stderr)
		}
	}
}

// TestRefusedTokenOfAFile: the refusal names the source of the token.
func TestRefusedTokenOfAFile(t *testing.T) {
	t.Parallel()
	server := threeDays(t, 109)
	a := onDisk(t, server, "--start-time", daysAgo(10), "--end-time", daysAgo(10))
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("no-such-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := a.run("--auth-token-file", file).want(t, 2); !strings.Contains(r.stderr, "check "+file+" and that the token may search call logs") || strings.Contains(r.summary.Error, "CONVOSO_AUTH_TOKEN") {
		t.Errorf("of a file: %s", r.stderr)
	}
	server.SetTokenValid(false)
	if r := a.run().want(t, 2); !strings.Contains(r.stderr, "check CONVOSO_AUTH_TOKEN and") {
		t.Errorf("of the variable: %s", r.stderr)
	}
	cmd := a.command(t.Context())
	cmd.Args = slices.DeleteFunc(cmd.Args, func(arg string) bool { return arg == "--json" })
	if out, _ := cmd.Output(); !strings.HasPrefix(string(out), "nothing was listed or stored\n") || strings.Contains(string(out), "open days") {
		t.Errorf("for a person: %s", out)
	}
}

// TestDryRunOfManyPages counts days of many small pages and few recordings: the pages determine the estimated
// time.
func TestDryRunOfManyPages(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 110, FirstDay: daysAgo(10), Days: 3, CallsPerDay: 20, RecordedShare: 0.2, MedianSize: 4_000})
	a := onDisk(t, server, "--start-time", daysAgo(10), "--end-time", daysAgo(8), "--dry-run", "--page-size", "1")
	e := a.run("--api-rate", "20").want(t, 0).summary.Estimate
	if e.APIRequests < 60 || e.HoursListing != float64(e.APIRequests)/20/3600 || e.HoursAt10 != e.HoursListing || float64(e.MediaRequests)/10/3600 >= e.HoursAt10 {
		t.Errorf("%+v", e)
	}
}
