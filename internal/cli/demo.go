package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/fetcher/convosotest"
)

const (
	demoFolder = "convoso-demo"
	demoDays   = 3
	demoCalls  = 120 // of each day
	// demoAge is how many days ago the last day of the demo is: further back than a
	// day needs to settle, so that every day can be closed.
	demoAge = 4
)

func demoSettings() []setting {
	settings := []setting{
		{name: "dest", placeholder: "FOLDER", usage: "folder to archive into; it must be new or empty (default: " + demoFolder + ", or the next free name)"},
		{name: "faults", kind: toggle, usage: "let downloads fail in a first run, and show how a second one recovers"},
	}
	for _, s := range outputSettings() {
		if s.name == "log-level" || s.name == "log-format" {
			settings = append(settings, setting{name: s.name, placeholder: s.placeholder, usage: s.usage, standard: s.standard, choices: s.choices})
		}
	}
	for i := range settings {
		settings[i].flagOnly = true // a demo must never reach a real destination by a variable
		if settings[i].name == "log-level" {
			settings[i].standard, settings[i].usage = "error", "least level of log lines"
		}
	}
	return settings
}

func demoCommand() command {
	return command{
		name:  "demo",
		usage: "archive a simulated account into a folder; needs no account and no settings",
		about: `Starts a simulator of the vendor's API on loopback with a few days of calls, archives them with
the same code as the archive command, compares every stored file with its source, and says
where things are. Variables and configuration files are not read.`,
		examples: []example{
			{"see it work", "convoso-archiver demo"},
			{"see it fail and recover", "convoso-archiver demo --faults"},
		},
		settings: demoSettings(),
		run:      runDemo,
	}
}

// demo is one demonstration.
type demo struct {
	process *process
	server  *convosotest.Server
	folder  string
	job     *archiveJob
	talk    output
}

func runDemo(ctx context.Context, p *process, in input) outcome {
	read := &reader{settings: demoSettings(), values: in.flags}
	talk := output{logLevel: read.choice("log-level"), format: read.choice("log-format")}
	withFaults := read.toggle("faults")
	wanted := read.text("dest")
	if read.err != nil {
		return judge(read.err, nil, false)
	}
	folder, err := chooseDemoFolder(wanted)
	if err != nil {
		return judge(err, nil, false)
	}
	state, err := os.MkdirTemp("", program+"-demo-*")
	if err != nil {
		return judge(fmt.Errorf("make a temporary folder: %w", err), nil, false)
	}
	result := p.demonstrate(ctx, folder, state, talk, withFaults)
	if err := os.RemoveAll(state); err != nil && result.code == ExitDone {
		return judge(fmt.Errorf("remove a temporary folder: %w", err), nil, false)
	}
	return result
}

// demonstrate starts the simulator and archives it, with state as the state folder.
func (p *process) demonstrate(ctx context.Context, folder, state string, talk output, withFaults bool) outcome {
	config := convosotest.Config{
		Seed: 1, Days: demoDays, CallsPerDay: demoCalls, RecordedShare: 0.25, SeveralShare: 0.1,
		MedianSize: 24_000, MaxSize: 200_000,
		MediaLatency: 5 * time.Millisecond,
	}
	if withFaults {
		config.MediaFaults = map[convosotest.Fault]int{
			convosotest.FaultServer: 2, convosotest.FaultShort: 2, convosotest.FaultReset: 1,
			convosotest.FaultHTML: 2, convosotest.FaultNotFound: 2,
		}
	}
	zone, err := time.LoadLocation("America/Los_Angeles") // the simulator's
	if err != nil {
		return judge(fmt.Errorf("load the simulator's zone: %w", err), nil, false)
	}
	last := fetcher.DateOf(fetcher.Wall(time.Now(), zone)).AddDays(-demoAge)
	first := last.AddDays(1 - demoDays)
	config.FirstDay = string(first)
	server, err := convosotest.New(config)
	if err != nil {
		return judge(fmt.Errorf("make the simulator: %w", err), nil, false)
	}
	if err := server.Start(); err != nil {
		return judge(fmt.Errorf("start the simulator on loopback: %w", err), nil, false)
	}
	defer server.Close() // it holds nothing that could be lost
	d := &demo{process: p, server: server, folder: folder, talk: talk}
	if err := d.readJob(first, last, state, zone); err != nil {
		return judge(err, nil, false)
	}
	return d.show(ctx, withFaults)
}

// chooseDemoFolder returns a folder that a demo may fill. It is not made here.
func chooseDemoFolder(wanted string) (string, error) {
	if wanted != "" {
		if taken, err := holdsSomething(wanted); err != nil {
			return "", misuse("give another --dest", "look into the folder: %v", err)
		} else if taken {
			return "", misuse("give a new or an empty folder", "--dest holds something already")
		}
		return wanted, nil
	}
	const mostTries = 100
	for i := 1; i <= mostTries; i++ {
		name := demoFolder
		if i > 1 {
			name = fmt.Sprintf("%s-%d", demoFolder, i)
		}
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
	}
	return "", misuse("remove some of them, or give --dest", "%s to %s-%d are all there", demoFolder, demoFolder, mostTries)
}

