package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"

	"convoso-archiver/fetcher/convosotest"
)

// TestExportOfACopy: a copy that keeps file times has no changed day; a copy with new times is exported again once,
// with the same rows.
func TestExportOfACopy(t *testing.T) {
	t.Parallel()
	const days = 3
	a, dir := onDisk(t, simulate(t, convosotest.Config{Seed: 95, FirstDay: daysAgo(9), Days: days, CallsPerDay: 20, RecordedShare: 0.3, MedianSize: 3_000})), t.TempDir()
	a.run("--start-time", daysAgo(9), "--end-time", daysAgo(7)).want(t, 0)
	to := filepath.Join(dir, "tables")
	first := a.export(0, to)
	original := a.dest
	for _, c := range []struct {
		flag               string
		written, unchanged int
	}{{"-a", 0, days}, {"-r", days, 0}} {
		a.dest = filepath.Join(dir, "copy"+c.flag)
		if out, err := exec.Command("cp", c.flag, original, a.dest).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for again := range 2 {
			got, written, unchanged := a.export(0, to), c.written, c.unchanged
			if again > 0 {
				written, unchanged = 0, days
			}
			if got.Written != written || got.Unchanged != unchanged || got.Removed != 0 || got.Calls != first.Calls {
				t.Errorf("cp %s, export %d: %+v", c.flag, again+1, got)
			}
		}
	}
}
