package archiver

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/internal/retry"
	"convoso-archiver/manifest"
)

// job is one recording to fetch.
type job struct {
	owner     *dayRun // the listing that found it, which waits for it
	day       *sharedDay
	call      *fetcher.Call
	recording fetcher.Recording
	prior     manifest.State
	age       dayAge
	attempts  int // requests made
	unclaim   func()
}

// owe makes the day wait for a job.
func (d *dayRun) owe(*job) { d.owed.Add(1) }

// done tells the day that the job has its line.
func (j *job) done() { j.owner.owed.Done() }

// abandon tells the day that the job was not worked, so that no window line may be
// written for the listing that found it.
func (j *job) abandon() {
	j.owner.abandoned.Store(true)
	j.owner.owed.Done()
}

// worker works jobs until there are no more. Once the run is stopping it abandons
// what is still queued.
func (r *run) worker() {
	for j := range r.jobs {
		if r.soft.Err() != nil {
			j.abandon()
			continue
		}
		r.inFlight.Add(1)
		err := r.archive(j)
		r.inFlight.Add(-1)
		if err == nil {
			j.done()
			continue
		}
		j.abandon()
		if !errors.Is(err, errStopping) {
			r.stop(err)
		}
	}
}

// archive fetches one recording, stores it and notes the outcome. It returns an
// error only for what dooms the run, or errStopping.
func (r *run) archive(j *job) error {
	if err := r.limit.reserve(r.soft); err != nil {
		if errors.Is(err, errLimitReached) {
			return err
		}
		return errStopping
	}
	line, err := r.fetchAndStore(j)
	r.limit.release(err == nil && line.Outcome == manifest.Archived)
	if err != nil {
		return err
	}
	return nil
}

// fetchAndStore is archive within the limit on new recordings. The one retry loop
// goes round fetching and storing together: a body that has come whole is kept
// while storing it is tried again.
func (r *run) fetchAndStore(j *job) (manifest.Recording, error) {
	var got *download
	var stored store.Stored
	defer func() {
		if got != nil {
			got.body.discard()
		}
		if j.unclaim != nil {
			j.unclaim()
		}
	}()
	var found *finding
	err := retry.Do(r.soft, r.retry, func(context.Context) error {
		if got == nil {
			if r.soft.Err() != nil {
				return retry.Stop(errStopping)
			}
			var err error
			if got, found, err = r.download(j); err != nil || found != nil {
				return err
			}
		}
		var err error
		stored, err = r.put(j, got)
		return err
	})
	switch {
	case err == nil && found != nil:
		return r.noteFinding(j, found)
	case err == nil:
		return r.noteArchived(j, got, stored)
	}
	if doomed, cause := r.dooms(err); doomed {
		return manifest.Recording{}, cause
	}
	return r.noteFinding(j, &finding{outcome: manifest.Failed, reason: reasonOf(err)})
}

// dooms reports whether an error ends the run rather than this recording's turn,
// and with what.
func (r *run) dooms(err error) (bool, error) {
	if errors.Is(err, errStopping) || r.hard.Err() != nil {
		return true, errStopping
	}
	if errors.Is(err, store.ErrUnusable) {
		return true, err
	}
	if _, ok := errors.AsType[*fetcher.RetryLaterError](err); ok {
		return true, err
	}
	if r.soft.Err() != nil {
		return true, errStopping // its retries were cut short: no outcome is known
	}
	return false, nil
}

// put stores a body under the recording's key.
func (r *run) put(j *job, got *download) (store.Stored, error) {
	names, err := r.namesOf(j, got.format())
	if err != nil {
		return store.Stored{}, retry.Stop(err)
	}
	sum := got.body.sum()
	keys := names.For(j.recording.Identity, sum)
	keys = withoutDamaged(keys, j.prior)
	if j.unclaim == nil {
		j.unclaim = r.claim(keys, j.recording.Identity)
	}
	content, err := got.body.reader()
	if err != nil {
		return store.Stored{}, retry.Stop(err)
	}
	stored, err := r.Store.Put(r.hard, store.Object{
		Keys: keys, Body: content, Size: got.body.size, SHA256: sum, ContentType: got.contentType(),
		RecordingID: j.recording.Identity, CallID: j.call.ID,
	})
	if err == nil || store.IsRetriable(err) {
		return stored, err
	}
	return stored, retry.Stop(err)
}

// withoutDamaged leaves out the key under which damaged bytes stand.
func withoutDamaged(keys []string, prior manifest.State) []string {
	if prior.Outcome != manifest.Damaged {
		return keys
	}
	var others []string
	for _, key := range keys {
		if key != prior.Key {
			others = append(others, key)
		}
	}
	return others
}

// claim marks keys as being stored for a recording until its line is durable, so
// that another one with the same name and the same bytes does not adopt the file.
func (r *run) claim(keys []string, identity string) (release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var mine []string
	for _, key := range keys {
		if _, taken := r.claims[key]; !taken {
			r.claims[key] = identity
			mine = append(mine, key)
		}
	}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, key := range mine {
			delete(r.claims, key)
		}
	}
}

