package archiver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// endBefore is how long before now the current day is listed to: younger calls
// have no recording yet, and the newest rows change while they are paged.
const endBefore = 5 * time.Minute

const (
	reasonUnlisted  = "no longer listed"
	reasonNameless  = "no id and no link until the audio was purged"
	reasonUnsettled = "the day has not settled"
	reasonStopped   = "the run stopped before the day was done"
)

// dayRun is the work on one planned day.
type dayRun struct {
	*run
	plannedDay
	ledger  *sharedDay
	age     dayAge
	cut     bool   // a part of the day was still to come
	listing string // names this listing in lines
	begun   time.Time
	before  manifest.DayLine // the line that closed the day until now
	closed  bool             // there is one

	owed      sync.WaitGroup                     // jobs handed out and not done
	abandoned atomic.Bool                        // a recording was listed and not worked
	nameless  map[string]string                  // call ids by identity
	strays    map[*sharedDay]map[string]struct{} // recordings of other days, which are held
	doubts    []string
	windows   []fetcher.WindowResult
}

// workDay lists one day, has its recordings worked, and closes it where it can.
func (r *run) workDay(p plannedDay) error {
	r.beginDay(p.date)
	defer r.endDay(p.date)
	status, err := r.look(p.date)
	switch {
	case r.concernsDayAlone(err):
		r.leaveUnreadable(p.date, err)
		return nil
	case err != nil:
		r.leaveUndone(p.date, r.config.settled(r.now(), p.date))
		return fmt.Errorf("read state of %s: %w", p.date, err)
	case r.skips(status):
		r.count(func(s *Summary) { s.DaysSkipped++ })
		return nil
	}
	now := r.now()
	cut := false
	if latest := fetcher.Wall(now.Add(-endBefore), r.config.Zone); p.span.To.After(latest) {
		p.span.To, cut = latest, true
	}
	if !p.span.To.After(p.span.From) {
		r.leaveOpen(OpenDay{Day: string(p.date), Reasons: []string{reasonUnsettled}})
		return nil
	}
	r.room.enter(p.date)
	defer r.room.leave(p.date)
	d := &dayRun{
		run: r, plannedDay: p, begun: now, cut: cut,
		age:      r.ageOf(p.date, now),
		nameless: map[string]string{},
		strays:   map[*sharedDay]map[string]struct{}{},
	}
	switch err := r.room.load(r.soft, p.date, d.load); {
	case isBadLine(err):
		r.leaveUnreadable(p.date, err)
		return nil
	case err != nil:
		r.leaveUndone(p.date, d.age.settled)
		return err
	}
	return d.work()
}

// load takes the day's ledger, and begins its listing.
func (d *dayRun) load() (err error) {
	if d.ledger, err = d.acquire(d.date); err != nil {
		return err
	}
	d.before, d.closed = d.ledger.Closed()
	d.listing = d.config.Run + "." + strconv.FormatInt(d.listings.Add(1), 10)
	return nil
}

func isBadLine(err error) bool {
	_, ok := errors.AsType[*manifest.BadLineError](err)
	return ok
}

// isUnreadable reports whether a day could not be loaded for what is wrong with that
// day alone.
func (r *run) isUnreadable(date fetcher.Date, err error) bool {
	if isBadLine(err) {
		return true
	}
	_, err = r.look(date)
	return r.concernsDayAlone(err)
}

func (r *run) ageOf(date fetcher.Date, now time.Time) dayAge {
	return dayAge{settled: r.config.settled(now, date), expired: r.config.expired(now, date)}
}

// skips reports whether a day needs no look at all.
func (r *run) skips(status manifest.DayStatus) bool {
	if r.config.Relist || !status.ClosedFor(r.config.Filter.String()) {
		return false
	}
	for outcome := range r.config.Retry {
		if status.DayLine.ByOutcome[outcome] > 0 {
			return false
		}
	}
	return true
}

func (d *dayRun) work() error {
	err := d.list()
	d.room.leave(d.date)
	d.owed.Wait()
	if d.ledger.wait() {
		d.abandoned.Store(true) // by another listing that had this day's recordings first
	}
	switch {
	case err != nil, d.soft.Err() != nil, d.abandoned.Load():
		d.leaveUnfinished()
		d.letGo()
		if d.soft.Err() != nil {
			return nil // the run knows why
		}
		return err
	case d.config.DryRun:
		d.count(func(s *Summary) { s.Pending += len(d.nameless) })
		d.letGo()
		return nil
	}
	if d.hasUnprovedVerdict(d.date) || !d.straysNoted() {
		d.postpone(d) // until it is known whether the host had an outage
	} else if err := d.conclude(); err != nil {
		return err
	}
	return d.concludeReady()
}

// letGo releases the ledgers that the listing holds.
func (d *dayRun) letGo() {
	for day := range d.strays {
		d.release(day)
	}
	d.release(d.ledger)
}

