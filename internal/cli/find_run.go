// Runs one search: opens the archive, writes or copies what matches, and counts it.

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"slices"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
	"convoso-archiver/search"
	"convoso-archiver/search/copier"
)

// maxTold is how many ids, days or recordings are listed before the rest is only counted.
const maxTold = 20

// found is the result of a search.
type found struct {
	calls, recordings, stored int
	silent                    int // calls without a stored recording
	damaged, incomplete       bool
	days                      int // that could not be read
	counts                    copier.Counts
	copied                    bool
	again                     string // flags that select a drawn sample again, "" for none
	unwritten                 error
}

// find runs one job.
func (p *process) find(ctx context.Context, job *findJob) outcome {
	tell := p.teller("find", job.talk)
	f := &found{}
	err := withBucket(archiver.Location{Folder: job.folder, S3: job.bucket}, p.findIn(ctx, job, tell, f))
	result := withDamage(judge(err, context.Cause(ctx), f.incomplete), f.damaged)
	if ctx.Err() != nil && job.copyTo == "" {
		result.line = "" // there is nothing to resume
		if signal, ok := errors.AsType[*SignalError](context.Cause(ctx)); ok {
			result.line = signal.Error()
		}
	}
	if f.again != "" && job.copyTo != "" && ctx.Err() != nil {
		result.line += ", with " + f.again
	}
	result.unwritten = f.unwritten
	return result
}

func (p *process) findIn(ctx context.Context, job *findJob, tell teller, f *found) (err error) {
	ids, err := p.readIDs(ctx, job.ids, &job.query)
	if err != nil {
		return err
	}
	boundHeap(p.env)
	archive, err := job.open(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.Close(ctx)) }()
	if err := job.readCase(ctx, archive, tell); err != nil {
		return err
	}
	if err := job.useIndex(ctx, archive, tell); err != nil {
		return err
	}
	known, err := knownDaysOf(ctx, archive, job.query)
	if err != nil {
		return err
	}
	hints := newHints(job.query)
	job.query.Watch = hints.watch()
	err = p.answer(ctx, job, archive, tell, f, ids, known.open)
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil && f.counts.Added > 0 {
		tell.note("stopped: "+copiedText(f.counts), "stopped", f.attrs()...)
	}
	if err != nil || f.unwritten != nil && !f.copied {
		return err
	}
	if ids != nil {
		if job.query.Limit > 0 || job.query.Sample > 0 {
			if err := seekIDs(ctx, job.query, archive, ids); err != nil {
				return err
			}
		}
		f.incomplete = ids.tell(tell) || f.incomplete
	}
	switch f.tell(tell, job.query); {
	case f.calls == 0:
		err = hints.tellNothing(ctx, tell, archive, job.query, f.attrs())
	case f.days == 0: // an unreadable day may have any value
		err = hints.tellOthers(ctx, tell, archive, job.query)
	}
	if err != nil {
		return err
	}
	return job.tellUnlisted(ctx, tell, archive, known)
}

// answer searches, writes the answers and copies.
func (p *process) answer(ctx context.Context, job *findJob, archive *searched, tell teller, f *found, ids *idList, open []string) (err error) {
	out := job.newAnswer(p.stdout, archive.Zone())
	var work *copyWork
	if job.copyTo != "" {
		work = p.newCopyWork(ctx, job, archive, tell)
		defer func() {
			counts, copyErr := work.finish()
			f.counts, f.copied = counts, true
			f.damaged, f.incomplete = f.damaged || counts.Damaged > 0, f.incomplete || counts.Unread > 0
			if err == nil || errors.Is(copyErr, err) {
				err = copyErr
			}
		}()
	}
	var answers iter.Seq2[search.Call, error] = archive.Search(ctx, job.query)
	if job.query.Sample > 0 {
		answers = f.draw(ctx, job, tell, answers)
	}
	switch load := search.NewLoader(archive.Archive); {
	case job.needsRows():
		answers = load.Complete(ctx, answers)
	case job.format == findTable:
		answers = load.CompleteSome(ctx, answers, func(c *search.Call) bool {
			_, isOpen := slices.BinarySearch(open, c.Day) // rows of open days may name recordings that nothing notes
			return needsCause(c) || isOpen && !c.IsComplete()
		})
	}
	for c, err := range answers {
		if err != nil {
			if err = f.note(err, tell); err != nil {
				return err
			}
			continue
		}
		f.count(&c)
		if ids != nil {
			ids.see(&c)
		}
		if f.unwritten = out.call(&c); f.unwritten != nil && work == nil {
			return nil
		}
		if work != nil {
			if err := work.add(&c); err != nil {
				return err
			}
		}
	}
	if f.unwritten == nil {
		f.unwritten = out.end()
	}
	return nil
}

func (f *found) count(c *search.Call) {
	f.calls++
	f.recordings += len(c.Recordings)
	stored := 0
	for _, r := range c.Recordings {
		if r.Stored() {
			stored++
		}
	}
	if f.stored += stored; stored == 0 {
		f.silent++
	}
}

// note reports an unreadable day and continues; it returns errors that end the search.
func (f *found) note(err error, tell teller) error {
	day, ofDay := errors.AsType[*search.DayError](err)
	if _, later := errors.AsType[*manifest.VersionError](err); !ofDay || later || store.IsRetriable(err) || errors.Is(err, store.ErrUnusable) {
		return err // an error of the store or the whole archive, not of a day
	}
	const try = "some of its calls may be missing from the answer; run verify for details"
	if errors.Is(err, fs.ErrPermission) {
		f.incomplete = true
	} else {
		f.damaged = true
	}
	if f.days++; f.days <= maxTold {
		tell.warn(oneLine(day.Error())+": "+try, "a day cannot be read completely", "day", day.Day, "err", oneLine(day.Err.Error()))
	}
	return nil
}

