package web

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/internal/metrics"
	"convoso-archiver/manifest"
	"convoso-archiver/manifest/report"
)

// TestMetrics: a scrape agrees with the report and does not read the archive again.
func TestMetrics(t *testing.T) {
	folder, _ := own(t)
	s := serveAt(t, archiver.Location{Folder: folder}, func(c *Config) { c.Build = metrics.Build{Version: "v9", Go: "go1"} })
	s.get("/completeness").want(t, 200) // waits for the first report
	made, err := s.server.reports.get(t.Context(), time.Hour)
	if err != nil || made == nil {
		t.Fatal(made, err)
	}
	first := s.get("/metrics")
	first.want(t, 200, "convoso_archiver_build_info{version=\"v9\",goversion=\"go1\"} 1\n", "# TYPE convoso_archiver_dates gauge\n",
		"convoso_archiver_recordings{outcome=\"lost\"} ", "convoso_archiver_last_line_timestamp_seconds ")
	if want := archiveMetrics(made, s.server.Archive.Zone(), s.server.Rules.PurgeAfter).Recordings; want["archived"] == 0 || want["lost"] == 0 {
		t.Errorf("recordings %v: the archive has too little to show", want)
	}
	if kind := first.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Errorf("content type %q", kind)
	}
	if err := os.RemoveAll(filepath.Join(folder, "manifest")); err != nil {
		t.Fatal(err)
	}
	if second := s.get("/metrics"); second.body != first.body {
		t.Errorf("the archive was read anew: %s", second.body)
	}
}

func TestArchiveMetrics(t *testing.T) {
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	at := func(day int) time.Time { return time.Date(2025, 5, day, 0, 0, 0, 0, zone) }
	r := &report.Report{
		LastRun: at(9).Add(time.Hour),
		Total: report.Total{Counts: report.Counts{Waiting: 2, GivenUp: 1, ByOutcome: map[manifest.Outcome]int{
			manifest.Archived: 10, manifest.Lost: 3, manifest.Erased: 4, manifest.Pending: 2, manifest.Rejected: 1,
		}}},
		Days: []report.Day{
			{State: report.Closed, Settled: true}, {State: report.Open, Settled: true}, {State: report.NeverListed, Settled: true},
			{State: report.NeverListed}, {State: report.Open}, {State: report.Closed},
		},
		Purge: &report.Purge{Oldest: "2025-05-01", Next: "2025-05-03"},
	}
	got := archiveMetrics(r, zone, 24*time.Hour)
	if want := map[string]int{"archived": 10, "lost": 3, "erased": 4, "waiting": 2, "given_up": 1}; !maps.Equal(got.Recordings, want) {
		t.Errorf("recordings %v, want %v", got.Recordings, want)
	}
	if want := map[string]int{"closed": 2, "open": 1, "never_listed": 1, "unsettled": 2}; !maps.Equal(got.Dates, want) {
		t.Errorf("dates %v, want %v", got.Dates, want)
	}
	if got.LastLine != r.LastRun || !got.OldestWaiting.Equal(at(1)) || !got.PurgeDeadline.Equal(at(4)) {
		t.Errorf("last line %v, oldest %v, deadline %v", got.LastLine, got.OldestWaiting, got.PurgeDeadline)
	}
	r.Purge.Next = ""
	if got := archiveMetrics(r, zone, time.Hour); got.OldestWaiting.IsZero() || !got.PurgeDeadline.IsZero() {
		t.Errorf("past saving: oldest %v, deadline %v", got.OldestWaiting, got.PurgeDeadline)
	}
	r.Purge = nil
	if got := archiveMetrics(r, zone, time.Hour); !got.OldestWaiting.IsZero() || !got.PurgeDeadline.IsZero() {
		t.Errorf("nothing waits: oldest %v, deadline %v", got.OldestWaiting, got.PurgeDeadline)
	}
}
