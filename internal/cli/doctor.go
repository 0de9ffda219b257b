// Runs the command doctor: collects the facts and prints the checks.

package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"time"

	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/internal/doctor"
)

func doctorCommand() command {
	return command{
		name:  "doctor",
		usage: "check token, clock, time zone, rights, store and configuration, and archive nothing",
		about: `Takes the flags, the environment and the configuration file of archive, and checks everything that archive needs.
Each line shows one check: its state (ok, warning, failed or skipped), the finding, and what to do. doctor reports
all problems at once. --quiet hides the checks that are ok; --json writes one object.

It archives nothing. To test whether a bucket can be written and honours conditional writes, it creates the object
manifest/conditional-write-probe, and removes it if its credentials may; the first run of archive creates the same object. For --ping-url
it tests the connection and TLS, and sends no ping. It ends within a minute even if a server hangs. It needs no
terminal and, with --state-dir, no home folder, so it can run as ExecStartPre= of a systemd service or as an init
container.`,
		examples: []example{
			{"before the first night",
				"convoso-archiver doctor --config /etc/convoso-archiver/nightly.yaml"},
			{"can archive use this bucket?",
				"convoso-archiver doctor --dest s3://my-bucket/calls --last 7d"},
			{"what failed, for other programs",
				"convoso-archiver doctor --config nightly.yaml --json | jq -r '.checks[] | select(.state == \"failed\") | .name'"},
		},
		settings:    archiveSettings(),
		environment: true,
		exitCodes:   true,
		works:       true,
		run:         runDoctor,
	}
}

// facts are the inputs of doctor's checks.
type facts struct {
	settings     []error // mistakes in the settings
	notes        []string
	zone         string
	zoneUnknown  bool
	apiURL       string
	endpoint     string // of the bucket's server
	tokenFrom    string
	tokenErr     error
	tokenNotes   []string
	noConditions bool
	state        *doctor.State // nil if the folder is unknown
	onDisk       bool
	guard        error // why no archive may be started in the folder
	proxies      []proxied
	locked       bool // the settings, given or noted in the archive, lock recordings
	folder       *doctor.Folder
	bucket       *doctor.Bucket
	api          *doctor.API // nil if no request was possible
	media        *doctor.Media
	watched      watched
}

// proxied is a host, and its proxy.
type proxied struct {
	host, proxy string
	readable    bool
}

func runDoctor(ctx context.Context, p *process, in input) outcome {
	settings := archiveSettings()
	merged, err := gather(ctx, settings, in.flags, p.env)
	read := &reader{settings: settings, values: merged}
	talk := read.output()
	p.openLog(talk)
	if in.err != nil { // it is unknown what to check
		return p.tellChecks([]check{brokenBy(ExitUsage, "configuration", in.err, "")}, talk)
	}
	spanless := read.defaultSpan()
	job := read.archiveJob(time.Now(), p.env, runtime.GOOS)
	f := &facts{
		settings: problemsOf(read, err), zone: job.config.Zone.String(), zoneUnknown: !read.isGood("time-zone"), apiURL: job.apiURL,
		tokenFrom: tokenOrigin(merged, p.env), endpoint: cmp.Or(job.bucket.Endpoint, "https://s3.amazonaws.com"), noConditions: job.bucket.NoConditionalWrites, onDisk: job.folder != "",
		notes: append(job.warnings, unknownVariables(settings, p.env)...),
	}
	if spanless {
		f.notes = append(f.notes, "no time range is given, and archive needs one: --last 7d, or --start-time")
	}
	if _, err := key.Parse(job.template); err != nil {
		f.settings = append(f.settings, misuse("see --path-template in archive --help", "--path-template: %v", err))
	}
	job.token, f.tokenErr = readToken(ctx, merged, p.env, func(note string) { f.tokenNotes = append(f.tokenNotes, note) })
	p.screen.hide(job.token.Reveal())
	if job.monitor.pingURL != nil {
		p.screen.hide(job.monitor.pingURL.String())
	}
	f.look(ctx, job, read)
	if context.Cause(ctx) != nil {
		return p.refuse(judge(context.Canceled, context.Cause(ctx), false), talk.json)
	}
	return p.tellChecks(diagnose(f), talk)
}

// defaultSpan sets a span if none is set, and reports that: a file may leave it to the command
// line, and no check depends on it.
func (r *reader) defaultSpan() bool {
	if r.isSet("last") || r.isSet("start-time") || r.isSet("end-time") {
		return false
	}
	r.values["last"] = given{items: []string{"7d"}, origin: "--last"}
	return true
}

// problemsOf returns all mistakes in the settings, or only that of a file without any readable setting.
func problemsOf(read *reader, err error) []error {
	if isAlone(err) {
		return mistakesIn(err)
	}
	for _, p := range read.problems {
		err = errors.Join(err, p.err)
	}
	return mistakesIn(err)
}

func tokenOrigin(v values, env environment) string {
	file, ok := v["auth-token-file"]
	if ok && (file.byFlag() || env[tokenVariable] == "") {
		return file.items[0]
	}
	return tokenVariable
}

