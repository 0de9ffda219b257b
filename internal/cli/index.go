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

// openIndex opens the search index of an archive below the state folder. The index belongs to the archive's id and
// location, because a copy may be older. The error says what to do about the state folder; searches can continue
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

// location returns the location of the archive in canonical form.
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

// openIndex opens the index of the searched archive; nil without a state folder.
func (j *searchJob) openIndex(ctx context.Context, s *searched) (err error) {
	if j.stateDir == "" {
		return nil
	}
	s.index, err = openIndex(ctx, j.stateDir, s.about.ID, j.location())
	return err
}

// fewDays is the number of days up to which days are read directly, without updating an index first.
const fewDays = 7

// isShort reports whether the span has few days. An open end means today.
func (j *searchJob) isShort(zone *time.Location) bool {
	from, to := j.query.From, j.query.To
	if to.IsZero() {
		to, _ = time.Parse(time.DateOnly, today(j.now, zone))
	}
	return !from.IsZero() && to.Sub(from) < fewDays*24*time.Hour
}

// useIndex uses the index for a search of many days, after updating it. If the index cannot be used, it says so, and
// the search reads days. The error is the end of ctx.
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

// An update of the index is reported when it takes longer than this, and then at this interval.
const (
	indexPatience = 2 * time.Second
	indexEvery    = 10 * time.Second
)

// withoutIndex reports that a search continues without the index. It returns the end of ctx.
func (t teller) withoutIndex(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil {
		t.warn("warning: without an index this takes longer: "+err.Error(), "searching without an index", "err", err)
	}
	return context.Cause(ctx)
}

// Update intervals of the page's index, in a folder and in a bucket, where an update costs requests, and how long the
// index is trusted without a finished update: an update may wait for another process, or read a large day.
const (
	refreshFolder = 10 * time.Second
	refreshBucket = time.Minute
	believeFor    = 5 * time.Minute
)

// freshness is when an index was last compared with the archive.
type freshness struct{ compared atomic.Int64 }

// holds reports whether the index may answer.
func (f *freshness) holds() bool { return time.Now().UnixNano()-f.compared.Load() < int64(believeFor) }

// keepIndex updates an index until ctx ends. A problem is reported once, and the index is not searched until an update
// succeeds again. After each successful update it calls updated.
func keepIndex(ctx context.Context, s *searched, every time.Duration, fresh *freshness, logger *slog.Logger, updated func(context.Context)) {
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
		if last = problem; problem == "" {
			updated(ctx)
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return
		}
	}
}
