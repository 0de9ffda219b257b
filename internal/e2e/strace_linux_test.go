package e2e

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// traced are the system calls by which the program changes files and makes them durable. The
// question mark marks calls that some architectures lack.
const traced = "openat,write,pwrite64,?ftruncate,fsync,mkdirat,unlinkat,linkat,?renameat,renameat2"

// needStrace returns the path of strace, and skips the test if it is missing or may not trace
// processes. REQUIRE_STRACE turns that into a failure.
func needStrace(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err == nil {
		var out []byte
		if out, err = exec.CommandContext(t.Context(), path, "-f", "--seccomp-bpf", "-o", os.DevNull, "true").CombinedOutput(); err == nil {
			return path
		}
		err = fmt.Errorf("%w: %s", err, out)
	}
	if os.Getenv("REQUIRE_STRACE") != "" || os.Getenv("CI") != "" {
		t.Fatalf("strace does not work here: %v", err)
	}
	t.Skipf("strace does not work here, so the order of writing is not tested: %v", err)
	return ""
}

// runTraced runs one of the program's commands under strace and returns its system calls, numbered
// from the position given. The options are passed to strace.
func (a *archive) runTraced(options []string, position int, command string, args ...string) (result, []systemCall) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 2*time.Minute)
	defer cancel()
	log := filepath.Join(a.t.TempDir(), "trace")
	cmd := a.command(ctx, args...)
	if command == "verify" {
		cmd.Args = slices.Concat([]string{cmd.Path, command, "--json", "--dest", a.dest, "--log-level", "debug"}, a.flags, args)
	}
	strace := slices.Concat(options, []string{
		"-f", "-q", "-y", "-xx", "-s", "16777216", "-e", "signal=none", "-e", "trace=" + traced, "-o", log, "--",
	})
	cmd.Path, cmd.Args = strace[0], append(strace, cmd.Args...)
	r := a.finish(cmd, nil)
	file, err := os.Open(log)
	if err != nil {
		a.t.Fatal(err)
	}
	defer file.Close()
	calls, err := parseTrace(file, position)
	if err != nil {
		a.t.Fatal(err)
	}
	return r, calls
}

// systemCall is one call in strace's output. The real call happened between the positions enter and
// exit: a call whose exit precedes this enter was over when this one began.
type systemCall struct {
	name        string
	args        []string // as printed
	result      int64    // -1 for an error
	unknown     bool     // the process ended first, or the kernel restarted the call
	enter, exit int      // positions in the trace, unlike any other call's
}

// parseTrace reads the output of strace -f -xx. Calls come in the order in which they
// returned.
func parseTrace(trace io.Reader, position int) ([]systemCall, error) {
	type begun struct {
		text  string
		enter int
	}
	var calls []systemCall
	under := map[string]begun{} // unfinished calls, by thread
	lines := bufio.NewReaderSize(trace, 1<<20)
	for ; ; position += 2 {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return calls, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read trace: %w", err)
		}
		thread, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		text = strings.TrimLeft(text, " ")
		if strings.HasPrefix(text, "+++") || strings.HasPrefix(text, "---") {
			continue
		}
		call := begun{text, position}
		if strings.HasPrefix(text, "<... ") {
			_, rest, found := strings.Cut(text, " resumed>")
			first, known := under[thread]
			if !found || !known {
				return nil, fmt.Errorf("a call is resumed that was not begun: %.200s", text)
			}
			delete(under, thread)
			call = begun{first.text + rest, first.enter}
		}
		if first, unfinished := strings.CutSuffix(call.text, "<unfinished ...>"); unfinished {
			under[thread] = begun{strings.TrimRight(first, " "), call.enter}
			continue
		}
		parsed, err := parseCall(call.text)
		if err != nil {
			return nil, err
		}
		parsed.enter, parsed.exit = call.enter, position+1
		calls = append(calls, parsed)
	}
}

// parseCall reads name(arguments) = result. All texts are in hexadecimal, so they contain no
// bracket or comma.
func parseCall(text string) (systemCall, error) {
	name, rest, _ := strings.Cut(text, "(")
	call := systemCall{name: name}
	depth, start := 0, 0
	for i := range len(rest) {
		switch c := rest[i]; {
		case strings.IndexByte("([{", c) >= 0:
			depth++
		case c == ',' && depth == 0:
			call.args = append(call.args, strings.TrimSpace(rest[start:i]))
			start = i + 1
		case strings.IndexByte(")]}", c) >= 0:
			if depth--; depth >= 0 {
				continue
			}
			call.args = append(call.args, strings.TrimSpace(rest[start:i]))
			result, found := strings.CutPrefix(strings.TrimSpace(rest[i+1:]), "= ")
			if !found {
				return call, fmt.Errorf("a call has no result: %.200s", text)
			}
			return call, call.setResult(result)
		}
	}
	return call, fmt.Errorf("a call has no end: %.200s", text)
}

func (c *systemCall) setResult(text string) (err error) {
	if strings.HasPrefix(text, "?") {
		c.unknown = true
		return nil
	}
	end := strings.IndexAny(text, " <")
	if end < 0 {
		end = len(text)
	}
	if c.result, err = strconv.ParseInt(text[:end], 0, 64); err != nil && !errors.Is(err, strconv.ErrRange) { // mmap's may be high
		return fmt.Errorf("the result of %s is no number: %w", c.name, err)
	}
	return nil
}

// arg returns an argument, "" if it was not printed.
func (c *systemCall) arg(i int) string {
	if i >= len(c.args) {
		return ""
	}
	return c.args[i]
}

// descriptor returns the file descriptor in an argument and the path strace knows for
// it. AT_FDCWD is -100.
func (c *systemCall) descriptor(i int) (fd int, path string, err error) {
	number, rest, annotated := strings.Cut(c.arg(i), "<")
	if annotated {
		rest, _, _ = strings.Cut(rest, ">")
		if path, err = unhex(rest); err != nil {
			return 0, "", err
		}
	}
	if number == "AT_FDCWD" {
		return -100, path, nil
	}
	if fd, err = strconv.Atoi(number); err != nil {
		return 0, "", fmt.Errorf("%s: argument %d is no descriptor: %w", c.name, i, err)
	}
	return fd, path, nil
}

func (c *systemCall) number(i int) (int64, error) {
	n, err := strconv.ParseInt(c.arg(i), 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: argument %d is no number: %w", c.name, i, err)
	}
	return n, nil
}

// text returns an argument in quotation marks.
func (c *systemCall) text(i int) (string, error) {
	quoted, begins := strings.CutPrefix(c.arg(i), `"`)
	inner, ends := strings.CutSuffix(quoted, `"`)
	if !begins || !ends {
		return "", fmt.Errorf("%s: argument %d is no whole text: %.60s", c.name, i, c.arg(i))
	}
	return unhex(inner)
}

// unhex decodes \x2f\x74.
func unhex(text string) (string, error) {
	decoded, err := hex.DecodeString(strings.ReplaceAll(text, `\x`, ""))
	if err != nil {
		return "", fmt.Errorf("decode a text of the trace: %w", err)
	}
	return string(decoded), nil
}

// path returns the file named by a folder's descriptor and a name.
func (c *systemCall) path(i int) (string, error) {
	_, folder, err := c.descriptor(i)
	if err != nil {
		return "", err
	}
	name, err := c.text(i + 1)
	if err != nil || path.IsAbs(name) {
		return name, err
	}
	return path.Join(folder, name), nil
}
