package archiver

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

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
	call      facts
	recording fetcher.Recording
	prior     manifest.State
	age       dayAge
	attempts  int      // requests made
	keys      []string // to store under, once they are claimed
	unclaim   func()
}

// owe makes the listing that found a job wait for it, and the day that it belongs
// to, which may be another one. The job holds that day's ledger until it ends.
func (d *dayRun) owe(j *job) {
	d.retain(j.day)
	d.owed.Add(1)
}

// end tells both that the job has its line, or that it was abandoned without one:
// then no window line may be written for what listed it.
func (j *job) end(abandoned bool) {
	if abandoned {
		j.owner.abandoned.Store(true)
	}
	j.day.repay(abandoned)
	j.owner.release(j.day)
	j.owner.owed.Done()
}

// worker works jobs until there are no more. Once the run is stopping it abandons
// what is still queued.
func (r *run) worker() {
	for j := range r.jobs {
		if r.soft.Err() != nil {
			j.end(true)
			continue
		}
		r.inFlight.Add(1)
		err := r.archive(j)
		r.inFlight.Add(-1)
		if err != nil && !errors.Is(err, errStopping) {
			r.stop(err) // before the day goes on, which must find the run stopping
		}
		j.end(err != nil)
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
	return err
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
			var err error
			if got, found, err = r.downloadInTurn(j); err != nil || found != nil {
				return err
			}
			// The host was in order now: once the recording is stored, that may be long ago.
			r.streaks.note(nil, j.age.expired)
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
	if got != nil && store.IsRetriable(err) {
		return r.storeWithPatience(j, got)
	}
	return r.noteFinding(j, &finding{outcome: manifest.Failed, reason: reasonOf(err)})
}

// downloadInTurn is download once one of the slots is free. What follows a download
// needs none: the next one begins while this one is being stored.
func (r *run) downloadInTurn(j *job) (*download, *finding, error) {
	select {
	case r.slots <- struct{}{}:
	case <-r.soft.Done():
		return nil, nil, retry.Stop(errStopping)
	}
	defer func() { <-r.slots }()
	if r.soft.Err() != nil { // both were so
		return nil, nil, retry.Stop(errStopping)
	}
	return r.download(j)
}

// storeWithPatience goes on storing a body that has come whole while the store is
// out of order, for minutes. To give it up would cost a further request for it, and
// then for all that follow; so the run ends instead.
func (r *run) storeWithPatience(j *job, got *download) (manifest.Recording, error) {
	var stored store.Stored
	err := r.patiently(func() (err error) {
		stored, err = r.put(j, got)
		return err
	})
	if err == nil {
		return r.noteArchived(j, got, stored)
	}
	if doomed, cause := r.dooms(err); doomed {
		return manifest.Recording{}, cause
	}
	return manifest.Recording{}, fmt.Errorf("the store did not take a recording for minutes: %w", err)
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
	sum := got.body.sum()
	if j.keys == nil {
		names, err := r.namesOf(j.call, j.recording, got.format())
		if err != nil {
			return store.Stored{}, retry.Stop(err)
		}
		keys := r.keysFor(j, names, sum)
		if j.unclaim, err = r.claim(keys[0]); err != nil {
			return store.Stored{}, retry.Stop(err)
		}
		j.keys = keys
	}
	content, err := got.body.reader()
	if err != nil {
		if store.IsRetriable(err) {
			return store.Stored{}, err
		}
		return store.Stored{}, retry.Stop(err)
	}
	stored, err := r.Store.Put(r.hard, store.Object{
		Keys: j.keys, Body: content, Size: got.body.size, SHA256: sum, ContentType: got.contentType(),
		RecordingID: j.recording.Identity, CallID: j.call.callID,
	})
	if err == nil || store.IsRetriable(err) {
		return stored, err
	}
	return stored, retry.Stop(err)
}

// keysFor returns the keys to try for a body. What replaces damaged bytes gets one
// that no body of this recording can stand under: the store would adopt that.
func (r *run) keysFor(j *job, names key.Names, sum [32]byte) []string {
	if j.prior.Outcome == manifest.Damaged {
		return names.For(j.recording.Identity+" "+r.config.Run, sum)[1:]
	}
	return names.For(j.recording.Identity, sum)
}

// claim is a key under which a recording is being stored.
type claim struct {
	ended chan struct{} // closed when the recording's line is durable, or it failed
}

// claim marks the wanted key as being stored under until the recording's line is
// durable, and waits for another recording that wants the same: else one could
// adopt what the other has stored and not yet noted. The alternatives are one
// recording's own, so that no two wait for each other.
func (r *run) claim(key string) (release func(), err error) {
	mine := &claim{ended: make(chan struct{})}
	for {
		r.mu.Lock()
		other, taken := r.claims[key]
		if !taken {
			r.claims[key] = mine
			r.mu.Unlock()
			break
		}
		r.mu.Unlock()
		select {
		case <-other.ended:
		case <-r.hard.Done():
			return nil, errStopping
		}
	}
	return func() {
		r.mu.Lock()
		delete(r.claims, key)
		r.mu.Unlock()
		close(mine.ended)
	}, nil
}

func (r *run) noteArchived(j *job, got *download, stored store.Stored) (manifest.Recording, error) {
	now := r.now().UTC()
	line := manifest.Recording{
		RecordingID: j.recording.Identity, Outcome: manifest.Archived, Key: stored.Key,
		Size: stored.Size, SHA256: hex.EncodeToString(stored.SHA256[:]), Time: now, Run: r.config.Run,
		CallID: j.call.callID, FirstSeen: firstSeen(j.prior, now), Attempts: j.prior.Attempts + j.attempts,
		ContentType: got.contentType(), ETag: stored.ETag, Reason: got.remark(j.call.length),
	}
	if err := r.note(j.day, line); err != nil {
		return line, err
	}
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
		RecordingID: j.recording.Identity, Outcome: f.outcome, Time: now, Run: r.config.Run, Key: r.wantedKey(j.call, j.recording),
		CallID: j.call.callID, FirstSeen: firstSeen(j.prior, now), Attempts: j.prior.Attempts + j.attempts, Reason: f.reason,
	}
	if f.notFound {
		line.Reason = manifest.NotFoundReason(j.owner.listing)
	}
	if j.owner.date != j.day.date {
		line.Reason += strayRemark
	}
	switch {
	case j.prior.Outcome == manifest.Lost: // asked for again by --retry, in vain
		line.Outcome = manifest.Lost
		return line, r.noteWaiting(j, line, func(s *Summary) { s.Known++ })
	case f.notFound && confirmsLoss(j.prior, j.owner.listing, j.age, now):
		lost := line
		lost.Outcome = manifest.Lost
		// Noted when the day concludes, also on an expired day: only then are the
		// names of all its recordings known.
		r.hold(j.day, lost, j.age.expired)
		return line, nil
	case j.prior.Outcome != manifest.Damaged && final(manifest.State{Outcome: line.Outcome, Time: now, FirstSeen: line.FirstSeen}, r.config.GiveUp):
		if (f.notFound || f.denied) && !j.age.expired {
			r.hold(j.day, line, false)
			return line, nil
		}
		return line, r.noteWaiting(j, line, func(s *Summary) {
			s.add(line.Outcome)
			s.GivenUp++
		})
	}
	return line, r.noteWaiting(j, line, func(s *Summary) { s.add(line.Outcome) })
}

// noteWaiting notes the line of a recording that was not had, and counts it.
func (r *run) noteWaiting(j *job, line manifest.Recording, counted func(*Summary)) error {
	if err := r.note(j.day, line); err != nil {
		return err
	}
	r.count(counted)
	r.logger(j).Info("recording not archived", "outcome", line.Outcome, "reason", line.Reason)
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
