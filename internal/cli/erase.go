// Defines the command erase and reads its flags.

package cli

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"time"

	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/evidence"
)

const (
	groupErased = "WHAT TO ERASE (calls that match all of these; only as flags)"
	groupErase  = "THE ERASURE (only as flags)"

	maxErase = "100"
)

// erasedTerms are the terms of an erasure. They exclude the terms of find that select among
// matches.
func erasedTerms() []setting {
	var settings []setting
	for _, s := range append(termSettings(), idsSetting()) {
		if !slices.Contains(notOfExport(), s.name) {
			s.group = groupErased
			settings = append(settings, s)
		}
	}
	return settings
}

func eraseSettings() []setting {
	settings := sealedArchiveSettings()
	settings = append(settings, setting{name: "state-dir", group: groupArchive, placeholder: "FOLDER", usage: "folder of the search index (default: the user's state folder)"})
	template, _ := named(archiveSettings(), "path-template")
	template.group, template.usage = groupArchive, templateUsage+"; as given to archive"
	settings = append(settings, template)
	settings = append(settings, erasedTerms()...)
	settings = append(settings,
		setting{name: "yes", kind: toggle, flagOnly: true, group: groupErase, usage: "erase; without --yes the command only shows what it would erase"},
		setting{name: "reason", group: groupErase, flagOnly: true, placeholder: "TEXT", usage: "reason of the erasure, without a name or number of a customer, because it is kept for ever (required with --yes)"},
		setting{name: "max-erase", group: groupErase, flagOnly: true, placeholder: "N", defaultValue: maxErase, usage: "maximum calls, and maximum recordings, that search terms may erase; --ids-from has no maximum"},
		setting{name: "export", kind: list, group: groupErase, flagOnly: true, placeholder: "FOLDER", usage: "folder of an export to update as well; repeatable"},
		setting{name: "expired", kind: toggle, flagOnly: true, group: groupErase, usage: "remove the audio whose retention has ended, by the class that archive noted; calls and their lines stay"},
		setting{name: "resume", kind: toggle, flagOnly: true, group: groupErase, usage: "finish an erasure or an expiry that was stopped, and remove nothing else"},
	)
	settings = append(settings, outputSettings()...)
	settings = append(settings, setting{name: "csv", kind: toggle, flagOnly: true, group: groupOutput, usage: "with --expired, without --yes: write CSV, a header and one row for each recording that --yes would remove, with its ids, day, campaign, class, size and end of retention"})
	return grouped(settings)
}

func eraseCommand() command {
	return command{
		name:      "erase",
		arguments: "[list]",
		usage:     "remove calls and recordings permanently, and keep the proof that nothing else changed",
		about: `Shows the calls that match the search terms or a list of ids. With --yes it removes them: the audio with all of
its versions and copies, and the data in calls/ and the manifest. Only ids and hashes remain, so that days stay
closed and seals stay valid. No later run downloads, shows or reports an erased call. erase always removes a call
with all of its recordings, even if the list names only one of them.

If a case holds a call, or a lock protects a recording, erase removes nothing and exits with 3. The next erase, or
--resume, finishes an erasure that was stopped.

--expired shows the audio whose retention has ended, and with --yes removes it. Calls and their lines stay, with the
outcome "expired". Audio that a case holds stays. Audio that a lock protects stays and is listed, and the exit code
is 3.

list shows all erasures: when, why, how many calls and recordings, and whether each is done. It also shows all
expiries, by day and class.

erase does not reach other copies: backups, copies made by find, other archives of the same account, and exports
that --export does not name. It reads
search terms only from the command line, so that the configuration file of another command cannot select calls.`,
		examples: []example{
			{"show what would be erased: everything with a customer",
				"convoso-archiver erase --dest /archive --number 5550000063"},
			{"erase it, and update an export",
				"convoso-archiver erase --dest /archive --number 5550000063 --reason 'request 2025-17' --export /tables --yes"},
			{"a list of ids, in a bucket",
				"convoso-archiver erase --dest s3://my-bucket/calls --ids-from ids.csv --reason 'request 2025-18' --yes"},
			{"list the recordings that --yes would remove",
				"convoso-archiver erase --dest s3://my-bucket/calls --expired --csv > due.csv"},
			{"each night: remove the audio whose retention has ended",
				"convoso-archiver erase --dest s3://my-bucket/calls --expired --yes"},
			{"finish an erasure that was stopped", "convoso-archiver erase --dest /archive --resume"},
			{"what was erased so far", "convoso-archiver erase list --dest /archive"},
		},
		settings:    eraseSettings(),
		words:       []string{eraseList},
		leads:       1,
		environment: true,
		exitCodes:   true,
		works:       true,
		run:         runErase,
	}
}

