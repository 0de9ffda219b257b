//go:build measure && linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// TestMemory prints the program's peak resident memory, built as users have it.
// It fails above the bound that the README names.
func TestMemory(t *testing.T) {
	const bound = 96 << 20
	plain := filepath.Join(t.TempDir(), "convoso-archiver")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", plain, "convoso-archiver")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, test := range map[string]struct {
		config convosotest.Config
		s3     bool
	}{
		"8,000 recordings, 64 workers, disk":  {convosotest.Config{CallsPerDay: 2000, Days: 4, RecordedShare: 1}, false},
		"80,000 recordings, 64 workers, disk": {convosotest.Config{CallsPerDay: 20000, Days: 4, RecordedShare: 1, MedianSize: 3_000, MinSize: 2_880}, false},
		"8,000 recordings, 64 workers, S3":    {convosotest.Config{CallsPerDay: 2000, Days: 4, RecordedShare: 1}, true},
		"one of 1 GiB, disk":                  {convosotest.Config{CallsPerDay: 3, RecordedShare: 1, BigRecordings: []int64{1 << 30}}, false},
		"one of 1 GiB, S3":                    {convosotest.Config{CallsPerDay: 3, RecordedShare: 1, BigRecordings: []int64{1 << 30}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			test.config.FirstDay = daysAgo(10)
			source := simulate(t, test.config)
			a := onDisk(t, source)
			if test.s3 {
				a = onS3(t, source, false).archive
			}
			cmd := a.command(t.Context(), "--start-time", daysAgo(10), "--end-time", daysAgo(7), "--workers", "64", "--log-level", "warn")
			cmd.Path = plain
			// Not the child's rusage: on Linux that starts with the memory of the parent.
			peaks := make(chan int64)
			r := a.finish(cmd, func(p *os.Process) { go watchPeak(p.Pid, peaks) }).want(t, 0)
			peak := <-peaks
			t.Logf("%d recordings, %d bytes: peak %.1f MiB, %.1f s CPU", r.summary.Archived, r.summary.Bytes,
				float64(peak)/(1<<20), cmd.ProcessState.UserTime().Seconds()+cmd.ProcessState.SystemTime().Seconds())
			if peak > bound && !strings.Contains(name, "80,000") {
				t.Errorf("peak above %d MiB", bound>>20)
			}
		})
	}
}

// watchPeak sends the peak resident memory of a process, in bytes, once it has ended.
func watchPeak(pid int, peaks chan<- int64) {
	var peak int64
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, after, found := strings.Cut(string(status), "VmHWM:")
		if err != nil || !found {
			peaks <- peak
			return
		}
		kilobytes, _ := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
		peak = max(peak, kilobytes<<10)
		time.Sleep(20 * time.Millisecond)
	}
}
