package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"convoso-archiver/archiver"
	"convoso-archiver/fetcher"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/internal/s3test"
	"convoso-archiver/manifest"
)

// binary is the program under test, built once, with the race detector if the tests use it.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		// For the tests' own client of the S3 server. Set once, because tests run in parallel.
		server, err := s3test.Named()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if server == nil {
			server = &s3test.Server{} // started by a test
		}
		for _, pair := range server.Env() {
			name, value, _ := strings.Cut(pair, "=")
			if err := os.Setenv(name, value); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		binary = filepath.Join(dir, "convoso-archiver")
		build := exec.Command("go", "build", fmt.Sprintf("-race=%t", raceDetector), "-o", binary, "convoso-archiver")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

const (
	canaryToken = "canary-token-7Hq2"
	canaryLink  = "canary+link/7Hq2"
	canary      = "canary"
)

// started is the common time of all tests, so that midnight never falls within a test. It is in the
// account's zone, so that yesterday is over there.
var started = func() time.Time {
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		panic(err)
	}
	return time.Now().In(zone)
}()

// daysAgo returns the date n days before today.
func daysAgo(n int) string { return started.AddDate(0, 0, -n).Format(time.DateOnly) }

// today returns the date now, which may be later than daysAgo(0).
func today() string { return time.Now().In(started.Location()).Format(time.DateOnly) }

// settled returns the last day that has settled at a time.
func settled(at time.Time, settle time.Duration) string {
	return string(fetcher.DateOf(fetcher.Wall(at.Add(-settle), started.Location())).AddDays(-1))
}

// usualSettle is the default of --settle.
const usualSettle = 48 * time.Hour

// simulate starts a simulator with a recognisable token and links.
func simulate(t *testing.T, config convosotest.Config) *convosotest.Server {
	t.Helper()
	config.Token, config.LinkSecret = canaryToken, canaryLink
	server, err := convosotest.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// archive is a destination and the settings of its runs.
type archive struct {
	t      *testing.T
	server *convosotest.Server
	dest   string // folder or s3:// address
	folder string // location of its files: dest, or the S3 server's folder; empty for a server of the environment
	bucket *bucket
	state  string
	flags  []string
	env    []string
}

// onDisk returns an archive in a new folder.
func onDisk(t *testing.T, server *convosotest.Server, flags ...string) *archive {
	t.Helper()
	dest := filepath.Join(t.TempDir(), "dest")
	return &archive{t: t, server: server, dest: dest, folder: dest, state: filepath.Join(t.TempDir(), "state"), flags: flags}
}

// result is one finished run.
type result struct {
	code    int
	stdout  string
	stderr  string
	summary archiver.Summary
}

// command returns a run, not started yet.
func (a *archive) command(ctx context.Context, args ...string) *exec.Cmd {
	args = append([]string{
		"archive", "--json", "--dest", a.dest, "--state-dir", a.state, "--log-level", "debug",
		"--api-url", a.server.APIURL(), "--allow-host", a.server.MediaURL(), "--api-rate", "0", "--media-rate", "0",
	}, append(slices.Clone(a.flags), args...)...)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + a.t.TempDir(), "CONVOSO_AUTH_TOKEN=" + a.server.Token(),
		"GORACE=halt_on_error=1 atexit_sleep_ms=0", // the race detector would sleep for a second at each exit
		"GOGC=400", // and makes garbage collection expensive
	}, a.env...)
	return cmd
}

// run runs the program to its end, and looks for secrets in everything that it left.
func (a *archive) run(args ...string) result {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 4*time.Minute)
	defer cancel()
	return a.finish(a.command(ctx, args...), nil)
}

// finish runs a command, calls during meanwhile, and reads its summary.
func (a *archive) finish(cmd *exec.Cmd, during func(*os.Process)) result {
	a.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	if during != nil {
		during(cmd.Process)
	}
	err := cmd.Wait()
	r := result{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		a.t.Fatalf("run: %v\n%s", err, r.stderr)
	}
	if strings.Contains(r.stderr, "DATA RACE") {
		a.t.Fatalf("data race:\n%s", r.stderr)
	}
	if r.stdout != "" {
		if err := json.Unmarshal([]byte(r.stdout), &r.summary); err != nil {
			a.t.Errorf("stdout is not one JSON object: %v\n%s", err, r.stdout)
		}
	}
	a.lookForSecrets(r)
	return r
}

