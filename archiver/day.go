package archiver

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

const (
	reasonUnlisted  = "no longer listed"
	reasonUnsettled = "the day has not settled"
	reasonStopped   = "the run stopped before the day was done"
)

// sharedDay is one day's ledger, held once however many listings touch it: a row
// that the API sent with another day's rows belongs to its own.
type sharedDay struct {
	date fetcher.Date
	*manifest.Day
	refs int // guarded by run.mu

	load func() error

	mu   sync.Mutex
	seen map[string]struct{} // identities decided in this run
}

// first reports whether the identity is seen for the first time in this run.
func (d *sharedDay) first(identity string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, known := d.seen[identity]
	d.seen[identity] = struct{}{}
	return !known
}

func (d *sharedDay) wasSeen(identity string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, known := d.seen[identity]
	return known
}

// acquire returns the day's ledger, loaded. Each must be released.
func (r *run) acquire(date fetcher.Date) (*sharedDay, error) {
	r.mu.Lock()
	day, ok := r.open[date]
	if !ok {
		day = &sharedDay{date: date, seen: map[string]struct{}{}}
		day.load = sync.OnceValue(func() error {
			var err error
			day.Day, err = r.Ledger.Day(r.hard, string(date))
			return err
		})
		r.open[date] = day
	}
	day.refs++
	r.mu.Unlock()
	if err := day.load(); err != nil {
		r.release(day)
		return nil, fmt.Errorf("read manifest of %s: %w", date, err)
	}
	return day, nil
}

func (r *run) release(day *sharedDay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if day.refs--; day.refs > 0 {
		return
	}
	delete(r.open, day.date)
	if day.Day != nil {
		day.Release()
	}
}

// dayRun is the work on one planned day.
type dayRun struct {
	*run
	plannedDay
	ledger  *sharedDay
	age     dayAge
	listing string // names this listing in lines
	begun   time.Time

	owed      sync.WaitGroup // jobs handed out and not done
	abandoned atomic.Bool    // a recording was listed and not worked
	nameless  int            // recordings that have neither id nor link yet
	doubts    []string
	windows   []fetcher.WindowResult
}

// workDay lists one day, has its recordings worked, and closes it where it can.
func (r *run) workDay(p plannedDay) error {
	r.beginDay(p.date)
	defer r.endDay(p.date)
	status, err := r.Ledger.Status(r.soft, string(p.date))
	if err != nil && r.soft.Err() == nil && !isBadLine(err) {
		return fmt.Errorf("read state of %s: %w", p.date, err)
	}
	if err == nil && r.skips(status) {
		r.count(func(s *Summary) { s.DaysSkipped++ })
		return nil
	}
	ledger, err := r.acquire(p.date)
	if isBadLine(err) {
		// What the day holds is not known, so that nothing may be decided on it.
		r.leaveOpen(p, 0, err.Error()+": run verify --repair")
		return nil
	}
	if err != nil {
		return err
	}
	now := r.now()
	d := &dayRun{
		run: r, plannedDay: p, ledger: ledger, begun: now,
		age:     r.ageOf(p.date, now),
		listing: r.config.Run + "." + strconv.FormatInt(r.listings.Add(1), 10),
	}
	return d.work()
}

func isBadLine(err error) bool {
	_, ok := errors.AsType[*manifest.BadLineError](err)
	return ok
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
	d.owed.Wait()
	switch {
	case d.soft.Err() != nil:
		d.release(d.ledger)
		d.leaveOpen(d.plannedDay, 0, reasonStopped)
		return nil
	case err != nil:
		d.release(d.ledger)
		d.leaveOpen(d.plannedDay, 0, reasonStopped)
		return err
	case d.config.DryRun:
		d.release(d.ledger)
		return nil
	}
	if d.hasUnprovedLoss(d.date) {
		d.postpone(d) // until the run knows whether the host had an outage
		return nil
	}
	return d.conclude()
}

