// Applies due locks to the recordings and seals of an archive.

package evidence

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/archiver/store"
	"convoso-archiver/internal/retry"
	"convoso-archiver/manifest"
)

// Locking applies due locks and extends existing ones. Its fields are set before Run is called once. Concurrent runs
// are safe, because no lock is ever shortened.
type Locking struct {
	Ledger   *manifest.Ledger
	Store    LockStore
	Locks    *Locks
	Settings LockSettings // for all stored objects
	From, To string       // days, empty for no bound
	Workers  int          // objects in parallel
	Now      time.Time

	mu  sync.Mutex
	sum Locked
}

// Locked is the result of a run.
type Locked struct {
	Days       int          `json:"days"`
	Recordings int          `json:"recordings"`          // archived on these days
	Seals      int          `json:"seals"`               // files of seals/
	New        int          `json:"locked"`              // had no lock, and have one now
	Extended   int          `json:"extended"`            // have a longer, or a stronger, lock now
	Good       int          `json:"good"`                // had the lock that they must have, or a longer one
	Early      int          `json:"not_due"`             // will be locked later
	FirstDue   *time.Time   `json:"first_due,omitempty"` // when the first of these is due; nil for none
	Ended      int          `json:"ended"`               // whose lock time has passed
	Failed     int          `json:"failed"`
	Failures   []LockFailed `json:"failures"` // the first failures
}

// LockFailed is an object that could not be locked.
type LockFailed struct {
	Day         string `json:"day,omitempty"`
	RecordingID string `json:"recording_id,omitempty"`
	File        string `json:"file,omitempty"` // of a seal
	Detail      string `json:"detail"`
}

const maxLockFailures = 1_000

// Run locks. An error ends it; a failure concerns one recording or one day. After all days without a failure, it
// notes the settings for everything that was stored before it began.
func (l *Locking) Run(ctx context.Context) (Locked, error) {
	l.sum.Failures = []LockFailed{}
	want := l.Locks.with(l.Settings, l.Now)
	if err := l.lockSeals(ctx, want); err != nil {
		return l.done(), err
	}
	for day, err := range l.Ledger.Days(ctx) {
		if err != nil {
			return l.done(), fmt.Errorf("list the days of the manifest: %w", err)
		}
		if day < l.From || l.To != "" && day > l.To {
			continue
		}
		if err := l.lockDay(ctx, want, day); err != nil {
			return l.done(), err
		}
	}
	sum := l.done()
	if sum.Failed > 0 || l.From != "" || l.To != "" || l.Locks.Covers(l.Settings) {
		return sum, nil
	}
	return sum, l.Locks.Note(ctx, l.Ledger, l.Settings, l.Now, true)
}

func (l *Locking) done() Locked {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sum
}

func (l *Locking) count(change func(*Locked)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.sum)
}

func (l *Locking) lockSeals(ctx context.Context, want *Locks) error {
	for info, err := range l.Ledger.Objects().ListFiles(ctx, folder) {
		if err != nil {
			return fmt.Errorf("list the seals: %w", err)
		}
		if !sealPattern.MatchString(strings.TrimPrefix(info.Name(), folder)) {
			continue
		}
		l.count(func(s *Locked) { s.Seals++ })
		if err := l.lock(ctx, want, object{key: info.Name(), isSeal: true, told: LockFailed{File: info.Name()}}); err != nil {
			return err
		}
	}
	return nil
}

func (l *Locking) lockDay(ctx context.Context, want *Locks, name string) error {
	day, err := l.Ledger.Read(ctx, name, nil, nil)
	if bad, ok := errors.AsType[*manifest.BadLineError](err); ok {
		l.fail(LockFailed{Day: name, Detail: "the manifest: " + bad.Error()})
		return nil
	}
	if err != nil {
		return fmt.Errorf("read day %s: %w", name, err)
	}
	l.count(func(s *Locked) { s.Days++ })
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(max(l.Workers, 1))
	for id, state := range day.Recordings() {
		if state.Outcome != manifest.Archived || state.Key == "" {
			continue
		}
		l.count(func(s *Locked) { s.Recordings++ })
		if working.Err() != nil {
			break
		}
		group.Go(func() error {
			return l.lock(working, want, object{key: state.Key, noted: state.Time, told: LockFailed{Day: name, RecordingID: id}})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// object is an object to lock.
type object struct {
	key    string
	noted  time.Time // zero for a seal
	isSeal bool
	told   LockFailed // its ids, for people
}

// lock gives an object its required lock. An error ends the run.
func (l *Locking) lock(ctx context.Context, want *Locks, o object) error {
	var did func(*Locked)
	mayPass := func(err error) bool {
		return store.IsRetriable(err) || errors.Is(err, store.ErrLocked) // another run was first: check again
	}
	err := retry.If(ctx, mayPass, func(ctx context.Context) (err error) {
		did, err = l.try(ctx, want, o)
		return err
	})
	switch {
	case err == nil:
		l.count(did)
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, fs.ErrNotExist):
		o.told.Detail = "file missing: run verify"
	case errors.Is(err, store.ErrLocked):
		o.told.Detail = err.Error()
	case errors.Is(err, store.ErrUnusable), store.IsRetriable(err):
		return err
	default:
		o.told.Detail = err.Error()
	}
	l.fail(o.told)
	return nil
}

// try checks an object once, and locks it if due. It returns the count to increase.
func (l *Locking) try(ctx context.Context, want *Locks, o object) (did func(*Locked), err error) {
	has, stored, err := l.Store.LockOf(ctx, o.key)
	if err != nil {
		return nil, err
	}
	w := want.Want(earlier(stored, o.noted), o.isSeal)
	switch {
	case w.Mode == store.Unlocked:
		return func(s *Locked) { s.Good++ }, nil
	case l.Now.Before(w.Due):
		return func(s *Locked) { s.early(w.Due) }, nil
	case !l.Now.Before(w.Until):
		return func(s *Locked) { s.Ended++ }, nil
	case w.Judge(has, l.Now) == LockGood:
		return func(s *Locked) { s.Good++ }, nil
	}
	mode, until := w.Mode, w.Until
	if has.Mode == store.Compliance {
		mode = store.Compliance
	}
	if has.Until.After(until) {
		until = has.Until
	}
	if err := l.Store.SetLock(ctx, o.key, mode, until.Truncate(time.Second)); err != nil {
		return nil, err
	}
	if has.Mode == store.Unlocked {
		return func(s *Locked) { s.New++ }, nil
	}
	return func(s *Locked) { s.Extended++ }, nil
}

// early counts an object that is due later.
func (s *Locked) early(due time.Time) {
	if s.Early++; s.FirstDue == nil || due.Before(*s.FirstDue) {
		due = due.UTC()
		s.FirstDue = &due
	}
}

func (l *Locking) fail(what LockFailed) {
	l.count(func(s *Locked) {
		if s.Failed++; len(s.Failures) < maxLockFailures {
			s.Failures = append(s.Failures, what)
		}
	})
}

// LockSeal locks a seal and its signature with the archive's settings.
func (l *Locking) LockSeal(ctx context.Context, number int) error {
	for _, name := range []string{sealName(number), sigName(number)} {
		if err := l.lock(ctx, l.Locks, object{key: name, isSeal: true, told: LockFailed{File: name}}); err != nil {
			return fmt.Errorf("lock %s: %w", name, err)
		}
	}
	if sum := l.done(); sum.Failed > 0 {
		return fmt.Errorf("lock the seal: %s", sum.Failures[0].Detail)
	}
	return nil
}