// want fails unless the run ended with the exit code.
func (r result) want(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.stdout, tail(r.stderr))
	}
	return r
}

// tail returns the end of a log, without the lines about success.
func tail(s string) string {
	const most = 6000
	var b strings.Builder
	for line := range strings.Lines(s) {
		if !strings.Contains(line, `"level":"DEBUG"`) {
			b.WriteString(line)
		}
	}
	s = b.String()
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// lookForSecrets fails when the token or a part of a link is in the output, in any file except
// audio, or in a file name.
func (a *archive) lookForSecrets(r result) {
	a.t.Helper()
	for name, text := range map[string]string{"stdout": r.stdout, "stderr": r.stderr} {
		if i := strings.Index(text, canary); i >= 0 {
			a.t.Errorf("%s holds a secret: …%s…", name, text[max(0, i-200):min(len(text), i+60)])
		}
	}
	for _, dir := range []string{a.folder, a.state} {
		_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return nil
			}
			if info, err := entry.Info(); err == nil && info.Size() > 64<<20 {
				return nil
			}
			data, err := os.ReadFile(path)
			if err == nil && (bytes.Contains(data, []byte(canary)) || strings.Contains(entry.Name(), canary)) {
				a.t.Errorf("%s holds a secret", path)
			}
			return nil
		})
	}
}

// contents is the content of an archive.
type contents struct {
	archived map[string]manifest.Recording // every archived line, by key
	states   map[string]manifest.Recording // final state of each recording, by recording id and day
	closed   map[string]manifest.DayLine   // of days closed for every filter, otherwise for one
	windows  map[string][]manifest.Window  // by day
	days     []string
}

// read reads the manifest of an archive on disk like another program.
func (a *archive) read() contents {
	a.t.Helper()
	root, err := os.OpenRoot(a.dest)
	if err != nil {
		a.t.Fatal(err)
	}
	defer root.Close()
	ledger, err := manifest.OpenDir(root, manifest.Options{ReadOnly: true})
	if err != nil {
		a.t.Fatal(err)
	}
	defer ledger.Close(a.t.Context())
	return readLedger(a.t, ledger)
}

