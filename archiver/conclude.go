package archiver

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"convoso-archiver/archiver/key"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// heldLoss is a recording that was told lost on a day that should still have its
// audio. It is noted as pending, and as lost only when an answer has shown since
// that the host was not out of order, or the run ended without an outage.
type heldLoss struct {
	day    *sharedDay
	line   manifest.Recording
	keys   []string
	proofs int64 // good answers before it
}

// hold keeps a loss back. There are fewer than mostRefused at any time without
// proof, for as many in a row end the run.
func (r *run) hold(h heldLoss) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = append(r.held, h)
}

// takeHeld returns the losses of a day and forgets them.
func (r *run) takeHeld(date fetcher.Date) []heldLoss {
	r.mu.Lock()
	defer r.mu.Unlock()
	var taken []heldLoss
	r.held = slices.DeleteFunc(r.held, func(h heldLoss) bool {
		if h.day.date == date {
			taken = append(taken, h)
			return true
		}
		return false
	})
	return taken
}

// hasUnprovedLoss reports whether a loss of the day still waits for a good answer.
func (r *run) hasUnprovedLoss(date fetcher.Date) bool {
	proofs := r.streaks.proofs()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.held, func(h heldLoss) bool { return h.day.date == date && h.proofs >= proofs })
}

// postpone puts a day's conclusion off to the end of the run.
func (r *run) postpone(d *dayRun) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.postponed = append(r.postponed, d)
}

// settleHeld concludes the days that were put off. When the run is ending for any
// cause, nothing is written off.
func (r *run) settleHeld() error {
	for _, d := range r.postponed {
		if r.soft.Err() != nil {
			r.release(d.ledger)
			r.leaveOpen(d.plannedDay, 0, reasonStopped)
			continue
		}
		if err := d.conclude(); err != nil {
			return err
		}
	}
	return nil
}

// conclude notes what the listing and the workers found of the whole day, and
// closes it where everything in it is final.
func (d *dayRun) conclude() error {
	defer d.release(d.ledger)
	if err := d.noteHeldLosses(); err != nil {
		return err
	}
	if err := d.noteUnlisted(); err != nil {
		return err
	}
	// Every recording of these windows has a durable line by now.
	if err := d.noteWindows(); err != nil {
		return err
	}
	waiting := d.waiting()
	reasons := d.openReasons(waiting)
	if !d.whole {
		return d.concludePart(waiting, reasons)
	}
	if len(reasons) > 0 {
		d.leaveOpen(d.plannedDay, waiting, reasons...)
		return d.flush()
	}
	return d.close()
}

func (d *dayRun) noteHeldLosses() error {
	for _, h := range d.takeHeld(d.date) {
		if err := d.noteLoss(h.day, h.line, h.keys); err != nil {
			return err
		}
		d.count(func(s *Summary) { s.Pending-- })
	}
	return nil
}

// noteLoss writes a recording off, unless a run that was killed has stored it.
func (r *run) noteLoss(day *sharedDay, line manifest.Recording, keys []string) error {
	if len(keys) > 0 {
		stored, found, err := r.Store.Find(r.hard, keys, line.RecordingID)
		if err != nil {
			return fmt.Errorf("look for recording %s: %w", line.RecordingID, err)
		}
		if found {
			line.Outcome, line.Reason = manifest.Archived, "adopted: stored by a run that did not note it"
			line.Key, line.Size, line.ETag = stored.Key, stored.Size, stored.ETag
			line.SHA256 = fmt.Sprintf("%x", stored.SHA256)
		}
	}
	if err := day.Note(r.hard, line); err != nil {
		return fmt.Errorf("note recording %s: %w", line.RecordingID, err)
	}
	r.count(func(s *Summary) {
		if line.Outcome == manifest.Archived {
			s.Archived++
			s.Adopted++
			return
		}
		s.Lost++
	})
	return nil
}

