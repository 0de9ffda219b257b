// Runs the command hold.

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/verify"
	"convoso-archiver/evidence"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
	"convoso-archiver/search"
)

const groupHeld = "WHAT TO HOLD, with add (calls that match all of these; only as flags)"

// The actions of hold.
const (
	holdAdd     = "add"
	holdList    = "list"
	holdRelease = "release"
)

func holdActions() []string { return []string{holdAdd, holdList, holdRelease} }

// heldTerms are the terms of a hold. They exclude the terms of find that select among matches.
func heldTerms() []setting {
	var settings []setting
	for _, s := range append(termSettings(), idsSetting()) {
		if !slices.Contains(notOfExport(), s.name) {
			s.group = groupHeld
			settings = append(settings, s)
		}
	}
	return settings
}

func holdSettings() []setting {
	workers, _ := named(archiveSettings(), "workers")
	workers.group, workers.usage = groupArchive, "maximum legal holds set or read in S3 in parallel"
	settings := append(sealedArchiveSettings(), workers)
	settings = append(settings, heldTerms()...)
	return grouped(append(settings, outputSettings()...))
}

func holdCommand() command {
	return command{
		name:      "hold",
		usage:     "keep calls and recordings for a case: they cannot be removed until you release the case",
		arguments: "add|list|release [CASE]",
		about: `add holds calls for a case: each call that matches the search terms now, or whose id is in a list, with all of its
recordings. The case records ids, so later calls do not join it. Run add again with the same case to hold more
calls. Without terms, add resumes an add that was stopped. list shows all cases, or the calls of one case. release
ends the hold of a whole case; calls that another case holds stay held. To release one call, hold the others under
another case first, then release this case.

The name of a case is kept for ever, even after release: do not use the name or number of a customer.

Held calls cannot be erased, and do not expire at the end of their retention. In a bucket with Object Lock the
legal hold of each object is on while any case holds it. hold reads search terms only from the command line, so that
the --last of a nightly job cannot shorten a hold. In a folder, add and release take the archive's lock.`,
		examples: []example{
			{"all calls with a customer",
				`convoso-archiver hold add 2025-17 --dest /archive --number 5550000063`},
			{"a lawyer's list of ids",
				`convoso-archiver hold add 2025-17 --dest s3://my-bucket/calls --ids-from ids.csv`},
			{"held calls and recordings, by case",
				`convoso-archiver hold list --dest /archive` + "\n" + `convoso-archiver hold list 2025-17 --dest /archive --json | jq '.cases[].ids'`},
			{"the case is closed",
				`convoso-archiver hold release 2025-17 --dest /archive`},
		},
		settings:    holdSettings(),
		words:       holdActions(),
		leads:       2,
		environment: true,
		exitCodes:   true,
		works:       true,
		run:         runHold,
	}
}

// holdJob holds the checked settings of one hold.
type holdJob struct {
	*searchJob
	action  string
	name    string // of the case; "" for a list of all
	ids     string // file of --ids-from
	terms   bool   // any term was given
	workers int
}

func runHold(ctx context.Context, p *process, in input) outcome {
	read, talk := p.settings(ctx, withArchiveKeys(holdSettings()), in)
	job := read.holdJob(in.args, time.Now(), p.env)
	made := holdResult{action: job.action, Case: job.name, Cases: []heldCase{}, Missing: []string{}, NotHeld: []evidence.HeldID{}, Hidden: []evidence.HeldID{}}
	began := false
	err := read.err
	if err == nil {
		began, err = p.hold(ctx, job, talk, &made)
		err = withBucket(archiver.Location{Folder: job.folder, S3: job.searchJob.bucket}, err)
	}
	result := withDamage(judge(err, context.Cause(ctx), made.incomplete), made.damaged)
	made.ExitCode = result.code
	if result.failed {
		made.Error = p.screen.hidden(oneLine(result.line))
	}
	if talk.json || began && err == nil && !(talk.quiet && result.code == ExitDone) {
		result.unwritten = made.write(p.stdout, talk.json)
	}
	return result
}

