package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"convoso-archiver/archiver"
	"convoso-archiver/fetcher/convosotest"
)

// runner runs the program in this process, with its own home.
type runner struct {
	t    *testing.T
	home string
	env  []string
}

func newRunner(t *testing.T, env ...string) *runner {
	home := t.TempDir()
	return &runner{t: t, home: home, env: append(env, "HOME="+home, "LOCALAPPDATA="+home)}
}

func (r *runner) run(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	r.t.Helper()
	var out, talk bytes.Buffer
	code = Run(ctx, args, Env{Stdout: &out, Stderr: &talk, Environ: r.env})
	return code, out.String(), talk.String()
}

// account starts a simulated account with settled days, and returns the arguments
// that archive it.
func account(t *testing.T, config convosotest.Config) (*convosotest.Server, []string) {
	t.Helper()
	server, err := convosotest.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server, []string{
		"archive", "--start-time", "2025-05-01", "--end-time", "2025-05-01", "--give-up", "60000d",
		"--api-url", server.APIURL(), "--allow-host", server.MediaURL(), "--api-rate", "0", "--media-rate", "0",
	}
}

func TestDemo(t *testing.T) {
	for _, faults := range []bool{false, true} {
		name := "without faults"
		if faults {
			name = "with faults"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join(t.TempDir(), "demo")
			// A user's real settings must not affect the demo.
			r := newRunner(t, EnvPrefix+"DEST=s3://real-bucket", EnvPrefix+"WORKERS=none", EnvPrefix+"CONFIG=nowhere.yaml")
			args := []string{"demo", "--dest", folder}
			if faults {
				args = append(args, "--faults")
			}
			code, stdout, stderr := r.run(t.Context(), args...)
			if code != 0 || stderr != "" {
				t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
			}
			stdout = strings.ReplaceAll(stdout, " \\\n    ", " ") // lines are broken where the path of the test's folder is long
			for _, part := range []string{
				"A simulated account with 3 days, 360 calls and 101 recordings",
				"== archive: ", "  convoso-archiver archive --dest " + folder, "3 closed in this run",
				"101 of 101 recordings on disk have the same SHA-256 as in the simulator",
				"== verify: ", "  convoso-archiver verify --dest " + folder + "\n\nintact: 101 recordings (4.6 MB) of 3 days, every byte read",
				"== report: ", "  convoso-archiver report --dest " + folder, "\ncomplete: 3 days from ",
				"== where things are",
			} {
				if !strings.Contains(stdout, part) {
					t.Errorf("the output lacks %q:\n%s", part, stdout)
				}
			}
			for _, part := range []string{"exit code    3        incomplete", "\nnot complete: 3 days from ", ", 9 waiting; last run "} {
				if faults != strings.Contains(stdout, part) {
					t.Errorf("%q with faults %v: %s", part, faults, stdout)
				}
			}
			days, err := filepath.Glob(filepath.Join(folder, "manifest", "*", "closed.json"))
			if err != nil || len(days) != 3 {
				t.Errorf("manifest of %v, %v", days, err)
			}
			if entries, err := os.ReadDir(r.home); err != nil || len(entries) > 0 {
				t.Errorf("the demo left %v at home, %v", entries, err)
			}
			// A second demo does not write into the existing folder.
			if code, _, stderr := r.run(t.Context(), "demo", "--dest", folder); code != ExitUsage || !strings.Contains(stderr, "is not empty") {
				t.Errorf("exit code %d, %s", code, stderr)
			}
		})
	}
}

// With --json the demo prints one object with the output of each command.
func TestDemoJSON(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "demo")
	code, stdout, stderr := newRunner(t).run(t.Context(), "demo", "--json", "--dest", folder)
	if code != ExitDone || stderr != "" {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	type step struct {
		Command   string
		Arguments []string
		ExitCode  int `json:"exit_code"`
		Result    struct {
			Archived *int // archive
			Checked  int  // verify
			Complete bool // report
		}
	}
	var got struct {
		ExitCode              *int `json:"exit_code"`
		Dest                  string
		Recordings, Identical int
		Steps                 []step
	}
	decoder := json.NewDecoder(strings.NewReader(stdout))
	if err := decoder.Decode(&got); err != nil || decoder.More() {
		t.Fatalf("%v in %s", err, stdout)
	}
	if got.ExitCode == nil || *got.ExitCode != 0 || got.Dest != folder || got.Recordings != 101 || got.Identical != 101 || len(got.Steps) != 3 {
		t.Fatalf("got %s", stdout)
	}
	archive, verify, report := got.Steps[0], got.Steps[1], got.Steps[2]
	if archive.Command != "archive" || archive.Result.Archived == nil || *archive.Result.Archived != 101 ||
		verify.Command != "verify" || verify.Result.Checked != 101 || report.Command != "report" || !report.Result.Complete {
		t.Errorf("got %s", stdout)
	}
	// The printed commands can be run, and they made the archive: with other ones archive would end
	// with 2, or call an API that no longer exists.
	for _, s := range got.Steps {
		code, stdout, stderr := newRunner(t, tokenVariable+"=some-token").run(t.Context(), append([]string{s.Command}, s.Arguments...)...)
		if code != 0 {
			t.Errorf("%s %q: exit code %d\n%s\n%s", s.Command, s.Arguments, code, stdout, stderr)
		}
	}
}

