// Package metrics writes what a run did, and what an archive holds, as Prometheus text.
//
// It writes the text directly: it has a dozen names, HELP and TYPE once for each, and no timestamps,
// because node_exporter skips files with timestamps. A metric contains counts and times, never a
// name, a number or an id.
package metrics

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Build identifies the program.
type Build struct {
	Version string
	Go      string // version of Go that built it
}

// Run has the data of a run of archive. A zero time is unknown, and gets no line.
type Run struct {
	// Name distinguishes the file from others in its folder: duplicate series there would
	// invalidate both.
	Name  string
	Build Build

	Started  time.Time
	Ended    time.Time // zero while it runs
	ExitCode int       // of a finished run

	LastSuccess  time.Time // end of the last run with exit code 0
	LastFinished time.Time // end of the last run with exit code 0 or 3

	Recordings    map[string]int // by outcome
	Dates         map[string]int // by state
	OldestWaiting time.Time      // start of the oldest day with unarchived recordings
	PurgeDeadline time.Time      // when the vendor starts to delete waiting recordings, known or possible

	ClockSkew *time.Duration // how far this machine's clock is ahead of the API's; nil if unknown

	Counters // of this run and all earlier ones
}

// Counters only grow from run to run, while the file exists.
type Counters struct {
	APIRequests   float64
	MediaRequests float64
	Refusals      float64 // answers that asked to slow down
	Bytes         float64 // stored
}

// Archive has the data of an archive.
type Archive struct {
	Build         Build
	LastLine      time.Time      // time of its newest line
	Recordings    map[string]int // by outcome
	Dates         map[string]int // by state
	OldestWaiting time.Time      // like in Run
	PurgeDeadline time.Time      // like in Run
}

// Names of all metrics start with this.
const prefix = "convoso_archiver_"

// Text returns the metrics of a run. It is a pure function.
func (r Run) Text() string {
	w := &writer{own: label("archive", r.Name)}
	w.build(r.Build)
	running := 1.0
	if !r.Ended.IsZero() {
		running = 0
	}
	w.gauge("running", "Whether a run is in progress: 1 or 0. It stays 1 when the run is killed.", sample{"", running})
	w.time("last_run_timestamp_seconds", "When the last run began.", r.Started)
	if !r.Ended.IsZero() {
		w.gauge("last_run_exit_code", "Exit code of the last run; absent while it runs.", sample{"", float64(r.ExitCode)})
		w.gauge("last_run_duration_seconds", "How long the last run took; absent while it runs.", sample{"", r.Ended.Sub(r.Started).Seconds()})
	}
	w.time("last_success_timestamp_seconds", "When the last run with exit code 0 ended.", r.LastSuccess)
	w.time("last_finished_timestamp_seconds", "When the last run with exit code 0 or 3 ended.", r.LastFinished)
	w.state(r.Recordings, r.Dates, r.OldestWaiting, r.PurgeDeadline)
	if r.ClockSkew != nil {
		w.gauge("clock_skew_seconds", "How far the clock of this machine is ahead of the API's clock.", sample{"", r.ClockSkew.Seconds()})
	}
	w.family("requests_total", "counter", "Requests to the vendor, by all runs.",
		sample{label("host_kind", "api"), r.APIRequests}, sample{label("host_kind", "media"), r.MediaRequests})
	w.family("refusals_total", "counter", "Answers of the vendor that asked to slow down.", sample{"", r.Refusals})
	w.family("bytes_stored_total", "counter", "Bytes of recordings stored by all runs.", sample{"", r.Bytes})
	return w.text.String()
}

// Text returns the metrics of an archive. It is a pure function.
func (a Archive) Text() string {
	w := &writer{}
	w.build(a.Build)
	w.time("last_line_timestamp_seconds", "When the newest line of the archive was written.", a.LastLine)
	w.state(a.Recordings, a.Dates, a.OldestWaiting, a.PurgeDeadline)
	return w.text.String()
}

// writer writes families of metrics.
type writer struct {
	own  string // common label of each series, "" for none
	text strings.Builder
}

type sample struct {
	labels string
	value  float64
}

func (w *writer) build(b Build) {
	w.gauge("build_info", "The program that wrote this; always 1.", sample{label("version", b.Version) + "," + label("goversion", b.Go), 1})
}

func (w *writer) state(recordings, dates map[string]int, oldest, deadline time.Time) {
	w.counts("recordings", "outcome", "Recordings by outcome: in a file of archive those of its last run, from serve those of the whole archive.", recordings)
	w.counts("dates", "state", "Call days by state: in a file of archive those of its last run, from serve those of the whole archive.", dates)
	w.time("oldest_waiting_timestamp_seconds", "Start of the oldest call day with recordings that are not archived yet.", oldest)
	w.time("purge_deadline_timestamp_seconds", "When the vendor starts to delete recordings that are not archived yet.", deadline)
}

// counts writes a gauge with a series for each name.
func (w *writer) counts(name, by, help string, counts map[string]int) {
	var samples []sample
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		samples = append(samples, sample{label(by, key), float64(counts[key])})
	}
	w.gauge(name, help, samples...)
}

func (w *writer) time(name, help string, t time.Time) {
	if !t.IsZero() {
		w.gauge(name, help, sample{"", float64(t.Unix())})
	}
}

func (w *writer) gauge(name, help string, samples ...sample) {
	w.family(name, "gauge", help, samples...)
}

func (w *writer) family(name, kind, help string, samples ...sample) {
	if len(samples) == 0 {
		return
	}
	fmt.Fprintf(&w.text, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix, name, help, prefix, name, kind)
	for _, s := range samples {
		fmt.Fprintf(&w.text, "%s %s\n", series(name, w.own, s.labels), strconv.FormatFloat(s.value, 'f', -1, 64))
	}
}

// series is a metric's name with its labels, as in the text.
func series(name string, labels ...string) string {
	labels = slices.DeleteFunc(labels, func(l string) bool { return l == "" })
	if len(labels) == 0 {
		return prefix + name
	}
	return prefix + name + "{" + strings.Join(labels, ",") + "}"
}

func label(name, value string) string {
	value = strings.ToValidUTF8(value, "\uFFFD")
	return name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(value) + `"`
}