// holdJob reads the settings of hold. It ignores terms in the environment or a file, which are for another
// command.
func (r *reader) holdJob(args []string, now time.Time, env environment) *holdJob {
	j := &holdJob{terms: r.takeFlagTerms()}
	r.keepIfAny(j.readWords(args))
	j.workers = r.whole("workers", 1, maxWorkers)
	j.searchJob = &searchJob{read: r, now: now}
	j.folder, j.bucket = r.destination(env)
	j.query = r.query()
	const firstToChange = 14 * 60 * 60 // no zone's date is ahead of this one's
	r.searchSpan(now, time.FixedZone("", firstToChange))
	j.ids = r.text("ids-from")
	return j
}

// takeFlagTerms drops terms that were not set by flags, and reports whether any remain.
func (r *reader) takeFlagTerms() (some bool) {
	for _, s := range heldTerms() {
		if r.values[s.name].byFlag() {
			some = true
		} else {
			delete(r.values, s.name)
		}
	}
	return some
}

// readWords reads the action and the case.
func (j *holdJob) readWords(args []string) error {
	const try = `write: hold add CASE, hold list, hold list CASE, or hold release CASE`
	switch {
	case len(args) == 0:
		return misuse(try, "the action is missing")
	case !slices.Contains(holdActions(), args[0]):
		return misuse(try, "the action is unknown")
	case len(args) > 2:
		return misuse("put the name of the case in quotes", "there are too many arguments")
	case len(args) == 1 && args[0] != holdList:
		return misuse(try, "the name of the case is missing")
	}
	switch j.action = args[0]; {
	case j.action == holdRelease && j.terms:
		return misuse("to release one call, hold add the others under another case first, then release this case without terms", "hold release takes no search terms and no list of ids, because it releases a whole case")
	case j.action == holdList && j.terms:
		return misuse("leave them out", "only hold add takes search terms and a list of ids")
	}
	if len(args) == 1 {
		return nil
	}
	j.name = args[1]
	if err := evidence.CheckCase(j.name); err != nil {
		return misuse("give a name like 2025-17", "%v", err)
	}
	return nil
}

// hold carries out one action. began reports whether there is a result to print.
func (p *process) hold(ctx context.Context, job *holdJob, talk output, made *holdResult) (began bool, err error) {
	logger := newLogger(p.screen, talk, p.env)
	boundHeap(p.env)
	ids, err := p.readIDs(ctx, job.ids, &job.query)
	if err != nil {
		return false, err
	}
	access := archiver.Repair
	if job.action == holdList {
		access = archiver.Read
	}
	archive, err := job.openFor(ctx, access, logger)
	if err != nil {
		return false, err
	}
	defer func() {
		if closeErr := archive.Close(ctx); err == nil {
			err = closeErr
		}
	}()
	holds, err := legalHolds(ctx, archive.opened, job.workers)
	if err != nil {
		return false, err
	}
	switch job.action {
	case holdList:
		return true, made.list(ctx, job, holds)
	case holdRelease:
		return true, made.release(ctx, job, holds)
	}
	found, err := p.findHeld(ctx, job, archive, ids, p.teller("hold", talk), made)
	if err != nil {
		return false, err
	}
	return true, made.add(ctx, job, holds, found)
}

// legalHolds are those of an archive. Their store is nil if it does not support legal holds.
func legalHolds(ctx context.Context, opened *archiver.Opened, workers int) (*evidence.LegalHolds, error) {
	holds := &evidence.LegalHolds{Ledger: opened.Ledger, Workers: workers}
	bucket, isBucket := opened.Store.(evidence.HoldingStore)
	if !isBucket {
		return holds, nil
	}
	has, err := bucket.HasObjectLock(ctx)
	if has {
		holds.Store = bucket
	}
	return holds, err
}

// heldFindings returns a function that finds missing legal holds for verify. Without holds, it sends no request to the
// store.
func heldFindings(opened *archiver.Opened, workers int) func(context.Context) ([]verify.Finding, error) {
	return func(ctx context.Context) (findings []verify.Finding, err error) {
		holds, err := evidence.LoadHolds(ctx, opened.Ledger)
		if err != nil || !slices.ContainsFunc(holds.Cases(), func(c evidence.Case) bool { return len(c.IDs) > 0 }) {
			return nil, err
		}
		legal, err := legalHolds(ctx, opened, workers)
		if err != nil || legal.Store == nil {
			return nil, err
		}
		faults, err := legal.Check(ctx, holds)
		for _, f := range faults {
			if len(f.Cases) > 0 {
				findings = append(findings, verify.Finding{Kind: verify.HoldMissing, Day: f.Day, RecordingID: f.Recording, Key: f.Key,
					Detail: fmt.Sprintf("held by %s, but its legal hold in S3 is off", plural(len(f.Cases), "case"))})
			}
		}
		return findings, err
	}
}

