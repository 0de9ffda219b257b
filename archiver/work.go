// Works on one recording: attempts, delays and the line in the manifest.

package archiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// job is one recording to fetch.
type job struct {
	day       *day
	call      callFacts
	recording fetcher.Recording
	identity  string
	listing   string // that contained the link
	prior     manifest.State
	again     bool // --retry requests it again although it is final

	tries, refusals int
	refusedAt       int64 // moment of the last refusal
	requests        int
}

// The attempts at one recording in one run, and the delays between them. An attempt that was asked
// to slow down has already waited for the pacer and is counted separately.
const (
	maxTries    = 5
	maxRefusals = 2
	// longRefusing is how long a host may answer only with requests to wait before each recording gets a single
	// attempt. Without it, an outage would cost three requests per recording in accounts with few recordings.
	longRefusing = maxRefusing / 10
	firstDelay   = 500 * time.Millisecond
	maxDelay     = 30 * time.Second
)

// delayAfter returns how long a recording waits before its next attempt: doubled each time, with a
// jitter of one half.
func delayAfter(attempts int) time.Duration {
	delay := min(firstDelay<<min(attempts-1, 10), maxDelay)
	return delay/2 + rand.N(delay)
}

// worker works on recordings until the queue is closed and empty. Each worker has its own buffer.
func (r *run) worker() {
	buffer := make([]byte, bufferSize)
	for {
		j, ok := r.queue.take()
		if !ok {
			return
		}
		r.sum.inFlight.Add(1)
		delay, err := r.work(j, buffer)
		r.sum.inFlight.Add(-1)
		switch {
		case delay > 0:
			if j.refusals > 0 {
				r.queue.refused(j, delay)
			} else {
				r.queue.later(j, delay)
			}
			continue
		case err != nil && !errors.Is(err, errStopping) && !errors.Is(err, errUnnoted):
			r.stop(err) // before the day continues, which must see that the run is stopping
		}
		j.day.repay(err != nil)
	}
}

// errUnnoted means that a recording got no line because of an error of its day or of the store: its day stays open
// and the run continues.
var errUnnoted = errors.New("the recording could not be written to the manifest")

// work makes one attempt at a recording. It returns the delay until the next one, or 0 when the
// recording is finished; an error if it got no line.
func (r *run) work(j *job, buffer []byte) (time.Duration, error) {
	if r.soft.Err() != nil || j.day.isAside() || j.day.isBroken() {
		return 0, errStopping
	}
	if err := r.limit.reserve(r.soft); err != nil {
		if _, limited := limitOf(err); limited {
			return 0, err
		}
		return 0, errStopping
	}
	archived, size := false, int64(0)
	defer func() { r.limit.release(archived, size) }()
	if !r.evidence.mayTry(fetcher.LinkHost(j.recording.Link)) {
		return delayAfter(4), nil
	}
	if r.checkFolders != nil {
		if err := r.checkFolders(r.keys.wanted(j)); err != nil {
			return 0, err
		}
	}
	j.requests++
	got, found, failed, err := r.downloads.get(r.hard, r.soft, j, buffer)
	if got != nil {
		defer got.body.discard()
	}
	switch {
	case err != nil && store.IsRetriable(err) && r.soft.Err() == nil && j.tries+1 < maxTries:
		j.tries++ // for example, too many files are open
		return delayAfter(j.tries), nil
	case err != nil:
		return 0, r.judgeHold(j.day, err)
	case failed != nil:
		delay, err := r.postpone(j, failed)
		if delay > 0 || err != nil {
			return delay, err
		}
		return 0, r.noteFinding(j, &failed.finding)
	case found != nil:
		if got != nil {
			if err := r.quarantine(j, got, found); err != nil {
				return 0, err
			}
		}
		return 0, r.noteFinding(j, found)
	}
	r.evidence.delivered(got.host)
	j.day.streak.good()
	size = got.body.size
	archived, err = r.keep(j, got)
	return 0, err
}

// judgeHold distinguishes a storage error of one recording from one that ends the run.
func (r *run) judgeHold(d *day, err error) error {
	_, later := errors.AsType[*fetcher.RetryLaterError](err)
	switch {
	case errors.Is(err, errStopping), r.hard.Err() != nil:
		return errStopping
	case errors.Is(err, store.ErrUnusable), later:
		return err
	}
	r.log.Warn("cannot buffer a recording", "err", err)
	d.unstored()
	return errUnnoted
}

