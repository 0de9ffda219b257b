// Package measure runs other programs and says what they cost: time, processor and
// memory. It is for the benchmarks, which compare programs by the ratios of one run
// on one machine.
package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Command is a program to run and measure.
type Command struct {
	Args []string // the program and its arguments
	Env  []string // added to PATH and HOME, the only ones that are passed on
	Home string   // its home folder
	// Codes are the exit codes that are right; none stands for 0 alone.
	Codes []int
}

// Sample is what one run cost.
type Sample struct {
	Wall        time.Duration
	CPU         time.Duration // user and system, with that of ended children
	Peak        int64         // most resident memory in bytes; 0 where the system does not tell
	Connections int64         // to the source; filled in by who counts them
	Requests    int64         // likewise
	Stdout      []byte        // what it printed
	ExitCode    int
}

// Run runs commands one after the other and returns their cost together: the sum of
// their times and the greatest of their peaks. An exit code that is not expected is
// an error that holds the end of what the program said.
func Run(ctx context.Context, commands ...Command) (Sample, error) {
	var total Sample
	for _, c := range commands {
		one, err := c.run(ctx)
		if err != nil {
			return Sample{}, err
		}
		total.Wall += one.Wall
		total.CPU += one.CPU
		total.Peak = max(total.Peak, one.Peak)
		total.Stdout, total.ExitCode = one.Stdout, one.ExitCode
	}
	return total, nil
}

func (c Command) run(ctx context.Context) (Sample, error) {
	name := filepath.Base(c.Args[0])
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.Home}, c.Env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return Sample{}, fmt.Errorf("start %s: %w", name, err)
	}
	peak := WatchPeak(cmd.Process.Pid)
	err := cmd.Wait()
	s := Sample{Wall: time.Since(begun), Peak: <-peak, Stdout: stdout.Bytes(), ExitCode: cmd.ProcessState.ExitCode()}
	s.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return Sample{}, fmt.Errorf("run %s: %w", name, err)
	}
	if !c.expects(s.ExitCode) {
		return Sample{}, fmt.Errorf("run %s: exit code %d: %s", name, s.ExitCode, end(stderr.String()))
	}
	return s, nil
}

func (c Command) expects(code int) bool {
	for _, expected := range c.Codes {
		if code == expected {
			return true
		}
	}
	return len(c.Codes) == 0 && code == 0
}

// end returns the last part of what a program said.
func end(text string) string {
	const most = 2000
	return strings.TrimSpace(text[max(0, len(text)-most):])
}

// WatchPeak sends the peak resident memory of a process, in bytes, once it has ended;
// 0 where the system does not tell. The kernel's own ru_maxrss will not do: it begins
// with the memory of the parent, for the child runs in it until it executes its
// program. The channel has room for the one value, so that nobody need receive it.
func WatchPeak(pid int) <-chan int64 {
	const interval = 10 * time.Millisecond
	peak := make(chan int64, 1)
	go func() {
		var most int64
		for {
			now, ok := residentPeak(pid)
			if !ok {
				peak <- most
				return
			}
			most = max(most, now)
			time.Sleep(interval)
		}
	}()
	return peak
}

// residentPeak reads a living process's peak from /proc, which only Linux has.
func residentPeak(pid int) (int64, bool) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	_, after, found := strings.Cut(string(status), "VmHWM:")
	if !found {
		return 0, false // it has ended and waits to be noticed
	}
	kilobytes, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	return kilobytes << 10, err == nil
}

// Program returns the program to measure: the one that was named, or where none was,
// one that it builds into folder dir.
func Program(ctx context.Context, named, dir string) (string, error) {
	if named != "" {
		return named, nil
	}
	return Build(ctx, dir)
}

// Build builds the program as its users have it into folder dir, and returns its
// path. The working folder is in the module.
func Build(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "convoso-archiver")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "convoso-archiver")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w: %s", err, end(string(out)))
	}
	return program, nil
}
