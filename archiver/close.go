// Closes a day, or notes why it stays open.

package archiver

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// factsOf collects the facts of a day for judge.
func (r *run) factsOf(d *day) facts {
	now := r.clock.now()
	end := d.date.End(r.config.Zone)
	f := facts{
		Rules: r.config.rules(), Now: now, Trusted: r.clock.trusted(), End: end,
		Filter: r.filter, Personal: r.config.Filter.Personal(), Entire: d.entire, Cut: d.cut,
		Listing: d.listing, Failure: d.failure,
		Earlier: earlierListings(d.ledger.Windows(), d.date, r.filter, end, r.config.Settle),
		Rows:    d.rows, RowsEver: r.everCalls || d.ledger.Count() > 0, Filtered: r.evidence.listedOther(d.date), Recorded: d.recorded, RecordedYet: r.everRecorded, Control: d.control, Delivered: d.delivered, LookedUp: d.lookedUp,
		Hosts: map[string]hostFacts{},
	}
	if r.evidence.shown(d.date, false) {
		f.Rows = yes
	}
	if r.evidence.shown(d.date, true) {
		f.Recorded = yes
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f.Aside, f.Unsaved = d.aside, d.unsaved
	if d.broken != nil {
		f.Aside = reasonOf(d.broken)
	}
	noted := map[string]bool{}
	for id, s := range d.ledger.Recordings() {
		if s.Outcome != manifest.Lost && (!s.Outcome.Final() || s.Outcome == manifest.Archived) {
			f.Known++
		}
		if d.listed[id] {
			noted[id] = true
			if isFinal(s, true, true, r.config.GiveUp) {
				continue
			}
		}
		f.Recordings = append(f.Recordings, d.recordingFacts(id, s, true))
	}
	for id := range d.listed {
		if !noted[id] {
			f.Recordings = append(f.Recordings, d.recordingFacts(id, manifest.State{}, false))
		}
	}
	for i := range f.Recordings {
		host := f.Recordings[i].Host
		if _, known := f.Hosts[host]; host == "" || known {
			continue
		}
		h := r.evidence.facts(host)
		if r.history != nil {
			ever, oldest := r.history.of(host) // as it was when the run read it
			h.Ever, h.Oldest = h.Ever || ever, max(h.Oldest, oldest)
		}
		f.Hosts[host] = h
	}
	return f
}

// recordingFacts collects what is known of one recording. The caller holds mu.
func (d *day) recordingFacts(id string, s manifest.State, noted bool) recordingFacts {
	f := recordingFacts{
		ID: id, State: s, Noted: noted, Listed: d.listed[id], Elsewhere: d.elsewhere[id], Nameless: d.nameless[id],
	}
	if refused, ok := d.refusals[id]; ok {
		f.Refused, f.Cause, f.Host, f.Moment = true, refused.cause, refused.host, refused.moment
	}
	if c, ok := d.stored[id]; ok {
		f.Stored = c.answer
	}
	return f
}

// conclude writes the decisions of judge: the lines of recordings, the window lines and the day
// line, in this order. On disk each is durable before the next; in a bucket all but the day line go
// up together, before it.
func (r *run) conclude(d *day, v *verdicts) error {
	for _, text := range v.Warnings {
		r.sum.warn(r.log, text)
	}
	err := r.writeVerdicts(d, v)
	if err == nil && d.listing != nil && !r.config.Filter.Personal() {
		err = r.judgeWrite(d, r.noteWindows(d, v))
	}
	switch {
	case errors.Is(err, errUnnoted):
		v.Close, v.Reasons = false, append(v.Reasons, "the day's manifest cannot be written")
	case err != nil:
		r.leaveUnfinished(d)
		return err
	}
	switch {
	case v.Close:
		return r.close(d, v)
	case len(v.Reasons) == 0 && d.listing != nil:
		r.sum.count(func(s *Summary) { s.DaysWhole++ })
	case d.listing != nil || len(v.Reasons) > 0:
		r.leaveOpen(OpenDay{Day: string(d.date), Settled: v.Settled, Waiting: v.Waiting, Reasons: v.Reasons, Excused: v.Excused})
	}
	return r.keepWhatIsNoted(d)
}

// writeVerdicts notes the recordings that became final.
func (r *run) writeVerdicts(d *day, v *verdicts) error {
	now := r.clock.now()
	for _, decided := range v.Lines {
		s, noted := d.ledger.Recording(decided.ID)
		if !noted {
			continue // judge decides only about noted recordings
		}
		line := manifest.Recording{
			RecordingID: decided.ID, Outcome: decided.Outcome, Time: now, Run: r.config.Run, Key: s.Key, CallID: s.CallID,
			FirstSeen: s.FirstSeen, Attempts: s.Attempts, Host: s.Host, Reason: decided.Reason, Cause: s.Cause, Source: s.Source, Final: true,
		}
		if decided.Moved {
			line.Cause = causeMoved
		}
		if decided.Outcome == manifest.Damaged {
			line.Size, line.SHA256 = s.Size, hexOf(s.SHA256)
		}
		if decided.Adopt {
			if err := r.adopt(d, line); err != nil {
				return err
			}
			r.uncount(d, decided.ID, s.Outcome)
			continue
		}
		if err := r.note(d, line); err != nil {
			return err
		}
		if decided.Outcome == manifest.Lost {
			r.uncount(d, decided.ID, s.Outcome)
		}
		r.sum.count(func(s *Summary) { s.finalWithout(decided.Outcome) })
		r.log.Warn("recording given up or lost; later runs do not retry it", "recording_id", decided.ID, "day", string(d.date), "outcome", decided.Outcome, "reason", decided.Reason)
	}
	return nil
}

// uncount removes a recording from the count of waiting ones, which its refusal increased.
func (r *run) uncount(d *day, id string, waited manifest.Outcome) {
	d.mu.Lock()
	_, refused := d.refusals[id]
	d.mu.Unlock()
	if refused {
		r.sum.count(func(s *Summary) { s.add(waited, -1) })
	}
}

func hexOf(sum [32]byte) string {
	if sum == ([32]byte{}) {
		return ""
	}
	return hex.EncodeToString(sum[:])
}

// adopt notes a recording that is already in the store. It is new in the archive, so it counts
// towards the limit.
func (r *run) adopt(d *day, line manifest.Recording) error {
	if err := r.limit.reserve(r.soft); err != nil {
		if _, limited := limitOf(err); limited {
			return err
		}
		return errStopping
	}
	c := d.stored[line.RecordingID]
	line.Outcome, line.Final, line.Cause, line.Reason = manifest.Archived, false, "", "found in the store: an earlier run stored it and was killed before it wrote this line"
	line.Key, line.Size, line.SHA256, line.ETag = c.info.Key, c.info.Size, hex.EncodeToString(c.sum[:]), c.info.ETag
	line.ContentType = c.contentType
	err := r.note(d, line)
	r.limit.release(err == nil, 0)
	if err != nil {
		return err
	}
	r.sum.count(func(s *Summary) {
		s.Archived++
		s.Adopted++
		s.Bytes += line.Size
	})
	return nil
}

// noteWindows notes the windows of a listing: every recording in them has a line now.
func (r *run) noteWindows(d *day, v *verdicts) error {
	if d.hasUnnoted() {
		return nil
	}
	if d.strays > 0 { // the recordings of other days have lines of other segments
		if err := r.patiently(func() error { return r.ledger.Flush(r.hard) }); err != nil {
			return err
		}
	}
	err := d.ledger.NoteWindows(r.hard, d.lines(r.filter, r.config.Run, r.clock.now(), v)...)
	if err == nil {
		return nil
	}
	return r.flushed(d, err)
}

// The values of Kept in a day line.
const (
	keptCalls      = "calls" // every row of the call log
	keptRecordings = "recordings"
)

func (r *run) close(d *day, v *verdicts) error {
	line := manifest.DayLine{
		Filter: r.filter, Kept: []string{keptCalls, keptRecordings}, ListedAt: d.begun.UTC(), Calls: d.listing.Calls, Time: r.clock.now(),
		Stray: v.Stray, Unwitnessed: v.Unwitnessed, Unlisted: v.Unlisted, Uncounted: v.Uncounted, Unlistable: v.Unlistable,
	}
	if r.config.Calls == RecordedCalls {
		line.Kept = []string{keptRecordings}
	}
	err := r.patiently(func() error { return d.ledger.Close(r.hard, line) })
	for tries := 0; errors.Is(err, manifest.ErrChanged); tries++ {
		if done := r.joinOther(d, tries); done {
			return nil
		}
		err = r.patiently(func() error { return d.ledger.Close(r.hard, line) })
	}
	if err = r.judgeWrite(d, err); errors.Is(err, errUnnoted) {
		r.leaveOpen(OpenDay{Day: string(d.date), Settled: true, Reasons: []string{"the day's manifest cannot be written"}})
		return nil
	} else if err != nil {
		r.leaveUnfinished(d)
		return err
	}
	r.sum.count(func(s *Summary) {
		s.DaysClosed++
		if v.Uncounted != 0 || v.Unlistable {
			s.DaysUncounted++
		}
	})
	r.log.Info("day closed", "day", string(d.date), "calls", line.Calls)
	return nil
}

// maxJoins is how often a day is read again because another run writes to it.
const maxJoins = 3

// joinOther reads a day again that another run has written to meanwhile. If that run closed the day, it is done. If
// its lines do not change the verdict, the day can be closed; else it stays open.
func (r *run) joinOther(d *day, tries int) (done bool) {
	status, err := r.look(d.date)
	if _, closed := status.Line(r.filter); err == nil && closed {
		r.sum.count(func(s *Summary) { s.DaysWhole++ })
		return true
	}
	var ledger *manifest.Day
	if err == nil && tries < maxJoins {
		err = r.patiently(func() error {
			ledger, err = r.ledger.Load(r.hard, string(d.date))
			return err
		})
	}
	if err == nil && ledger != nil {
		d.ledger = ledger
		if v := judge(r.factsOf(d)); v.Close && len(v.Lines) == 0 && !v.Needs.any() {
			return false
		}
	}
	r.leaveOpen(OpenDay{Day: string(d.date), Settled: true, Reasons: []string{"another run is writing this day"}})
	return true
}

// leaveOpen counts a day that stays open.
func (r *run) leaveOpen(day OpenDay) {
	r.sum.count(func(s *Summary) { s.OpenDays = withOpenDay(s.OpenDays, day) })
	level := slog.LevelInfo
	if day.Waiting == 0 && slices.Equal(day.Reasons, []string{reasonStopped}) {
		level = slog.LevelDebug // why the run ended is one line, not one for each day in work
	}
	r.log.Log(r.hard, level, "day stays open", "day", day.Day, "settled", day.Settled, "waiting", day.Waiting, "reasons", day.Reasons)
}

// withOpenDay adds an open day. A day that a run worked on twice, the second time for rows that the API listed under
// another day, counts once, as the time when it had more waiting recordings.
func withOpenDay(days []OpenDay, day OpenDay) []OpenDay {
	i := slices.IndexFunc(days, func(d OpenDay) bool { return d.Day == day.Day })
	if i < 0 {
		return append(days, day)
	}
	if day.Unreadable || day.Waiting > days[i].Waiting {
		days[i] = day
	}
	return days
}

// reasonStopped is the reason for a day that the run did not finish.
const reasonStopped = "the run ended before it finished this day"

// leaveUnfinished counts a day with unfinished recordings.
func (r *run) leaveUnfinished(d *day) {
	waiting := 0
	for i, f := 0, r.factsOf(d); i < len(f.Recordings); i++ {
		if c := &f.Recordings[i]; !isFinal(c.State, c.Noted, c.Listed, r.config.GiveUp) && (c.Listed || r.filter == "") {
			waiting++
		}
	}
	reasons := []string{reasonStopped}
	if waiting > 0 {
		reasons = append(reasons, fmt.Sprintf("waiting recordings: %d", waiting))
	}
	r.leaveOpen(OpenDay{Day: string(d.date), Settled: d.settled, Waiting: waiting, Reasons: reasons})
}

// leaveUnread counts a day whose manifest cannot be read.
func (r *run) leaveUnread(date fetcher.Date, err error) {
	reason := reasonOf(err)
	if _, bad := errors.AsType[*manifest.BadLineError](err); bad {
		reason += ": run verify, which says what to do"
	}
	r.leaveOpen(OpenDay{Day: string(date), Settled: r.config.settled(r.clock.now(), date), Unreadable: true, Reasons: []string{reason}})
}

// concernsDayAlone reports whether an error of reading a day concerns only that day. Lines of a later version, and a
// store that refuses or fails, end the run.
func (r *run) concernsDayAlone(err error) bool {
	return err != nil && r.soft.Err() == nil && ofAllDays(err) == nil
}

// look returns the status of a day without reading its lines.
func (r *run) look(date fetcher.Date) (status manifest.Status, err error) {
	err = r.patiently(func() error {
		status, err = r.ledger.Status(r.soft, string(date))
		return err
	})
	return status, err
}

func (c *Config) rules() rules {
	return rules{Settle: c.Settle, PurgeAfter: c.PurgeAfter, GiveUp: c.GiveUp}
}