// postpone returns the delay before the next attempt, 0 if there is none. The run waits up to
// --retry-for for a host that does not answer at all, without using an attempt; then the run ends.
func (r *run) postpone(j *job, p *passing) (time.Duration, error) {
	if r.soft.Err() != nil {
		return 0, errStopping
	}
	if p.silent > r.config.RetryFor { // so --retry-for 0 does not wait
		return 0, fmt.Errorf("%w for %s: %w", ErrSilent, r.config.RetryFor, p.err)
	}
	if p.refusing > 0 {
		j.refusals++
		j.refusedAt = p.finding.moment
		if p.refusing > maxRefusing {
			if r.setAside(j.day, &p.finding); j.day.isAside() {
				return 0, errStopping
			}
		}
		if j.refusals > maxRefusals || p.refusing > longRefusing {
			return 0, nil
		}
		// Other recordings come first: if they are refused too, the host is at fault.
		return max(3*delayAfter(j.refusals), p.after), nil
	}
	if p.silent > 0 {
		r.sum.warn(r.log, "a media host does not answer; the run retries for up to --retry-for")
		return delayAfter(5), nil
	}
	if j.tries++; j.tries >= maxTries || r.evidence.isUnwell(p.finding.host) {
		return 0, nil
	}
	return delayAfter(j.tries), nil
}

// noteFinding notes why a recording was not archived.
func (r *run) noteFinding(j *job, f *finding) error {
	if j.day.streak.bad(f, j.day.expired) {
		r.setAside(j.day, f)
		if j.day.isAside() {
			return errStopping
		}
	}
	j.day.refused(j.identity, f)
	if j.prior.Outcome == manifest.Lost { // asked for again without success: it stays lost
		r.sum.count(func(s *Summary) { s.Known++ })
		return nil
	}
	now := r.clock.now()
	line := manifest.Recording{
		RecordingID: j.identity, Outcome: f.outcome, Time: now, Run: r.config.Run, Key: r.keys.wanted(j),
		CallID: j.call.id, FirstSeen: firstSeen(j.prior, now), Attempts: j.prior.Attempts + j.requests,
		Host: f.host, Reason: f.reason, Cause: f.cause, Listing: j.listing, Source: j.recording.Source(), Again: j.again,
	}
	if line.Source == "." && j.prior.Source != "" { // the fields that identify it stay
		line.Source = j.prior.Source
	}
	if err := r.note(j.day, line); err != nil {
		return err
	}
	r.sum.count(func(s *Summary) { s.add(f.outcome, 1) })
	r.logger(j).Info("recording not archived", "outcome", f.outcome, "reason", f.reason)
	return nil
}

func firstSeen(prior manifest.State, now time.Time) time.Time {
	if prior.FirstSeen.IsZero() {
		return now
	}
	return prior.FirstSeen
}

// note appends lines to a day. If the store is in trouble it waits, and then ends the run; an error of the day leaves
// only that day open.
func (r *run) note(d *day, lines ...manifest.Recording) error {
	err := d.ledger.Note(r.hard, lines...)
	if err == nil {
		return nil
	}
	return r.judgeWrite(d, r.flushed(d, err))
}

// flushed writes a day's lines in memory once the store works again. err is why they could not be
// written.
func (r *run) flushed(d *day, err error) error {
	if !errors.Is(err, manifest.ErrUnflushed) || !store.IsRetriable(err) {
		return err
	}
	return r.patiently(func() error { return d.ledger.Flush(r.hard) })
}

// judgeWrite distinguishes an error of one day's files from one that ends the run.
func (r *run) judgeWrite(d *day, err error) error {
	switch {
	case err == nil:
		return nil
	case r.hard.Err() != nil:
		return errStopping
	case errors.Is(err, store.ErrUnusable), store.IsRetriable(err), store.Hint(err, "--dest") != "", isLater(err):
		return fmt.Errorf("write manifest of %s: %w", d.date, err)
	}
	if d.fail(fmt.Errorf("the day's manifest cannot be written: %w", err)) && r.unwritable.Add(1) >= maxUnwritable {
		return fmt.Errorf("write manifest of %s, the third day that cannot be written: %w", d.date, err)
	}
	return errUnnoted
}

