package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// results is stdout. It keeps the first error of a write, for those who write where
// an error has nowhere to go, like the library that prints the help. One goroutine
// writes at a time.
type results struct {
	base io.Writer
	err  error
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

// tellUnwritten reports a result that did not arrive, and returns the code then: what
// the command found out stands, but "all is well" was not said to anybody.
func (p *process) tellUnwritten(speaker string, result outcome) int {
	err := result.unwritten
	if err == nil {
		err = p.stdout.err
	}
	if err == nil {
		return result.code
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	code, meant := result.code, ""
	if code == ExitDone {
		code, meant = ExitFailed, ", though the command did its work"
	}
	complain(p.screen, speaker, fmt.Sprintf("write the result to stdout: %s: the exit code is %d%s", oneLine(err.Error()), code, meant))
	return code
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
		o.unwritten = json.NewEncoder(p.stdout).Encode(refusal{ExitCode: o.code, Error: p.screen.hidden(o.line)})
	}
	return o
}

// flagsWithin finds in arguments that could not be parsed as a whole how an error is
// to be told: --json, or the file of --config, which may say so too.
func flagsWithin(args []string, settings []setting) values {
	found := values{}
	for i, arg := range args {
		name, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !strings.HasPrefix(arg, "-") || name != "json" && name != "config" {
			continue
		}
		if s, ok := named(settings, name); !ok {
			continue
		} else if s.kind == toggle && !hasValue {
			value = "true"
		} else if !hasValue && i+1 < len(args) {
			value = args[i+1]
		}
		found[name] = given{items: []string{value}, origin: "--" + name, byFlag: true}
	}
	return found
}

// isOn reports whether a toggle is on. A value that cannot be read is off: another
// place tells of it.
func (v values) isOn(name string) bool {
	r := &reader{values: v}
	return r.isSet(name) && r.toggle(name)
}