// list pages through the day and hands its recordings to the workers.
func (d *dayRun) list() error {
	// A day that is closed needs no proof of its own; one that has not settled
	// would change between two passes.
	listing := d.Source.Day(d.date, d.span, d.config.Filter, d.age.settled)
	for page, err := range listing.Pages(d.soft) {
		if err != nil {
			return err
		}
		if err := d.workPage(page); err != nil {
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

func (d *dayRun) workPage(page *fetcher.Page) error {
	d.zone.note(page.Calls)
	if err := d.account.check(d.run, page.Calls); err != nil {
		return err
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
		call := &page.Calls[i]
		if call.RecordingUnreadable {
			d.doubts = append(d.doubts, "a call's recording field cannot be read")
		}
		// While a call runs its audio is not complete; a row that still says so
		// when the day has settled is taken at its word no longer.
		if len(call.Recordings) == 0 || call.InProgress() && !d.age.settled {
			continue
		}
		day, ok := days[call.Day]
		if !ok {
			var err error
			if day, err = d.acquire(call.Day); isBadLine(err) {
				continue // the day in work stays open for this row in any case
			} else if err != nil {
				return err
			}
			days[call.Day] = day
		}
		work[day] = append(work[day], call)
	}
	for day, calls := range work {
		if err := d.noteCalls(day, calls); err != nil {
			return err
		}
		for _, call := range calls {
			for i := range call.Recordings {
				if err := d.decide(day, call, call.Recordings[i]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// noteCalls keeps the rows, before any line of their recordings.
func (d *dayRun) noteCalls(day *sharedDay, calls []*fetcher.Call) error {
	if d.config.DryRun {
		return nil
	}
	rows := make([]manifest.Call, 0, len(calls))
	for _, call := range calls {
		row, err := call.RowWithoutLinks()
		if err != nil {
			return err
		}
		rows = append(rows, manifest.Call{CallID: call.ID, Time: time.Now().UTC(), Run: d.config.Run, Row: row})
	}
	if err := day.NoteCalls(d.hard, rows); err != nil {
		return fmt.Errorf("note calls of %s: %w", day.date, err)
	}
	return nil
}

// decide skips a recording that is final, notes one that has no link yet, and hands
// any other to the workers.
func (d *dayRun) decide(day *sharedDay, call *fetcher.Call, recording fetcher.Recording) error {
	if recording.ID == "" && recording.Link == "" {
		d.nameless++ // its name would change with its link
		return nil
	}
	if !day.first(recording.Identity) {
		return nil
	}
	d.count(func(s *Summary) { s.Recordings++ })
	prior, known := day.Recording(recording.Identity)
	now := d.now()
	if known && final(prior, d.config.GiveUp, now) && !d.config.Retry[prior.Outcome] {
		d.count(func(s *Summary) { s.Known++ })
		return nil
	}
	if recording.Link == "" {
		if !call.InProgress() {
			return d.noteLinkless(day, call, recording, prior, known)
		}
		return nil
	}
	if d.config.DryRun {
		d.count(func(s *Summary) {
			s.ToFetch++
			seconds, _ := strconv.ParseInt(call.CallLength, 10, 32)
			s.EstimatedBytes += seconds * bytesPerSecond
		})
		return nil
	}
	j := &job{owner: d, day: day, call: call, recording: recording, prior: prior, age: d.ageOf(day.date, now)}
	d.owe(j)
	select {
	case d.run.jobs <- j:
		return nil
	case <-d.soft.Done():
		j.abandon()
		return context.Cause(d.soft)
	}
}

// bytesPerSecond is the rate of the vendor's audio: 64 kbit/s.
const bytesPerSecond = 8000

// noteLinkless notes that a recording has no link yet, once, and once more when
// that makes it final.
func (d *dayRun) noteLinkless(day *sharedDay, call *fetcher.Call, recording fetcher.Recording, prior manifest.State, known bool) error {
	now := time.Now().UTC()
	d.count(func(s *Summary) { s.Pending++ })
	if d.config.DryRun || known && now.Before(prior.FirstSeen.Add(d.config.GiveUp)) {
		return nil
	}
	line := manifest.Recording{
		RecordingID: recording.Identity, Outcome: manifest.Pending, Time: now, Run: d.config.Run,
		CallID: call.ID, FirstSeen: firstSeen(prior, now), Attempts: prior.Attempts, Reason: manifest.ReasonNoLink,
	}
	if err := day.Note(d.hard, line); err != nil {
		return fmt.Errorf("note recording %s: %w", recording.Identity, err)
	}
	if known {
		d.count(func(s *Summary) { s.Pending--; s.GivenUp++ })
	}
	return nil
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

// leaveOpen counts a day that stays open.
func (r *run) leaveOpen(p plannedDay, waiting int, reasons ...string) {
	settled := r.config.settled(r.now(), p.date)
	r.count(func(s *Summary) {
		s.OpenDays = append(s.OpenDays, OpenDay{Day: string(p.date), Settled: settled, Waiting: waiting, Reasons: reasons})
	})
	r.Logger.Info("day stays open", "day", string(p.date), "settled", settled, "waiting", waiting, "reasons", reasons)
}