// The demo ends with the code of the first failed step, and continues after a step that found
// problems.
func TestDemoExitCode(t *testing.T) {
	d := &demo{}
	for _, code := range []int{ExitDone, ExitIncomplete, ExitDamaged, ExitDone} {
		d.keep(outcome{code: code})
	}
	if d.result.code != ExitIncomplete {
		t.Errorf("got %d", d.result.code)
	}
	for code, want := range map[int]bool{
		ExitDone: false, ExitIncomplete: false, ExitDamaged: false, ExitFailed: true, ExitUsage: true, ExitLocked: true,
		ExitInterrupted: true, ExitTerminated: true,
	} {
		if got := cannotGoOn(outcome{code: code}); got != want {
			t.Errorf("code %d: got %v", code, got)
		}
	}
}

func TestDemoFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, want := range []string{"convoso-demo", "convoso-demo-2", "convoso-demo-3"} {
		got, err := chooseDemoFolder("")
		if err != nil || got != want {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
		if err := os.Mkdir(got, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := chooseDemoFolder("convoso-demo"); err != nil || got != "convoso-demo" {
		t.Errorf("an empty folder: %q, %v", got, err)
	}
}

func TestDemoIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&SignalError{Signal: os.Interrupt})
	code, stdout, _ := newRunner(t).run(ctx, "demo", "--dest", filepath.Join(t.TempDir(), "demo"))
	if code != ExitInterrupted || strings.Contains(stdout, "== verify") || strings.Contains(stdout, "where things are") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

// The summary is one JSON object on stdout, also when a run cannot continue.
func TestArchiveJSON(t *testing.T) {
	server, args := account(t, convosotest.Config{Seed: 7, CallsPerDay: 40, RecordedShare: 0.5})
	r := newRunner(t, tokenVariable+"="+server.Token())
	dest := filepath.Join(t.TempDir(), "out")
	args = append(args, "--dest", dest, "--json")
	parse := func(stdout string) (s archiver.Summary) {
		t.Helper()
		decoder := json.NewDecoder(strings.NewReader(stdout))
		if err := decoder.Decode(&s); err != nil || decoder.More() {
			t.Fatalf("%v in %q", err, stdout)
		}
		return s
	}
	code, stdout, stderr := r.run(t.Context(), append(args, "--dry-run")...)
	if s := parse(stdout); code != 0 || !s.DryRun || s.ToFetch == 0 || s.APIRequests != 2 || s.MediaRequests != 0 {
		t.Errorf("dry run: exit code %d, %s, %s", code, stdout, stderr)
	}
	if _, err := os.Stat(dest); !os.IsNotExist(err) {
		t.Errorf("the dry run made the destination: %v", err)
	}
	if entries, err := os.ReadDir(r.home); err != nil || len(entries) > 0 {
		t.Errorf("the dry run left %v at home, %v", entries, err)
	}
	code, stdout, stderr = r.run(t.Context(), args...)
	s := parse(stdout)
	if code != 0 || s.Archived == 0 || s.DaysClosed != 1 || s.ExitCode != 0 || s.MediaRequests != int64(s.Archived) || s.Error != "" {
		t.Errorf("first run: exit code %d, %s, %s", code, stdout, stderr)
	}
	code, stdout, stderr = r.run(t.Context(), args...)
	if s := parse(stdout); code != 0 || s.DaysSkipped != 1 || s.APIRequests != 0 || s.MediaRequests != 0 {
		t.Errorf("second run: exit code %d, %s, %s", code, stdout, stderr)
	}
	code, stdout, stderr = r.run(t.Context(), append(args, "--quiet", "--json=false")...)
	if code != 0 || stdout != "" || stderr != "" {
		t.Errorf("quiet: exit code %d, %q, %q", code, stdout, stderr)
	}
	code, stdout, stderr = r.run(t.Context(), append(args, "--time-zone", "America/New_York")...)
	if s := parse(stdout); code != ExitUsage || s.ExitCode != ExitUsage || !strings.Contains(s.Error, "time zone") || !strings.Contains(lastLine(stderr), `"msg":"run ended","command":"archive","exit_code":2,"err":"the archive was made with`) {
		t.Errorf("another archive: exit code %d, %s, %s", code, stdout, stderr)
	}
	server.SetTokenValid(false)
	code, stdout, stderr = r.run(t.Context(), append(args, "--relist")...)
	if s := parse(stdout); code != ExitUsage || s.ExitCode != ExitUsage || !strings.Contains(s.Error, "check CONVOSO_AUTH_TOKEN") || !strings.Contains(lastLine(stderr), "the API refused the token") {
		t.Errorf("refused token: exit code %d, %s, %s", code, stdout, stderr)
	}
}

// TestLogIsJSON: with a JSON log, every line on stderr is JSON with a time and a level, and the
// last one of a run has its exit code and counts.
func TestLogIsJSON(t *testing.T) {
	server, args := account(t, convosotest.Config{Seed: 7, CallsPerDay: 40, RecordedShare: 0.5})
	r := newRunner(t, tokenVariable+"="+server.Token())
	args = slices.Clip(append(args, "--dest", filepath.Join(t.TempDir(), "out")))
	verify := slices.Clip([]string{"verify", "--dest", args[len(args)-1]})
	for _, c := range []struct {
		name, level, msg string
		code             int
		has              []string // fields of the last line
		args             []string
	}{
		{"a run", "INFO", "run ended", 0, []string{"archived", "lost", "days_closed", "bytes", "run"}, args},
		{"a verification", "INFO", "run ended", 0, []string{"checked", "damaged"}, verify},
		{"a cap", "WARN", "run ended", 3, []string{"archived"}, append(args, "--dest", filepath.Join(t.TempDir(), "other"), "--max-recordings", "1")},
		{"another archive", "ERROR", "run ended", 2, []string{"err"}, append(args, "--time-zone", "America/New_York")},
		{"a wrong value", "ERROR", "--workers: 0 is out of range: give a number from 1 to 256", 2, nil, append(args, "--workers", "0")},
		{"an unknown flag", "ERROR", "unknown flag --wrokers: did you mean --workers?", 2, nil, append(args, "--wrokers", "0")},
		{"a stray argument", "ERROR", `unexpected argument "more": quote values with spaces, like --start-time "2025-05-01 13:00:00"`, 2, nil, append(verify, "more")},
		{"a demo", "ERROR", "--dest is not empty: give a new or empty folder", 2, nil, append([]string{"demo"}, verify[1:]...)},
	} {
		code, _, stderr := r.run(t.Context(), c.args...)
		var last map[string]any
		for line := range strings.Lines(stderr) {
			last = nil
			if err := json.Unmarshal([]byte(line), &last); err != nil || last["time"] == nil || last["level"] == nil {
				t.Fatalf("%s: %v in %s", c.name, err, line)
			}
		}
		if code != c.code || last["exit_code"] != float64(c.code) || last["level"] != c.level || last["msg"] != c.msg || last["command"] != c.args[0] {
			t.Errorf("%s: exit code %d, last line %v", c.name, code, last)
		}
		for _, field := range c.has {
			if last[field] == nil {
				t.Errorf("%s: the last line lacks %s: %v", c.name, field, last)
			}
		}
	}
	// In text, the error comes last.
	code, _, stderr := r.run(t.Context(), append(args, "--log-format", "text", "--time-zone", "America/New_York")...)
	if code != 2 || !strings.Contains(stderr, "run ended") || !strings.HasPrefix(lastLine(stderr), "archive: the archive was made with") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	if code, _, stderr := r.run(t.Context(), append(args, "--log-format", "text", "--wrokers", "2")...); code != 2 || stderr != "archive: unknown flag --wrokers: did you mean --workers?\n" {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

// A run saves the rates that it learned.
func TestArchiveLearns(t *testing.T) {
	server, args := account(t, convosotest.Config{Seed: 7, CallsPerDay: 4, RecordedShare: 0.5})
	r := newRunner(t, tokenVariable+"="+server.Token())
	state := filepath.Join(t.TempDir(), "state")
	// 3 a second is the first rate, so the maximum is reached at once.
	args = append(args, "--dest", filepath.Join(t.TempDir(), "out"), "--state-dir", state, "--api-rate", "3", "--media-rate", "3")
	if code, stdout, stderr := r.run(t.Context(), args...); code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	data, err := os.ReadFile(filepath.Join(state, ratesFile))
	if err != nil || !bytes.Contains(data, []byte(`"api 127.0.0.1:`)) || !bytes.Contains(data, []byte(`"media 127.0.0.1:`)) {
		t.Errorf("got %s, %v", data, err)
	}
}

// holdMedia returns a hook that holds every request for a recording until release is closed. asked
// signals the first one.
func holdMedia() (hook func(convosotest.MediaRequest) convosotest.Fault, asked, release chan struct{}) {
	asked, release = make(chan struct{}, 1), make(chan struct{})
	return func(convosotest.MediaRequest) convosotest.Fault {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-release
		return convosotest.FaultNone
	}, asked, release
}

// A run that holds the archive blocks others, and a stopped one says so.
func TestArchiveIsLockedAndStopped(t *testing.T) {
	hold, asked, release := holdMedia()
	server, args := account(t, convosotest.Config{Seed: 7, CallsPerDay: 10, RecordedShare: 1, MediaHook: hold})
	r := newRunner(t, tokenVariable+"="+server.Token())
	args = append(args, "--dest", filepath.Join(t.TempDir(), "out"), "--json")
	ctx, cancel := context.WithCancelCause(t.Context())
	type result struct {
		code           int
		stdout, stderr string
	}
	first := make(chan result)
	go func() {
		code, stdout, stderr := r.run(ctx, args...)
		first <- result{code, stdout, stderr}
	}()
	<-asked
	code, stdout, stderr := r.run(t.Context(), args...)
	if code != ExitLocked || !strings.Contains(stdout, `"exit_code":5`) || !strings.Contains(stderr, "another run has locked this archive") {
		t.Errorf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	cancel(&SignalError{Signal: os.Interrupt})
	close(release)
	got := <-first
	if got.code != ExitInterrupted || !strings.Contains(got.stdout, `"exit_code":130`) || !strings.Contains(lastLine(got.stderr), `"note":"stopped by SIGINT`) {
		t.Errorf("exit code %d\n%s\n%s", got.code, got.stdout, got.stderr)
	}
}

func TestMaxDuration(t *testing.T) {
	server, args := account(t, convosotest.Config{Seed: 7, CallsPerDay: 10, RecordedShare: 1, MediaDown: convosotest.FaultHang})
	r := newRunner(t, tokenVariable+"="+server.Token())
	code, stdout, stderr := r.run(t.Context(), append(args, "--dest", filepath.Join(t.TempDir(), "out"), "--max-duration", "1s", "--grace", "0s")...)
	if code != ExitIncomplete || !strings.Contains(stdout, "stopped by --max-duration") || !strings.Contains(lastLine(stderr), `"note":"stopped by --max-duration`) {
		t.Errorf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
}

// The token and the secret of the links are in no output and no file, for any failure.
func TestNoSecrets(t *testing.T) {
	const token, linkSecret = "canary-token+5551234/secret", "canaryLINK5551234"
	server, args := account(t, convosotest.Config{
		Seed: 3, CallsPerDay: 40, RecordedShare: 0.5, Token: token, LinkSecret: linkSecret,
		MediaFaults: map[convosotest.Fault]int{
			convosotest.FaultEcho: 1, convosotest.FaultEchoOK: 1, convosotest.FaultRedirectBad: 1, convosotest.FaultRedirectElsewhere: 1,
		},
	})
	r := newRunner(t, tokenVariable+"="+token)
	dest := filepath.Join(t.TempDir(), "out")
	args = append(args, "--dest", dest, "--log-level", "debug")
	check := func(what string, wantCode int, args ...string) {
		t.Helper()
		code, stdout, stderr := r.run(t.Context(), args...)
		if code != wantCode {
			t.Errorf("%s: exit code %d\n%s\n%s", what, code, stdout, stderr)
		}
		for _, canary := range []string{token, "canary-token", linkSecret} {
			if strings.Contains(stdout+stderr, canary) {
				t.Errorf("%s: %q is in the output\n%s\n%s", what, canary, stdout, stderr)
			}
		}
	}
	check("a run with failures", ExitIncomplete, args...)
	check("an unknown command", ExitUsage, token)
	check("a stray argument", ExitUsage, append(args, token)...)
	check("the token as a number", ExitUsage, append(args, "--workers", token)...)
	check("the token as a date", ExitUsage, "archive", "--dest", dest, "--start-time", token)
	server.FailAPI(convosotest.APIEcho, 0)
	check("an answer that repeats the request", ExitFailed, append(args, "--relist", "--retry-for", "1s")...)
	server.ClearFaults()
	server.SetTokenValid(false)
	check("a refused token", ExitUsage, append(args, "--relist")...)
	err := filepath.WalkDir(dest, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte("canary-token")) || bytes.Contains(data, []byte(linkSecret)) {
			t.Errorf("a secret is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