// eraseJob holds the checked settings of one erasure.
type eraseJob struct {
	*searchJob
	ids     string // file of --ids-from
	reason  string
	max     int
	exports []string
	names   *key.Template // used when storing recordings
	yes     bool
	expired bool
	csv     bool // list what would expire
	resume  bool
}

// acts reports whether anything will be removed.
func (j *eraseJob) acts() bool { return j.yes || j.resume }

func runErase(ctx context.Context, p *process, in input) outcome {
	if len(in.args) > 0 {
		return p.listErasures(ctx, in)
	}
	read, talk := p.settings(ctx, withArchiveKeys(eraseSettings()), in)
	job := read.eraseJob(time.Now(), p.env)
	talk.json = talk.json && !job.csv
	made := newEraseResult()
	made.resumed = job.resume
	began := false
	err := read.err
	if err == nil {
		done := p.announceStop(ctx, "erase", talk, "run the same command again to finish the erasure")
		began, err = p.erase(ctx, job, talk, made)
		done()
	}
	if keeping, ok := errors.AsType[*evidence.KeptError](err); ok {
		made.Kept, err = keeping.Kept, nil
	}
	made.stopped = err != nil
	for i, problem := range made.Problems {
		made.Problems[i] = p.screen.hidden(oneLine(problem))
	}
	incomplete := len(made.Kept)+len(made.Missing) > 0 || job.acts() && len(made.Unfinished) > 0
	result := judge(err, context.Cause(ctx), incomplete || made.Expired != nil && made.Expired.Stays > 0)
	if errors.Is(err, store.ErrLocked) && result.code == ExitFailed {
		result.code = ExitIncomplete
	}
	made.ExitCode = result.code
	if result.failed {
		made.Error = p.screen.hidden(result.line)
	}
	if job.csv {
		result.unwritten = made.unwritten
		return result
	}
	if talk.json || (began || len(made.Problems) > 0) && !(talk.quiet && result.code == ExitDone) {
		result.unwritten = made.write(p.stdout, talk.json)
	}
	return result
}

// eraseJob reads the settings of erase.
func (r *reader) eraseJob(now time.Time, env environment) *eraseJob {
	j := &eraseJob{yes: r.toggle("yes"), resume: r.toggle("resume"), expired: r.toggle("expired"), csv: r.toggle("csv"), reason: r.text("reason"), max: r.whole("max-erase", 0, math.MaxInt), exports: r.list("export")}
	names, err := key.Parse(r.text("path-template"))
	if err != nil {
		r.keep(misuse("see --path-template in archive --help", "--path-template: %v", err))
	}
	j.names = names
	chooses := false
	for _, s := range erasedTerms() {
		switch g := r.values[s.name]; {
		case g.byFlag():
			chooses = true
		default:
			delete(r.values, s.name)
		}
	}
	j.searchJob = r.searchJob(now, env, runtime.GOOS)
	j.ids = r.text("ids-from")
	switch {
	case j.expired && (chooses || j.resume || r.isSet("reason") || len(j.exports) > 0):
		r.keep(misuse("leave them out, or leave out --expired", "--expired selects recordings by retention alone: it takes no terms, list, --reason, --export or --resume"))
	case j.csv && j.yes:
		r.keep(misuse("list first, then run the command with --yes and without --csv", "--csv lists what --yes would remove"))
	case j.csv && r.values["json"].byFlag():
		r.keep(misuse("", "use either --csv or --json, not both"))
	case j.expired:
	case j.csv:
		r.keep(misuse("add --expired, or leave --csv out", "--csv lists what --expired would remove"))
	case j.resume && chooses:
		r.keep(misuse("leave them out, or leave out --resume", "--resume finishes an earlier erasure, so it takes no search terms and no list"))
	case !j.resume && !chooses:
		r.keep(misuse("give terms of a search, or --ids-from", "no search terms and no list of ids are given"))
	}
	if j.yes && !j.resume && !j.expired || r.isSet("reason") {
		const try = "give a reason that can be kept for ever, like the number of the request"
		if err := evidence.CheckReason(j.reason); !r.isSet("reason") {
			r.keep(misuse(try, "--reason is missing"))
		} else if err != nil {
			r.keep(misuse(try, "--reason: %v", err))
		}
	}
	return j
}
