// Runs commands and measures their cost.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// command is a program to run and measure.
type command struct {
	args  []string // the program and its arguments
	env   []string // added to PATH and HOME, the only variables that the command inherits
	home  string   // its home folder
	codes []int    // the right exit codes; none stands for 0 alone
}

// sample is what one run cost.
type sample struct {
	wall  time.Duration
	cpu   time.Duration // user and system, with that of children that have ended
	peak  int64         // max resident memory in bytes; 0 where the system does not report it
	begun time.Time
}

// execute runs commands one after the other and returns their cost together. An unexpected exit
// code is an error with the end of the command's output.
func execute(ctx context.Context, commands ...command) (sample, error) {
	var total sample
	for _, c := range commands {
		one, err := c.run(ctx)
		if err != nil {
			return sample{}, err
		}
		total.wall += one.wall
		total.cpu += one.cpu
		total.peak = max(total.peak, one.peak)
		total.begun = one.begun
	}
	return total, nil
}

func (c command) run(ctx context.Context) (sample, error) {
	name := filepath.Base(c.args[0])
	if err := os.MkdirAll(c.home, 0o700); err != nil {
		return sample{}, fmt.Errorf("make home folder: %w", err)
	}
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.home}, c.env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return sample{}, fmt.Errorf("start %s: %w", name, err)
	}
	peak := watchPeak(cmd.Process.Pid)
	err := cmd.Wait()
	s := sample{wall: time.Since(begun), peak: <-peak, begun: begun}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return sample{}, fmt.Errorf("run %s: %w", name, err)
	}
	code := cmd.ProcessState.ExitCode()
	if !slices.Contains(c.codes, code) && (len(c.codes) > 0 || code != 0) {
		return sample{}, fmt.Errorf("run %s: exit code %d: %s", name, code, strings.TrimSpace(stderr.String()))
	}
	return s, nil
}

// watchPeak sends the peak resident memory of a process, in bytes, once it has ended; 0 on systems
// without /proc, which is all but Linux. ru_maxrss cannot be used: it starts with the memory of the
// parent, because the child runs in it until exec.
func watchPeak(pid int) <-chan int64 {
	peak := make(chan int64, 1) // buffered, because nobody may receive it
	go func() {
		var highest int64
		for {
			now, living := kilobytesOf(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:")
			if !living {
				peak <- highest
				return
			}
			highest = max(highest, now)
			time.Sleep(10 * time.Millisecond)
		}
	}()
	return peak
}

// kilobytesOf reads a figure from a file of /proc, in bytes.
func kilobytesOf(file, field string) (bytes int64, ok bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	_, after, found := strings.Cut(string(text), field)
	if !found {
		return 0, false
	}
	kilobytes, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	return kilobytes << 10, err == nil
}

// touchMemory uses n bytes of memory, at most half of the available memory, and returns them to the
// system. On a virtual machine whose host reclaims free memory, the first use of each page is slow:
// the same 8,000 files took 0.3 or 2.9 s to write (measured), with any tool. After this call, every
// tool finds memory that is present.
func touchMemory(bytes int64) {
	const page = 4096
	if available, ok := kilobytesOf("/proc/meminfo", "MemAvailable:"); ok {
		bytes = min(bytes, available/2)
	}
	block := make([]byte, bytes)
	for i := 0; i < len(block); i += page {
		block[i] = 1
	}
	runtime.KeepAlive(block)
	debug.FreeOSMemory()
}

// syncAll flushes the file system of a folder; on systems other than Linux, on all of them.
func syncAll(ctx context.Context, folder string) error {
	args := []string{"-f", folder}
	if runtime.GOOS != "linux" {
		args = nil
	}
	if err := exec.CommandContext(ctx, "sync", args...).Run(); err != nil {
		return fmt.Errorf("sync file system: %w", err)
	}
	return nil
}

// build builds the program into a folder, with the flags of a release, and returns its path. The
// working folder must be in the module.
func build(ctx context.Context, folder string) (string, error) {
	program := filepath.Join(folder, "convoso-archiver")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "convoso-archiver")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w: %s", err, out)
	}
	return program, nil
}
