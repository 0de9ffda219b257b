// Runs the command erase.

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/evidence"
	"convoso-archiver/manifest"
	"convoso-archiver/search"
	"convoso-archiver/search/export"
)

// erase shows or carries out one erasure. began reports whether there is a result to print.
func (p *process) erase(ctx context.Context, job *eraseJob, talk output, made *eraseResult) (began bool, err error) {
	logger := newLogger(p.screen, talk, p.env)
	boundHeap(p.env)
	ids, err := p.readIDs(ctx, job.ids, &job.query)
	if err != nil {
		return false, err
	}
	access := archiver.Read
	if job.acts() {
		access = archiver.Erase
	}
	archive, err := job.openFor(ctx, access, logger)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, archive.Close(ctx)) }()
	exports, err := openExports(ctx, job, archive)
	defer func() { err = errors.Join(err, exports.close()) }()
	if err != nil {
		return false, err
	}
	e := &eraseRun{job: job, archive: archive, exports: exports, made: made, logger: logger, tell: p.teller("erase", talk), stdout: p.stdout}
	e.erasing = &evidence.Erasing{
		Ledger: archive.opened.Ledger, Store: archive.opened.Store, Now: time.Now(),
		Keys: &archiver.RowKeys{Template: job.names, PrefixLen: archive.opened.KeyPrefixLen},
	}
	if locker, ok := archive.opened.Store.(evidence.Locker); ok {
		e.erasing.Locks = locker
	}
	if err := e.finishOthers(ctx); err != nil && (!job.resume || ctx.Err() != nil) {
		return true, err
	} else if job.expired || job.resume {
		began, expiryErr := e.expire(ctx)
		return began || err != nil, cmp.Or(err, expiryErr)
	}
	chosen, err := e.choose(ctx, ids)
	if err != nil {
		return false, err
	}
	made.choose(chosen)
	if err := e.tellAside(ctx, chosen); err != nil {
		return false, err
	}
	tooMany := job.ids == "" && max(made.Calls, made.Recordings) > job.max
	if tooMany && job.yes {
		return false, misuse("give narrower terms, a greater --max-erase, or a list of ids with --ids-from", "%s and %s match, more than --max-erase %d; nothing was erased",
			plural(made.Calls, "call"), plural(made.Recordings, "recording"), job.max)
	}
	made.tooMany = tooMany
	if len(chosen) == 0 {
		return true, nil
	}
	kept, err := e.erasing.Check(ctx, chosen)
	if made.Kept = append(e.shared, kept...); err != nil || len(made.Kept) > 0 || !job.yes {
		return err == nil, err
	}
	intent, err := e.erasing.Begin(ctx, job.reason, chosen)
	if err != nil {
		return false, err
	}
	return true, e.finish(ctx, intent)
}

// eraseRun is one run of erase.
type eraseRun struct {
	job     *eraseJob
	archive *searched
	exports openedExports
	erasing *evidence.Erasing
	shared  []evidence.Kept // other calls with a chosen recording
	made    *eraseResult
	logger  *slog.Logger
	tell    teller
	stdout  io.Writer // for the list of --csv
}

// tellAside tells of copies of damaged files on days that are not chosen. verify --repair has left lines out
// of these files. No search finds these lines, so they may belong to a chosen call.
func (e *eraseRun) tellAside(ctx context.Context, chosen []evidence.Chosen) error {
	days, count, first := map[string]bool{}, 0, ""
	for _, c := range chosen {
		days[c.Day] = true
	}
	for _, tree := range []manifest.Tree{manifest.TreeManifest, manifest.TreeCalls} {
		for info, err := range e.archive.opened.Ledger.Objects().ListFiles(ctx, string(tree)+"/") {
			if err != nil {
				return fmt.Errorf("look for copies of damaged files: %w", err)
			}
			name := info.Name()
			day := strings.TrimPrefix(name, string(tree)+"/")
			if strings.Contains(name, ".bad-") && store.IsAside(name) && !days[day[:min(len(day), len(time.DateOnly))]] {
				count++
				first = cmp.Or(first, name)
			}
		}
	}
	if count == 0 {
		return nil
	}
	left := plural(count, "file") + " that verify --repair has set aside on other days, like " + first + ": unreadable lines there may be of this person"
	e.made.Elsewhere = append(e.made.Elsewhere, left)
	if len(chosen) == 0 {
		e.tell.warn(left, "files that verify --repair has set aside are left", "files", count)
	}
	return nil
}