// findHeld returns the ids of all matching calls, and of their recordings. Erased calls cannot be held.
func (p *process) findHeld(ctx context.Context, job *holdJob, archive *searched, ids *idList, tell teller, made *holdResult) (list []evidence.HeldID, err error) {
	if !job.terms {
		return nil, nil
	}
	erasures, err := archive.opened.Ledger.Erasures(ctx)
	if err != nil {
		return nil, err
	}
	f := &found{}
	for c, err := range archive.Search(ctx, job.query) {
		if err != nil {
			if err = f.note(err, tell); err != nil {
				return nil, err
			}
			continue
		}
		if ids != nil {
			ids.see(&c)
		}
		if c.Erased && erasures.IsOpen(c.ID) {
			made.Erasing++
			continue
		}
		if c.Erased {
			made.Erased++
			continue
		}
		made.Calls++
		held := heldOf(&c)
		listed, err := heldInRow(ctx, archive.opened.Ledger, &c, held)
		if err != nil {
			return nil, err
		}
		held = append(held, listed...)
		made.Recordings += len(held)
		if len(held) == 0 {
			held = []evidence.HeldID{{Day: c.Day, Call: c.ID}}
		}
		list = append(list, held...)
	}
	made.damaged, made.incomplete = f.damaged, f.incomplete || made.Erasing > 0
	if ids != nil && ids.tell(tell) {
		made.incomplete, made.Missing = true, ids.absent()
	}
	return list, nil
}

// heldOf returns the recordings of a call that can be held.
func heldOf(c *search.Call) (list []evidence.HeldID) {
	for _, r := range c.Recordings {
		if r.Outcome != manifest.Erased && r.Outcome != manifest.Expired {
			list = append(list, evidence.HeldID{Day: c.Day, Call: c.ID, Recording: r.ID})
		}
	}
	return list
}

// heldInRow returns the recordings in the row of a call that are noted under another call.
func heldInRow(ctx context.Context, ledger *manifest.Ledger, c *search.Call, own []evidence.HeldID) (list []evidence.HeldID, err error) {
	row, err := fetcher.ParseCall(c.Row)
	if err != nil {
		return nil, nil //nolint:nilerr // an unreadable row lists nothing
	}
	isMissing := func(r fetcher.Recording) bool {
		return !slices.ContainsFunc(c.Recordings, func(have search.Recording) bool { return r.MayBe(have.ID, have.State.Source) })
	}
	if len(row.Recordings) <= len(c.Recordings) && !slices.ContainsFunc(row.Recordings, isMissing) {
		return nil, nil
	}
	folded, err := ledger.Read(ctx, c.Day, nil, func(manifest.Fault) error { return nil }) // the search has reported faults
	if err != nil {
		return nil, fmt.Errorf("read day %s: %w", c.Day, err)
	}
	for id, state := range folded.Recordings() {
		isOwn := slices.ContainsFunc(own, func(h evidence.HeldID) bool { return h.Recording == id })
		isListed := slices.ContainsFunc(row.Recordings, func(r fetcher.Recording) bool { return r.MayBe(id, state.Source) })
		if isListed && !isOwn && state.Outcome != manifest.Erased && state.Outcome != manifest.Expired {
			list = append(list, evidence.HeldID{Day: c.Day, Call: c.ID, Recording: id})
		}
	}
	return list, nil
}

