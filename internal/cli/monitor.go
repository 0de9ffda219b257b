// Reports runs to --metrics-file and --ping-url.

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/fetcher"
	"convoso-archiver/internal/metrics"
	"convoso-archiver/internal/ping"
)

const groupMonitor = "MONITORING"

func monitorSettings() []setting {
	return []setting{
		{name: "metrics-file", group: groupMonitor, placeholder: "FILE", usage: "write Prometheus metrics to this file when the run begins, every 30 seconds and at the end; the name must end in .prom"},
		{name: "ping-url", group: groupMonitor, placeholder: "URL", usage: "URL of a check at healthchecks.io or a similar service: the run reports its start (/start), and at its end the exit code and the JSON summary"},
		{name: "ping-on", kind: list, group: groupMonitor, placeholder: "CODES", usage: "report another exit code to --ping-url: 3=0 reports an incomplete run as a success; repeatable"},
	}
}

// monitor tells those who watch from outside that a run begins, goes on and has ended. What goes wrong in telling is a
// warning, and never changes the run. Its zero value tells nobody.
type monitor struct {
	file    string      // of metrics, "" for none
	pingURL *url.URL    // nil for none
	pingOn  map[int]int // exit codes to tell instead of others
	rules   purgeRules
	sight   sight

	logger  *slog.Logger
	started time.Time
	kept    metrics.Kept
	hasKept bool // it was read
	skew    *time.Duration
	pinger  *ping.Pinger
}

// purgeRules say when a day's audio goes.
type purgeRules struct {
	zone       *time.Location
	purgeAfter time.Duration
}

// sight is which days a run looks at, for a run clears what waits only where it has seen all that may wait.
type sight struct {
	partial bool          // calls of a filter, or days of a shard
	catchUp bool          // days that earlier runs left open, too
	from    time.Time     // start of the span
	toToday bool          // it ends with today
	settle  time.Duration // a day may still change until this long after its end
}

// sightOf returns the sight of a run.
func sightOf(c archiver.Config, now time.Time) sight {
	from := c.Span.From
	return sight{
		partial: c.Filter != (fetcher.Filter{}) || c.Shard.Count > 1,
		catchUp: c.Span.CatchUp,
		from:    time.Date(from.Year(), from.Month(), from.Day(), from.Hour(), from.Minute(), from.Second(), 0, c.Zone),
		toToday: !c.Span.To.Before(endOfDay(fetcher.Wall(now, c.Zone))),
		settle:  c.Settle,
	}
}

// whole reports whether the run sees all that may wait: from the oldest day of which earlier runs knew, and from the
// days that had not settled when one of them had seen all, until today.
func (s sight) whole(kept metrics.Kept) bool {
	since := kept.OldestWaiting
	if !kept.LastFinished.IsZero() {
		since = earliest(since, kept.LastFinished.Add(-s.settle-24*time.Hour))
	}
	return !s.partial && (s.catchUp || since.IsZero() || s.toToday && !s.from.After(since))
}

// monitor reads who is told. A dry run tells nobody: it archives nothing, and would look like a success.
func (r *reader) monitor(rules purgeRules, seen sight) monitor {
	m := monitor{rules: rules, sight: seen, pingOn: map[int]int{}}
	if r.isSet("metrics-file") {
		m.file = r.text("metrics-file")
		if err := metrics.CheckFile(m.file); err != nil {
			r.fail(r.values["metrics-file"].origin, "give a file like convoso.prom in node_exporter's folder", "%v", err)
			m.file = ""
		}
	}
	if r.isSet("ping-url") {
		var err error
		if m.pingURL, err = ping.ParseURL(r.text("ping-url")); err != nil {
			r.fail(r.values["ping-url"].origin, "write it like https://hc-ping.com/UUID", "%v", err)
		}
	}
	for _, pair := range r.list("ping-on") {
		from, to, found := strings.Cut(pair, "=")
		code, err := strconv.ParseUint(from, 10, 8)
		told, errTold := strconv.ParseUint(to, 10, 8)
		if !found || err != nil || errTold != nil {
			r.fail(r.values["ping-on"].origin, "write it like 3=0", "it is not two exit codes")
			continue
		}
		m.pingOn[int(code)] = int(told)
	}
	if r.toggle("dry-run") {
		return monitor{}
	}
	return m
}

// begin tells that a run begins, or is about to fail for its settings.
func (m *monitor) begin(ctx context.Context, p *process) {
	m.logger, m.started = p.logger, time.Now()
	if m.pingURL != nil {
		p.screen.hide(m.pingURL.String())
		m.pinger = ping.Start(ctx, m.pingURL, thisBuild().userAgent(), m.logger)
	}
}

// follow keeps the file of metrics up to date until the returned function is called. It begins when the archive is open:
// while another run holds the archive, the file is that run's.
func (m *monitor) follow(run *archiver.Archiver, client *fetcher.Client) (stop func()) {
	if m.file == "" {
		return func() {}
	}
	m.write(archiver.Summary{}, nil)
	look := func(time.Time) {
		if skew, known := client.ClockSkew(); known {
			m.skew = &skew
		}
		summary := run.Summary()
		countRequests(&summary, client, 0)
		m.write(summary, nil)
	}
	stopLooking := poll(linesEvery, look)
	return func() {
		stopLooking()
		look(time.Now())
	}
}

