package e2e

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// TestSignals stops a run in the middle: it ends with the signal's code, writes its summary, leaves
// no part file, and the next run repeats at most the downloads in flight.
func TestSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("signals cannot be sent on Windows")
	}
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			server := simulate(t, convosotest.Config{
				Seed: 20, FirstDay: daysAgo(5), CallsPerDay: 200, RecordedShare: 1, MedianSize: 30_000, MediaLatency: 20 * time.Millisecond,
			})
			a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5), "--workers", "8")
			begun := time.Time{}
			r := a.finish(a.command(t.Context()), func(p *os.Process) {
				waitFor(t, func() bool { return server.Stats().Media.Requests > 60 })
				begun = time.Now()
				_ = p.Signal(signal)
			})
			r.want(t, code)
			if took := time.Since(begun); took > 15*time.Second {
				t.Errorf("the stop took %v", took)
			}
			if r.summary.Archived == 0 || r.summary.Archived == 200 || r.summary.ExitCode != code || r.summary.Stopped == "" {
				t.Errorf("summary %+v", r.summary)
			}
			if parts, _ := filepath.Glob(filepath.Join(a.dest, ".tmp", "*")); len(parts) > 0 {
				t.Errorf("part files are left: %v", parts)
			}
			before := server.Stats()
			a.run().want(t, 0)
			a.checkFiles(nil)
			twice := 0
			for ref, s := range server.Stats().Recordings {
				if s.Requests > 1 {
					twice++
					if before.Recordings[ref].Whole > 0 {
						t.Logf("recording %s was fetched whole twice", ref)
					}
				}
			}
			if twice > 8 {
				t.Errorf("%d recordings were asked for twice with 8 workers", twice)
			}
			for _, w := range a.read().windows[daysAgo(5)] {
				if w.Run == r.summary.Run {
					t.Errorf("the stopped run wrote the window line %+v", w)
				}
			}
		})
	}
}

// TestSecondSignal ends a run at once, even with hours of grace left.
func TestSecondSignal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("signals cannot be sent on Windows")
	}
	server := simulate(t, convosotest.Config{
		Seed: 21, FirstDay: daysAgo(5), CallsPerDay: 20, RecordedShare: 1, MediaDown: convosotest.FaultHang,
	})
	a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5), "--grace", "3h")
	var begun time.Time
	r := a.finish(a.command(t.Context()), func(p *os.Process) {
		waitFor(t, func() bool { return server.Stats().Media.Requests > 2 })
		_ = p.Signal(os.Interrupt)
		_ = p.Signal(os.Interrupt)          // a repetition of the first signal, which must not count
		time.Sleep(1500 * time.Millisecond) // only now another signal counts as the second
		begun = time.Now()
		_ = p.Signal(os.Interrupt)
	})
	r.want(t, 130)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestMaxDuration(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{
		Seed: 22, FirstDay: daysAgo(5), CallsPerDay: 100, RecordedShare: 1, MedianSize: 4_000, MediaLatency: 200 * time.Millisecond,
	})
	a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5), "--workers", "2")
	r := a.run("--max-duration", "6s").want(t, 3)
	if r.summary.Stopped == "" || r.summary.Archived == 0 {
		t.Errorf("summary %+v", r.summary)
	}
}

// TestKilled kills a run between its listing and the first download, and another
// one in the middle; the next run ends with everything archived and the day closed.
func TestKilled(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]int{"before the first download": 0, "after a part of the day": 25} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := simulate(t, convosotest.Config{
				Seed: 23, FirstDay: daysAgo(5), CallsPerDay: 200, RecordedShare: 1, MedianSize: 30_000, MediaLatency: 10 * time.Millisecond,
			})
			if after == 0 {
				server.SetMediaDown(convosotest.FaultHang)
			}
			a := onDisk(t, server, "--start-time", daysAgo(5), "--end-time", daysAgo(5))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			// The media host limits the rate so that the store keeps up, as with the vendor.
			r := a.finish(a.command(ctx, "--media-rate", "100"), func(p *os.Process) {
				waitFor(t, func() bool { return server.Stats().Media.Requests > after })
				_ = p.Kill()
			})
			if r.code == 0 {
				t.Fatal("the run ended before it could be killed")
			}
			if c := a.read(); len(c.closed) != 0 {
				t.Error("the day is closed")
			}
			server.SetMediaDown(convosotest.FaultNone)
			a.run().want(t, 0)
			c := a.checkFiles(nil)
			if len(c.closed) != 1 {
				t.Error("the day stays open")
			}
			twice := 0
			for _, s := range server.Stats().Recordings {
				if s.Requests > 1 {
					twice++
				}
			}
			if twice > 8 {
				t.Errorf("%d recordings were asked for twice with 8 workers", twice)
			}
		})
	}
}
