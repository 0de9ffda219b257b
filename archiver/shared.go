package archiver

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/internal/retry"
	"convoso-archiver/manifest"
)

// sharedDay is one day's ledger, held once however many listings touch it: a row
// that the API sent with another day's rows belongs to its own.
type sharedDay struct {
	date fetcher.Date
	*manifest.Day
	refs int // guarded by run.mu

	load func() error

	mu        sync.Mutex
	loaded    bool
	seen      identitySet // decided in this run
	owed      int         // recordings taken and not repaid, whichever listing found them
	abandoned bool        // one of them was not worked
	concluded bool        // by its own listing: nothing more is taken
	repaid    *sync.Cond
}

// take reports whether the identity is seen for the first time in this run. Then
// the caller owes the day an end, with repay: a day does not conclude before. A
// day that is concluding gives nothing out any more: what another listing finds of
// it later leaves that listing's day open, and is found again by the next run.
func (d *sharedDay) take(identity string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.concluded || !d.seen.add(identity) {
		return false
	}
	d.owed++
	return true
}

func (d *sharedDay) wasSeen(identity string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen.has(identity)
}

// inMemory returns how many recordings the day holds.
func (d *sharedDay) inMemory() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.loaded {
		return 0
	}
	return max(d.seen.n, d.Count()) // most of what was seen has a line, or will have one
}

func (d *sharedDay) repay(abandoned bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owed--
	d.abandoned = d.abandoned || abandoned
	d.repaid.Broadcast()
}

// wait returns when no recording of the day is under way, and reports whether any
// was abandoned. From then on none is taken. The workers end every job, so it needs
// no context.
func (d *sharedDay) wait() (abandoned bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.owed > 0 {
		d.repaid.Wait()
	}
	d.concluded = true
	return d.abandoned
}

// acquire returns the day's ledger, loaded. Each must be released.
func (r *run) acquire(date fetcher.Date) (*sharedDay, error) {
	r.mu.Lock()
	day, ok := r.open[date]
	if !ok {
		day = &sharedDay{date: date}
		day.repaid = sync.NewCond(&day.mu)
		day.load = sync.OnceValue(func() error { return r.loadDay(day) })
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

func (r *run) loadDay(day *sharedDay) error {
	return r.withPatience(func() error {
		ledger, err := r.Ledger.Day(r.hard, string(day.date))
		if err != nil {
			return err
		}
		day.mu.Lock()
		defer day.mu.Unlock()
		day.Day, day.loaded = ledger, true
		return nil
	})
}

// look returns what a cheap look tells of a day.
func (r *run) look(date fetcher.Date) (status manifest.DayStatus, err error) {
	err = r.withPatience(func() error {
		status, err = r.Ledger.Status(r.soft, string(date))
		return err
	})
	return status, err
}

// concernsDayAlone reports whether an error of looking at a day concerns that day
// alone: it cannot be read, where others may. What a later version wrote, and a store
// that refuses or is out of order, end the run.
func (r *run) concernsDayAlone(err error) bool {
	if err == nil || r.soft.Err() != nil || errors.Is(err, store.ErrUnusable) || store.IsRetriable(err) {
		return false
	}
	_, later := errors.AsType[*manifest.VersionError](err)
	return !later
}

// withPatience does what needs the store of the manifest, again and again while that
// is out of order, for minutes. A run that is asked to stop does not go on waiting:
// what could not be uploaded stays in the spool.
func (r *run) withPatience(op func() error) error {
	err := r.patiently(op)
	if store.IsRetriable(err) && r.soft.Err() == nil {
		return fmt.Errorf("the store was out of order for minutes: %w", err)
	}
	return err
}

// patiently does what needs the store until it is done, fails for good, or the run's
// patience or the run itself is at its end. It returns op's last error.
func (r *run) patiently(op func() error) error {
	return retry.Do(r.soft, r.patience, func(context.Context) error {
		err := op()
		if err == nil || store.IsRetriable(err) {
			return err
		}
		return retry.Stop(err)
	})
}

// note appends a recording's line to its day; it is durable when note returns nil.
func (r *run) note(day *sharedDay, line manifest.Recording) error {
	if err := day.Note(r.hard, line); err != nil {
		return fmt.Errorf("note recording %s: %w", line.RecordingID, err)
	}
	return nil
}

// retain takes one more reference to a day that the caller holds.
func (r *run) retain(day *sharedDay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	day.refs++
}

func (r *run) release(day *sharedDay) {
	if r.dropReference(day) {
		r.room.wake()
	}
}

// dropReference gives one reference back and reports whether it was the last, with which the
// ledger went.
func (r *run) dropReference(day *sharedDay) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if day.refs--; day.refs > 0 {
		return false
	}
	delete(r.open, day.date)
	if day.Day != nil {
		day.Release()
	}
	return true
}

// inMemory returns how many recordings all ledgers hold together.
func (r *run) inMemory() (recordings int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, day := range r.open {
		recordings += day.inMemory()
	}
	return recordings
}
