package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDemoKeepsTheAccount: while a demo serves, the command that it prints archives the last days of its account, and
// a second run finds everything there. Without --serve the demo prints no address that no longer answers.
func TestDemoKeepsTheAccount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := func(token string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Dir, cmd.Env = dir, []string{"HOME=" + filepath.Join(dir, "home"), "LOCALAPPDATA=" + dir, "CONVOSO_AUTH_TOKEN=" + token}
		return cmd
	}
	demo := program("", "demo", "--serve", "--days", "9")
	var complaint strings.Builder
	demo.Stderr = &complaint
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().In(started.Location())
	yesterday := now.AddDate(0, 0, -1).Format(time.DateOnly)
	open := daysBetween(settled(now, usualSettle), yesterday)
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "http://") {
		said.WriteString(lines.Text() + "\n")
	}
	for _, part := range []string{"A simulated account with 9 days, 1,080 calls", "complete so far: 9 days", fmt.Sprintf(" to %s: %d closed, %d not settled yet", yesterday, 9-open, open)} {
		if !strings.Contains(said.String(), part) {
			t.Errorf("the output lacks %q:\n%s", part, said.String())
		}
	}
	_, line, _ := strings.Cut(said.String(), "CONVOSO_AUTH_TOKEN=simulator-token convoso-archiver ")
	line, _, _ = strings.Cut(strings.ReplaceAll(line, "\\\n", ""), "\n")
	if !strings.Contains(line, " --last 9d ") || !strings.Contains(said.String(), " at the default --media-rate; the demo had no limits\n") {
		t.Errorf("the output names neither all days nor the rate:\n%s", said.String())
	}
	args := append(strings.Fields(line), "--api-rate", "0", "--media-rate", "0")
	if args[0] != "archive" {
		t.Fatalf("no command in:\n%s", said.String())
	}
	for run, want := range []string{" archived\n", "0 for recordings\n"} {
		text, err := program("simulator-token", args...).Output()
		if err != nil || !strings.Contains(string(text), want) || !strings.Contains(string(text), "exit code    0") {
			t.Errorf("run %d of %q: %v\n%s", run, args, err, text)
		}
	}
	if err := demo.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if lines.Scan() {
		t.Errorf("the address of the page is not the last line, but %q", lines.Text())
	}
	_ = demo.Wait() // the exit code is checked
	if complaint.Len() > 0 {
		t.Errorf("stderr of a stopped demo: %s", complaint.String())
	}
	if code := demo.ProcessState.ExitCode(); code != 130 {
		t.Errorf("it ended with %d", code)
	}

	text, err := program("", "demo", "--dest", "short", "--days", "1").Output()
	if err != nil || strings.Contains(string(text), "simulator-token") || !strings.Contains(string(text), "A simulated account with 1 day, 120 calls") {
		t.Errorf("%v\n%s", err, text)
	}
	for _, days := range []string{"0", "61", "-1", "week"} {
		cmd := program("", "demo", "--dest", "none", "--days", days)
		if text, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(text), "--days") {
			t.Errorf("--days %s: %v, %s", days, err, text)
		}
	}
}