func holdsSomething(folder string) (bool, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return len(entries) > 0, err
}

// readJob goes the way of archive's own flags, so that the demo runs what archive
// runs.
func (d *demo) readJob(first, last fetcher.Date, state string, zone *time.Location) error {
	flags := values{}
	for name, value := range map[string]string{
		"dest": d.folder, "state-dir": state, "time-zone": zone.String(),
		"start-time": string(first), "end-time": string(last),
		"api-url": d.server.APIURL(), "allow-host": d.server.MediaURL(), "api-rate": "0", "media-rate": "0",
	} {
		flags[name] = given{items: []string{value}, origin: "--" + name, byFlag: true}
	}
	read := &reader{settings: archiveSettings(), values: flags}
	d.job = read.archiveJob(time.Now(), d.process.env, runtime.GOOS)
	d.job.token = fetcher.Secret(d.server.Token())
	return read.err
}

func (d *demo) show(ctx context.Context, withFaults bool) outcome {
	d.say("%s", d.introduction())
	if withFaults {
		d.say("first run: some downloads fail, or bring something that is no recording; each failure is tried\n" +
			"again a few times, which takes about ten seconds\n")
		result := d.archive(ctx)
		if result.code == ExitInterrupted || result.code == ExitTerminated || result.code == ExitFailed {
			return result
		}
		d.say("exit code %d: what failed was not stored, and its days stay open\n", result.code)
		d.server.ClearFaults()
		d.say("second run: the same command, and the source is well again\n")
	}
	result := d.archive(ctx)
	if result.code != ExitDone {
		return result
	}
	same, total, err := d.compare()
	if err != nil {
		return judge(fmt.Errorf("compare the folder with the simulator: %w", err), nil, false)
	}
	d.say("exit code 0; %d of %d recordings on disk have the SHA-256 of their source\n", same, total)
	if same != total {
		return judge(errors.New("some recordings on disk differ from their source"), nil, false)
	}
	d.say("%s", d.whereThingsAre(withFaults))
	return outcome{}
}

func (d *demo) archive(ctx context.Context) outcome {
	result := d.process.archive(ctx, d.job, d.talk, nil)
	d.say("")
	return result
}

// say writes to stdout: in a demo the explanation is the result.
func (d *demo) say(format string, args ...any) {
	// A reader that went away does not stop the demo from being one.
	_, _ = fmt.Fprintf(d.process.stdout, format+"\n", args...)
}

func (d *demo) introduction() string {
	calls, recordings := 0, 0
	for range d.server.Calls() {
		calls++
	}
	for range d.server.Recordings() {
		recordings++
	}
	span := d.job.config.Span
	return fmt.Sprintf(`a simulated account with %s, %s and %s; this demo runs
  %s archive --dest %s --start-time %s --end-time %s \
    --api-url %s --allow-host %s --api-rate 0 --media-rate 0
`, plural(demoDays, "day"), plural(calls, "call"), plural(recordings, "recording"),
		program, d.folder, fetcher.DateOf(span.From), fetcher.DateOf(span.To), d.server.APIURL(), d.server.MediaURL())
}

// compare counts the recordings of the simulator whose very bytes are on disk.
func (d *demo) compare() (same, total int, err error) {
	stored, err := hashFiles(d.folder)
	if err != nil {
		return 0, 0, err
	}
	for recording := range d.server.Recordings() {
		total++
		if sum := recording.SHA256(); stored[sum] > 0 {
			stored[sum]--
			same++
		}
	}
	return same, total, nil
}

// hashFiles counts the recordings below a folder by their SHA-256.
func hashFiles(folder string) (map[string]int, error) {
	root := os.DirFS(folder)
	sums := map[string]int{}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := path.Base(name); name != "." && (strings.HasPrefix(base, ".") || name == "manifest" || name == "calls") {
				return fs.SkipDir
			}
			return nil
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close() // read only
		hash := sha256.New()
		if _, err := io.Copy(hash, f); err != nil {
			return err
		}
		sums[hex.EncodeToString(hash.Sum(nil))]++
		return nil
	})
	return sums, err
}

func (d *demo) whereThingsAre(sawFaults bool) string {
	next := "run the demo with --faults to see failures and recovery"
	if sawFaults {
		next = "look into the manifest: recordings that failed have two lines, the later one archived"
	}
	day := string(fetcher.DateOf(d.job.config.Span.From)) + ".jsonl"
	return fmt.Sprintf(`where things are
  %s
      the recordings, playable at once
  %s
      what became of each recording of that day; the last line closes the day
  %s
      the calls of that day as the API listed them, without links

next
  %s
  archive your own account, the last seven days of it:
    CONVOSO_AUTH_TOKEN=... %s archive --dest recordings --last 7d`,
		d.folder+string(filepath.Separator), filepath.Join(d.folder, "manifest", day), filepath.Join(d.folder, "calls", day), next, program)
}
