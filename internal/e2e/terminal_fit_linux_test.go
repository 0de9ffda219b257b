package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// seenOnTerminal runs the program with stdout and stderr on a terminal, and returns its output.
func seenOnTerminal(t *testing.T, columns uint16, env []string, args ...string) string {
	t.Helper()
	screen, program := openTerminal(t, columns)
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append([]string{"TERM=xterm", "HOME=" + t.TempDir()}, env...)
	cmd.Stdout, cmd.Stderr = program, program
	var drawn bytes.Buffer
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(&drawn, screen) }) // ends with an error when the program closes its end
	_ = cmd.Run()                                         // the text shows a failure
	if err := program.Close(); err != nil {
		t.Error(err)
	}
	reading.Wait()
	return strings.ReplaceAll(drawn.String(), "\r", "")
}

// intoPipe runs the program with stdout on a pipe.
func intoPipe(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = []string{"TERM=xterm", "HOME=" + t.TempDir()}
	out, _ := cmd.Output() // the text shows a failure
	return string(out)
}

// shownCommands are the commands of the program.
func shownCommands(t *testing.T) []string {
	t.Helper()
	names := strings.Fields(intoPipe(t, "--generate-bash-completion"))
	if len(names) < 15 {
		t.Fatalf("commands %q", names)
	}
	return names
}

var columnsTried = []int{60, 80, 100, 160}

// wordsOf returns the words of a text without the characters added by line breaks.
func wordsOf(text string) []string {
	return slices.DeleteFunc(strings.Fields(text), func(word string) bool { return word == "\\" || word == "#" || word == "·" })
}

// TestHelpFits: the help of every command fits into terminals of all widths, and always has the same words. A quoted
// argument of an example is not broken.
func TestHelpFits(t *testing.T) {
	t.Parallel()
	for _, name := range append(shownCommands(t), "") {
		args := append(strings.Fields(name), "--help")
		piped := intoPipe(t, args...)
		if widest(piped) > 80 {
			t.Errorf("%s: %d columns in a pipe", name, widest(piped))
		}
		for _, columns := range columnsTried {
			text := seenOnTerminal(t, uint16(columns), nil, args...)
			for line := range strings.SplitSeq(text, "\n") {
				if n := len([]rune(line)); n > columns && !strings.Contains(line, "--path-template '") {
					t.Errorf("%s: %d columns of %d: %q", name, n, columns, line)
				}
			}
			if got, want := wordsOf(text), wordsOf(piped); !slices.Equal(got, want) {
				t.Errorf("%s: other words at %d columns", name, columns)
			}
			if columns == 160 && widest(text) <= 100 && len(piped) > 2000 {
				t.Errorf("%s: %d columns of 160 are used", name, widest(text))
			}
			if strings.Contains(text, "\x1b") {
				t.Errorf("%s: control sequences", name)
			}
		}
	}
}

func widest(text string) (most int) {
	for line := range strings.SplitSeq(text, "\n") {
		most = max(most, len([]rune(line)))
	}
	return most
}

