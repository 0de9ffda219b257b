package archiver

import (
	"slices"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// heldVerdict is a line that would write a recording off, lost or given up, because
// the host says that it does not have it or may not give it. On a day that should
// still have its audio it is noted only when an answer has shown since that the
// host is in order, or the run ended without an outage.
type heldVerdict struct {
	day    *sharedDay // with a reference of its own
	line   manifest.Recording
	proofs int64 // good answers before it
}

// hold keeps a verdict back until its day concludes. One that is proved needs no good
// answer first. There are fewer than mostRefused without proof at any time, for as
// many in a row end the run.
func (r *run) hold(day *sharedDay, line manifest.Recording, proved bool) {
	r.retain(day)
	proofs := r.streaks.proofs()
	if proved {
		proofs = -1
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = append(r.held, heldVerdict{day: day, line: line, proofs: proofs})
}

// takeHeld returns the verdicts of a day, or of all days for "", and forgets them.
func (r *run) takeHeld(date fetcher.Date) []heldVerdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	var taken []heldVerdict
	r.held = slices.DeleteFunc(r.held, func(h heldVerdict) bool {
		if date != "" && h.day.date != date {
			return false
		}
		taken = append(taken, h)
		return true
	})
	return taken
}

// heldDates names the days that have verdicts.
func (r *run) heldDates() []fetcher.Date {
	r.mu.Lock()
	defer r.mu.Unlock()
	var dates []fetcher.Date
	for _, h := range r.held {
		if !slices.Contains(dates, h.day.date) {
			dates = append(dates, h.day.date)
		}
	}
	return dates
}

// hasUnprovedVerdict reports whether one of the day still waits for a good answer.
func (r *run) hasUnprovedVerdict(date fetcher.Date) bool {
	proofs := r.streaks.proofs()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.held, func(h heldVerdict) bool {
		return h.day.date == date && h.proofs >= proofs
	})
}

// noteHeldOf notes the verdicts of a day.
func (r *run) noteHeldOf(date fetcher.Date) error {
	held := r.takeHeld(date)
	if len(held) == 0 {
		return nil
	}
	wanted := wantedBy(held[0].day, held)
	var failed error
	for _, h := range held {
		if failed == nil {
			failed = r.noteHeld(h, wanted)
		}
		r.release(h.day)
	}
	return failed
}

// wantedBy counts the recordings of a day that want each key. A file under a key
// that several want may be any one's, where the store keeps no ids.
func wantedBy(day *sharedDay, held []heldVerdict) map[string]int {
	wanted := map[string]int{}
	held = slices.DeleteFunc(slices.Clone(held), func(h heldVerdict) bool {
		_, noted := day.Recording(h.line.RecordingID)
		return noted // and counted with the others
	})
	for _, h := range held {
		wanted[h.line.Key]++
	}
	for _, s := range day.Recordings() {
		wanted[s.Key]++
	}
	return wanted
}

func (r *run) noteHeld(h heldVerdict, wanted map[string]int) error {
	if h.line.Outcome == manifest.Lost {
		return r.noteLoss(h.day, h.line, wanted)
	}
	if err := r.note(h.day, h.line); err != nil {
		return err
	}
	r.count(func(s *Summary) {
		s.add(h.line.Outcome)
		s.GivenUp++
	})
	return nil
}

// postpone puts a day's conclusion off until its verdicts are proved, and the
// recordings of other days that it listed are noted.
func (r *run) postpone(d *dayRun) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.postponed = append(r.postponed, d)
}

// takePostponed returns the days that were put off and are as wanted, and forgets
// them.
func (r *run) takePostponed(wanted func(*dayRun) bool) []*dayRun {
	r.mu.Lock()
	days := slices.Clone(r.postponed)
	r.mu.Unlock()
	days = slices.DeleteFunc(days, func(d *dayRun) bool { return !wanted(d) })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.postponed = slices.DeleteFunc(r.postponed, func(d *dayRun) bool { return slices.Contains(days, d) })
	return days
}

// concludeReady concludes the days that were put off and wait for nothing more, so
// that their ledgers are held no longer than they must be. Whoever comes while
// another one is about it leaves it to him.
func (r *run) concludeReady() error {
	if !r.concluding.TryLock() {
		return nil
	}
	defer r.concluding.Unlock()
	// The verdicts of all come first: two days may have listed recordings of each other.
	proved := func(d *dayRun) bool { return !r.hasUnprovedVerdict(d.date) }
	days := r.takePostponed(proved)
	var failed error
	for _, d := range days {
		if failed == nil && r.soft.Err() == nil {
			failed = r.noteHeldOf(d.date)
		}
	}
	for _, d := range days {
		if failed != nil || r.soft.Err() != nil || !d.straysNoted() {
			r.postpone(d)
			continue
		}
		failed = d.conclude()
	}
	return failed
}

// settleHeld concludes the days that are still put off at the end of a run. When it
// is ending for any cause, nothing is written off.
func (r *run) settleHeld() error {
	var failed error
	for _, date := range r.heldDates() { // also of days that were not asked for
		if failed == nil && r.soft.Err() == nil {
			failed = r.noteHeldOf(date)
		}
	}
	for _, h := range r.takeHeld("") {
		r.release(h.day)
	}
	for _, d := range r.takePostponed(func(*dayRun) bool { return true }) {
		if failed != nil || r.soft.Err() != nil {
			d.leaveUnfinished()
			d.letGo()
			continue
		}
		failed = d.conclude()
	}
	return failed
}
