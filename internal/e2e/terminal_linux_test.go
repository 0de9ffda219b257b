package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"convoso-archiver/fetcher/convosotest"
)

// openTerminal returns the two ends of a pseudo-terminal with a width: the screen's end, and the program's end.
func openTerminal(t *testing.T, columns uint16) (screen, program *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return screen, program
}

// onTerminal runs a command with stderr on a terminal, and returns the lines drawn there, without their control
// sequences.
func onTerminal(t *testing.T, cmd *exec.Cmd, columns uint16) []string {
	t.Helper()
	screen, program := openTerminal(t, columns)
	cmd.Env = append(cmd.Env, "TERM=xterm", "NO_COLOR=1")
	cmd.Stderr = program
	var drawn bytes.Buffer
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(&drawn, screen) }) // ends with an error when the program closes its end
	if out, err := cmd.Output(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if err := program.Close(); err != nil {
		t.Error(err)
	}
	reading.Wait()
	plain := regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]").ReplaceAllString(drawn.String(), "\n")
	return strings.FieldsFunc(plain, func(r rune) bool { return r == '\n' || r == '\r' })
}

// TestProgressOnTerminals: the ETA comes first and complete on every terminal, no line is longer than the terminal
// is wide, and the bar covers the whole span and never falls.
func TestProgressOnTerminals(t *testing.T) {
	t.Parallel()
	for _, columns := range []int{40, 60, 80, 200} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			t.Parallel()
			server := simulate(t, convosotest.Config{Seed: 81, FirstDay: daysAgo(12), Days: 4, CallsPerDay: 30, RecordedShare: 1, MedianSize: 4_000})
			a := onDisk(t, server, "--start-time", daysAgo(12), "--end-time", daysAgo(9), "--media-rate", "8", "--log-level", "warn")
			lines := onTerminal(t, a.command(t.Context()), uint16(columns))

			heads, withETA, estimated, bars, share := 0, 0, 0, 0, 0.0
			for _, line := range lines {
				if n := len([]rune(line)); n > columns {
					t.Errorf("a line of %d columns: %q", n, line)
				}
				if !strings.Contains(line, " of ") {
					continue
				}
				heads++
				if !regexp.MustCompile(`^ETA (\?|\d+s|\d\.\ds|\d+m \d+s)  \d`).MatchString(line) {
					t.Errorf("the ETA does not come first and whole: %q", line)
				}
				if regexp.MustCompile(`^ETA \d`).MatchString(line) {
					withETA++
				}
				if strings.Contains(line, " of ~") {
					estimated++
				}
				if begin := strings.IndexByte(line, '['); begin >= 0 {
					bars++
					cells := float64(len(strings.TrimSpace(line[begin:])) - len("[]"))
					shown := float64(strings.Count(line[begin:], "=")) / cells
					if shown < share-1/cells {
						t.Errorf("the bar falls: %q", line)
					}
					share = max(share, shown)
				}
			}
			if heads < 10 || withETA == 0 || estimated == 0 {
				t.Errorf("%d lines, %d with an ETA, %d estimated: %q", heads, withETA, estimated, lines)
			}
			if columns >= 60 && (bars < heads/2 || share < 0.5) {
				t.Errorf("%d bars in %d lines, up to %.2f", bars, heads, share)
			}
		})
	}
}