// expectStray remembers a recording of another day that this listing holds: before it
// has a line of its own, no line may say what was listed.
func (d *dayRun) expectStray(day *sharedDay, identity string) {
	if d.strays[day] == nil {
		d.retain(day)
		d.strays[day] = map[string]struct{}{}
	}
	d.strays[day][identity] = struct{}{}
}

// straysNoted reports whether all of them have a line, as far as that is known now.
func (d *dayRun) straysNoted() bool {
	for day, identities := range d.strays {
		for identity := range identities {
			if _, noted := day.Recording(identity); !noted {
				return false
			}
		}
	}
	return true
}

// list pages through the day and hands its recordings to the workers. A window is
// listed again to prove it whole on a settled day alone: another one would change
// between two passes.
func (d *dayRun) list() error {
	listing := d.Source.Day(d.date, d.span, d.config.Filter, d.age.settled)
	room := func(ctx context.Context) error { return d.room.wait(ctx, d.date) }
	for page, err := range listing.Pages(d.soft, room) {
		if err != nil {
			return err
		}
		if err := d.workPage(page); err != nil {
			return err
		}
		if err := d.concludeReady(); err != nil {
			return err
		}
	}
	d.doubts = append(d.doubts, listing.Doubts()...)
	d.windows = listing.Windows()
	d.count(func(s *Summary) {
		s.DaysListed++
		for _, w := range d.windows {
			s.Calls += w.DayCalls
		}
	})
	return nil
}

// workPage decides a page, and then hands out what is to be fetched: that may take
// long, and the page, which is much larger, goes meanwhile.
func (d *dayRun) workPage(page *fetcher.Page) error {
	jobs, err := d.decidePage(page)
	for _, j := range jobs {
		if err == nil {
			err = d.handOut(j)
		} else {
			j.end(true)
		}
	}
	return err
}

// handOut gives a job to the workers, or abandons it when the run is asked to stop.
func (d *dayRun) handOut(j *job) error {
	select {
	case d.jobs <- j:
		return nil
	case <-d.soft.Done():
		j.end(true)
		return context.Cause(d.soft)
	}
}

// decidePage notes the calls of a page, and returns its recordings that are to be
// fetched; also beside an error.
func (d *dayRun) decidePage(page *fetcher.Page) (jobs []*job, err error) {
	d.zone.note(page.Calls)
	if err := d.account.check(d.run, page.Calls); err != nil {
		return nil, err
	}
	days := map[fetcher.Date]*sharedDay{d.date: d.ledger}
	defer func() {
		for date, day := range days {
			if date != d.date {
				d.release(day)
			}
		}
	}()
	work := map[*sharedDay][]*fetcher.Call{}
	for i := range page.Calls {
		if page.Calls[i].RecordingUnreadable {
			d.doubts = append(d.doubts, "a call's recording field cannot be read")
		}
		// While a call runs its audio is not complete; a row that still says so
		// when the day has settled is taken at its word no longer.
		if len(page.Calls[i].Recordings) == 0 || page.Calls[i].InProgress() && !d.age.settled {
			continue
		}
		call := &page.Calls[i]
		day, ok := days[call.Day]
		if !ok {
			var err error
			if day, err = d.acquire(call.Day); err != nil {
				if d.isUnreadable(call.Day, err) {
					continue // the day in work stays open for this row in any case
				}
				return nil, err
			}
			days[call.Day] = day
		}
		work[day] = append(work[day], call)
	}
	for day, calls := range work {
		if err := d.noteCalls(day, calls); err != nil {
			return jobs, err
		}
		for _, call := range calls {
			for i := range call.Recordings {
				j, err := d.decide(day, call, call.Recordings[i])
				if err != nil {
					return jobs, err
				}
				if j != nil {
					jobs = append(jobs, j)
				}
			}
		}
	}
	return jobs, nil
}

// noteCalls keeps the rows, before any line of their recordings.
func (d *dayRun) noteCalls(day *sharedDay, calls []*fetcher.Call) error {
	if d.config.DryRun {
		return nil
	}
	size := 0
	for _, call := range calls {
		size += len(call.Raw)
	}
	text := make([]byte, 0, size) // of all rows: they seldom become longer without links
	rows := make([]manifest.Call, 0, len(calls))
	for _, call := range calls {
		begin := len(text)
		var err error
		if text, err = call.AppendRowWithoutLinks(text); err != nil {
			return err
		}
		row := text[begin:len(text):len(text)]
		rows = append(rows, manifest.Call{CallID: noteID(call, row), Time: d.now().UTC(), Run: d.config.Run, Row: row})
	}
	if err := day.NoteCalls(d.hard, rows); err != nil {
		return fmt.Errorf("note calls of %s: %w", day.date, err)
	}
	return nil
}

