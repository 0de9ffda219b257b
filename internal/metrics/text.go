// Package metrics writes what a run did, and what an archive holds, as Prometheus text.
//
// The text is written by hand: it has a dozen names, HELP and TYPE once for each, and no timestamps,
// for which node_exporter skips a whole file. A metric holds counts and times, never a name, a number
// or an id.
package metrics

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Build names the program.
type Build struct {
	Version string
	Go      string // version of Go that built it
}

// Run is what is known of a run of archive. A time that is zero is not known, and has no line.
type Run struct {
	// Name tells the file from others in its folder: the same series twice there would spoil both.
	Name  string
	Build Build

	Started  time.Time
	Ended    time.Time // zero while it runs
	ExitCode int       // of a run that has ended

	LastSuccess  time.Time // end of the last run with exit code 0
	LastFinished time.Time // end of the last run with exit code 0 or 3

	Recordings    map[string]int // by outcome
	Dates         map[string]int // by state
	OldestWaiting time.Time      // start of the oldest day of which something is not archived
	PurgeDeadline time.Time      // when the vendor begins to delete what waits, or may wait

	ClockSkew *time.Duration // by how much this machine's clock is ahead of the API's; nil while not known

	Counters // of this run and all before it
}

// Counters only grow from run to run, as long as the file stays.
type Counters struct {
	APIRequests   float64
	MediaRequests float64
	Refusals      float64 // answers that asked to slow down
	Bytes         float64 // stored
}

// Archive is what an archive holds.
type Archive struct {
	Build         Build
	LastLine      time.Time      // when its newest line was written
	Recordings    map[string]int // by outcome
	Dates         map[string]int // by state
	OldestWaiting time.Time      // as of a Run
	PurgeDeadline time.Time      // as of a Run
}

// Names of all metrics begin with this.
const prefix = "convoso_archiver_"

// Text returns the metrics of a run. It does nothing but compute.
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

// Text returns the metrics of an archive. It does nothing but compute.
func (a Archive) Text() string {
	w := &writer{}
	w.build(a.Build)
	w.time("last_line_timestamp_seconds", "When the newest line of the archive was written.", a.LastLine)
	w.state(a.Recordings, a.Dates, a.OldestWaiting, a.PurgeDeadline)
	return w.text.String()
}

// writer writes families of metrics.
type writer struct {
	own  string // label that each series has, "" for none
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

// series is a metric's name with its labels, as it stands in the text.
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
