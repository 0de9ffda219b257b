package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// brokenWriter accepts a number of bytes and then fails permanently.
type brokenWriter struct{ room int }

func (w *brokenWriter) Write(b []byte) (int, error) {
	if len(b) > w.room {
		return w.room, &os.PathError{Op: "write", Path: "/dev/stdout", Err: errors.New("nobody listens")}
	}
	w.room -= len(b)
	return len(b), nil
}

// A result that cannot be written to stdout is reported on stderr, and the exit code is not 0.
func TestUnwrittenResult(t *testing.T) {
	server, archive := account(t, convosotest.Config{
		Seed: 7, CallsPerDay: 40, RecordedShare: 0.2, MediaFaults: map[convosotest.Fault]int{convosotest.FaultHTML: 1},
	})
	r := newRunner(t, tokenVariable+"="+server.Token())
	dest := filepath.Join(t.TempDir(), "out")
	archive = slices.Clip(append(archive, "--dest", dest))
	of := func(command ...string) []string { return append(command, "--dest", dest) }
	for _, c := range []struct {
		name string
		args []string
		code int
	}{
		{"an incomplete run", append(archive, "--json"), ExitIncomplete},
		{"an incomplete run, as text", append(archive, "--relist"), ExitIncomplete},
		{"a run that is all well", append(archive, "--dry-run"), ExitFailed},
		{"a wrong flag in JSON", []string{"archive", "--json", "--foo"}, ExitUsage},
		{"verify", of("verify"), ExitFailed},
		{"verify in JSON", of("verify", "--json"), ExitFailed},
		{"report", of("report"), ExitFailed},
		{"report as CSV", of("report", "--csv"), ExitFailed},
		{"report in JSON", of("report", "--json"), ExitFailed},
		{"report, strictly", of("report", "--strict"), ExitIncomplete},
		{"demo", []string{"demo", "--dest", filepath.Join(t.TempDir(), "demo")}, ExitFailed},
		{"demo in JSON", []string{"demo", "--json", "--dest", filepath.Join(t.TempDir(), "demo")}, ExitFailed},
		{"the program's help", []string{"--help"}, ExitFailed},
		{"a command's help", []string{"archive", "--help"}, ExitFailed},
		{"help", []string{"help", "archive"}, ExitFailed},
		{"the program's version", []string{"--version"}, ExitFailed},
		{"version", []string{"version"}, ExitFailed},
		{"completion", []string{"completion", "bash"}, ExitFailed},
		{"flags to complete", []string{"archive", "--de", completionFlag}, ExitFailed},
	} {
		var stderr bytes.Buffer
		code := Run(t.Context(), c.args, Env{Stdout: &brokenWriter{room: 5}, Stderr: &stderr, Environ: r.env})
		told := strings.Count(stderr.String(), "write the result to stdout: nobody listens: the exit code is ")
		if code != c.code || told != 1 || strings.Contains(stderr.String(), "/dev/stdout") {
			t.Errorf("%s: exit code %d, want %d: %s", c.name, code, c.code, stderr.String())
		}
	}
}

// A run survives the readers of its results and of its log; only lost results are an error.
func TestReaderGoesAway(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	dest := filepath.Join(t.TempDir(), "demo")
	code := Run(t.Context(), []string{"demo", "--dest", dest}, Env{Stdout: writer, Stderr: writer, Environ: newRunner(t).env})
	if code != ExitFailed {
		t.Errorf("exit code %d", code)
	}
	if closed, err := filepath.Glob(filepath.Join(dest, "manifest", "*", "closed.json")); err != nil || len(closed) != demoDays {
		t.Errorf("manifest of %v, %v", closed, err)
	}
}

// awaitedWriter signals when a text has been written.
type awaitedWriter struct {
	io.Writer
	text string
	seen chan struct{}
}

func (w *awaitedWriter) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	if w.text != "" && strings.Contains(string(b), w.text) {
		w.text = ""
		close(w.seen)
	}
	return n, err
}

