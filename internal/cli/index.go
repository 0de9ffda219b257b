// Opens the search index below the state folder, and keeps it up to date.

package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"convoso-archiver/search"
)

// openIndex opens the search index of an archive below the state folder. An archive is told from others by its id and
// by where it is, for a copy may be older. The error says what to do about the state folder; searches can go on
// without an index.
func openIndex(ctx context.Context, stateDir, archiveID, location string) (*search.Index, error) {
	folder, name := indexPlace(stateDir, archiveID, location)
	ix, err := search.OpenIndex(ctx, folder, name)
	if err != nil && ctx.Err() == nil {
		return nil, stateTrouble(err)
	}
	return ix, err
}

// indexPlace is the folder and the name of an index.
func indexPlace(stateDir, archiveID, location string) (folder, name string) {
	sum := sha256.Sum256([]byte(archiveID + "\x00" + location))
	const enough = 16
	return filepath.Join(stateDir, "index"), hex.EncodeToString(sum[:enough])
}

// stateTrouble adds to an error of the index what to do about it.
func stateTrouble(err error) error {
	return fmt.Errorf("%w: free some space, or give another --state-dir", err)
}

// location is where the archive is, in one form.
func (j *searchJob) location() string {
	if j.folder == "" {
		return j.bucket.Endpoint + "\x00" + j.bucket.Bucket + "\x00" + j.bucket.Prefix
	}
	path, err := filepath.Abs(j.folder)
	if err != nil {
		return j.folder
	}
	return path
}

// openIndex opens the index of the archive that is searched; nil where there is no state folder to keep it in.
func (j *searchJob) openIndex(ctx context.Context, s *searched) (err error) {
	if j.stateDir == "" {
		return nil
	}
	s.index, err = openIndex(ctx, j.stateDir, s.about.ID, j.location())
	return err
}

// fewDays is how many days are read at once rather than by an index that has to be looked after first.
const fewDays = 7

// isShort reports whether the span holds few days. An open end is today.
func (j *searchJob) isShort(zone *time.Location) bool {
	from, to := j.query.From, j.query.To
	if to.IsZero() {
		to, _ = time.Parse(time.DateOnly, today(j.now, zone))
	}
	return !from.IsZero() && to.Sub(from) < fewDays*24*time.Hour
}

// useIndex has a search of many days made by the index, which it brings up to date. Where the index cannot be used it
// says so, and the search reads days. The error is the end of ctx.
func (j *searchJob) useIndex(ctx context.Context, s *searched, tell teller) error {
	if j.isShort(s.Zone()) {
		return nil
	}
	err := j.openIndex(ctx, s)
	if err != nil || s.index == nil {
		return tell.withoutIndex(ctx, err)
	}
	began, told := time.Now(), time.Time{}
	_, err = s.index.Update(ctx, s.Archive, func(done, total int) {
		if now := time.Now(); now.Sub(began) > indexPatience && now.Sub(told) > indexEvery {
			told = now
			tell.note(fmt.Sprintf("building the search index: %d of %d days", done, total), "building the search index", "days", done, "of", total)
		}
	})
	if _, isIndex := errors.AsType[*search.IndexError](err); err != nil && (isIndex || ctx.Err() != nil) {
		return tell.withoutIndex(ctx, stateTrouble(err))
	}
	if err != nil {
		return err
	}
	s.Archive = s.WithIndex(s.index)
	return nil
}

// An update of the index is told of when it takes longer than this, and again so often.
const (
	indexPatience = 2 * time.Second
	indexEvery    = 10 * time.Second
)

// withoutIndex tells that a search goes on without the index. It returns the end of ctx.
func (t teller) withoutIndex(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil {
		t.warn("warning: without an index this takes longer: "+err.Error(), "searching without an index", "err", err)
	}
	return context.Cause(ctx)
}

// How often the index of a page is brought up to date, in a folder and in a bucket, where that costs requests, and for
// how long it is believed when nothing was heard of an update: one may wait for another process, or read a large day.
const (
	refreshFolder = 10 * time.Second
	refreshBucket = time.Minute
	believeFor    = 5 * time.Minute
)

// freshness is when an index was last compared with the archive.
type freshness struct{ compared atomic.Int64 }

// holds reports whether the index may answer.
func (f *freshness) holds() bool { return time.Now().UnixNano()-f.compared.Load() < int64(believeFor) }

// keepIndex brings an index up to date until ctx ends. What is wrong with it is told once, and it is not searched until
// an update went well again. After the first successful update it calls ready.
func keepIndex(ctx context.Context, s *searched, every time.Duration, fresh *freshness, logger *slog.Logger, ready func(context.Context)) {
	last := ""
	for {
		began := time.Now()
		report, err := s.index.Update(ctx, s.Archive, func(int, int) { fresh.compared.Store(time.Now().UnixNano()) })
		if ctx.Err() != nil {
			return
		}
		problem := ""
		if err != nil {
			fresh.compared.Store(0)
			problem = stateTrouble(err).Error()
		}
		switch {
		case problem != "" && problem != last:
			logger.Warn("cannot update the search index; searches take longer", "err", problem)
		case report.Read > 0 || report.Removed > 0:
			logger.Info("search index updated", "days", report.Read, "removed", report.Removed, "seconds", int(time.Since(began).Seconds()))
		}
		if last = problem; problem == "" && ready != nil {
			ready(ctx)
			ready = nil
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return
		}
	}
}
