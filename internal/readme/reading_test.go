package readme

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"convoso-archiver/internal/s3test"
)

var readingPattern = regexp.MustCompile(`^convoso-archiver (find|export|report|verify|doctor|seal|audit)\b`)

// TestReading runs each command that reads an archive, and those that sign it, over archives in a folder and in a
// bucket, including pipes. Exit code 3 is accepted, because the pages mention days that these archives do not have.
// TestEvidence runs those of evidencePages.
func TestReading(t *testing.T) {
	need(t, "jq", "jq")
	s := newShell(t)
	store := s3test.Start(t, false)
	for _, bucket := range []string{"my-bucket", "my-tables"} {
		if err := os.Mkdir(filepath.Join(store.Dir, bucket), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.env = append(append(s.env, store.Env()...), "AWS_ENDPOINT_URL_S3="+store.Endpoint)
	for _, dest := range []string{"archive", "s3://my-bucket/calls"} {
		s.run(t, "convoso-archiver archive --dest "+dest+" --start-time 2025-05-01 --end-time 2025-05-01 2>/dev/null")
	}
	s.run(t, makeKey)
	for name, text := range map[string]string{"nightly.yaml": "dest: s3://my-bucket/calls\nlast: 7d\n", "ids.csv": "400100000001\n"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	here := strings.NewReplacer("--dest recordings", "--dest archive", "/archive", "archive", "/tables", "tables", configFolder, "./", "--last 7d --", "--start-time 2025-05-01 --end-time 2025-05-01 --")
	ran := map[string]int{}
	for _, page := range pages() {
		if slices.Contains(evidencePages(), page) {
			continue
		}
		text, err := os.ReadFile(inRoot(page))
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks(string(text), "sh") {
			for _, command := range commandsIn(b) {
				found := readingPattern.FindStringSubmatch(command)
				if found == nil {
					continue
				}
				line := here.Replace(command)
				cmd := exec.CommandContext(t.Context(), "bash", "-o", "pipefail", "-c", line)
				cmd.Dir, cmd.Env = s.dir, s.env
				out, err := cmd.CombinedOutput()
				if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() != 3) {
					t.Errorf("%s: %s: %v\n%s", page, line, err, out)
				}
				if strings.Contains(line, " | ") && len(out) == 0 {
					t.Errorf("%s: %s: prints nothing", page, line)
				}
				ran[found[1]]++
			}
		}
	}
	for command, least := range map[string]int{"find": 4, "export": 2, "report": 3, "verify": 3, "doctor": 2, "seal": 1, "audit": 1} {
		if ran[command] < least {
			t.Errorf("%d commands of %s, want %d", ran[command], command, least)
		}
	}
}

// TestJQ runs the jq commands of the pages in an archive's folder, unchanged from the pages.
func TestJQ(t *testing.T) {
	need(t, "jq", "jq")
	s := newShell(t)
	s.run(t, "convoso-archiver archive --dest archive --start-time 2025-05-01 --end-time 2025-05-01 2>/dev/null")
	s.dir = filepath.Join(s.dir, "archive")
	said := ""
	for _, page := range []string{"docs/report.md", "docs/manifest.md"} {
		text, err := os.ReadFile(inRoot(page))
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks(string(text), "sh") {
			if jqPattern.MatchString(b.text) {
				said += s.run(t, "set -e\n"+b.text)
			}
		}
	}
	root := regexp.MustCompile(`\b[0-9a-f]{64}\b`).FindAllString(said, -1)
	if len(root) != 2 || root[0] != root[1] {
		t.Errorf("the roots are %q, want one twice:\n%s", root, said)
	}
	for _, want := range []string{`["2025-05-01","",{"archived":`, "\n2025-05-01\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("the commands do not say %q:\n%s", want, said)
		}
	}
}

// TestListedOnly runs the command for recordings that only rows name after a run that was stopped: what is archived and
// what it lists are the recordings of the listed calls. After a complete run it lists nothing.
func TestListedOnly(t *testing.T) {
	need(t, "jq", "jq")
	command := "cd archive\n" + lastBlock(t, "docs/report.md", func(text string) bool { return strings.HasPrefix(text, "jq -rn 'foreach ") })
	s := newShell(t)
	const archive = "convoso-archiver archive --dest archive --start-time 2025-05-01 --end-time 2025-05-03"
	s.run(t, archive+" --max-recordings 2 >/dev/null 2>&1; test $? = 3")
	listed := strings.Fields(s.run(t, command))
	want := strings.Fields(s.run(t, `convoso-archiver find --dest archive --json --quiet | jq -r '.day as $d | .id as $c | [.recordings[].recording_id] as $known
  | .recording[].recording_id | tostring | select(. as $r | $known | index($r) | not) | [$d, $c, .] | @csv' | sort`))
	if len(listed) == 0 || !slices.Equal(listed, want) {
		t.Errorf("%q\nwant %q", listed, want)
	}
	s.run(t, archive+" >/dev/null 2>&1")
	if listed := s.run(t, command); listed != "" {
		t.Errorf("all is archived: %q", listed)
	}
}

var jqPattern = regexp.MustCompile(`(^|\n)(jq|cat|cd manifest/\S+ && jq) `)