// TestTablesFit: the output of commands fits into terminals, and no word is lost or broken.
func TestTablesFit(t *testing.T) {
	t.Parallel()
	archive, home := filepath.Join(t.TempDir(), "demo"), t.TempDir()
	told := intoPipe(t, "demo", "--dest", archive)
	recording := regexp.MustCompile(`"recording_id":"([^"]+)"`).FindStringSubmatch(intoPipe(t, "find", "--dest", archive, "--json", "--with-recording", "--limit", "1"))
	if !strings.Contains(told, "complete: 3 days") || recording == nil {
		t.Fatalf("no archive: %s", told)
	}
	for name, args := range map[string][]string{
		"report":             {"report", "--dest", archive},
		"report of a filter": {"report", "--dest", archive, "--campaign-id", "5051"},
		"report of years":    {"report", "--dest", archive, "--last", "200d"},
		"find":               {"find", "--dest", archive, "--with-recording"},
		"find nothing":       {"find", "--dest", archive, "--campaign-id", "Sales2"},
		"verify":             {"verify", "--dest", archive},
		"audit":              {"audit", "--dest", archive, recording[1]},
		"doctor":             {"doctor", "--dest", archive, "--workers", "0", "--api-url", "http://127.0.0.1:1"},
		"mistakes":           {"archive", "--workers", "0", "--order", "newest", "--page-size", "501"},
	} {
		plain := []string{"NO_COLOR=1", "TERM=dumb", "HOME=" + home} // without bars
		wide := seenOnTerminal(t, 1000, plain, args...)
		for _, columns := range columnsTried {
			text := seenOnTerminal(t, uint16(columns), plain, args...)
			for line := range strings.SplitSeq(text, "\n") {
				if n := len([]rune(line)); n > columns && strings.Contains(strings.TrimSpace(line), " ") && !strings.Contains(line, "INF ") {
					t.Errorf("%s: %d columns of %d: %q", name, n, columns, line)
				}
			}
			there := map[string]bool{}
			for _, word := range wordsOf(text) {
				there[strings.Trim(word, ",;")] = true
			}
			for _, word := range wordsOf(wide) {
				word = strings.Trim(word, ",;")
				changes := regexp.MustCompile(`^(in|time|why|America/.*|\d\d:\d\d(:\d\d)?|[\d.]+s?|open|waiting|lost|given|up)$`).MatchString(word)
				if !changes && !there[word] {
					t.Errorf("%s: %q is not whole at %d columns:\n%s", name, word, columns, text)
					break
				}
			}
		}
	}
}

// TestColours: colours appear only on a terminal, only where they mean something, and not with NO_COLOR.
func TestColours(t *testing.T) {
	t.Parallel()
	archive := filepath.Join(t.TempDir(), "nothing")
	args := []string{"doctor", "--dest", archive, "--workers", "0", "--api-url", "http://127.0.0.1:1", "--log-format", "text"}
	const red, yellow = "\x1b[31mfailed\x1b[0m", "\x1b[33mwarning\x1b[0m"
	if text := seenOnTerminal(t, 80, nil, args...); !strings.Contains(text, red) || !strings.Contains(text, yellow) || strings.Contains(text, "mok") {
		t.Errorf("on a terminal: %q", text)
	}
	for _, env := range []string{"NO_COLOR=1", "TERM=dumb"} {
		if text := seenOnTerminal(t, 80, []string{env}, args...); strings.Contains(text, "\x1b") {
			t.Errorf("%s: %q", env, text)
		}
	}
	if text := intoPipe(t, args...); strings.Contains(text, "\x1b") || !strings.Contains(text, "failed ") {
		t.Errorf("into a pipe: %q", text)
	}
	demo := filepath.Join(t.TempDir(), "demo")
	intoPipe(t, "demo", "--dest", demo)
	for env, want := range map[string]bool{"A=b": true, "NO_COLOR=1": false} {
		text := seenOnTerminal(t, 80, []string{env}, "verify", "--dest", demo)
		if got := regexp.MustCompile(`\x1b\[[0-9;]*m`).MatchString(text); got != want || !strings.Contains(text, "intact: ") {
			t.Errorf("the log with %s: %q", env, text)
		}
	}
}

// TestClosedPipes: a closed pipe silently ends commands that only print.
func TestClosedPipes(t *testing.T) {
	t.Parallel()
	for _, name := range shownCommands(t) {
		for _, reader := range []string{"head -3", "true"} {
			cmd := exec.CommandContext(t.Context(), "bash", "-c", fmt.Sprintf("%q %s --help | %s > /dev/null; exit ${PIPESTATUS[0]}", binary, name, reader))
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != 0 && code != 141 || len(out) > 0 {
				t.Errorf("%s --help | %s: exit code %d, %s", name, reader, code, out)
			}
		}
	}
}