// look collects the facts that need more than the settings, all in parallel.
func (f *facts) look(ctx context.Context, job *archiveJob, read *reader) {
	var looks sync.WaitGroup
	if dir := job.stateDir; dir != "" {
		if job.bucket.Bucket != "" {
			dir = cmp.Or(job.location().S3.TempDir, dir)
		}
		looks.Go(func() {
			seen := doctor.LookAtState(ctx, dir)
			f.state = &seen
		})
	}
	switch {
	case !read.isSet("dest") || !read.isGood("dest"):
	case job.folder != "":
		looks.Go(func() {
			seen := doctor.LookAtFolder(ctx, job.folder)
			f.folder = &seen
			if !errors.Is(seen.Err, doctor.ErrHangs) {
				f.guard = checkFolder(job.stateDir, job.folder, job.newArchive)
			}
		})
	case read.isGood("s3-endpoint"):
		f.addProxy(f.endpoint)
		looks.Go(func() {
			seen := doctor.LookAtBucket(ctx, job.bucket, job.locks.look)
			f.locked = job.locks.settings.Mode != store.Unlocked
			f.bucket = &seen
			if seen.Archive.Lost && !job.newArchive {
				f.guard = lostInBucket()
			}
		})
	}
	if job.monitor.file != "" {
		looks.Go(func() { f.watched.lookAtMetrics(ctx, job.monitor.file) })
	}
	if service := job.monitor.pingURL; service != nil {
		f.watched.pingURL = service
		f.addProxy(service.String())
		looks.Go(func() { f.watched.ping = doctor.LookAtPing(ctx, service) })
	}
	if read.isGood("api-url") {
		f.addProxy(job.apiURL)
		f.lookAtVendor(ctx, job, read)
	}
	looks.Wait()
}

// answerTime is the time limit for an answer, and then for each piece of it.
const answerTime = 9 * time.Second

// lookAtVendor sends a request to the API, even without a token, because that shows whether it can
// be reached, and then to the host of recordings.
func (f *facts) lookAtVendor(ctx context.Context, job *archiveJob, read *reader) {
	options := fetcher.Options{
		APIURL: job.apiURL, Token: job.token, Zone: job.config.Zone, AllowHosts: job.allowHosts, PageSize: job.pageSize,
		APIRate: job.apiRate, MediaRate: job.mediaRate, Timeout: answerTime, StallTimeout: answerTime, RetryFor: 1,
		UserAgent: thisBuild().userAgent(), Logger: slog.New(slog.DiscardHandler),
	}
	options.Retry.Tries, options.Retry.Refusals = 1, -1 // the first answer counts
	client, err := fetcher.New(options)
	if err != nil {
		f.settings = append(f.settings, misuse("check --api-url", "%v", err))
		return
	}
	defer client.Close()
	api := doctor.LookAtAPI(ctx, client, job.config.Zone, job.config.Filter)
	f.api = &api
	if read.isGood("allow-host") {
		media := doctor.LookAtMedia(ctx, client, api)
		f.media = &media
		f.addProxy(withScheme(media.Origin))
	}
}

// addProxy notes the proxy of a host.
func (f *facts) addProxy(address string) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return
	}
	proxy, readable := doctor.ProxyOf(address)
	f.proxies = append(f.proxies, proxied{u.Hostname(), proxy, readable})
}

// checkup is the JSON output of doctor.
type checkup struct {
	ExitCode int     `json:"exit_code"`
	Error    string  `json:"error"` // the failed checks, "" for none
	Checks   []check `json:"checks"`
}

// tellChecks writes the checks, and returns their outcome.
func (p *process) tellChecks(checks []check, talk output) outcome {
	o := outcomeOf(checks)
	for i := range checks {
		checks[i].Saw, checks[i].Do = p.screen.hidden(oneLine(checks[i].Saw)), p.screen.hidden(oneLine(checks[i].Do))
	}
	if talk.json {
		o.unwritten = json.NewEncoder(p.stdout).Encode(checkup{ExitCode: o.code, Error: o.line, Checks: checks})
		return o
	}
	for _, c := range withoutSkips(checks) {
		if talk.quiet && c.State == stateOK {
			continue
		}
		line := c.Saw
		if c.Do != "" {
			line += ": " + c.Do
		}
		text := fitted(fmt.Sprintf("%-8s %-18s  %s\n", c.State, c.Name, line), p.stdout.width)
		if colours(p.stdout.base, p.env) {
			text = painted(c.State) + text[len(c.State):]
		}
		if _, o.unwritten = io.WriteString(p.stdout, text); o.unwritten != nil {
			return o
		}
	}
	return o
}

// painted returns a state in red or yellow if something needs to be done.
func painted(state string) string {
	switch state {
	case stateFailed:
		return "\x1b[31m" + state + "\x1b[0m"
	case stateWarning:
		return "\x1b[33m" + state + "\x1b[0m"
	}
	return state
}

// withoutSkips replaces several skipped checks with one line at the end.
func withoutSkips(checks []check) (told []check) {
	var reasons []string
	names := map[string][]string{}
	skipped := 0
	for _, c := range checks {
		if c.State != stateSkipped {
			told = append(told, c)
			continue
		}
		skipped++
		if names[c.Saw] == nil {
			reasons = append(reasons, c.Saw)
		}
		names[c.Saw] = append(names[c.Saw], c.Name)
	}
	if skipped < 2 {
		return checks
	}
	var parts []string
	for _, reason := range reasons {
		parts = append(parts, strings.Join(names[reason], ", ")+" ("+reason+")")
	}
	return append(told, skip(plural(skipped, "check"), strings.Join(parts, "; ")))
}

// outcomeOf returns the exit code of checks, and a line with the failed ones.
func outcomeOf(checks []check) (o outcome) {
	var names []string
	for _, c := range checks {
		if c.State != stateFailed {
			continue
		}
		o.failed = true
		if o.code != ExitUsage { // which takes precedence
			o.code = c.code
		}
		if len(names) == 0 || names[len(names)-1] != c.Name {
			names = append(names, c.Name)
		}
	}
	if o.failed {
		o.line = "failed: " + strings.Join(names, ", ")
	}
	return o
}
