// Serves /metrics.

package web

import (
	"io"
	"net/http"
	"time"

	"convoso-archiver/internal/metrics"
	"convoso-archiver/manifest"
	"convoso-archiver/manifest/report"
)

// metricsFresh is the maximum age of the report for a scrape: a report reads every day of the archive, which costs
// requests in a bucket, and changes once a night.
const metricsFresh = 10 * time.Minute

// metrics answers a scrape with counts of the whole archive. It refuses users who see only some campaigns or
// agents, unless they have the right audit.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	u := userOf(r)
	if !u.Audit && (!u.Listen || u.isLimited()) {
		s.refuse(w, r, http.StatusForbidden, "You see only some campaigns or agents, and these metrics count all calls.",
			"Log in as a user who is not limited to campaigns or agents, or who has the right audit.")
		return
	}
	made, err := s.reports.get(r.Context(), metricsFresh)
	if err != nil {
		s.trouble(w, r, "make the report", err)
		return
	}
	if made == nil {
		w.Header().Set("Retry-After", "15")
		http.Error(w, "The archive is being read: try again in a moment.", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	m := archiveMetrics(made, s.Archive.Zone(), s.Rules.PurgeAfter)
	m.Build = s.Build
	_, _ = io.WriteString(w, m.Text()) // the client has disconnected
}

// archiveMetrics makes metrics of a report.
func archiveMetrics(made *report.Report, zone *time.Location, purgeAfter time.Duration) metrics.Archive {
	m := metrics.Archive{
		LastLine:   made.LastRun,
		Recordings: map[string]int{"waiting": made.Total.Waiting, "given_up": made.Total.GivenUp, string(manifest.Archived): 0, string(manifest.Lost): 0},
		Dates:      map[string]int{"closed": 0, "open": 0, "never_listed": 0, "unsettled": 0},
	}
	for outcome, n := range made.Total.ByOutcome {
		if outcome.Final() || outcome == manifest.Lost { // the others wait or were given up
			m.Recordings[string(outcome)] = n
		}
	}
	for i := range made.Days {
		d := &made.Days[i]
		switch {
		case d.State == report.Closed || d.Settled:
			m.Dates[string(d.State)]++
		default:
			m.Dates["unsettled"]++
		}
	}
	if p := made.Purge; p != nil {
		m.OldestWaiting = startOf(p.Oldest, zone)
		if p.Next != "" {
			m.PurgeDeadline = startOf(p.Next, zone).Add(purgeAfter)
		}
	}
	return m
}

func startOf(day string, zone *time.Location) time.Time {
	t, _ := time.ParseInLocation(time.DateOnly, day, zone) // days of a report are valid dates
	return t
}
