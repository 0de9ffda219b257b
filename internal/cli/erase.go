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
	groupErased = "WHAT TO ERASE (all terms given have to fit; given as flags alone)"
	groupErase  = "THE ERASURE"

	maxErase = "100"
)

// erasedTerms are the terms of an erasure. Those of find that choose among what fits are none.
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
	settings = append(settings, setting{name: "state-dir", group: groupArchive, placeholder: "FOLDER", usage: "where the search index is kept (default: the user's state folder)"})
	template, _ := named(archiveSettings(), "path-template")
	template.group = groupArchive
	settings = append(settings, template)
	settings = append(settings, erasedTerms()...)
	settings = append(settings,
		setting{name: "yes", kind: toggle, flagOnly: true, group: groupErase, usage: "erase; without it what would go is shown, and nothing is done"},
		setting{name: "reason", group: groupErase, flagOnly: true, placeholder: "TEXT", usage: "why, which is kept for ever: write no name or number of a customer into it (required with --yes)"},
		setting{name: "max-erase", group: groupErase, flagOnly: true, placeholder: "N", defaultValue: maxErase, usage: "more calls or recordings than this are erased by --ids-from alone"},
		setting{name: "export", kind: list, group: groupErase, flagOnly: true, placeholder: "FOLDER", usage: "an export to bring up to date too; may be repeated"},
		setting{name: "resume", kind: toggle, flagOnly: true, group: groupErase, usage: "finish an erasure that was stopped, and erase nothing else"},
	)
	return append(settings, outputSettings()...)
}

func eraseCommand() command {
	return command{
		name:      "erase",
		arguments: "[list]",
		usage:     "remove calls and recordings for good, and keep the proof that nothing else changed",
		about: `Shows which calls fit the terms, or stand in a list, and with --yes removes them: the audio with all of its
versions, copies that stand beside it, and what the lines say. The lines keep their ids and hashes, so that
days stay closed and seals hold; no command fetches, shows or misses again what was erased. A call goes as a
whole, with all of its recordings, also where the list names but one of them.

What a case holds or a lock protects is never erased: then nothing is, and the exit code is 3. An erasure
that was stopped is finished by the next one, or by --resume.

list shows all erasures: when, why, how many calls and recordings, and whether each is done.

Other copies are not reached: backups, copies that find has made, exports that --export does not name.
Terms count as flags alone, because what a nightly file says must not choose what is erased.`,
		examples: []example{
			{"see what would go: everything with a customer",
				"convoso-archiver erase --dest /archive --number 4155550142"},
			{"erase it, and bring an export up to date",
				"convoso-archiver erase --dest /archive --number 4155550142 --reason 'request 2025-17' --export /tables --yes"},
			{"a list of ids, in a bucket",
				"convoso-archiver erase --dest s3://my-bucket/calls --ids-from ids.csv --reason 'request 2025-18' --yes"},
			{"finish what was stopped", "convoso-archiver erase --dest /archive --resume"},
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

// eraseJob is everything that one erasure needs to know, read and checked.
type eraseJob struct {
	*searchJob
	ids     string // file of --ids-from
	reason  string
	max     int
	exports []string
	names   *key.Template // by which recordings are stored
	yes     bool
	resume  bool
}

// acts reports whether anything is to be removed.
func (j *eraseJob) acts() bool { return j.yes || j.resume }

func runErase(ctx context.Context, p *process, in input) outcome {
	if len(in.args) > 0 {
		return p.listErasures(ctx, in)
	}
	read, talk := p.settings(ctx, withArchiveKeys(eraseSettings()), in)
	job := read.eraseJob(time.Now(), p.env)
	made := newEraseResult()
	made.resumed = job.resume
	began := false
	err := read.err
	if err == nil {
		done := p.announceStop(ctx, "erase", talk, "run it again to finish what was begun")
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
	result := judge(err, context.Cause(ctx), len(made.Kept)+len(made.Missing) > 0 || job.acts() && len(made.Unfinished) > 0)
	if errors.Is(err, store.ErrLocked) && result.code == ExitFailed {
		result.code = ExitIncomplete
	}
	made.ExitCode = result.code
	if result.failed {
		made.Error = p.screen.hidden(result.line)
	}
	if talk.json || (began || len(made.Problems) > 0) && !(talk.quiet && result.code == ExitDone) {
		result.unwritten = made.write(p.stdout, talk.json)
	}
	return result
}

// eraseJob reads what is to be erased.
func (r *reader) eraseJob(now time.Time, env environment) *eraseJob {
	j := &eraseJob{yes: r.toggle("yes"), resume: r.toggle("resume"), reason: r.text("reason"), max: r.whole("max-erase", 0, math.MaxInt), exports: r.list("export")}
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
	case j.resume && chooses:
		r.keep(misuse("leave them out, or leave out --resume", "terms and lists are of another erasure than the one to finish"))
	case !j.resume && !chooses:
		r.keep(misuse("give terms of a search, or --ids-from", "what to erase is not said"))
	}
	if j.yes && !j.resume || r.isSet("reason") {
		if err := evidence.CheckReason(j.reason); err != nil {
			r.keep(misuse("give a reason that can be kept for ever, like the number of the request", "--reason: %v", err))
		}
	}
	return j
}