// add notes the hold, and sets legal holds in the store.
func (h *holdResult) add(ctx context.Context, job *holdJob, legal *evidence.LegalHolds, found []evidence.HeldID) (err error) {
	ids := found
	switch {
	case len(h.Missing) > 0:
		return nil
	case job.terms && len(found) == 0:
		h.incomplete = true
		return nil
	case !job.terms:
		holds, err := evidence.LoadHolds(ctx, legal.Ledger)
		if err != nil {
			return err
		}
		c, known := holds.Case(job.name)
		if !known || !c.Released.IsZero() {
			return misuse("give terms of a search, or --ids-from", "the case holds nothing yet, and no search terms or list of ids are given")
		}
		ids = c.IDs
		h.Calls, h.Recordings = countHeld(ids)
	}
	if h.New, err = evidence.AddHold(ctx, legal.Ledger, job.name, found); err != nil {
		return err
	}
	contested, err := evidence.ContestHold(ctx, legal.Ledger, ids)
	if err != nil {
		return fmt.Errorf("the hold is recorded, but an erasure may name its calls: run the same command again: %w", err)
	}
	h.NotHeld, h.Hidden = contested.Lost, contested.Hidden
	h.incomplete = h.incomplete || len(h.NotHeld) > 0 || legal.Store != nil && len(h.Hidden) > 0 // which have no legal hold yet
	calls, recordings := countHeld(h.NotHeld)
	h.Calls, h.Recordings = max(0, h.Calls-calls), max(0, h.Recordings-recordings)
	return h.apply(ctx, job, legal)
}

// release ends the hold of a case.
func (h *holdResult) release(ctx context.Context, job *holdJob, legal *evidence.LegalHolds) error {
	was, err := evidence.ReleaseHold(ctx, legal.Ledger, job.name)
	if errors.Is(err, evidence.ErrNoCase) {
		return noCase()
	}
	if err != nil {
		return err
	}
	h.Calls, h.Recordings = countHeld(was.IDs)
	h.before = was.Released
	return h.apply(ctx, job, legal)
}

// apply applies the noted holds to the store.
func (h *holdResult) apply(ctx context.Context, job *holdJob, legal *evidence.LegalHolds) (err error) {
	h.inS3 = job.folder == ""
	if h.LegalHolds = legal.Store != nil; !h.LegalHolds {
		return nil
	}
	if h.On, h.Off, err = legal.Apply(ctx, job.name); err != nil {
		return fmt.Errorf("%s is recorded, but not set in S3: run the same command again: %w", job.action, err)
	}
	return nil
}

func noCase() error { return misuse("hold list shows all cases", "there is no case of that name") }

// list prints all cases, or one with its ids.
func (h *holdResult) list(ctx context.Context, job *holdJob, legal *evidence.LegalHolds) error {
	holds, err := evidence.LoadHolds(ctx, legal.Ledger)
	if err != nil {
		return err
	}
	var faults []evidence.HoldFault
	if h.LegalHolds = legal.Store != nil; h.LegalHolds {
		if faults, err = legal.Check(ctx, holds); err != nil {
			return err
		}
	}
	for _, c := range holds.Cases() {
		if job.name != "" && c.Name != job.name {
			continue
		}
		one := heldCase{Case: c.Name, Since: c.Since, NotSet: []evidence.HeldID{}, LeftOn: []evidence.HeldID{}}
		ids := c.IDs
		if !c.Released.IsZero() {
			one.Released, ids = &c.Released, c.Past
		}
		one.Calls, one.Recordings = countHeld(ids)
		if job.name != "" {
			one.IDs = append([]evidence.HeldID{}, ids...)
		}
		for _, f := range faults {
			if slices.Contains(f.Cases, c.Name) {
				one.NotSet = append(one.NotSet, f.HeldID)
			} else if len(f.Cases) == 0 && c.Held(f.HeldID) {
				one.LeftOn = append(one.LeftOn, f.HeldID)
			}
		}
		h.incomplete = h.incomplete || len(one.NotSet)+len(one.LeftOn) > 0
		h.Cases = append(h.Cases, one)
	}
	if job.name != "" && len(h.Cases) == 0 {
		return noCase()
	}
	return nil
}

func countHeld(ids []evidence.HeldID) (calls, recordings int) {
	last := evidence.HeldID{}
	for _, id := range ids {
		if id.Day != last.Day || id.Call != last.Call {
			calls++
		}
		if id.Recording != "" {
			recordings++
		}
		last = id
	}
	return calls, recordings
}
