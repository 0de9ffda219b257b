package readme

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"convoso-archiver/fetcher/convosotest"
)

// flagsPage has the tables of flags and of exit codes.
const flagsPage = "docs/flags.md"

// pages returns the pages with commands for users, in reading order. evidencePages have a test of their own, and so
// has docs/compliance.md.
func pages() []string {
	return []string{
		"README.md", "docs/quick-start.md", "docs/nightly.md", "docs/backfill.md", "docs/campaign.md", "docs/find.md", "docs/export.md", fieldsPage, "docs/report.md", "docs/serve.md",
		flagsPage, "docs/archive.md", "docs/s3.md", "docs/troubleshooting.md", "docs/evidence.md", retentionPage, "docs/erase.md", "docs/rebuild.md", "docs/deploy.md", "docs/operate.md", "docs/many-machines.md",
	}
}

// retentionPage has the commands for locks and retention.
const retentionPage = "docs/retention.md"

// evidencePages returns the pages whose commands TestEvidence runs, in this order over one archive.
func evidencePages() []string {
	return []string{"docs/evidence.md", "docs/erase.md", "docs/rebuild.md"}
}

func inRoot(name string) string { return filepath.Join("..", "..", filepath.FromSlash(name)) }

// folder is the folder with the program under test.
var folder string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if folder, err = os.MkdirTemp("", "readme-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(folder)
		build := exec.Command("go", "build", "-o", folder+string(filepath.Separator), "convoso-archiver")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// readPage returns all pages, one after another.
func readPage(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, name := range pages() {
		text, err := os.ReadFile(inRoot(name))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
		all.WriteString("\n")
	}
	return all.String()
}

// block is one fenced block of the page.
type block struct {
	language, text string
	line           int // of the fence
}

// lastBlock returns the last shell block of a page whose text fits, and fails without one.
func lastBlock(t *testing.T, page string, fits func(text string) bool) string {
	t.Helper()
	text, err := os.ReadFile(inRoot(page))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range slices.Backward(blocks(string(text), "sh")) {
		if fits(b.text) {
			return b.text
		}
	}
	t.Fatalf("%s: no block fits", page)
	return ""
}

// blocks returns the fenced blocks in one of the languages.
func blocks(text string, languages ...string) []block {
	var found []block
	var current *block
	for i, line := range strings.Split(text, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && current == nil:
			current = &block{language: fence, line: i + 1}
		case isFence:
			for _, language := range languages {
				if current.language == language {
					found = append(found, *current)
				}
			}
			current = nil
		case current != nil:
			current.text += line + "\n"
		}
	}
	return found
}

// shell runs commands of the pages in its own folder, with the program in PATH and a simulated
// account behind the address of the API.
type shell struct {
	dir     string
	env     []string
	account *convosotest.Server
}

func newShell(t *testing.T) *shell {
	t.Helper()
	// The account of the transcripts; it has the size of the demo's.
	return newShellOf(t, convosotest.Config{
		Seed: 1, FirstDay: "2025-05-01", Days: 3, CallsPerDay: 120,
		RecordedShare: 0.25, SeveralShare: 0.1, MedianSize: 24_000, MaxSize: 200_000,
	})
}

// newShellOf returns a shell with another account.
func newShellOf(t *testing.T, config convosotest.Config) *shell {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the commands are for a POSIX shell")
	}
	server, err := convosotest.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return &shell{dir: t.TempDir(), account: server, env: []string{
		"PATH=" + folder + string(filepath.ListSeparator) + os.Getenv("PATH"),
		"HOME=" + t.TempDir(), "LC_ALL=C",
		"CONVOSO_AUTH_TOKEN=" + server.Token(),
		"CONVOSO_ARCHIVER_API_URL=" + server.APIURL(), "CONVOSO_ARCHIVER_ALLOW_HOST=" + server.MediaURL(),
		"CONVOSO_ARCHIVER_API_RATE=0", "CONVOSO_ARCHIVER_MEDIA_RATE=0",
	}}
}

// run returns a command's stdout, and fails the test if the command fails.
func (s *shell) run(t *testing.T, command string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir, cmd.Env = s.dir, s.env
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s: %v\n%s%s", command, err, out, complaint.String())
	}
	return string(out)
}