// finishOthers finishes, or names, what was stopped before. One that cannot be finished does not stop the
// others.
func (e *eraseRun) finishOthers(ctx context.Context) error {
	unfinished, err := e.erasing.Unfinished(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, intent := range unfinished {
		if !e.job.acts() {
			e.made.Unfinished = append(e.made.Unfinished, intent.Erasure)
			continue
		}
		e.tell.note("finishing erasure "+intent.Erasure+", which was stopped", "finishing an erasure that was stopped", "erasure", intent.Erasure)
		err := e.finish(ctx, intent)
		kept, isKept := errors.AsType[*evidence.KeptError](err)
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			return err
		case isKept && e.job.resume:
			e.made.Kept = append(e.made.Kept, kept.Kept...)
		case failed == nil:
			failed = err
		}
		e.made.Problems = append(e.made.Problems, intent.Erasure+": "+err.Error())
	}
	if e.job.resume && failed != nil {
		return failed
	}
	if len(unfinished) == 0 && e.job.acts() {
		return e.refreshIndex(ctx) // a previous run may have stopped before this
	}
	return nil
}

func (e *eraseRun) finish(ctx context.Context, intent manifest.ErasureRecord) error {
	made, err := e.erasing.Finish(ctx, intent, func(days []string) error {
		if err := e.refreshIndex(ctx); err != nil {
			return err
		}
		return e.refreshExports(ctx, days)
	})
	if err != nil {
		if kept, ok := errors.AsType[*evidence.KeptError](err); !ok || !kept.Withdrawn {
			e.made.Unfinished = append(e.made.Unfinished, intent.Erasure)
		}
		return err
	}
	e.made.Erased = append(e.made.Erased, made)
	return nil
}

// choose returns the matching calls, read from the archive itself because an index may be stale. A call on several
// days is erased on all of them. A non-matching call that shares a recording with a match is not chosen, but blocks
// the erasure.
func (e *eraseRun) choose(ctx context.Context, ids *idList) ([]evidence.Chosen, error) {
	first, err := e.search(ctx, e.job.query, func(c *search.Call) {
		if ids != nil {
			ids.see(c)
		}
		if c.Erased {
			e.made.Before++
		}
	})
	if err != nil {
		return nil, err
	}
	if ids != nil && ids.tell(e.tell) {
		e.made.Missing = ids.absent()
	}
	calls, recordings := map[string]bool{}, map[string]bool{}
	for _, c := range first {
		if c.Call != "" {
			calls[c.Call] = true
		}
		for _, r := range c.Recordings {
			recordings[r.ID] = true
		}
	}
	listed := slices.AppendSeq(slices.Collect(maps.Keys(calls)), maps.Keys(recordings))
	if len(listed) == 0 {
		return nil, nil
	}
	all, err := e.search(ctx, search.Query{Listed: listed, Sort: search.OldestFirst}, func(*search.Call) {})
	if err != nil {
		return nil, err
	}
	var chosen []evidence.Chosen
	for _, c := range all { // an id may belong to a call and to another call's recording
		shared := slices.IndexFunc(c.Recordings, func(r evidence.ChosenRecording) bool { return recordings[r.ID] })
		switch {
		case calls[c.Call] || c.Call == "" && shared >= 0:
			chosen = append(chosen, c)
		case shared >= 0:
			e.shared = append(e.shared, evidence.Kept{Day: c.Day, Recording: c.Recordings[shared].ID, Shared: c.Call})
		}
	}
	return chosen, nil
}

