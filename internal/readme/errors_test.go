package readme

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/internal/s3test"
)

// errorsPage shows the program's messages for errors.
const errorsPage = "docs/errors.md"

// minSituations is the minimum number of situations on the page.
const minSituations = 40

// situation is one section of the page.
type situation struct {
	name    string // its heading
	command string
	want    string // below the command
	code    int
}

var exitCodePattern = regexp.MustCompile(`(?m)^Exit code (\d+)\b`)

// situationsOf parses the page.
func situationsOf(t *testing.T, text string) []situation {
	t.Helper()
	var found []situation
	for _, section := range strings.Split(text, "\n### ")[1:] {
		name, rest, _ := strings.Cut(section, "\n")
		shown, code := blocks(rest, "console"), exitCodePattern.FindStringSubmatch(rest)
		if len(shown) != 1 || code == nil {
			t.Fatalf("%s: %d blocks, exit code %q: a section has one block, and a line that begins with its exit code", name, len(shown), code)
		}
		s := situation{name: name}
		s.command, s.want = splitStep(strings.TrimPrefix(shown[0].text, "$ "))
		s.code, _ = strconv.Atoi(code[1])
		found = append(found, s)
	}
	return found
}

// world is the environment of one situation.
type world struct {
	*shell
	t     *testing.T
	store *s3test.Server
	whole string   // folder with an intact archive
	under []string // a program that starts the shell, with its arguments; nil for none
}

// TestErrors reproduces each situation of the page, and compares the program's message and its exit code.
func TestErrors(t *testing.T) {
	shared, store := newShell(t), s3test.Start(t, false)
	if err := os.Mkdir(filepath.Join(store.Dir, "my-bucket"), 0o700); err != nil {
		t.Fatal(err)
	}
	shared.run(t, "convoso-archiver archive --dest archive --start-time 2025-05-01 --end-time 2025-05-01 --workers 1 --quiet")
	page, err := os.ReadFile(inRoot(errorsPage))
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	prepare, seen := situations(), map[string]bool{}
	for _, s := range situationsOf(t, text) {
		seen[s.name] = true
		if prepare[s.name] == nil {
			t.Errorf("no test brings about %q", s.name)
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			w := &world{
				shell: &shell{dir: t.TempDir(), env: append([]string(nil), shared.env...)}, t: t, store: store, whole: filepath.Join(shared.dir, "archive"),
			}
			w.set(append(store.Env(), "AWS_ENDPOINT_URL_S3="+store.Endpoint, "CONVOSO_ARCHIVER_LOG_FORMAT=text", "CONVOSO_ARCHIVER_RETRY_FOR=0s", "HOME="+w.dir)...)
			prepare[s.name](w)
			got, code := w.say(s.command)
			if code != s.code {
				t.Errorf("exit code %d, want %d", code, s.code)
			}
			switch {
			case alike(maskError(s.want), maskError(got)):
			case *update:
				text = strings.Replace(text, "$ "+lineOf(text, s)+"\n"+s.want+"```", "$ "+lineOf(text, s)+"\n"+got+"```", 1)
			default:
				t.Errorf("$ %s\ngot:\n%s\nwant:\n%s", s.command, maskError(got), maskError(s.want))
			}
		})
	}
	for name := range prepare {
		if !seen[name] {
			t.Errorf("the page does not show %q", name)
		}
	}
	if len(seen) < minSituations {
		t.Errorf("%d situations, want %d", len(seen), minSituations)
	}
	if text != string(page) {
		if err := os.WriteFile(inRoot(errorsPage), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// lineOf returns the command on the page, which may continue after a backslash.
func lineOf(text string, s situation) string {
	_, section, _ := strings.Cut(text, "\n### "+s.name+"\n")
	_, section, _ = strings.Cut(section, "```console\n$ ")
	section, _, _ = strings.Cut(section, "```")
	return strings.TrimSuffix(strings.TrimSuffix(section, s.want), "\n")
}

// say runs a command, and returns the visible text: the errors, otherwise the result.
func (w *world) say(command string) (said string, code int) {
	w.t.Helper()
	args := append(append([]string(nil), w.under...), "sh", "-c", command)
	cmd := exec.CommandContext(w.t.Context(), args[0], args[1:]...)
	cmd.Dir, cmd.Env = w.dir, w.env
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			w.t.Fatal(err)
		}
	}
	if said = logLine.ReplaceAllString(stderr.String(), ""); said == "" {
		said = stdout.String()
	}
	return strings.ReplaceAll(said, w.dir, "/home/ann"), cmd.ProcessState.ExitCode()
}