// noteUnlisted writes off what waits and is in the listing no more. Only a listing
// of all calls of a settled day, proved whole, can tell that.
func (d *dayRun) noteUnlisted() error {
	if !d.whole || !d.age.settled || len(d.doubts) > 0 || d.nameless > 0 || d.config.Filter != (fetcher.Filter{}) || !d.clockTrusted() {
		return nil
	}
	type loss struct {
		line manifest.Recording
		keys []string
	}
	var gone []loss
	now := time.Now().UTC()
	for id, prior := range d.ledger.Recordings() {
		if final(prior, d.config.GiveUp, now) || prior.Outcome == manifest.Damaged || d.ledger.wasSeen(id) {
			continue
		}
		gone = append(gone, loss{manifest.Recording{
			RecordingID: id, Outcome: manifest.Lost, Time: now, Run: d.config.Run, CallID: prior.CallID,
			FirstSeen: prior.FirstSeen, Attempts: prior.Attempts, Reason: reasonUnlisted,
		}, key.Again(prior.Key, id)})
	}
	for _, g := range gone {
		if err := d.noteLoss(d.ledger, g.line, g.keys); err != nil {
			return err
		}
	}
	return nil
}

func (d *dayRun) noteWindows() error {
	lines := make([]manifest.Window, 0, len(d.windows))
	now := time.Now().UTC()
	for _, w := range d.windows {
		lines = append(lines, manifest.Window{
			From: w.From.Format(fetcher.WallLayout), To: w.To.Format(fetcher.WallLayout),
			Filter: d.config.Filter.String(), Listing: d.listing,
			Rows: w.Rows, Total: w.Total, Calls: w.Calls, Recordings: w.Recordings,
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
	now := d.now()
	waiting := 0
	for id, s := range d.ledger.Recordings() {
		if final(s, d.config.GiveUp, now) || partial && !d.ledger.wasSeen(id) {
			continue
		}
		waiting++
	}
	if d.nameless > 0 && now.Sub(d.date.End(d.config.Zone)) < d.config.Settle+d.config.GiveUp {
		waiting += d.nameless
	}
	return waiting
}

// openReasons returns why the day, or the part asked for, is not done.
func (d *dayRun) openReasons(waiting int) []string {
	reasons := slices.Clone(d.doubts)
	if !d.age.settled {
		reasons = append(reasons, reasonUnsettled)
	}
	if waiting > 0 {
		reasons = append(reasons, fmt.Sprintf("recordings that wait: %d", waiting))
	}
	if d.abandoned.Load() {
		reasons = append(reasons, reasonStopped)
	}
	if !d.clockTrusted() {
		reasons = append(reasons, "the machine's clock and the API's are more than an hour apart")
	}
	return reasons
}

// concludePart ends the work on a part of a day. It can be done, but never closed.
func (d *dayRun) concludePart(waiting int, reasons []string) error {
	if len(reasons) > 0 {
		d.leaveOpen(d.plannedDay, waiting, reasons...)
	} else {
		d.count(func(s *Summary) { s.DaysWhole++ })
	}
	return d.flush()
}

func (d *dayRun) flush() error {
	if err := d.Ledger.Flush(d.hard); err != nil {
		return fmt.Errorf("upload manifest of %s: %w", d.date, err)
	}
	return nil
}

func (d *dayRun) close() error {
	calls := 0
	for _, w := range d.windows {
		calls += w.DayCalls
	}
	err := d.ledger.Close(d.hard, manifest.DayLine{
		Filter: d.config.Filter.String(), Kept: []string{"recordings"}, ListedAt: d.begun.UTC(), Calls: calls,
	})
	switch {
	case errors.Is(err, manifest.ErrChanged):
		d.leaveOpen(d.plannedDay, 0, "another run is writing this day")
		return nil
	case err != nil:
		return fmt.Errorf("close %s: %w", d.date, err)
	}
	d.count(func(s *Summary) { s.DaysClosed++ })
	d.Logger.Info("day closed", "day", string(d.date), "calls", calls)
	return nil
}