// search runs a query without an index. It omits calls that were already erased.
func (e *eraseRun) search(ctx context.Context, q search.Query, see func(*search.Call)) (list []evidence.Chosen, err error) {
	for c, err := range e.archive.Search(ctx, q) {
		if err != nil {
			return nil, fmt.Errorf("%w: nothing was erased: run verify --repair, and then archive, first", err)
		}
		see(&c)
		chosen := evidence.Chosen{Day: c.Day, Call: c.ID, Recordings: []evidence.ChosenRecording{}}
		for _, r := range c.Recordings {
			one := evidence.ChosenRecording{ID: r.ID}
			if r.Stored() {
				one.Bytes = r.Size
			}
			if r.Outcome != manifest.Erased {
				chosen.Recordings = append(chosen.Recordings, one)
			}
		}
		if !c.Erased && c.ID != "" || len(chosen.Recordings) > 0 {
			list = append(list, chosen)
		}
	}
	return list, nil
}

// refreshIndex updates the user's own index, if there is one.
func (e *eraseRun) refreshIndex(ctx context.Context) (err error) {
	if e.job.stateDir == "" {
		return nil
	}
	folder, name := indexPlace(e.job.stateDir, e.archive.about.ID, e.job.location())
	if !search.HasIndex(folder, name) {
		return nil
	}
	ix, err := search.OpenIndex(ctx, folder, name)
	if err != nil {
		return stateTrouble(err)
	}
	defer func() { err = errors.Join(err, ix.Close()) }()
	if _, err := ix.Update(ctx, e.archive.Archive, nil); err != nil {
		return fmt.Errorf("update the search index: %w", stateTrouble(err))
	}
	e.made.Index = true
	return nil
}

// openedExports are the exports to update.
type openedExports []openedExport

type openedExport struct {
	name   string
	folder *export.Folder
	note   export.Noted
}

// openExports opens the exports, before anything is removed, so that a mistake stops the erasure early.
func openExports(ctx context.Context, job *eraseJob, archive *searched) (list openedExports, err error) {
	for _, name := range job.exports {
		folder, note, err := export.OpenNoted(ctx, name)
		if err != nil {
			return list, misuse("give the folder of an export", "--export: %v", err)
		}
		list = append(list, openedExport{name, folder, note})
		if note.Archive != archive.about.ID {
			return list, misuse("give an export of this archive", "--export: it contains an export of another archive")
		}
	}
	return list, nil
}

func (l openedExports) close() (err error) {
	for _, one := range l {
		err = errors.Join(err, one.folder.Close())
	}
	return err
}

// refreshExports rewrites the affected days of exports. An export with personal terms stores only their hash, so its
// days are removed, and the next export restores them.
func (e *eraseRun) refreshExports(ctx context.Context, days []string) error {
	for _, one := range e.exports {
		if one.note.HasTerms {
			dropped, err := export.Drop(ctx, one.folder, one.note, days)
			if err != nil {
				return err
			}
			e.made.Exports = append(e.made.Exports, refreshedExport{Export: one.name, Dropped: dropped})
			continue
		}
		written, err := e.exportDays(ctx, one, days)
		if err != nil {
			return err
		}
		e.made.Exports = append(e.made.Exports, refreshedExport{Export: one.name, Written: written})
	}
	return nil
}

func (e *eraseRun) exportDays(ctx context.Context, one openedExport, days []string) (written int, err error) {
	prints, err := fingerprintsOf(ctx, e.archive)
	if err != nil {
		return 0, err
	}
	for _, day := range days {
		if !one.note.Holds(day) {
			continue
		}
		from, err := time.Parse(time.DateOnly, day)
		if err != nil {
			return written, fmt.Errorf("read the date of a day: %w", err)
		}
		about := e.archive.about
		run := &export.Export{
			Source: e.archive.Archive, ArchiveID: about.ID, About: export.About{AccountID: about.AccountID, APIURL: about.APIURL, TimeZone: about.TimeZone},
			Query: search.Query{From: from, To: endOfDay(from)}, Format: one.note.Format, Excel: one.note.Excel,
			Target: one.folder, Fingerprints: prints, Logger: e.logger,
		}
		summary, err := run.Run(ctx)
		if err != nil {
			return written, err
		}
		if len(summary.Unreadable) > 0 {
			return written, fmt.Errorf("export day %s: %s", day, summary.Unreadable[0].Error)
		}
		written++
	}
	return written, nil
}
