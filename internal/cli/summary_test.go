package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"convoso-archiver/archiver"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("differs from %s (go test -update writes it anew):\n%s", path, got)
	}
}

func TestSummaryText(t *testing.T) {
	var many []archiver.OpenDay
	for i := range 13 {
		many = append(many, archiver.OpenDay{Day: fmt.Sprintf("2025-05-%02d", i+1), Settled: i < 2, Waiting: i, Reasons: []string{"recordings wait", "the listing is not whole"}[:min(i, 2)]})
	}
	summaries := []struct {
		name    string
		summary archiver.Summary
	}{
		{"all done", archiver.Summary{
			Run: "20250502T090003Z-1f0c9a3e", Seconds: 192.4, DaysAsked: 3, DaysClosed: 2, DaysSkipped: 1, DaysListed: 2, Calls: 2460,
			Recordings: 642, Archived: 640, Known: 2, Bytes: 34_560_000, APIRequests: 6, MediaRequests: 640,
		}},
		{"nothing to do", archiver.Summary{Run: "r", Seconds: 0.04, DaysAsked: 7, DaysSkipped: 7}},
		{"troubles", archiver.Summary{
			Run: "r", ExitCode: ExitIncomplete, Seconds: 93784, DaysAsked: 13, DaysListed: 13, OpenDays: many, Calls: 1234567, Recordings: 98765,
			Archived: 98000, Adopted: 12, Pending: 3, Failed: 4, Rejected: 5, Lost: 6, GivenUp: 7, Bytes: 5_292_000_000_000,
			APIRequests: 2500, MediaRequests: 98123, Refusals: 1,
			Warnings: []string{"the machine's clock and the API's are 6m0s apart: check the clock"},
		}},
		{"stopped", archiver.Summary{Run: "r", ExitCode: ExitIncomplete, Seconds: 61, DaysAsked: 2, DaysListed: 1, Calls: 10, Recordings: 10, Archived: 5, Bytes: 999, APIRequests: 1, MediaRequests: 5, Refusals: 2, Stopped: "max-recordings"}},
		{"interrupted", archiver.Summary{Run: "r", ExitCode: ExitInterrupted, Seconds: 5, DaysAsked: 1, Stopped: "stopped by SIGINT"}},
		{"disk full", archiver.Summary{Run: "r", ExitCode: ExitFailed, Error: "no space left on device", Seconds: 1, DaysAsked: 2, DaysListed: 1, Recordings: 3, Archived: 1, Failed: 1, Rejected: 1, APIRequests: 2, MediaRequests: 3, Bytes: 999,
			OpenDays: []archiver.OpenDay{{Day: "2025-05-01", Settled: true, Waiting: 2, Reasons: []string{"the run stopped before the day was done", "waiting recordings: 2"}}, {Day: "2025-05-02"}}}},
		{"unknown campaign", archiver.Summary{Run: "r", ExitCode: ExitUsage, Error: "No such Campaign", Seconds: 1, DaysAsked: 1, APIRequests: 1, OpenDays: []archiver.OpenDay{{Day: "2025-05-01", Settled: true}}}},
		{"refused token", archiver.Summary{Run: "r", ExitCode: ExitUsage, Error: "the API refused the token", Seconds: 1, DaysAsked: 2, Recordings: 3, Known: 3, APIRequests: 1,
			OpenDays: []archiver.OpenDay{{Day: "2025-05-01", Settled: true, Reasons: []string{"the run ended before it finished this day"}}, {Day: "2025-05-02"}}}},
		{"token refused later", archiver.Summary{Run: "r", ExitCode: ExitUsage, Error: "the API refused the token", Seconds: 1, DaysAsked: 2, DaysListed: 1, Calls: 20, Recordings: 3, Archived: 2, Bytes: 999, APIRequests: 2, MediaRequests: 2,
			OpenDays: []archiver.OpenDay{{Day: "2025-05-01", Settled: true, Waiting: 1}, {Day: "2025-05-02"}}}},
		{"refused dry run", archiver.Summary{Run: "r", DryRun: true, ExitCode: ExitFailed, Error: "no space left on device", Seconds: 1, DaysAsked: 1}},
		{"nothing could be opened", archiver.Summary{ExitCode: ExitFailed, Error: "the store cannot be reached"}},
		{"nothing could be opened in a dry run", archiver.Summary{DryRun: true, ExitCode: ExitFailed, Error: "the store cannot be reached"}},
		{"locked", archiver.Summary{ExitCode: ExitLocked, Error: "another run has locked this archive"}},
		{"another archive", archiver.Summary{Run: "r", ExitCode: ExitUsage, Error: "the archive was made with another zone", Seconds: 1}},
		{"interrupted before anything", archiver.Summary{ExitCode: ExitInterrupted, Stopped: "stopped by SIGINT"}},
		{"error after a signal", archiver.Summary{Run: "r", ExitCode: ExitInterrupted, Error: "disk full", Stopped: "stopped by SIGINT", Seconds: 1, DaysAsked: 1}},
		{"dry run", archiver.Summary{Run: "r", Seconds: 3, DryRun: true, DaysAsked: 2, DaysListed: 2, Calls: 200, Recordings: 12, Known: 2, ToFetch: 10, EstimatedBytes: 1_234_567, APIRequests: 2}},
		{"estimate", archiver.Summary{Run: "r", Seconds: 93, DryRun: true, DaysAsked: 370, DaysListed: 366, DaysSkipped: 4, Calls: 1_000_000, Recordings: 360_000, Known: 59_998, Pending: 2, ToFetch: 300_000, EstimatedBytes: 15e9, APIRequests: 2100,
			Estimate: &archiver.Estimate{
				FirstCall: "2024-12-09",
				Months: []archiver.MonthCount{
					{Month: "2023-01", Days: 31}, {Month: "2023-02", Days: 28},
					{Month: "2024-12", Days: 335, Calls: 100_000, Recordings: 60_000, ToFetch: 50_000, Bytes: 2e9, PastPurge: 40_000},
					{Month: "2025-05", Days: 31, Calls: 900_000, Recordings: 300_000, ToFetch: 250_000, Bytes: 13e9},
					{Month: "2025-06", Days: 1},
				},
				PastPurgeDays: 300, HoursAt3: 27.78, HoursAt10: 8.33, APIRequests: 2100, MediaRequests: 300_000, S3: &archiver.S3Requests{Puts: 308_000, Lists: 1830, Gets: 9640},
			}}},
		{"years before the first call", archiver.Summary{Run: "r", Seconds: 9, DryRun: true, DaysAsked: 370, DaysListed: 370, Calls: 7, Recordings: 7, ToFetch: 7, EstimatedBytes: 7e6, APIRequests: 35,
			Estimate: &archiver.Estimate{FirstCall: "2025-05-01", DaysBefore: 359, HoursAt10: 0.1, HoursAt3: 0.2, MediaRequests: 7, Months: []archiver.MonthCount{{Month: "2025-05", Days: 370, Calls: 7, Recordings: 7, ToFetch: 7, Bytes: 7e6}}, APIRequests: 35}}},
		{"stopped before the first call", archiver.Summary{Run: "r", ExitCode: ExitIncomplete, Seconds: 61, DaysAsked: 900, DaysListed: 300, DaysNotBegun: 600, APIRequests: 300, Stopped: "max-duration"}},
		{"nothing left to fetch", archiver.Summary{Run: "r", Seconds: 1, DryRun: true, DaysAsked: 1, DaysListed: 1, Calls: 7, Recordings: 7, Known: 7, APIRequests: 2,
			Estimate: &archiver.Estimate{Months: []archiver.MonthCount{{Month: "2025-05", Days: 1, Calls: 7, Recordings: 7}}, APIRequests: 2}}},
		{"unsettled", archiver.Summary{Run: "r", Seconds: 3, DaysAsked: 2, DaysListed: 1, Calls: 20, Recordings: 2, Archived: 1, Pending: 1, Bytes: 56_448, APIRequests: 1, MediaRequests: 1,
			OpenDays: []archiver.OpenDay{{Day: "2025-05-01", Waiting: 1}, {Day: "2025-05-02"}}}},
	}
	var all strings.Builder
	for _, s := range summaries {
		fmt.Fprintf(&all, "# %s\n%s\n", s.name, summaryText(s.summary, 0))
	}
	golden(t, "summary.golden", all.String())
}