// Owner returns the recording that a key belongs to by a line of the manifest, or
// by being stored right now; "" where it belongs to none. A store asks it before it
// adopts bytes that no metadata names. It is safe for concurrent use.
func (a *Archiver) Owner(ctx context.Context, key string) (string, error) {
	if r := a.state.Load(); r != nil {
		r.mu.Lock()
		owner, claimed := r.claims[key]
		r.mu.Unlock()
		if claimed {
			return owner, nil
		}
	}
	return a.Ledger.Owner(ctx, key)
}

func (r *run) noteArchived(j *job, got *download, stored store.Stored) (manifest.Recording, error) {
	now := time.Now().UTC()
	line := manifest.Recording{
		RecordingID: j.recording.Identity, Outcome: manifest.Archived, Key: stored.Key,
		Size: stored.Size, SHA256: hex.EncodeToString(stored.SHA256[:]), Time: now, Run: r.config.Run,
		CallID: j.call.ID, FirstSeen: firstSeen(j.prior, now), Attempts: j.prior.Attempts + j.attempts,
		ContentType: got.contentType(), ETag: stored.ETag, Reason: got.remark(j.call),
	}
	if err := j.day.Note(r.hard, line); err != nil {
		return line, fmt.Errorf("note recording %s: %w", line.RecordingID, err)
	}
	r.streaks.note(nil, j.age.expired)
	r.count(func(s *Summary) {
		s.Archived++
		s.Bytes += stored.Size
		if stored.Adopted {
			s.Adopted++
		}
	})
	r.logger(j).Debug("recording archived", "bytes", stored.Size, "adopted", stored.Adopted)
	return line, nil
}

// noteFinding notes that a recording was not had, and what that makes of it.
func (r *run) noteFinding(j *job, f *finding) (manifest.Recording, error) {
	if r.streaks.note(f, j.age.expired) {
		return manifest.Recording{}, fmt.Errorf("%w: %d recordings in a row were %s", ErrOutage, mostRefused, streakOf(f))
	}
	now := r.now().UTC()
	line := manifest.Recording{
		RecordingID: j.recording.Identity, Outcome: f.outcome, Time: time.Now().UTC(), Run: r.config.Run,
		CallID: j.call.ID, FirstSeen: firstSeen(j.prior, now), Attempts: j.prior.Attempts + j.attempts, Reason: f.reason,
	}
	names, err := r.namesOf(j, "")
	if err != nil {
		return line, err
	}
	line.Key = names.For(j.recording.Identity, [32]byte{})[0]
	if f.notFound {
		line.Reason = manifest.NotFoundReason(j.owner.listing)
	}
	if j.prior.Outcome == manifest.Lost { // asked for again by --retry, in vain
		line.Outcome = manifest.Lost
		if err := j.day.Note(r.hard, line); err != nil {
			return line, fmt.Errorf("note recording %s: %w", line.RecordingID, err)
		}
		r.count(func(s *Summary) { s.Known++ })
		return line, nil
	}
	if f.notFound {
		if confirmsLoss(j.prior, j.owner.listing, j.age, now) {
			return line, r.noteConfirmedLoss(j, line)
		}
	}
	if err := j.day.Note(r.hard, line); err != nil {
		return line, fmt.Errorf("note recording %s: %w", line.RecordingID, err)
	}
	givenUp := final(manifest.State{Outcome: line.Outcome, Time: line.Time, FirstSeen: line.FirstSeen}, r.config.GiveUp, now)
	r.count(func(s *Summary) {
		s.add(line.Outcome)
		if givenUp && j.prior.Outcome != manifest.Damaged {
			s.GivenUp++
		}
	})
	r.logger(j).Info("recording not archived", "outcome", line.Outcome, "reason", f.reason)
	return line, nil
}

// noteConfirmedLoss writes a recording off; on a day that should still have its
// audio only once it is known that the host is in order.
func (r *run) noteConfirmedLoss(j *job, pending manifest.Recording) error {
	lost := pending
	lost.Outcome = manifest.Lost
	keys := key.Again(pending.Key, pending.RecordingID)
	if j.age.expired {
		return r.noteLoss(j.day, lost, keys)
	}
	if err := j.day.Note(r.hard, pending); err != nil {
		return fmt.Errorf("note recording %s: %w", pending.RecordingID, err)
	}
	r.count(func(s *Summary) { s.Pending++ })
	r.hold(heldLoss{day: j.day, line: lost, keys: keys, proofs: r.streaks.proofs()})
	return nil
}

func streakOf(f *finding) string {
	if f.denied {
		return "refused"
	}
	return "not found"
}

func (s *Summary) add(o manifest.Outcome) {
	switch o {
	case manifest.Pending:
		s.Pending++
	case manifest.Failed:
		s.Failed++
	case manifest.Rejected:
		s.Rejected++
	}
}
