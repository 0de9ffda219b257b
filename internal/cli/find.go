// The command find: its flags and what they mean together.

package cli

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"time"

	"convoso-archiver/archiver/key"
)

const (
	groupAnswer = "OUTPUT"
	groupCopy   = "COPYING THE AUDIO"
)

func findSettings() []setting {
	settings := searchedSettings()
	settings = append(settings, termSettings()...)
	settings = append(settings,
		idsSetting(), caseSetting(),
		setting{name: "json", kind: toggle, group: groupAnswer, usage: "one JSON object per line: the row of the API, with day, call_time in UTC and the recordings as in the manifest"},
		setting{name: "csv", kind: toggle, group: groupAnswer, usage: "write CSV: a header and one row for each call; several recordings share a cell, separated by ;"},
		setting{name: "excel", kind: toggle, group: groupAnswer, usage: "with --csv: for Excel. Writes a byte-order mark, and puts ' before cells that Excel would read as a formula; this also changes numbers that begin with +"},
		setting{name: "paths", kind: toggle, group: groupAnswer, usage: "print the paths of the stored recordings, or their s3:// addresses, one per line"},
		setting{name: "null", kind: toggle, group: groupAnswer, usage: "or -0: with --paths, end each path with a zero byte, for xargs -0"},
		setting{name: "quiet", kind: toggle, group: groupAnswer, usage: "print no progress and no count"},
		setting{name: "log-format", group: groupAnswer, placeholder: "FORMAT", defaultValue: "text", usage: "format of messages on stderr; auto means text on a terminal and JSON elsewhere",
			choices: []string{"auto", "text", "json"}},
		setting{name: "copy-to", group: groupCopy, placeholder: "FOLDER", usage: "copy the audio of the found calls into a folder, with index.csv and playlist.m3u8; overwrites nothing, and the same command resumes where it stopped"},
		setting{name: "path-template", group: groupCopy, placeholder: "TEMPLATE", usage: "file names of the copies, as for archive; docs/fields.md lists the fields (default: the names in the archive)"},
		setting{name: "workers", group: groupCopy, placeholder: "N", defaultValue: "4", usage: "maximum parallel copies"},
	)
	return settings
}

func findCommand() command {
	return command{
		name:  "find",
		usage: "search calls and recordings in an archive, and copy their audio",
		about: `Prints a table of the calls that match all given terms, newest first, and their
count on stderr. It reads only the archive: it needs no token, sends nothing
to the vendor, writes nothing to the archive, and may run while archive runs.

If something is missing, damaged or cannot be read, find still prints and copies the rest; verify shows the damage.`,
		examples: []example{
			{"the calls of the last 30 days with this number; its last digits are enough",
				"convoso-archiver find --dest /archive --last 30d --number 5550000063"},
			{"twenty random sales of one agent, each call at least ten seconds long, to listen to",
				"convoso-archiver find --dest /archive --last 30d --agent 'Agent 4' --status SALE \\\n" +
					"  --min-length 10s --outcome archived --sample 20 --copy-to qa"},
			{"the twenty longest calls that have audio",
				"convoso-archiver find --dest /archive --last 30d --outcome archived --sort -length --limit 20 --copy-to longest"},
			{"a list of ids from a lawyer, with readable file names without numbers",
				"convoso-archiver find --dest s3://my-bucket/calls --ids-from ids.csv --copy-to case-17 \\\n" +
					"  --path-template '{{.user}} {{.status}} {{.recording_id}}'"},
			{"calls without audio, with the reason",
				"convoso-archiver find --dest /archive --last 30d --outcome lost,pending,failed,rejected --csv"},
			{"one table for Excel",
				"convoso-archiver find --dest /archive --last 30d --csv --excel > calls.csv"},
			{"for other programs",
				"convoso-archiver find --dest /archive --last 7d --json | jq -r '[.id,.status,.recordings[].sha256] | @tsv'\n" +
					"convoso-archiver find --dest /archive --last 7d --paths -0 | xargs -0 du -ch"},
		},
		settings:    findSettings(),
		environment: true,
		exitCodes:   true,
		run:         runFind,
	}
}

// findFormat is the output format of find.
type findFormat int

const (
	findTable findFormat = iota
	findJSON
	findCSV
	findPaths
	findNothing // nothing on stdout
)

// findJob holds the checked settings of one search.
type findJob struct {
	*searchJob
	dest    string // as given
	format  findFormat
	excel   bool   // CSV for Excel
	end     string // terminator of each path
	talk    output
	ids     string // file of --ids-from
	drawn   bool   // the seed was
	copyTo  string // "" to copy nothing
	names   *key.Template
	workers int
}

