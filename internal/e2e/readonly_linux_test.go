package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// TestFolderTurnsReadOnly makes the destination read-only in the middle of a run: it ends with exit
// code 1, and the next run continues.
func TestFolderTurnsReadOnly(t *testing.T) {
	t.Parallel()
	source := simulate(t, convosotest.Config{
		Seed: 63, FirstDay: daysAgo(7), CallsPerDay: 150, RecordedShare: 1, MedianSize: 4_000, MediaLatency: 50 * time.Millisecond,
	})
	a := onDisk(t, source, "--start-time", daysAgo(7), "--end-time", daysAgo(7))
	cmd := a.command(t.Context())
	if os.Geteuid() == 0 { // root ignores permissions
		setpriv, err := exec.LookPath("setpriv")
		if err != nil {
			t.Fatal(err)
		}
		cmd.Args = slices.Concat([]string{setpriv, "--bounding-set=-dac_override", "--", cmd.Path}, cmd.Args[1:])
		cmd.Path = setpriv
	}
	folders := []string{a.dest, filepath.Join(a.dest, ".tmp"), filepath.Join(a.dest, "manifest"), filepath.Join(a.dest, "calls")}
	change := func(mode os.FileMode) {
		for _, folder := range folders {
			if err := os.Chmod(folder, mode); err != nil {
				t.Error(err)
			}
		}
	}
	r := a.finish(cmd, func(*os.Process) {
		waitFor(t, func() bool { return source.Stats().Media.Requests > 40 })
		change(0o500)
	})
	change(0o700)
	r.want(t, 1)
	if !strings.Contains(r.stderr, "permission") {
		t.Errorf("stderr: %s", tail(r.stderr))
	}
	if parts, _ := filepath.Glob(filepath.Join(a.dest, ".tmp", "*")); len(parts) > 16 {
		t.Errorf("%d part files are left", len(parts))
	}
	before := a.read()
	if len(before.closed) != 0 || len(before.archived) == 0 || len(before.archived) == 150 {
		t.Errorf("%d archived, %d days closed", len(before.archived), len(before.closed))
	}
	source.ResetStats()
	a.run().want(t, 0)
	if c := a.checkFiles(nil); len(c.closed) != 1 {
		t.Error("the day stays open")
	}
	for ref := range source.Stats().Recordings {
		if before.outcome(ref).Outcome != "" {
			t.Errorf("recording %s was fetched again", ref)
		}
	}
}
