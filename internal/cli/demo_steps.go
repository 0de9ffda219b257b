// Runs the steps of the demo, each of which runs another command on the simulator and shows its
// result.

package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/fetcher/convosotest"
)

// demo is one demonstration.
type demo struct {
	process    *process
	server     *convosotest.Server
	folder     string
	talk       output
	withFaults bool
	serves     bool // the page, with the simulator running
	days       int

	first, last fetcher.Date
	archiveJob  *archiveJob
	verifyJob   *verifyJob
	reportJob   *reportJob

	// The flags of these jobs as shown, each followed by its value.
	archiveFlags, verifyFlags, reportFlags []string

	steps       []demoStep
	same, total int     // recordings on disk that match the source, and all recordings of the source
	result      outcome // of the first step that went wrong
}

// demoStep is one command that the demo ran.
type demoStep struct {
	Command   string   `json:"command"`
	Arguments []string `json:"arguments"` // as typed
	ExitCode  int      `json:"exit_code"`
	Result    any      `json:"result"` // the JSON object of that command, null where there is none
}

// demoDocument is the JSON output of the demo.
type demoDocument struct {
	ExitCode   int        `json:"exit_code"`
	Error      string     `json:"error,omitempty"`
	Dest       string     `json:"dest"`
	Recordings int        `json:"recordings"` // number in the simulated account
	Identical  int        `json:"identical"`  // of these, stored with the same SHA-256 as the source
	Steps      []demoStep `json:"steps"`
}

// readJobs parses the flags like the commands do, so that the demo runs what it shows. Only the
// state folder is not shown, because users do not need one.
func (d *demo) readJobs(state string) error {
	d.verifyFlags = []string{"--dest", d.folder}
	d.reportFlags = append(slices.Clip(d.verifyFlags), "--start-time", string(d.first), "--end-time", string(d.last))
	d.archiveFlags = append(slices.Clip(d.reportFlags),
		"--api-url", d.server.APIURL(), "--allow-host", d.server.MediaURL(), "--api-rate", "0", "--media-rate", "0")

	now, env := time.Now(), d.process.env
	forArchive := readPairs(archiveSettings(), append(slices.Clip(d.archiveFlags), "--state-dir", state))
	d.archiveJob = forArchive.archiveJob(now, env, runtime.GOOS)
	d.archiveJob.token = fetcher.Secret(d.server.Token())
	forVerify := readPairs(verifyKnown(), d.verifyFlags)
	d.verifyJob = forVerify.verifyJob(now, env)
	forReport := readPairs(reportKnown(), d.reportFlags)
	d.reportJob = forReport.reportJob(now, env)
	return errors.Join(forArchive.err, forVerify.err, forReport.err)
}

// readPairs returns a reader of alternating flags and values.
func readPairs(settings []setting, pairs []string) *reader {
	flags := values{}
	for pair := range slices.Chunk(pairs, 2) {
		flags[strings.TrimPrefix(pair[0], "--")] = given{items: pair[1:], origin: pair[0], source: onCommandLine}
	}
	return &reader{settings: settings, values: flags}
}

// show runs the commands one after the other. It returns a failed outcome if it ended early.
func (d *demo) show(ctx context.Context) outcome {
	d.introduce()
	if d.withFaults {
		if stop := d.showFaults(ctx); cannotGoOn(stop) {
			return stop
		}
	}
	result := d.archive(ctx, "list the calls and store every recording")
	if cannotGoOn(result) {
		return result
	}
	d.keep(result)
	if err := d.compare(); err != nil {
		return judge(err, nil, false)
	}
	for _, step := range []func(context.Context) outcome{d.verify, d.report} {
		if result = step(ctx); cannotGoOn(result) {
			return result
		}
		d.keep(result)
	}
	d.say("%s", d.whereThingsAre())
	return outcome{}
}

// showFaults makes the first run of a demo with faults, which is incomplete on purpose.
func (d *demo) showFaults(ctx context.Context) outcome {
	d.say("Some downloads fail at first, or return something that is not a recording. The program retries\n" +
		"each of them a few times, which takes about ten seconds.\n")
	if result := d.archive(ctx, "list the calls and store every recording that downloads"); cannotGoOn(result) {
		return result
	}
	d.say("failed downloads were not stored, and their days stay open\n")
	if result := d.report(ctx); cannotGoOn(result) {
		return result
	}
	d.server.ClearFaults()
	d.say("The simulator now works again. The same command downloads only the missing recordings.\n")
	return outcome{}
}

// keep stores the first failure as the result of the demo.
func (d *demo) keep(result outcome) {
	if d.result.code == ExitDone {
		d.result = result
	}
}

// cannotGoOn distinguishes a step that failed to run from one that found problems.
func cannotGoOn(o outcome) bool {
	return o.code != ExitDone && o.code != ExitIncomplete && o.code != ExitDamaged
}

func (d *demo) archive(ctx context.Context, about string) outcome {
	d.announce("archive", about, d.archiveFlags)
	if !d.talk.json {
		return d.spaced(d.process.archive(ctx, d.archiveJob, d.talk, nil))
	}
	summary, result := d.process.archiveJob(ctx, d.archiveJob, d.talk, nil)
	return d.noted(withLists(summary), result)
}

func (d *demo) verify(ctx context.Context) outcome {
	d.announce("verify", "read every stored recording again and compare it with the manifest", d.verifyFlags)
	if !d.talk.json {
		return d.spaced(d.process.verify(ctx, d.verifyJob, d.talk, nil))
	}
	summary, _, result := d.process.verifyJob(ctx, d.verifyJob, d.talk, nil)
	return d.noted(summary, result)
}