// end tells how the run ended.
func (m *monitor) end(ctx context.Context, s archiver.Summary, code int) {
	if m.file != "" && s.ExitCode != ExitLocked { // else the file is the other run's
		m.write(s, &code)
	}
	if m.pinger != nil {
		told, mapped := m.pingOn[code]
		if !mapped {
			told = code
		}
		m.pinger.End(ctx, told, pingBody(s, ping.MaxBody))
	}
}

// write writes the file; the code is nil while the run is at work.
func (m *monitor) write(s archiver.Summary, code *int) {
	if !m.hasKept {
		var err error
		if m.kept, err = metrics.ReadKept(m.file); err != nil {
			m.logger.Warn("cannot read the metrics of earlier runs; counters start again", "err", err)
		}
		m.hasKept = true
	}
	run := runMetrics(m.kept, s, m.rules, m.sight, time.Now(), code)
	run.Name, run.Started, run.ClockSkew = metrics.NameOf(m.file), m.started, m.skew
	run.Build = metricsBuild()
	if err := metrics.WriteFile(m.file, run.Text()); err != nil {
		m.logger.Warn("cannot write the metrics file; the run continues", "err", err)
	}
}

func metricsBuild() metrics.Build {
	b := thisBuild()
	return metrics.Build{Version: b.Version, Go: b.Go}
}

// runMetrics makes metrics of what was done so far, and of what earlier runs left. The code is nil while the run is at
// work.
func runMetrics(kept metrics.Kept, s archiver.Summary, rules purgeRules, seen sight, now time.Time, code *int) metrics.Run {
	m := metrics.Run{
		LastSuccess: kept.LastSuccess, LastFinished: kept.LastFinished,
		Recordings: map[string]int{
			"archived": s.Archived, "known": s.Known, "pending": s.Pending, "failed": s.Failed, "rejected": s.Rejected,
			"lost": s.Lost, "given_up": s.GivenUp,
		},
		Counters: metrics.Counters{
			APIRequests: kept.APIRequests + float64(s.APIRequests), MediaRequests: kept.MediaRequests + float64(s.MediaRequests),
			Refusals: kept.Refusals + float64(s.Refusals), Bytes: kept.Bytes + float64(s.Bytes),
		},
	}
	unsettled := 0
	for _, day := range s.OpenDays {
		if !day.Settled {
			unsettled++
		}
	}
	m.Dates = map[string]int{
		"closed": s.DaysSkipped + s.DaysClosed + s.DaysWhole, "open": len(s.OpenDays) - unsettled, "unsettled": unsettled, "not_begun": s.DaysNotBegun,
	}
	m.OldestWaiting, m.PurgeDeadline = waitingSince(s.OpenDays, rules, now)
	whole := seen.whole(kept)
	if !whole || code == nil || s.Stopped != "" || *code != ExitDone && *code != ExitIncomplete { // it does not know of all that waits
		m.OldestWaiting, m.PurgeDeadline = earliest(m.OldestWaiting, kept.OldestWaiting), earliest(m.PurgeDeadline, kept.PurgeDeadline)
	}
	if code == nil {
		return m
	}
	m.Ended, m.ExitCode = now, *code
	switch {
	case whole && *code == ExitDone:
		m.LastSuccess, m.LastFinished = now, now
	case whole && *code == ExitIncomplete:
		m.LastFinished = now
	}
	return m
}

// waitingSince returns the start of the oldest day that holds, or may hold, recordings that are not archived, and when
// the vendor begins to delete one of them: of days that it has begun with, it is too late to warn.
func waitingSince(days []archiver.OpenDay, rules purgeRules, now time.Time) (oldest, deadline time.Time) {
	for _, day := range days {
		start, err := time.ParseInLocation(time.DateOnly, day.Day, rules.zone)
		if err != nil || day.Waiting == 0 && !day.Unreadable && (!day.Settled || day.Excused) {
			continue
		}
		oldest = earliest(oldest, start)
		if goes := start.Add(rules.purgeAfter); goes.After(now) {
			deadline = earliest(deadline, goes)
		}
	}
	return oldest, deadline
}

// earliest returns the earlier of two times, of which one or both may be unknown.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// pingBody is the summary as stdout has it, with its lists shortened where it is longer than a service keeps.
func pingBody(s archiver.Summary, limit int) []byte {
	s = withLists(s)
	for {
		var body bytes.Buffer
		if err := json.NewEncoder(&body).Encode(s); err != nil {
			return nil // counts, texts and times can always be encoded
		}
		switch {
		case body.Len() <= limit:
			return body.Bytes()
		case len(s.OpenDays)+len(s.Warnings) > 0:
			s.OpenDays, s.Warnings = s.OpenDays[:len(s.OpenDays)/2], s.Warnings[:len(s.Warnings)/2]
		case s.Error != "":
			s.Error = ""
		default:
			return nil
		}
	}
}