var logLine = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d (ERR|WRN|INF) .*\n`)

// maskError replaces what differs from run to run.
func maskError(text string) string {
	for _, m := range []struct{ pattern, mask string }{
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, "TIME"},
		{`\b20\d\d-\d\d-\d\d( \d\d:\d\d(:\d\d)?)?\b`, "DATE"},
		{`process \d+`, "process N"},
		{`request id [A-Z0-9]+`, "request id ID"},
		{`\d{8}T\d{6}Z-[0-9a-f]{8}`, "RUN"},
		{`\barchive [a-z2-7]{26}\b`, "archive ID"},
		{`(127\.0\.0\.1|localhost):\d+`, "127.0.0.1:PORT"},
		{`(?m)^(time +)\S+( \d+s)?$`, "${1}DURATION"},
	} {
		text = regexp.MustCompile(m.pattern).ReplaceAllString(text, m.mask)
	}
	return text
}

// set sets variables of the environment; an empty value removes one.
func (w *world) set(pairs ...string) { w.env = append(w.env, pairs...) }

// write writes a file of the world's folder.
func (w *world) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// archive creates an intact archive in the folder "archive".
func (w *world) archive() {
	w.t.Helper()
	if err := os.CopyFS(filepath.Join(w.dir, "archive"), os.DirFS(w.whole)); err != nil {
		w.t.Fatal(err)
	}
}

// sh prepares the world with a shell command.
func (w *world) sh(command string) {
	w.t.Helper()
	w.run(w.t, "{ "+command+"; } >&2")
}

// vendor puts another simulated account behind the address of the API.
func (w *world) vendor(config convosotest.Config) *convosotest.Server {
	w.t.Helper()
	config.Seed, config.MedianSize, config.MaxSize = 3, 4_000, 20_000
	server, err := convosotest.New(config)
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = server.Close() })
	w.set("CONVOSO_AUTH_TOKEN="+server.Token(), "CONVOSO_ARCHIVER_API_URL="+server.APIURL(), "CONVOSO_ARCHIVER_ALLOW_HOST="+server.MediaURL())
	return server
}

// bind makes file permissions apply to the program, even if root runs the test.
func (w *world) bind() {
	if os.Geteuid() == 0 {
		w.under = []string{"setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"}
	}
}

// mount starts the program where a folder is a file system of 1 MiB, which disappears with it.
func (w *world) mount(folder string) {
	w.t.Helper()
	if runtime.GOOS != "linux" {
		w.t.Skip("mounts a tmpfs, which is Linux's")
	}
	w.sh("mkdir -p " + folder)
	w.under = []string{"unshare", "-rm", "--", "sh", "-c", `mount -t tmpfs -o size=1m tmpfs ` + folder + ` && exec "$@"`, "sh"}
	try := exec.CommandContext(w.t.Context(), w.under[0], append(append([]string(nil), w.under[1:]...), "true")...)
	try.Dir = w.dir
	if out, err := try.CombinedOutput(); err != nil && os.Geteuid() == 0 {
		w.t.Fatalf("%v: %s", err, out)
	} else if err != nil {
		w.t.Skipf("GOOS linux, but this user may not mount: %v: %s", err, out)
	}
}
