package readme

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"convoso-archiver/internal/s3test"
)

var readingPattern = regexp.MustCompile(`(?m)^convoso-archiver ((?:find|export|report|verify|doctor)\b(?:.*\\\n)*[^|>#\n]*)`)

// TestReading runs each find, export, report, verify and doctor of all pages over archives in a folder and in a bucket.
// Exit code 3 is an answer too: the pages ask about days that these archives do not have.
func TestReading(t *testing.T) {
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
	for name, text := range map[string]string{"nightly.yaml": "dest: s3://my-bucket/calls\nlast: 7d\n", "ids.csv": "400100000001\n"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	here := strings.NewReplacer("\\\n", " ", "/archive", "archive", "convoso-demo", "archive", "/tables", "tables", configFolder, "./")
	ran := map[string]int{}
	for _, b := range blocks(readPage(t), "sh") {
		for _, found := range readingPattern.FindAllStringSubmatch(b.text, -1) {
			line := here.Replace(found[1])
			cmd := exec.CommandContext(t.Context(), "sh", "-c", "convoso-archiver "+line)
			cmd.Dir, cmd.Env = s.dir, s.env
			out, err := cmd.CombinedOutput()
			if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() != 3) {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
			ran[strings.Fields(line)[0]]++
		}
	}
	for command, least := range map[string]int{"find": 4, "export": 2, "report": 3, "verify": 3, "doctor": 2} {
		if ran[command] < least {
			t.Errorf("%d commands of %s, want %d", ran[command], command, least)
		}
	}
}