// tell reports the counts.
func (f *found) tell(tell teller, q search.Query) {
	if more := f.days - maxTold; more > 0 {
		tell.warn(fmt.Sprintf("and %s more", plural(more, "day")), "more days cannot be read", "days", more)
	}
	if f.calls == 0 {
		return
	}
	line := plural(f.calls, "call") + ", " + audioText(f.recordings, f.stored)
	if f.copied {
		line += ": " + copiedText(f.counts) + silentText(f.silent, q)
	}
	tell.note(line, "found", f.attrs()...)
}

// attrs returns the counts for a log.
func (f *found) attrs() []any {
	attrs := []any{"calls", f.calls, "recordings", f.recordings, "archived", f.stored}
	if f.copied {
		attrs = append(attrs, "copied", f.counts.Copied, "there_already", f.counts.There, "damaged", f.counts.Damaged,
			"unread", f.counts.Unread, "bytes", f.counts.CopiedBytes, "calls_without_audio", f.silent)
	}
	return attrs
}

// silentText says how many calls had no audio to copy. With a limit or a sample it also says how to choose among calls
// with audio.
func silentText(calls int, q search.Query) string {
	verb := " have no audio"
	if calls == 1 {
		verb = " has no audio"
	}
	switch {
	case calls == 0:
		return ""
	case q.Limit > 0 || q.Sample > 0:
		return "; " + plural(calls, "call") + verb + ": add --outcome archived to choose among calls with audio"
	}
	return "; " + plural(calls, "call") + verb
}

func copiedText(c copier.Counts) string {
	text := thousands(int64(c.Copied)) + " copied (" + bytesText(c.CopiedBytes) + ")"
	if c.There > 0 {
		text += ", " + thousands(int64(c.There)) + " already there"
	}
	if left := c.Damaged + c.Unread; left > 0 {
		text += ", " + thousands(int64(left)) + " left out"
	}
	return text
}

// copyWork copies recordings. It creates the folder for the first one.
type copyWork struct {
	p       *process
	ctx     context.Context
	job     *findJob
	archive *searched
	tell    teller

	copy     *copier.Copy
	stopBars func()
	done     func() // ends the announcement of a stop
	failures int
}

func (p *process) newCopyWork(ctx context.Context, job *findJob, archive *searched, tell teller) *copyWork {
	return &copyWork{p: p, ctx: ctx, job: job, archive: archive, tell: tell}
}

// add copies the stored recordings of a call.
func (w *copyWork) add(c *search.Call) error {
	for _, r := range c.Recordings {
		if !r.Stored() {
			continue
		}
		if w.copy == nil {
			if err := w.start(); err != nil {
				return err
			}
		}
		if err := w.copy.Add(c, r); err != nil {
			return err
		}
	}
	return nil
}

func (w *copyWork) start() error {
	made, err := copier.Start(w.ctx, w.job.copyTo, copier.Options{
		Source: w.archive.opened.Store, Names: w.job.names, Workers: w.job.workers, Tell: w.leftOut, Removed: w.archive.opened.Ledger.IsRemoved,
		Passing: func(err error) bool { return store.IsRetriable(err) || errors.Is(err, store.ErrUnusable) },
	})
	if errors.Is(err, copier.ErrForeign) {
		return misuse("give a separate folder", "--copy-to: %v", err)
	}
	if err != nil {
		return err
	}
	w.copy = made
	w.done = w.p.announceStop(w.ctx, "find", w.job.talk, "copies in progress are dropped; finished copies stay and are listed in "+copier.IndexFile)
	w.stopBars = w.p.showCopy(w.job.talk, made.Progress)
	return nil
}

// finish waits for the copies.
func (w *copyWork) finish() (copier.Counts, error) {
	if w.copy == nil {
		return copier.Counts{}, nil
	}
	counts, err := w.copy.Finish()
	w.stopBars()
	w.done()
	if more := w.failures - maxTold; more > 0 {
		w.tell.warn(fmt.Sprintf("and %s more left out", plural(more, "recording")), "more recordings are left out", "recordings", more)
	}
	return counts, err
}

// leftOut reports a recording that was not copied. Only one goroutine at a time may call it.
func (w *copyWork) leftOut(f copier.Failure) {
	if w.failures++; w.failures <= maxTold {
		w.tell.leftOut(f)
	}
}

func (t teller) leftOut(f copier.Failure) {
	reason := oneLine(f.Err.Error())
	t.warn(fmt.Sprintf("recording %s of %s is left out: %s", f.RecordingID, f.Day, reason), "a recording is left out",
		"recording_id", f.RecordingID, "day", f.Day, "damaged", f.Damaged, "err", reason)
}

// seekIDs searches once more without limit, for the ids that a sample or a limit may have omitted.
func seekIDs(ctx context.Context, q search.Query, archive *searched, ids *idList) error {
	q.Sample, q.Seed, q.Limit, q.Watch = 0, 0, 0, nil
	for c, err := range archive.Search(ctx, q) {
		if _, ofDay := errors.AsType[*search.DayError](err); err != nil && !ofDay {
			return err
		} else if err == nil {
			ids.see(&c)
		}
	}
	return nil
}