// noteID returns what a row is noted under: the call's id, or without one a name made
// of the row without its links, which may differ in each listing.
func noteID(call *fetcher.Call, row []byte) string {
	if call.ID != "" {
		return call.ID
	}
	sum := sha256.Sum256(row)
	return "row-" + hex.EncodeToString(sum[:8])
}

// decide skips a recording that is final, notes one that has no link yet, and returns
// the job of fetching any other.
func (d *dayRun) decide(day *sharedDay, call *fetcher.Call, recording fetcher.Recording) (j *job, err error) {
	if recording.ID == "" && recording.Link == "" {
		d.decideNameless(day, call, recording.Identity)
		return nil, nil
	}
	if day != d.ledger && (recording.Link != "" || !call.InProgress()) {
		d.expectStray(day, recording.Identity)
	}
	if !day.take(recording.Identity) {
		return nil, nil
	}
	defer func() {
		if j == nil {
			day.repay(false)
		}
	}()
	d.count(func(s *Summary) { s.Recordings++ })
	prior, known := day.Recording(recording.Identity)
	again := d.config.Retry[prior.Outcome] && recording.Link != ""
	if known && final(prior, d.config.GiveUp) && !again {
		d.count(func(s *Summary) { s.Known++ })
		return nil, nil
	}
	if recording.Link == "" {
		if call.InProgress() {
			return nil, nil
		}
		return nil, d.noteLinkless(day, call, recording, prior, known)
	}
	if d.config.DryRun {
		d.count(func(s *Summary) {
			s.ToFetch++
			seconds, _ := strconv.ParseInt(call.CallLength, 10, 32)
			s.EstimatedBytes += seconds * bytesPerSecond
		})
		return nil, nil
	}
	j = &job{owner: d, day: day, call: d.factsOf(day, call), recording: recording, prior: prior, age: d.ageOf(day.date, d.now())}
	d.owe(j)
	return j, nil
}

// decideNameless remembers a recording that has neither id nor link. Another day's
// keeps this one open in any case, and is counted where it belongs.
func (d *dayRun) decideNameless(day *sharedDay, call *fetcher.Call, identity string) {
	if day != d.ledger || call.InProgress() || !day.take(identity) {
		return
	}
	defer day.repay(false)
	d.count(func(s *Summary) { s.Recordings++ })
	if _, writtenOff := day.Recording(identity); writtenOff {
		d.count(func(s *Summary) { s.Known++ })
		return
	}
	d.nameless[identity] = call.ID // its identity will be another once it has a link
}

// bytesPerSecond is the rate of the vendor's audio: 64 kbit/s.
const bytesPerSecond = 8000

// noteLinkless notes that a recording has no link yet, once, and once more when
// that makes it final.
func (d *dayRun) noteLinkless(day *sharedDay, call *fetcher.Call, recording fetcher.Recording, prior manifest.State, known bool) error {
	now := d.now().UTC()
	givenUp := known && prior.Outcome != manifest.Damaged && !now.Before(prior.FirstSeen.Add(d.config.GiveUp))
	d.count(func(s *Summary) {
		s.Pending++
		if givenUp {
			s.GivenUp++
		}
	})
	if d.config.DryRun || known && !givenUp {
		return nil
	}
	line := manifest.Recording{
		RecordingID: recording.Identity, Outcome: manifest.Pending, Time: now, Run: d.config.Run, Key: d.wantedKey(d.factsOf(day, call), recording),
		CallID: call.ID, FirstSeen: firstSeen(prior, now), Attempts: prior.Attempts, Reason: manifest.ReasonNoLink,
	}
	return d.note(day, line)
}

func firstSeen(prior manifest.State, now time.Time) time.Time {
	if prior.FirstSeen.IsZero() {
		return now
	}
	return prior.FirstSeen
}

func (r *run) beginDay(date fetcher.Date) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active[date] = true
}

func (r *run) endDay(date fetcher.Date) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.active, date)
	r.left--
}

// leaveUndone counts a day that a run came to and did not get done with.
func (r *run) leaveUndone(date fetcher.Date, settled bool) {
	r.leaveOpen(OpenDay{Day: string(date), Settled: settled, Reasons: []string{reasonStopped}})
}

// leaveUnreadable counts a day of which it is not known what it holds, so that nothing
// may be decided on it.
func (r *run) leaveUnreadable(date fetcher.Date, err error) {
	reason := err.Error()
	if isBadLine(err) {
		reason += ": run verify --repair"
	}
	r.leaveOpen(OpenDay{Day: string(date), Settled: r.config.settled(r.now(), date), Unreadable: true, Reasons: []string{reason}})
}

// leaveOpen counts a day that stays open.
func (r *run) leaveOpen(day OpenDay) {
	r.count(func(s *Summary) { s.OpenDays = append(s.OpenDays, day) })
	r.Logger.Info("day stays open", "day", day.Day, "settled", day.Settled, "waiting", day.Waiting, "reasons", day.Reasons)
}
