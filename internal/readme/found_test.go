// The examples of find, export and report find something in the demo.
package readme

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

var foundPattern = regexp.MustCompile(`^convoso-archiver (find|export|report)\b`)

// emptyExamples returns the examples that find nothing in a demo, or that cannot run on it, each with the reason.
func emptyExamples() []exception {
	return []exception{
		{`--outcome lost,pending,failed,rejected`, "the demo stores every recording"},
		{`\.losses\[\]`, "the demo loses no recording"},
		{`--missing`, "the demo misses no recording"},
		{`--quiet`, "writes only the answer, which has no rows"},
		{`--views`, "writes SQL, which has no rows"},
		{`--start-time (…|\$first)`, "a placeholder; TestCompliance sets the variable"},
		{`convoso-demo --number 5550000343`, "TestEvidence finds it in the three days of its demo"},
	}
}

// TestExamplesFind runs each example of find, export and report, from the pages and from the help, on the archives that
// a reader of the pages has: those of both demos, and the seven days that the demo asks the reader to archive. Each
// example prints, copies or exports at least one row.
func TestExamplesFind(t *testing.T) {
	today := time.Now()
	s := newShellOf(t, convosotest.Config{
		Seed: 1, FirstDay: today.AddDate(0, 0, -28).Format(time.DateOnly), Days: 28, CallsPerDay: 120,
		RecordedShare: 0.25, SeveralShare: 0.1, MedianSize: 24_000, MaxSize: 200_000,
	})
	s.run(t, "convoso-archiver demo --dest demo-3 && convoso-archiver demo --dest demo-28 --days 28")
	s.run(t, "convoso-archiver archive --dest week --last 7d 2>archive.log || [ $? = 3 ] || cat archive.log >&2")
	used := map[string]bool{}
	commands := examplesOf(t, used)
	if len(commands) < 20 {
		t.Errorf("%d examples: %q", len(commands), commands)
	}
	for _, e := range emptyExamples() {
		if !used[e.command] {
			t.Errorf("no example matches the exception %s", e.command)
		}
	}
	day := func(ago int) string { return today.AddDate(0, 0, -ago).Format(time.DateOnly) }
	for _, archive := range []string{"demo-3", "demo-28", "week"} {
		s.run(t, `convoso-archiver hold add 2025-17 --dest `+archive+` --status SALE`)
		s.run(t, `convoso-archiver find --dest `+archive+` --with-recording --limit 1 --json | sed 's/^{"id":"\([0-9]*\)".*/\1/' > ids.csv`)
		here := strings.NewReplacer("/archive", archive, "s3://my-bucket/calls", archive, "convoso-demo", archive, "recordings", archive,
			"s3://my-tables/calls", "{}/bucket", "/tables", "{}/tables", "--to ", "--to {}/", "--copy-to ", "--copy-to {}/",
			"2025-05-01", day(28), "2025-05-31", day(1))
		for i, command := range commands {
			line := strings.ReplaceAll(here.Replace(command), "{}", filepath.Join("out", archive, fmt.Sprint(i)))
			if rows := s.rowsOf(t, line); rows == "" {
				t.Errorf("%s, run as %s: finds nothing", command, line)
			}
		}
	}
}

// examplesOf returns the commands of the pages and of the help, without what follows a pipe, and notes the exceptions.
func examplesOf(t *testing.T, used map[string]bool) []string {
	t.Helper()
	var found []string
	take := func(b block) {
		for _, command := range commandsIn(b) {
			if !foundPattern.MatchString(command) {
				continue
			}
			left := ""
			for _, e := range emptyExamples() {
				if regexp.MustCompile(e.command).MatchString(command) {
					left = e.command
				}
			}
			if used[left] = true; left == "" {
				command, _, _ = strings.Cut(command, " | ")
				command, _, _ = strings.Cut(command, " > ")
				found = append(found, command)
			}
		}
	}
	for _, page := range allPages(t) {
		if page == errorsPage {
			continue // TestErrors runs its commands
		}
		text, err := os.ReadFile(inRoot(page))
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks(string(text), "sh", "console") {
			take(b)
		}
	}
	for _, name := range commandsOf(help(t)) {
		_, examples, _ := strings.Cut(help(t, name), "\nEXAMPLES\n")
		examples, _, _ = strings.Cut(examples, "\n\n")
		take(block{text: regexp.MustCompile(`(?m)^ +`).ReplaceAllString(examples, "")})
	}
	return found
}

var (
	countedPattern  = regexp.MustCompile(`(?m)^[1-9][\d,]* calls?\b.*|"calls":[1-9].*`)
	exportedPattern = regexp.MustCompile(`(?m)^(?:exported|bag written): [1-9][\d,]* calls?\b.*`)
	reportedPattern = regexp.MustCompile(`(?m)^total +[1-9].*|^20\d\d-\d\d-\d\d,.*|"day": ?"20.*`)
)

// rowsOf runs a command and returns the part of its output that counts rows, "" if it found none.
func (s *shell) rowsOf(t *testing.T, line string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir, cmd.Env = s.dir, s.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	said := stderr.String() + "\n" + string(stdout)
	if err != nil && cmd.ProcessState.ExitCode() != 3 { // a report of open days
		t.Errorf("%s: %v\n%s", line, err, said)
	}
	patterns := map[string]*regexp.Regexp{"find": countedPattern, "export": exportedPattern, "report": reportedPattern}
	return patterns[foundPattern.FindStringSubmatch(line)[1]].FindString(said)
}
