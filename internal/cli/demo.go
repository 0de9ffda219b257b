// The command demo: sets up the simulator and the folder.

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
	"strings"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/fetcher/convosotest"
)

const (
	demoFolder = "convoso-demo"
	demoDays   = 3
	maxDays    = 60  // archiving this many takes a few seconds
	demoCalls  = 120 // of each day
	// demoAge is how many days ago the last day of the demo is: more than a day needs to settle, so
	// that every day can be closed.
	demoAge = 4
)

const groupShow = "WHAT TO SHOW"

func demoSettings() []setting {
	settings := []setting{
		{name: "dest", group: groupShow, placeholder: "FOLDER", usage: "folder for the archive; it must be new or empty (default: " + demoFolder + ", or the next free name)"},
		{name: "days", group: groupShow, placeholder: "N", usage: fmt.Sprintf("number of days with calls, 1 to %d; the last day is yesterday, so the newest days have not settled yet (default: %d settled days)", maxDays, demoDays)},
		{name: "faults", group: groupShow, kind: toggle, usage: "let downloads fail in a first run, and show how a second run recovers"},
		{name: "serve", group: groupShow, kind: toggle, usage: "after these steps, serve the archive as a web page on a free port until Ctrl-C; the simulated account keeps running, so that you can archive it yourself"},
		{name: "json", group: groupOutput, kind: toggle, usage: "write one JSON object to stdout, with the JSON result of each step"},
	}
	for _, s := range outputSettings() {
		if s.name == "log-level" || s.name == "log-format" {
			settings = append(settings, setting{name: s.name, group: groupOutput, placeholder: s.placeholder, usage: s.usage, defaultValue: s.defaultValue, choices: s.choices})
		}
	}
	for i := range settings {
		settings[i].flagOnly = true // a demo must never reach a real destination because of a variable
		if settings[i].name == "log-level" {
			settings[i].defaultValue, settings[i].usage = "error", "minimum level of log messages"
		}
	}
	return settings
}

func demoCommand() command {
	return command{
		name:  "demo",
		usage: "try archive, verify and report on a simulated account; needs no account and no settings",
		about: `Starts a simulator of the vendor's API on this machine with a few days of calls.
Then it runs archive, verify and report on it, compares every stored file with
its source, and prints where everything is. It ignores variables and
configuration files. The simulator ends with the demo. With --serve the
simulator runs until Ctrl-C, and the demo prints the archive command to run on it in another
terminal.

demo exits with the code of the first step that fails. With --faults the first run
is expected to fail; its code counts only if the run could not continue.`,
		examples: []example{
			{"see it work", "convoso-archiver demo"},
			{"see it fail and recover", "convoso-archiver demo --faults"},
			{"search and play four weeks of calls in a browser, and archive them yourself in another terminal",
				"convoso-archiver demo --serve --days 28"},
			{"the exit code of each step, for other programs", "convoso-archiver demo --json | jq -c '.steps[] | [.command, .exit_code]'"},
		},
		settings: demoSettings(),
		works:    true,
		run:      runDemo,
	}
}

func runDemo(ctx context.Context, p *process, in input) outcome {
	err := in.flags.expandHome(demoSettings(), p.env)
	read := newReader(demoSettings(), in.flags, in, err)
	talk := output{logLevel: read.choice("log-level"), format: read.choice("log-format"), json: read.toggle("json")}
	p.openLog(talk)
	withFaults := read.toggle("faults")
	serves := read.toggle("serve")
	days, age := demoDays, demoAge
	if read.isSet("days") {
		days, age = read.whole("days", 1, maxDays), 1
	}
	if serves && talk.json {
		read.keep(misuse("", "use either --serve or --json, not both"))
	}
	wanted := read.text("dest")
	if read.err != nil {
		return p.refuse(judge(read.err, nil, false), talk.json)
	}
	folder, err := chooseDemoFolder(wanted)
	if err != nil {
		return p.refuse(judge(err, nil, false), talk.json)
	}
	state, err := os.MkdirTemp("", program+"-demo-*")
	if err != nil {
		return p.refuse(judge(fmt.Errorf("make a temporary folder: %w", err), nil, false), talk.json)
	}
	d := &demo{process: p, folder: folder, talk: talk, withFaults: withFaults, serves: serves, days: days, steps: []demoStep{}}
	ended := d.start(age)
	if !cannotGoOn(ended) {
		ended = d.run(ctx, state)
	}
	d.keep(ended)
	if serves && !cannotGoOn(ended) {
		d.keep(d.serve(ctx, state))
	}
	if d.server != nil {
		_ = d.server.Close() // nothing can be lost
	}
	if err := os.RemoveAll(state); err != nil {
		d.keep(judge(fmt.Errorf("remove a temporary folder: %w", err), nil, false))
	}
	d.result.counts = nil // of one of its steps
	if talk.json {
		d.result.unwritten = d.writeJSON()
	}
	return d.result
}

// start starts the simulator, whose last day is age days ago. It returns a failed outcome on failure.
func (d *demo) start(age int) outcome {
	config := convosotest.Config{
		Seed: 1, Days: d.days, CallsPerDay: demoCalls, RecordedShare: 0.25, SeveralShare: 0.1,
		MedianSize: 24_000, MaxSize: 200_000,
		MediaLatency: 5 * time.Millisecond,
	}
	if d.withFaults {
		config.MediaFaults = map[convosotest.Fault]int{
			convosotest.FaultServer: 2, convosotest.FaultShort: 2, convosotest.FaultReset: 1,
			convosotest.FaultHTML: 2, convosotest.FaultNotFound: 2,
		}
	}
	zone, err := time.LoadLocation("America/Los_Angeles") // the simulator's
	if err != nil {
		return judge(fmt.Errorf("load the simulator's zone: %w", err), nil, false)
	}
	d.last = fetcher.DateOf(fetcher.Wall(time.Now(), zone)).AddDays(-age)
	d.first = d.last.AddDays(1 - d.days)
	config.FirstDay = string(d.first)
	server, err := convosotest.New(config)
	if err != nil {
		return judge(fmt.Errorf("make the simulator: %w", err), nil, false)
	}
	if err := server.Start(); err != nil {
		return judge(fmt.Errorf("start the simulator on loopback: %w", err), nil, false)
	}
	d.server = server
	return outcome{}
}

// run shows the commands on the simulator, with state as the state folder. It returns a failed outcome on failure.
func (d *demo) run(ctx context.Context, state string) outcome {
	if err := d.readJobs(state); err != nil {
		return judge(err, nil, false)
	}
	return d.show(ctx)
}

// chooseDemoFolder returns a folder for the demo, without creating it.
func chooseDemoFolder(wanted string) (string, error) {
	if wanted != "" {
		if taken, err := holdsSomething(wanted); err != nil {
			return "", misuse("give another --dest", "look into the folder: %v", err)
		} else if taken {
			return "", misuse("give a new or empty folder", "--dest is not empty")
		}
		return wanted, nil
	}
	const maxTries = 100
	for i := 1; i <= maxTries; i++ {
		name := demoFolder
		if i > 1 {
			name = fmt.Sprintf("%s-%d", demoFolder, i)
		}
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
	}
	return "", misuse("remove some of them, or give --dest", "%s to %s-%d are all there", demoFolder, demoFolder, maxTries)
}

func holdsSomething(folder string) (bool, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return len(entries) > 0, err
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
