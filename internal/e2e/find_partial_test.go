package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"convoso-archiver/fetcher/convosotest"
)

// TestFindAfterAStoppedRun: find and export say which days are not listed completely, as report counts them, and the
// table does not say "none" of recordings that only rows name. Once everything is archived, neither says anything.
func TestFindAfterAStoppedRun(t *testing.T) {
	t.Parallel()
	a := onDisk(t, simulate(t, convosotest.Config{
		Seed: 96, FirstDay: daysAgo(16), Days: 12, CallsPerDay: 20, RecordedShare: 0.5, SeveralShare: 0.3, MedianSize: 3_000,
	}))
	span := []string{"--start-time", daysAgo(16), "--end-time", daysAgo(5)}
	a.run(append(span, "--max-recordings", "5")...).want(t, 3)

	var made struct {
		Days []struct {
			State   string
			Settled bool
		}
		Total struct {
			PartlyListed int `json:"partly_listed"`
		}
	}
	if err := json.Unmarshal([]byte(a.report(append(span, "--json")...).want(t, 0).stdout), &made); err != nil {
		t.Fatal(err)
	}
	never := 0
	for _, day := range made.Days {
		if day.State == "never_listed" && day.Settled {
			never++
		}
	}
	if never == 0 || made.Total.PartlyListed == 0 {
		t.Fatalf("%+v", made)
	}
	days := fmt.Sprintf("%d days are not listed completely, %d were never listed, so calls or recordings may be missing: run archive over these days\n", made.Total.PartlyListed, never)
	if made.Total.PartlyListed == 1 {
		days = strings.Replace(days, "days are", "day is", 1)
	}

	listedOnly := 0
	for line := range strings.Lines(a.find(append(span, "--json", "--quiet")...).want(t, 0).stdout) {
		var call struct{ Recording, Recordings []any }
		if err := json.Unmarshal([]byte(line), &call); err != nil {
			t.Fatal(err)
		}
		if len(call.Recording) > len(call.Recordings) {
			listedOnly++
		}
	}
	for _, args := range [][]string{span, {"--start-time", daysAgo(16), "--end-time", daysAgo(5), "--sort", "time"}} {
		r := a.find(args...).want(t, 0)
		if got := strings.Count(r.stdout, "listed only"); got != listedOnly || got == 0 || !strings.HasSuffix(r.stderr, days) {
			t.Errorf("%d calls with listed only, want %d; stderr %q, want %q", got, listedOnly, r.stderr, days)
		}
	}
	if r := a.find(append(span, "--quiet")...).want(t, 0); r.stderr != "" {
		t.Errorf("--quiet: %q", r.stderr)
	}
	tables := filepath.Join(t.TempDir(), "tables")
	export := func() string {
		t.Helper()
		var stderr strings.Builder
		cmd := a.exportCommand(t.Context(), tables, span...)
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, stderr.String())
		}
		return stderr.String()
	}
	if told := export(); !strings.Contains(told, fmt.Sprintf(`"days_partly_listed":%d,"days_never_listed":%d`, made.Total.PartlyListed, never)) {
		t.Errorf("export: %q", told)
	}

	a.run(span...).want(t, 0)
	if r := a.find(span...).want(t, 0); strings.Contains(r.stdout, "listed only") || strings.Contains(r.stderr, "not listed") || strings.Contains(r.stderr, "never") {
		t.Errorf("all is archived: %q\n%s", r.stderr, r.stdout)
	}
	if told := export(); strings.Contains(told, "_listed") {
		t.Errorf("all is exported: %q", told)
	}
}