func TestSummaryJSON(t *testing.T) {
	var out bytes.Buffer
	if err := writeSummary(&out, archiver.Summary{Run: "r", Archived: 3, ExitCode: 1, Error: "what: try"}, true); err != nil {
		t.Fatal(err)
	}
	if strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), `"open_days":[]`) || !strings.Contains(out.String(), `"warnings":[]`) {
		t.Errorf("got %s", out.String())
	}
	var back archiver.Summary
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Archived != 3 || back.ExitCode != 1 || back.Error != "what: try" {
		t.Errorf("got %+v, %v", back, err)
	}
}

func TestFormats(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %s", n, got)
		}
	}
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 56448: "56.4 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 5_292_000_000_000: "5.3 TB", 1<<63 - 1: "9.2 EB",
	} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %s", n, got)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0.0s", 40 * time.Millisecond: "0.0s", 9500 * time.Millisecond: "9.5s", 9949 * time.Millisecond: "9.9s", 9951 * time.Millisecond: "10s", 12 * time.Second: "12s", 59*time.Second + 600*time.Millisecond: "1m 0s",
		192 * time.Second: "3m 12s", 65 * time.Minute: "1h 5m", 51 * time.Hour: "2d 3h",
	} {
		if got := durationText(d); got != want {
			t.Errorf("durationText(%v) = %s", d, got)
		}
	}
}