// A signal is confirmed at once, not when the run has stopped: by a line of text, or by a log line
// with a JSON log.
func TestStopIsAnnounced(t *testing.T) {
	const text = "SIGINT, stopping cleanly: downloads in progress have up to 5s (--grace); press Ctrl-C again to stop at once"
	for format, line := range map[string]string{
		"text": "archive: " + text + "\n",
		"json": `"level":"WARN","msg":"stopping","note":"` + text + `"}` + "\n",
		"auto": `"level":"WARN","msg":"stopping","note":"` + text + `"}` + "\n", // stderr is no terminal here
	} {
		t.Run(format, func(t *testing.T) { testStopIsAnnounced(t, format, line) })
	}
}

func testStopIsAnnounced(t *testing.T, format, line string) {
	hold, asked, release := holdMedia()
	server, args := account(t, convosotest.Config{Seed: 7, CallsPerDay: 10, RecordedShare: 1, MediaHook: hold})
	r := newRunner(t, tokenVariable+"="+server.Token())
	ctx, cancel := context.WithCancelCause(t.Context())
	var stdout, stderr bytes.Buffer
	talk := &awaitedWriter{&stderr, line, make(chan struct{})}
	ended := make(chan int)
	go func() {
		ended <- Run(ctx, append(args, "--dest", filepath.Join(t.TempDir(), "out"), "--grace", "5s", "--quiet", "--log-format", format),
			Env{Stdout: &stdout, Stderr: talk, Environ: r.env})
	}()
	<-asked
	cancel(&SignalError{Signal: os.Interrupt})
	select {
	case <-talk.seen:
	case code := <-ended:
		close(release)
		t.Fatalf("it ended with %d first: %s", code, stderr.String())
	}
	close(release)
	if code := <-ended; code != ExitInterrupted {
		t.Errorf("exit code %d\n%s\n%s", code, stdout.String(), stderr.String())
	}
	// Downloads in flight finished; the remaining ones are reported.
	if !strings.Contains(stdout.String(), "the run ended before it finished this day; waiting recordings: ") {
		t.Errorf("the summary: %s", stdout.String())
	}
}

func TestStopText(t *testing.T) {
	terminated := &SignalError{Signal: syscall.SIGTERM}
	for _, c := range []struct {
		cause error
		job   archiveJob
		want  string
	}{
		{context.Canceled, archiveJob{}, ""},
		{terminated, withGrace("folder", 20*time.Second), "SIGTERM, stopping cleanly: downloads in progress have up to 20s (--grace); a second signal stops at once"},
		{terminated, withGrace("folder", 0), "SIGTERM, stopping cleanly: downloads in progress are dropped (--grace 0s); a second signal stops at once"},
		{errMaxDuration, withGrace("", 3*time.Hour), "--max-duration is over, stopping cleanly: downloads in progress have up to 3h (--grace), then the manifest has up to 30s to reach the store; Ctrl-C stops at once"},
	} {
		if got := stopText(c.cause, c.job.endingText()); got != c.want {
			t.Errorf("%v: got %q, want %q", c.cause, got, c.want)
		}
	}
}

func withGrace(folder string, grace time.Duration) archiveJob {
	j := archiveJob{folder: folder}
	j.config.Grace = grace
	return j
}

// A command that only reads also stops on a signal, and says so.
func TestReadingIsStopped(t *testing.T) {
	r := newRunner(t)
	dest := filepath.Join(t.TempDir(), "demo")
	if code, stdout, stderr := r.run(t.Context(), "demo", "--dest", dest); code != ExitDone {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	for signal, want := range map[os.Signal]int{os.Interrupt: ExitInterrupted, syscall.SIGTERM: ExitTerminated} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(&SignalError{Signal: signal})
		for _, command := range []string{"verify", "report"} {
			for _, more := range [][]string{nil, {"--json"}} {
				code, stdout, stderr := r.run(ctx, append([]string{command, "--dest", dest}, more...)...)
				if code != want || !strings.Contains(lastLine(stderr), "stopped by SIG") {
					t.Errorf("%s %v after %v: exit code %d\n%s\n%s", command, more, signal, code, stdout, stderr)
				}
				if strings.Contains(stdout, "complete: ") || strings.Contains(stdout, "intact: ") {
					t.Errorf("%s after %v: %s", command, signal, stdout)
				}
			}
		}
	}
}