func readLedger(t *testing.T, ledger *manifest.Ledger) contents {
	t.Helper()
	c := contents{archived: map[string]manifest.Recording{}, states: map[string]manifest.Recording{}, closed: map[string]manifest.DayLine{}, windows: map[string][]manifest.Window{}}
	for name, err := range ledger.Days(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		c.days = append(c.days, name)
		d, err := ledger.Read(t.Context(), name, c.take(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		for id, s := range d.Recordings() {
			r := manifest.Recording{
				RecordingID: id, Outcome: s.Outcome, Final: s.Final, Key: s.Key, Size: s.Size, Time: s.Time, CallID: s.CallID,
				Attempts: s.Attempts, Reason: s.Reason, Cause: s.Cause, FirstSeen: s.FirstSeen, Host: s.Host,
			}
			if s.SHA256 != [32]byte{} {
				r.SHA256 = hex.EncodeToString(s.SHA256[:])
			}
			c.states[id+" "+name] = r
		}
		c.windows[name] = d.Windows()
		for _, line := range d.Lines() {
			if old, known := c.closed[name]; !known || old.Filter != "" {
				c.closed[name] = line
			}
		}
	}
	return c
}

// take notes the lines of archived recordings.
func (c *contents) take(t *testing.T) func(manifest.Line) error {
	return func(line manifest.Line) error {
		if line.Kind != "recording" {
			return nil
		}
		recording, err := line.Recording()
		if err != nil || recording.Outcome != manifest.Archived {
			return err
		}
		if other, taken := c.archived[recording.Key]; taken && other.RecordingID != recording.RecordingID {
			t.Errorf("recordings %s and %s have one key", other.RecordingID, recording.RecordingID)
		}
		c.archived[recording.Key] = recording
		return nil
	}
}

// outcome returns the last outcome noted for a recording.
func (c contents) outcome(id string) manifest.Recording {
	for key, r := range c.states {
		if strings.HasPrefix(key, id+" ") {
			return r
		}
	}
	return manifest.Recording{}
}

// checkFiles fails unless the files on disk are exactly those in the manifest, byte for byte those
// of the simulator, and complete.
func (a *archive) checkFiles(wanted func(convosotest.Recording) bool) contents {
	a.t.Helper()
	if parts, err := filepath.Glob(filepath.Join(a.folder, ".tmp", "*")); err != nil || len(parts) > 0 {
		a.t.Errorf("part files are left: %v, %v", parts, err)
	}
	c := a.read()
	truth := truthOf(a.t, a.server, wanted)
	files := a.files()
	for key, line := range c.archived {
		sum, ok := files[key]
		if !ok {
			a.t.Errorf("recording %s is noted and not stored", line.RecordingID)
			continue
		}
		delete(files, key)
		if sum != line.SHA256 {
			a.t.Errorf("recording %s: the file's hash differs from the line's", line.RecordingID)
		}
		if _, known := truth[sum]; !known {
			a.t.Errorf("recording %s: no such body at the source", line.RecordingID)
		}
		delete(truth, sum)
	}
	for name := range files {
		a.t.Errorf("file %q is not in the manifest", name)
	}
	for _, r := range truth {
		a.t.Errorf("recording %s of %s (%s) is missing", r.Ref, r.Day, r.Kind)
	}
	return c
}

// checkSound fails unless every noted recording is stored, and every file is a complete recording.
// Files without a line are allowed: a killed run, or a full disk, may have stored a recording
// without its line. The next run adopts them.
func (a *archive) checkSound(c contents) {
	a.t.Helper()
	files, truth := a.files(), truthOf(a.t, a.server, nil)
	for key, line := range c.archived {
		if files[key] != line.SHA256 {
			a.t.Errorf("recording %s is noted, and another file or none is stored", line.RecordingID)
		}
	}
	for name, sum := range files {
		if _, whole := truth[sum]; !whole {
			a.t.Errorf("file %q is no recording of the source", name)
		}
	}
}

// truthOf returns the wanted recordings by the hash of the source's bytes.
func truthOf(t *testing.T, server *convosotest.Server, wanted func(convosotest.Recording) bool) map[string]convosotest.Recording {
	t.Helper()
	truth := map[string]convosotest.Recording{}
	for r := range server.Recordings() {
		if wanted != nil && !wanted(r) {
			continue
		}
		sum := r.SHA256()
		if r.Fault == convosotest.FaultBadWAV {
			hash := sha256.New()
			if _, err := io.Copy(hash, r.BadWAV()); err != nil {
				t.Fatal(err)
			}
			sum = hex.EncodeToString(hash.Sum(nil))
		}
		truth[sum] = r
	}
	return truth
}

// files returns the hash of every file that is not the archive's own.
func (a *archive) files() map[string]string {
	a.t.Helper()
	files := map[string]string{}
	if a.folder == "" {
		for _, name := range a.bucket.names("") {
			if first, _, _ := strings.Cut(name, "/"); !slices.Contains([]string{"manifest", "calls", "quarantine"}, first) {
				sum := sha256.Sum256(a.bucket.content(name))
				files[name] = hex.EncodeToString(sum[:])
			}
		}
		return files
	}
	err := filepath.WalkDir(a.folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(a.folder, path)
		name = filepath.ToSlash(name)
		if entry.IsDir() {
			if slices.Contains([]string{"manifest", "calls", "quarantine", ".tmp"}, name) {
				return filepath.SkipDir
			}
			return nil
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		hash := sha256.New()
		if _, err := io.Copy(hash, file); err != nil {
			return err
		}
		files[name] = hex.EncodeToString(hash.Sum(nil))
		return nil
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return files
}

// checkOnce fails if a recording was requested more than once.
func checkOnce(t *testing.T, server *convosotest.Server) {
	t.Helper()
	for ref, s := range server.Stats().Recordings {
		if s.Requests > 1 {
			t.Errorf("recording %s was asked for %d times", ref, s.Requests)
		}
	}
}

var timestamps = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// age moves every time in the manifest's lines back, as if the runs were older. Sizes stay; the
// hashes in day lines do not match until their days are closed again.
func (a *archive) age(by time.Duration) {
	a.t.Helper()
	aged := 0
	err := filepath.WalkDir(filepath.Join(a.folder, "manifest"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		aged++
		return os.WriteFile(path, timestamps.ReplaceAllFunc(data, func(stamp []byte) []byte {
			at, err := time.Parse(time.RFC3339, string(stamp))
			if err != nil {
				a.t.Error(err)
				return stamp
			}
			return []byte(at.Add(-by).UTC().Format(time.RFC3339))
		}), 0o600)
	})
	if err != nil || aged == 0 {
		a.t.Fatalf("%d files aged: %v", aged, err)
	}
}