func (d *demo) report(ctx context.Context) outcome {
	d.announce("report", "is everything of these days there?", d.reportFlags)
	if !d.talk.json {
		return d.spaced(d.process.report(ctx, d.reportJob, nil))
	}
	made, result := reportOn(ctx, d.reportJob, nil)
	if made == nil {
		return d.noted(nil, result)
	}
	return d.noted(made, result)
}

// demoInPipe is the width of command lines without a terminal.
const demoInPipe = 100

// announce prints the heading of a step.
func (d *demo) announce(command, about string, flags []string) {
	d.steps = append(d.steps, demoStep{Command: command, Arguments: flags})
	text, width := program+" "+command, cmp.Or(d.process.stdout.width, demoInPipe)
	for flag := range slices.Chunk(flags, 2) {
		text += " " + flag[0] + " " + shellWord(flag[1])
	}
	text = "  " + strings.ReplaceAll(foldCommand(text, width-2), "\n", "\n  ")
	d.say("== %s: %s\n%s\n", command, about, text)
}

// shellWord quotes a folder's name that a shell would split.
func shellWord(word string) string {
	if strings.ContainsAny(word, " \t'\"$&;()<>|*?[]#~`!{}") {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

// noted records the result of a step for the JSON output.
func (d *demo) noted(result any, o outcome) outcome {
	step := &d.steps[len(d.steps)-1]
	step.ExitCode, step.Result = o.code, result
	return o
}

// spaced ends a step in text with a blank line.
func (d *demo) spaced(o outcome) outcome {
	d.say("")
	return o
}

// say writes to stdout: in a demo, the explanation is the result.
func (d *demo) say(format string, args ...any) {
	if !d.talk.json {
		_ = writeText(d.process.stdout, fmt.Sprintf(format+"\n", args...)) // stdout stores the error
	}
}

func (d *demo) introduce() {
	calls := 0
	for range d.server.Calls() {
		calls++
	}
	for range d.server.Recordings() {
		d.total++
	}
	d.say("A simulated account with %s, %s and %s.\n", plural(d.days, "day"), plural(calls, "call"), plural(d.total, "recording"))
}

// compare compares the folder with the simulator, which no command can do.
func (d *demo) compare() error {
	stored, err := hashFiles(d.folder)
	if err != nil {
		return fmt.Errorf("compare the folder with the simulator: %w", err)
	}
	for recording := range d.server.Recordings() {
		if sum := recording.SHA256(); stored[sum] > 0 {
			stored[sum]--
			d.same++
		}
	}
	d.say("%s of %s recordings on disk have the same SHA-256 as in the simulator\n", thousands(int64(d.same)), thousands(int64(d.total)))
	if d.same != d.total && d.result.code == ExitDone {
		return errors.New("some recordings on disk differ from the simulator's")
	}
	return nil
}

// writeJSON writes the demo as one JSON object.
func (d *demo) writeJSON() error {
	document := demoDocument{
		ExitCode: d.result.code, Dest: d.folder, Recordings: d.total, Identical: d.same, Steps: d.steps,
	}
	if d.result.line != "" {
		document.Error = d.process.screen.hidden(oneLine(d.result.line))
	}
	return json.NewEncoder(d.process.stdout).Encode(document)
}

func (d *demo) whereThingsAre() string {
	next := "run the demo with --faults to see failures and recovery"
	if d.withFaults {
		next = "look into the manifest: recordings that failed have two lines, the later one archived"
	}
	day := string(d.first)
	segment := func(tree string) string { return filepath.Join(d.folder, tree, day, "*.jsonl") }
	return fmt.Sprintf(`== where things are
  %s
      the recordings, playable at once
  %s
      the outcome of each recording of that day
  %s
      the line that closes the day, with its counts
  %s
      the calls of that day as the API listed them, without links

== what to try next
  find and hear these calls in a browser:
    %s serve --dest %s
  %s
  %s
  archive your own account, the last seven days of it:
    CONVOSO_AUTH_TOKEN=... %s archive --dest recordings --last 7d`,
		d.folder+string(filepath.Separator), segment("manifest"), filepath.Join(d.folder, "manifest", day, "closed.json"), segment("calls"),
		program, shellWord(d.folder), next, d.archiveYourself(), program)
}

// archiveYourself prints how to archive from the simulator.
func (d *demo) archiveYourself() string {
	if !d.serves {
		return "archive a simulated account yourself (the one of this demo has ended):\n    " + program + " demo --serve --days 28"
	}
	own := d.folder + "-of-mine"
	const week, perSecond = 7, 10 // perSecond is the default of --media-rate
	least := time.Duration(d.total) * time.Second / perSecond
	return "archive this simulated account yourself: run this in another terminal before you press Ctrl-C here:\n" +
		"    CONVOSO_AUTH_TOKEN=" + d.server.Token() + " " + program + " archive --dest " + shellWord(own) + fmt.Sprintf(" --last %dd \\\n", max(week, d.days)) +
		"      --api-url " + d.server.APIURL() + " --allow-host " + d.server.MediaURL() + "\n" +
		"  this run takes at least " + durationText(least) + " at the default --media-rate; the demo had no limits"
}

// serve shows the archive as a web page until it is told to stop.
func (d *demo) serve(ctx context.Context, state string) outcome {
	job := readPairs(withArchiveKeys(serveSettings()), []string{"--dest", d.folder, "--state-dir", state, "--listen", "127.0.0.1:0"})
	page := job.serveJob(time.Now(), d.process.env)
	if job.err != nil {
		return judge(job.err, nil, false)
	}
	d.say("\n== serve: open this page in a browser; Ctrl-C ends the demo")
	return served(d.process.serve(ctx, page), context.Cause(ctx))
}
