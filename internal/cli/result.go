// Ends a command: writes the error, and notices when the result could not be written.

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

// results is stdout. It keeps the first error of a write, for those who write where
// an error has nowhere to go, like the library that prints the help. One goroutine
// writes at a time.
type results struct {
	base  io.Writer
	width int // columns that a text for a person may take, 0 for no limit
	err   error
}

// Write writes nothing more after an error: what came behind a gap would mislead.
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

// openLog makes the logger of a command as its settings say. What is told on stderr at
// the end goes there too.
func (p *process) openLog(talk output) { p.talk, p.logger = talk, newLogger(p.screen, talk, p.env) }

// settings reads what was set, and opens the log as that says. A mistake is kept by the reader: how to tell of it is read
// in any case.
func (p *process) settings(ctx context.Context, known []setting, in input) (*reader, output) {
	merged, err := gather(ctx, known, in.flags, p.env)
	read := newReader(known, merged, in, err)
	talk := read.output()
	p.openLog(talk)
	return read, talk
}

// finish tells on stderr how a command ended, and returns the exit code. Where the log is
// JSON every line is, and the last one of a run says "run ended".
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
	for _, line := range []string{o.line, unwritten} {
		switch {
		case line == "":
		case asJSON:
			p.logger.Error(line, "command", command, "exit_code", code)
		default:
			complain(p.screen, command, line)
		}
	}
	return code
}

// unwritten returns the code, and the line that tells of a result that did not arrive:
// what the command found out stands, but "all is well" was not said to anybody. A command
// that does nothing but write ends in silence when its reader has seen enough.
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

// isBrokenPipe reports whether nobody reads what is written. Where the parent ignores
// SIGPIPE, as systemd and Python do, it is an error of the write.
func isBrokenPipe(err error) bool {
	if runtime.GOOS != "windows" {
		return errors.Is(err, syscall.EPIPE)
	}
	const errorBrokenPipe, errorNoData = syscall.Errno(109), syscall.Errno(232)
	return errors.Is(err, errorBrokenPipe) || errors.Is(err, errorNoData)
}

// A stdout that was closed before the start, as by >&-, cannot be told from one that
// was discarded on purpose: the Go runtime opens /dev/null in its place, for reading
// and writing, which is how Python's subprocess.DEVNULL opens it too (measured). It
// counts as discarded. Without the runtime's care the first file of the archive would
// take its number, and get the summary.

// outliveReaders makes a write to a pipe that nobody reads any more an error like
// any other. Without it the system ends the program there: in the middle of a run,
// because the reader of its log went away. Commands that do nothing but write are
// better ended, in silence, as by head(1).
func outliveReaders() (stop func()) {
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	return func() { signal.Stop(broken) }
}

// refusal is what a machine gets of a command that could not do its work and has no
// summary for that: the two fields that every summary has under the same names.
type refusal struct {
	ExitCode int    `json:"exit_code"`
	Error    string `json:"error"`
}

// refuse tells an outcome to a machine too, when it asked for that.
func (p *process) refuse(o outcome, asJSON bool) outcome {
	if asJSON {
		o.unwritten = json.NewEncoder(p.stdout).Encode(refusal{ExitCode: o.code, Error: p.screen.hidden(oneLine(o.line))})
	}
	return o
}

// flagsWithin finds in arguments that could not be parsed as a whole how and whom an
// error is to be told: the flags of output and of who watches, and the file of --config,
// which may say so too.
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

// isOn reports whether a toggle is on. A value that cannot be read is off: another
// place tells of it.
func (v values) isOn(name string) bool {
	r := &reader{values: v}
	return r.isSet(name) && r.toggle(name)
}