func runFind(ctx context.Context, p *process, in input) outcome {
	known := withArchiveKeys(findSettings())
	merged, err := gather(ctx, known, in.flags, p.env)
	read := newReader(known, merged, in, err)
	job := read.findJob(time.Now(), p.env)
	p.openLog(job.talk)
	if read.err != nil {
		return judge(read.err, context.Cause(ctx), false)
	}
	if job.copyTo != "" {
		p.works, p.restore = true, outliveReaders()
	}
	return p.find(ctx, job)
}

// findJob reads the settings of find.
func (r *reader) findJob(now time.Time, env environment) *findJob {
	j := &findJob{searchJob: r.searchJob(now, env, runtime.GOOS), dest: r.text("dest"), end: "\n"}
	j.talk = output{quiet: r.toggle("quiet"), format: r.choice("log-format")}
	j.copyTo, j.ids = r.text("copy-to"), r.text("ids-from")
	j.settle = r.duration("settle", 0)
	r.oneList()
	j.format = r.findFormat()
	if r.toggle("null") {
		j.end = "\x00"
		if g := r.values["null"]; j.format != findPaths && g.byFlag() {
			r.fail(g.origin, "add --paths, or leave --null out", "it needs --paths")
		}
	}
	if j.excel = r.toggle("excel"); j.excel && j.format != findCSV {
		if g := r.values["excel"]; g.byFlag() {
			r.fail(g.origin, "add --csv, or leave --excel out", "it needs --csv")
		}
	}
	if r.isSet("path-template") {
		value, origin := r.raw("path-template")
		names, err := key.Parse(value)
		if err != nil {
			r.fail(origin, "see --path-template in archive --help", "%v", err)
		}
		j.names = names
	}
	j.workers = r.whole("workers", 1, maxWorkers)
	if j.copyTo != "" {
		r.keepIfAny(checkCopyFolder(j.copyTo, j.folder))
	}
	if j.query.Sample > 0 && !r.isSet("seed") {
		j.query.Seed, j.drawn = 1+rand.Uint64N(1e9), true
	}
	return j
}

func (r *reader) keepIfAny(err error) {
	if err != nil {
		r.keep(err)
	}
}

// findFormat lets a flag override other sources, like json in a file for archive.
func (r *reader) findFormat() findFormat {
	formats := []struct {
		name   string
		format findFormat
	}{{"json", findJSON}, {"csv", findCSV}, {"paths", findPaths}}
	chosen, byFlag, tie := findTable, false, false
	if r.isSet("copy-to") {
		chosen = findNothing
	}
	var names []string
	for _, f := range formats {
		if !r.toggle(f.name) {
			continue
		}
		isFlag := r.values[f.name].byFlag()
		switch {
		case len(names) == 0 || isFlag && !byFlag:
			chosen, byFlag, tie, names = f.format, isFlag, false, []string{f.name}
		case isFlag == byFlag:
			tie, names = true, append(names, f.name)
		}
	}
	if tie {
		r.keep(misuse("", "use only one of --json, --csv and --paths%s", r.origins(names...)))
	}
	return chosen
}

// newAnswer returns the writer for the format.
func (j *findJob) newAnswer(w io.Writer, zone *time.Location) answerWriter {
	switch j.format {
	case findJSON:
		return newJSONAnswer(w)
	case findCSV:
		return newCSVAnswer(w, j.excel)
	case findPaths:
		return newPathsAnswer(w, j.dest, j.folder != "", j.end)
	case findNothing:
		return noAnswer{}
	}
	return newTableAnswer(w, columnsOf(w), zone)
}

// needsRows reports whether the answer needs more than an index contains.
func (j *findJob) needsRows() bool {
	return j.format == findJSON || j.format == findCSV || j.copyTo != ""
}

// teller writes messages to stderr, as text or as log lines.
type teller struct {
	p       *process
	command string
	asJSON  bool
	quiet   bool
}

func (p *process) teller(command string, talk output) teller {
	return teller{p: p, command: command, asJSON: talk.logsJSON(p.screen), quiet: talk.quiet}
}

// note reports information, unless --quiet is set.
func (t teller) note(line, message string, attrs ...any) {
	switch {
	case t.quiet:
	case t.asJSON:
		t.p.logger.Info(message, attrs...)
	default:
		_, _ = io.WriteString(t.p.screen, fitLine(line, widthOf(t.p.screen.base, nil))+"\n") // if stderr is closed, only the exit code remains
	}
}

// warn reports a problem.
func (t teller) warn(line, message string, attrs ...any) {
	if t.asJSON {
		t.p.logger.Log(context.Background(), slog.LevelWarn, message, attrs...)
		return
	}
	complain(t.p.screen, t.command, line)
}
