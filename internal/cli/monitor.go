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

// monitor reports the start, progress and end of a run to the metrics file and the ping service. Failures to report
// are warnings and never affect the run. The zero value reports nothing.
type monitor struct {
	file    string      // of metrics, "" for none
	pingURL *url.URL    // nil for none
	pingOn  map[int]int // maps exit codes to reported ones
	rules   purgeRules
	sight   sight

	logger  *slog.Logger
	started time.Time
	kept    metrics.Kept
	hasKept bool // kept was read
	skew    *time.Duration
	pinger  *ping.Pinger
}

// purgeRules determine when the vendor deletes a day's audio.
type purgeRules struct {
	zone       *time.Location
	purgeAfter time.Duration
}

// sight is the range of days that a run covers. A run resets the metrics of waiting recordings only if it
// has seen all days that may have some.
type sight struct {
	partial bool          // with a filter, or a shard
	catchUp bool          // including days that earlier runs left open
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

// whole reports whether the run covers all days that may have waiting recordings: from the oldest such day known to
// earlier runs, and from the days unsettled when one of them was complete, until today.
func (s sight) whole(kept metrics.Kept) bool {
	since := kept.OldestWaiting
	if !kept.LastFinished.IsZero() {
		since = earliest(since, kept.LastFinished.Add(-s.settle-24*time.Hour))
	}
	return !s.partial && (s.catchUp || since.IsZero() || s.toToday && !s.from.After(since))
}

// monitor reads the settings. A dry run reports nothing, because it archives nothing and would look like
// a success.
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

// begin reports that a run starts, or will fail because of its settings.
func (m *monitor) begin(ctx context.Context, p *process) {
	m.logger, m.started = p.logger, time.Now()
	if m.pingURL != nil {
		p.screen.hide(m.pingURL.String())
		m.pinger = ping.Start(ctx, m.pingURL, thisBuild().userAgent(), m.logger)
	}
}

// follow updates the metrics file until the returned function is called. It starts when the archive is open: while
// another run holds the archive, the file belongs to that run.
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

// end reports the result of the run.
func (m *monitor) end(ctx context.Context, s archiver.Summary, code int) {
	if m.file != "" && s.ExitCode != ExitLocked { // otherwise the file belongs to the other run
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

// write writes the file; the code is nil during the run.
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

// runMetrics makes metrics of the work so far, and of what earlier runs left. The code is nil during the run.
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
	if !whole || code == nil || s.Stopped != "" || *code != ExitDone && *code != ExitIncomplete { // it has not seen all waiting recordings
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

// waitingSince returns the start of the oldest day that has, or may have, unarchived recordings, and when the vendor
// starts to delete one of them. It skips days whose deletion has already started, because a warning would be too late.
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

// pingBody returns the summary as on stdout, with shortened lists if it exceeds the limit of a service.
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