// maxUnwritable is the number of unwritable days after which the run ends, because then the cause is not in
// the days.
const maxUnwritable = 3

func isLater(err error) bool {
	_, later := errors.AsType[*manifest.VersionError](err)
	return later
}

// patiently repeats an operation while the store fails, for up to --retry-for. It stops waiting when the run is
// asked to stop.
func (r *run) patiently(op func() error) error {
	began := time.Now()
	for attempt := 1; ; attempt++ {
		err := op()
		if err == nil || !store.IsRetriable(err) || r.soft.Err() != nil {
			return err
		}
		if time.Since(began) > r.config.RetryFor {
			return fmt.Errorf("the store has failed for %s: %w", r.config.RetryFor, err)
		}
		if attempt == 2 {
			r.log.Warn("the store fails; the run retries for up to --retry-for", "err", err)
		}
		select {
		case <-time.After(delayAfter(attempt)):
		case <-r.soft.Done():
			return err
		}
	}
}

// quarantine keeps a body that is neither text nor known audio, for inspection by a person. It does not keep a body
// that contains a secret.
func (r *run) quarantine(j *job, got *download, f *finding) error {
	kept, err := r.keeper.quarantine(r.hard, j, got)
	switch {
	case err != nil && (errors.Is(err, store.ErrUnusable) || r.hard.Err() != nil):
		return r.judgeHold(j.day, err)
	case err != nil:
		f.reason = "unknown format, and the file could not be put into quarantine/"
		r.logger(j).Warn("cannot put a file into quarantine/", "err", err)
	case kept:
		f.reason = "unknown format; the file is in quarantine/"
	default:
		f.reason = "unknown format; the file contains its secret link and was dropped"
	}
	return nil
}

func (r *run) logger(j *job) *slog.Logger {
	return r.log.With("recording_id", j.identity, "day", string(j.day.date))
}

// isErasedNow reports whether a recording was erased during its download, if storing it would lock it, because
// then nobody could remove it. It notes the recording as erased.
func (r *run) isErasedNow(j *job) (bool, error) {
	if !r.keeper.locks() {
		return false, nil
	}
	err := r.patiently(func() error {
		_, err := r.ledger.Erasures(r.hard)
		return err
	})
	switch {
	case r.hard.Err() != nil:
		return false, errStopping
	case err != nil:
		return false, fmt.Errorf("look for erasures: %w", err)
	case !j.day.ledger.IsErased(j.identity, j.call.id):
		return false, nil
	}
	return true, r.note(j.day, manifest.Recording{RecordingID: j.identity, CallID: j.call.id, Outcome: manifest.Pending})
}

// keep stores a body and notes it. It reports whether the recording is archived now.
func (r *run) keep(j *job, got *download) (bool, error) {
	if erased, err := r.isErasedNow(j); err != nil || erased {
		return false, err
	}
	kept, release, err := r.keeper.keep(r.hard, j, got, r.patiently)
	defer release()
	switch {
	case errors.Is(err, context.Canceled) || r.hard.Err() != nil:
		return false, errStopping
	case errors.Is(err, errKeys):
		return false, r.noteFinding(j, &finding{outcome: manifest.Failed, cause: causeKey, reason: reasonOf(err)})
	case err != nil && (errors.Is(err, store.ErrUnusable) || store.IsRetriable(err)):
		if r.soft.Err() != nil {
			return false, errStopping
		}
		return false, fmt.Errorf("store recording: %w", err)
	case err != nil:
		r.logger(j).Warn("recording not stored", "err", err)
		j.day.unstored()
		return false, errUnnoted
	}
	now := r.clock.now()
	line := kept.line(j, got)
	line.Time, line.Run, line.FirstSeen = now, r.config.Run, firstSeen(j.prior, now)
	if err := r.note(j.day, line); err != nil {
		return false, err
	}
	r.sum.count(func(s *Summary) {
		s.Archived++
		s.Bytes += line.Size
		if kept.adopted {
			s.Adopted++
		}
	})
	r.logger(j).Debug("recording archived", "bytes", line.Size, "adopted", kept.adopted)
	return true, nil
}
