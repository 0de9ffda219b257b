// Updates the index.

package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"convoso-archiver/manifest"
)

// UpdateReport is the result of an update.
type UpdateReport struct {
	Days    int  // in the archive
	Read    int  // new or changed
	Removed int  // that the archive no longer has
	Rebuilt bool // the index was damaged and rebuilt

	// Unread are days that could not be read. Searches and the next update try them again.
	Unread []*DayError
}

// Update updates the index to the archive: it reads days with new or changed files, the newest first, and deletes
// removed days. When it returns without an error, no byte of a deleted day is left in the files of the index. If
// another process updates the index, it waits, and then does the rest. The next update continues an interrupted one.
// Progress, which may be nil, is called with days read and days to read, by one goroutine at a time. From its first
// call on, with 0, the index has no stale days: searches read them from the archive.
//
// An error that is an [*IndexError] concerns only the index: searches continue, and read days that are not in the
// index.
func (ix *Index) Update(ctx context.Context, a *Archive, progress func(done, total int)) (UpdateReport, error) {
	if progress == nil {
		progress = func(int, int) {}
	}
	unlock, err := ix.lock(ctx)
	if err != nil {
		return UpdateReport{}, ix.fail(ctx, err)
	}
	report, err := ix.update(ctx, a, progress)
	if isDamage(err) {
		if err = ix.discard(); err == nil {
			report, err = ix.update(ctx, a, progress)
		}
		report.Rebuilt = true
	}
	var unlisted *listError
	if err = errors.Join(err, unlock()); errors.As(err, &unlisted) {
		return report, unlisted.err
	}
	return report, ix.fail(ctx, err)
}

// listError means that the archive could not be listed.
type listError struct{ err error }

func (e *listError) Error() string { return e.err.Error() }
func (e *listError) Unwrap() error { return e.err }

func (ix *Index) update(ctx context.Context, a *Archive, progress func(done, total int)) (report UpdateReport, err error) {
	if err := ix.make(ctx); err != nil {
		return report, err
	}
	conn, err := ix.conn(ctx)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	w, err := newWriter(ctx, conn)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	todo, err := w.compare(ctx, a, &report)
	if err == nil {
		progress(0, len(todo))
		err = w.work(ctx, a, todo, &report, progress)
	}
	return report, errors.Join(err, ix.truncateLog(ctx, conn))
}

// compare compares the archive with the index, deletes removed days, notes new ones, and returns those to read, newest
// first.
func (w *writer) compare(ctx context.Context, a *Archive, report *UpdateReport) (todo []manifest.DayFiles, err error) {
	held, err := w.held()
	if err != nil {
		return nil, err
	}
	var unknown []int64 // new or changed days, read at each search until they are written again
	for files, err := range a.ledger.Files(ctx) {
		if err != nil {
			return nil, &listError{err}
		}
		day := dayNumber(files.Day)
		was, isKnown := held[day]
		delete(held, day)
		changed := was != describe(files.Files)
		if !isKnown || changed && was != "" {
			unknown = append(unknown, day)
		}
		if report.Days++; changed {
			todo = append(todo, files)
		}
	}
	report.Removed = len(held)
	slices.Reverse(todo)
	if len(held)+len(unknown) == 0 {
		return todo, nil
	}
	return todo, w.inTransaction(ctx, func() error {
		for day := range held {
			if err := w.remove(day); err != nil {
				return err
			}
		}
		for _, day := range unknown {
			if err := w.await(day); err != nil {
				return err
			}
		}
		return nil
	})
}

// held returns the files of each day in the index.
func (w *writer) held() (map[int64]string, error) {
	rows, err := w.conn.QueryContext(w.ctx, "SELECT id, files FROM day")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	held := map[int64]string{}
	for rows.Next() {
		var day int64
		var files string
		if err := rows.Scan(&day, &files); err != nil {
			return nil, scanned(err)
		}
		held[day] = files
	}
	return held, rows.Err()
}

const (
	readers = 8 // days read in parallel, because a bucket answers slowly
	// maxInWork limits the memory of days read in parallel: the uncompressed size of their files. A larger day is
	// read alone.
	maxInWork = 32 << 20
	// gzipRatio is the approximate compression ratio of call rows.
	gzipRatio = 10
)

// read is the result of reading a day.
type read struct {
	day     int64
	built   *built
	problem *DayError // the day could not be read
}

// work reads days in parallel, and writes each when it is read.
func (w *writer) work(ctx context.Context, a *Archive, todo []manifest.DayFiles, report *UpdateReport, progress func(done, total int)) error {
	group, ctx := errgroup.WithContext(ctx)
	memory := semaphore.NewWeighted(maxInWork)
	done := make(chan read)
	group.Go(func() error {
		defer close(done)
		reading, readCtx := errgroup.WithContext(ctx)
		reading.SetLimit(readers)
		for _, files := range todo {
			if err := memory.Acquire(readCtx, weight(files)); err != nil {
				break // reading has ended too
			}
			reading.Go(func() error {
				defer memory.Release(weight(files))
				r, err := a.readForIndex(readCtx, files)
				if err != nil {
					return err
				}
				select {
				case done <- r:
				case <-readCtx.Done():
				}
				return nil
			})
		}
		return errors.Join(reading.Wait(), context.Cause(ctx))
	})
	group.Go(func() error {
		for r := range done {
			if err := w.write(ctx, r, report); err != nil {
				return err
			}
			progress(report.Read+len(report.Unread), len(todo))
		}
		return nil
	})
	return group.Wait()
}

// weight returns the approximate uncompressed size of a day's files.
func weight(files manifest.DayFiles) int64 {
	size := int64(0)
	for _, f := range files.Files {
		if size += f.Size; strings.HasSuffix(f.Name, ".gz") {
			size += f.Size * (gzipRatio - 1)
		}
	}
	return min(size, maxInWork)
}

// readForIndex reads a day. The error is the end of ctx, or means that the index cannot be built.
func (a *Archive) readForIndex(ctx context.Context, files manifest.DayFiles) (read, error) {
	r := read{day: dayNumber(files.Day)}
	calls, err := a.day(ctx, files.Day, false)
	problem, isOfDay := errors.AsType[*DayError](err)
	if err != nil && (!isOfDay || ctx.Err() != nil) {
		return r, err
	}
	if err != nil && calls == nil {
		r.problem = problem
		return r, nil
	}
	if r.built, err = buildDay(r.day, calls); err != nil {
		return r, err
	}
	r.built.files = describe(files.Files)
	if problem != nil {
		r.built.problem = problem.Err.Error()
	}
	return r, nil
}

// write writes the result of reading a day.
func (w *writer) write(ctx context.Context, r read, report *UpdateReport) error {
	if r.problem != nil {
		report.Unread = append(report.Unread, r.problem)
		return w.inTransaction(ctx, func() error { return w.await(r.day) })
	}
	report.Read++
	return w.inTransaction(ctx, func() error { return w.replace(r.built) })
}

// truncateLog empties SQLite's log, in which deleted text may remain. It waits for readers of old pages.
func (ix *Index) truncateLog(ctx context.Context, conn *sql.Conn) error {
	if info, err := os.Stat(ix.file + "-wal"); err != nil || info.Size() == 0 {
		return nil // there is none
	}
	var busy, pages, moved int
	err := conn.QueryRowContext(context.WithoutCancel(ctx), "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
	if err == nil && busy != 0 {
		err = errors.New("a long search keeps deleted calls in the index's log: wait until it has ended, and run the same command again")
	}
	if err != nil {
		return fmt.Errorf("empty the log: %w", err)
	}
	return nil
}
