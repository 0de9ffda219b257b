package archiver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"convoso-archiver/archiver/audio"
	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/internal/retry"
	"convoso-archiver/manifest"
)

// strayRemark ends the reason of a recording that the API listed with another day's
// calls: that its own day's listing lacks it proves nothing.
const strayRemark = " (listed with another day's calls)"

// conclude notes what the listing and the workers found of the whole day, and
// closes it where everything in it is final.
func (d *dayRun) conclude() error {
	defer d.letGo()
	d.lookAtAge()
	err := d.noteAll()
	if err == nil {
		err = d.finish()
	}
	if err != nil {
		d.leaveUnfinished()
	}
	return err
}

// lookAtAge judges the day's age anew: the API has told its time since it was begun.
func (d *dayRun) lookAtAge() {
	now := d.now()
	d.age.settled = d.age.settled && d.config.settled(now, d.date)
	d.age.expired = d.age.expired && d.config.expired(now, d.date)
	if d.begun.After(now) {
		d.begun = now
	}
}

// noteAll writes the lines that are left once every recording was worked.
func (d *dayRun) noteAll() error {
	if err := d.noteHeldOf(d.date); err != nil {
		return err
	}
	if err := d.noteNameless(); err != nil {
		return err
	}
	if err := d.noteUnlisted(); err != nil {
		return err
	}
	if !d.straysNoted() {
		// Of another day that was done before this listing found them there, or not
		// asked for. This day is listed again in any case.
		return nil
	}
	// Every recording of these windows has a durable line by now.
	return d.noteWindows()
}

// finish closes the day, or says why it stays open, when its lines are uploaded.
func (d *dayRun) finish() error {
	waiting := d.waiting()
	reasons := d.openReasons(waiting)
	switch {
	case len(reasons) > 0:
		if err := d.flush(); err != nil {
			return err
		}
		d.leaveOpen(OpenDay{Day: string(d.date), Settled: d.age.settled, Waiting: waiting, Reasons: reasons})
		return nil
	case !d.whole:
		if err := d.flush(); err != nil {
			return err
		}
		d.count(func(s *Summary) { s.DaysWhole++ })
		return nil
	}
	return d.close()
}

// noteLoss writes a recording off, unless a run that was killed has stored it, or
// the store cannot tell: then it waits on.
func (r *run) noteLoss(day *sharedDay, line manifest.Recording, wanted map[string]int) error {
	stored, found, err := r.findStored(line, wanted[line.Key] <= 1)
	switch {
	case r.hard.Err() != nil:
		return errStopping
	case errors.Is(err, store.ErrUnusable):
		return fmt.Errorf("look for recording %s: %w", line.RecordingID, err)
	case err != nil:
		r.Logger.Warn("recording not looked up, so not written off", "recording_id", line.RecordingID, "err", err)
		line.Outcome = manifest.Pending
	case found:
		return r.adopt(day, line, stored)
	}
	if err := r.note(day, line); err != nil {
		return err
	}
	r.count(func(s *Summary) {
		s.add(line.Outcome)
		if line.Outcome == manifest.Lost {
			s.Lost++
		}
	})
	return nil
}

// adopt notes a recording that stands in the store already. It is a new one in the
// archive, and so counts towards the limit on those.
func (r *run) adopt(day *sharedDay, line manifest.Recording, stored store.Stored) (err error) {
	if err := r.limit.reserve(r.soft); err != nil {
		if errors.Is(err, errLimitReached) {
			return err
		}
		return errStopping
	}
	defer func() { r.limit.release(err == nil) }()
	line.Outcome, line.Reason = manifest.Archived, "adopted: stored by a run that did not note it"
	line.Key, line.Size, line.ETag = stored.Key, stored.Size, stored.ETag
	line.SHA256 = fmt.Sprintf("%x", stored.SHA256)
	if err := r.note(day, line); err != nil {
		return err
	}
	r.count(func(s *Summary) {
		s.Archived++
		s.Adopted++
		s.Bytes += line.Size
	})
	return nil
}

// findStored looks for a recording under the keys that it would be stored under;
// unless it is the only one to want its key, under those with its id alone.
func (r *run) findStored(line manifest.Recording, onlyOne bool) (stored store.Stored, found bool, err error) {
	names := []string{line.Key}
	if stem, isMP3 := strings.CutSuffix(line.Key, audio.MP3.Extension()); isMP3 { // as was assumed
		names = append(names, stem+audio.WAV.Extension())
	}
	var keys []string
	for _, name := range names {
		again := key.Again(name, line.RecordingID)
		if len(again) > 0 && !onlyOne {
			again = again[1:] // without the one that another recording wants as well
		}
		keys = append(keys, again...)
	}
	if len(keys) == 0 {
		return stored, false, nil
	}
	err = retry.Do(r.hard, r.retry, func(ctx context.Context) error {
		var err error
		stored, found, err = r.Store.Find(ctx, keys, line.RecordingID)
		if err != nil && !store.IsRetriable(err) {
			return retry.Stop(err)
		}
		return err
	})
	return stored, found, err
}