// mask replaces values that differ between runs, on the page and in the output: the days of the
// demo, ports, durations, and identifiers in reports.
func mask(text string) string {
	for _, m := range []struct{ pattern, mask string }{
		{`\b20\d\d-\d\d-\d\d\b`, "DATE"},
		{`127\.0\.0\.1:\d+`, "127.0.0.1:PORT"},
		{`(?m)^(time +)\S+( \d+s)?$`, "${1}DURATION"},
		{`\barchive [a-z2-7]{26}\b`, "archive ID"},
		{`(as of|last run) DATE \d\d:\d\d UTC`, "$1 DATE TIME UTC"},
	} {
		text = regexp.MustCompile(m.pattern).ReplaceAllString(text, m.mask)
	}
	return text
}

// TestTranscripts runs each console block of the page from top to bottom. A line of
// three dots stands for any lines.
func TestTranscripts(t *testing.T) {
	s := newShell(t)
	if err := os.Symlink(folder, filepath.Join(s.dir, "bin")); err != nil { // as in the clone of the README
		t.Fatal(err)
	}
	found := blocks(readPage(t), "console")
	if len(found) < 2 {
		t.Fatalf("%d transcripts", len(found))
	}
	for _, b := range found {
		for step := range strings.SplitSeq(strings.TrimPrefix(b.text, "$ "), "\n$ ") {
			command, want := splitStep(step)
			if strings.HasPrefix(command, "export CONVOSO_AUTH_TOKEN=") {
				continue // the test sets its own
			}
			got := mask(s.run(t, command))
			if !alike(mask(want), got) {
				t.Errorf("block at line %d of all pages\n$ %s\ngot:\n%s\nwant:\n%s", b.line, command, got, mask(want))
			}
		}
	}
}

// splitStep returns the command of a transcript, which continues after a line with a trailing
// backslash, and the output below it.
func splitStep(step string) (command, want string) {
	want = strings.TrimSuffix(step, "\n") + "\n"
	for {
		line, rest, _ := strings.Cut(want, "\n")
		command, want = command+line, rest
		if !strings.HasSuffix(line, `\`) {
			return command, want
		}
		command = strings.TrimSuffix(command, `\`)
	}
}

// alike compares an output with the expected text, in which a line of three dots means any lines.
func alike(want, got string) bool {
	pattern := regexp.QuoteMeta(want)
	pattern = strings.ReplaceAll("\n"+pattern, "\n"+regexp.QuoteMeta("...")+"\n", "\n(?s:.*)")
	return regexp.MustCompile(`^` + strings.TrimPrefix(pattern, "\n") + `$`).MatchString(got)
}

func TestAlike(t *testing.T) {
	for _, c := range []struct {
		want, got string
		alike     bool
	}{
		{"a\n", "a\n", true},
		{"a\n", "b\n", false},
		{"a\n", "a\nb\n", false},
		{"a\n...\n", "a\nb\nc\n", true},
		{"a\n...\n", "b\nc\n", false},
		{"...\nc\n", "a\nb\nc\n", true},
		{"a\n...\nc\n", "a\nc\n", true},
		{"a...\n", "abc\n", false},
	} {
		if alike(c.want, c.got) != c.alike {
			t.Errorf("want %q, got %q: alike is %v", c.want, c.got, !c.alike)
		}
	}
}

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		"time         0.1s":                   "time         DURATION",
		"time         1m 12s":                 "time         DURATION",
		"time         2.0s   stopped":         "time         2.0s   stopped",
		"http://127.0.0.1:42291/v1":           "http://127.0.0.1:PORT/v1",
		"--start-time 2026-11-17 --end-time":  "--start-time DATE --end-time",
		"recordings   101      101 archived":  "recordings   101      101 archived",
		"manifest/2025-05-01.jsonl":           "manifest/DATE.jsonl",
		"20260501_1_2_3-in-1746110361.mp3":    "20260501_1_2_3-in-1746110361.mp3",
		"requests     104      3 to the API,": "requests     104      3 to the API,",
	} {
		if got := mask(in); got != want {
			t.Errorf("mask(%q) = %q, want %q", in, got, want)
		}
	}
}
