// Ends a command: writes the error, and detects when the result could not be written.

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// results is stdout. It stores the first write error, for writers that cannot return one, like the
// library that prints the help. One goroutine writes at a time.
type results struct {
	base  io.Writer
	width int // width for text, 0 for no limit
	err   error
}

// Write writes nothing after an error, because output after a gap would mislead.
func (r *results) Write(b []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.base.Write(b)
	if err != nil {
		r.err = err
	}
	return n, err
}

// openLog makes the logger of a command from its settings. The final message on stderr uses it too.
func (p *process) openLog(talk output) { p.talk, p.logger = talk, newLogger(p.screen, talk, p.env) }

// settings collects the values, and opens the log accordingly. The reader stores mistakes; the settings for reporting
// them are read in any case.
func (p *process) settings(ctx context.Context, known []setting, in input) (*reader, output) {
	merged, err := gather(ctx, known, in.flags, p.env)
	read := newReader(known, merged, in, err)
	talk := read.output()
	p.openLog(talk)
	return read, talk
}

// finish reports on stderr how a command ended, and returns the exit code. With a JSON log every
// line is JSON, and the last one of a run says "run ended".
func (p *process) finish(command string, o outcome) int {
	o.line = p.screen.hidden(o.line)
	code, unwritten := p.unwritten(o)
	asJSON := p.logger != nil && p.talk.logsJSON(p.screen)
	if asJSON {
		o.line = oneLine(o.line)
	}
	if o.counts != nil && (asJSON || !isTerminal(p.screen)) { // a terminal shows the summary
		attrs := []any{"command", command, "exit_code", code}
		if asJSON && o.line != "" {
			name := "err"
			if !o.failed { // why the run was stopped
				name = "note"
			}
			attrs = append(attrs, name, o.line)
			o.line = ""
		}
		if asJSON && unwritten != "" {
			p.logger.Error(unwritten, "command", command)
			unwritten = ""
		}
		p.logger.Log(context.Background(), o.level(), "run ended", append(attrs, o.counts...)...)
	}
	stopped := !o.failed && (o.code == ExitInterrupted || o.code == ExitTerminated)
	for _, line := range []string{o.line, unwritten} {
		switch {
		case line == "":
		case asJSON && stopped && line == o.line: // it was asked for
			p.logger.Warn(line, "command", command, "exit_code", code)
		case asJSON:
			p.logger.Error(line, "command", command, "exit_code", code)
		default:
			complain(p.screen, command, line)
		}
	}
	return code
}

// unwritten returns the code and the message for a result that could not be written: a bad result
// keeps its code, but success becomes an error. A command that only prints ends silently when its
// reader closes the pipe.
func (p *process) unwritten(o outcome) (code int, line string) {
	err := o.unwritten
	if err == nil {
		err = p.stdout.err
	}
	if err == nil {
		return o.code, ""
	}
	if !p.works && isBrokenPipe(err) {
		return exitUnread, ""
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	code, meant := o.code, ""
	if code == ExitDone {
		code, meant = ExitFailed, ", although the command itself succeeded"
	}
	return code, fmt.Sprintf("write the result to stdout: %s: the exit code is %d%s", oneLine(err.Error()), code, meant)
}

// isBrokenPipe reports whether the reader has closed the pipe. This error occurs if the parent
// ignores SIGPIPE, like systemd and Python.
func isBrokenPipe(err error) bool {
	if runtime.GOOS != "windows" {
		return errors.Is(err, syscall.EPIPE)
	}
	const errorBrokenPipe, errorNoData = syscall.Errno(109), syscall.Errno(232)
	return errors.Is(err, errorBrokenPipe) || errors.Is(err, errorNoData)
}

// A stdout that was closed before the start, as by >&-, cannot be distinguished from one that was
// discarded on purpose: the Go runtime opens /dev/null in its place for reading and writing, like
// Python's subprocess.DEVNULL (measured). It counts as discarded. Without this, the first file of
// the archive would get its descriptor, and the summary.

// outliveReaders turns a write to a closed pipe into an ordinary error. Otherwise SIGPIPE would
// kill the program in the middle of a run because the reader of its log exited. Commands that only
// print should end silently, like with head(1).
func outliveReaders() (stop func()) {
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	return func() { signal.Stop(broken) }
}

// refusal is the JSON output of a command that failed without a summary: the two fields that every
// summary has.
type refusal struct {
	ExitCode int    `json:"exit_code"`
	Error    string `json:"error"`
}

// refuse also prints an outcome as JSON if requested.
func (p *process) refuse(o outcome, asJSON bool) outcome {
	if asJSON {
		o.unwritten = json.NewEncoder(p.stdout).Encode(refusal{ExitCode: o.code, Error: p.screen.hidden(oneLine(o.line))})
	}
	return o
}

// flagsWithin extracts, from arguments that could not be parsed, the flags that say how and where
// to report the error: those for output and monitoring, and --config, whose file may contain them
// too.
func flagsWithin(args []string, settings []setting) values {
	found := values{}
	for i, arg := range args {
		name, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !strings.HasPrefix(arg, "-") || !slices.Contains([]string{"json", "quiet", "log-level", "log-format", "config", "metrics-file", "ping-url", "ping-on", "dry-run"}, name) {
			continue
		}
		s, ok := named(settings, name)
		if !ok {
			continue
		} else if s.kind == toggle && !hasValue {
			value = "true"
		} else if !hasValue && i+1 < len(args) {
			value = args[i+1]
		}
		found[name] = given{items: splitItems(s, []string{value}), origin: "--" + name, source: onCommandLine}
	}
	return found
}

// isOn reports whether a toggle is on. An invalid value counts as off; it is reported elsewhere.
func (v values) isOn(name string) bool {
	r := &reader{values: v}
	return r.isSet(name) && r.toggle(name)
}