// noteNameless writes off what had neither an id nor a link for as long as there
// was audio. Until then it holds the day open: a line would have to name it, and
// its name depends on the link.
func (d *dayRun) noteNameless() error {
	if !d.age.expired || !d.clockTrusted() {
		d.count(func(s *Summary) { s.Pending += len(d.nameless) })
		return nil
	}
	now := d.now().UTC()
	for identity, callID := range d.nameless {
		if err := d.noteLoss(d.ledger, manifest.Recording{
			RecordingID: identity, Outcome: manifest.Lost, Time: now, Run: d.config.Run, CallID: callID, FirstSeen: now,
			Reason: reasonNameless,
		}, nil); err != nil {
			return err
		}
	}
	d.nameless = nil
	return nil
}

// noteUnlisted writes off what waits and is in the listing no more. Only a listing
// of all calls of a settled day, proved whole, can tell that.
func (d *dayRun) noteUnlisted() error {
	if !d.whole || d.cut || !d.age.settled || len(d.doubts) > 0 || len(d.nameless) > 0 ||
		d.config.Filter != (fetcher.Filter{}) || !d.clockTrusted() {
		return nil
	}
	var gone []manifest.Recording
	now := d.now().UTC()
	for id, prior := range d.ledger.Recordings() {
		if final(prior, d.config.GiveUp) || prior.Outcome == manifest.Damaged || d.ledger.wasSeen(id) ||
			strings.HasSuffix(prior.Reason, strayRemark) {
			continue
		}
		gone = append(gone, manifest.Recording{
			RecordingID: id, Outcome: manifest.Lost, Time: now, Run: d.config.Run, Key: prior.Key, CallID: prior.CallID,
			FirstSeen: prior.FirstSeen, Attempts: prior.Attempts, Reason: reasonUnlisted,
		})
	}
	wanted := wantedBy(d.ledger, nil)
	for _, line := range gone {
		if err := d.noteLoss(d.ledger, line, wanted); err != nil {
			return err
		}
	}
	return nil
}

func (d *dayRun) noteWindows() error {
	lines := make([]manifest.Window, 0, len(d.windows))
	now := d.now().UTC()
	for _, w := range d.windows {
		lines = append(lines, manifest.Window{
			From: w.From.Format(fetcher.WallLayout), To: w.To.Format(fetcher.WallLayout),
			Filter: d.config.Filter.String(), Listing: d.listing,
			Rows: w.Rows, Total: w.Total, Calls: w.DayCalls, Recordings: w.Recordings,
			ListedAt: d.begun.UTC(), Time: now, Run: d.config.Run,
		})
	}
	if err := d.ledger.NoteWindow(d.hard, lines...); err != nil {
		return fmt.Errorf("note windows of %s: %w", d.date, err)
	}
	return nil
}

// waiting counts the recordings without a final outcome: of the whole day, or of
// what this listing asked for.
func (d *dayRun) waiting() int {
	partial := !d.whole || d.config.Filter != (fetcher.Filter{})
	waiting := len(d.nameless)
	for id, s := range d.ledger.Recordings() {
		if !final(s, d.config.GiveUp) && (!partial || d.ledger.wasSeen(id)) {
			waiting++
		}
	}
	return waiting
}

// openReasons returns why the day, or the part asked for, is not done.
func (d *dayRun) openReasons(waiting int) []string {
	reasons := slices.Clone(d.doubts)
	if !d.age.settled || d.cut {
		reasons = append(reasons, reasonUnsettled)
	}
	if waiting > 0 {
		reasons = append(reasons, fmt.Sprintf("recordings that wait: %d", waiting))
	}
	if !d.clockTrusted() {
		reasons = append(reasons, "the machine's clock and the API's are more than an hour apart")
	}
	return reasons
}

func (d *dayRun) flush() error {
	if err := d.withPatience(func() error { return d.Ledger.Flush(d.hard) }); err != nil {
		return fmt.Errorf("upload manifest of %s: %w", d.date, err)
	}
	return nil
}

func (d *dayRun) close() error {
	line := manifest.DayLine{
		Filter: d.config.Filter.String(), Kept: []string{"recordings"}, ListedAt: d.begun.UTC(), Time: d.now().UTC(),
	}
	for _, w := range d.windows {
		line.Calls += w.DayCalls
	}
	if d.closed && d.before.Filter == "" && line.Filter != "" {
		// It was closed for every filter, and nothing in it waits: a part of it that
		// was asked for again must not narrow that.
		line.Filter, line.Calls, line.ListedAt = "", d.before.Calls, d.before.ListedAt
	}
	err := d.withPatience(func() error { return d.ledger.Close(d.hard, line) })
	switch {
	case errors.Is(err, manifest.ErrChanged):
		d.leaveOpen(OpenDay{Day: string(d.date), Settled: true, Reasons: []string{"another run is writing this day"}})
		return nil
	case err != nil:
		return fmt.Errorf("close %s: %w", d.date, err)
	}
	d.count(func(s *Summary) { s.DaysClosed++ })
	d.Logger.Info("day closed", "day", string(d.date), "calls", line.Calls)
	return nil
}
