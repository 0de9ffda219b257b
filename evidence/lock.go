// Records the lock settings of an archive, and computes the required lock of a recording.

package evidence

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

const stemLock = "lock"

// LockSettings say how the recordings of an archive are locked. Each change is noted in evidence/.
type LockSettings struct {
	Mode  store.LockMode `json:"mode"` // empty: recordings stored from now on are not locked
	For   store.Period   `json:"for"`
	After store.Period   `json:"after"`
	// Confirmed says that compliance mode, which cannot be undone, was confirmed for this archive.
	Confirmed bool `json:"confirmed"`
	// Default says that a bucket with a default lock was accepted.
	Default bool `json:"default_retention"`
}

// Rule returns the rule for new objects.
func (s LockSettings) Rule() store.LockRule {
	return store.LockRule{Mode: s.Mode, For: s.For, After: s.After}
}

// lockRecord is a line of evidence/: from its time on, recordings are locked with these settings.
type lockRecord struct {
	manifest.RecordHead
	LockSettings
	All bool `json:"all"` // lock has also applied them to all earlier recordings
}

// Locks say which recordings of an archive must be locked.
type Locks struct{ records []lockRecord } // by time

// LoadLocks reads the settings that archive and lock noted.
func LoadLocks(ctx context.Context, ledger *manifest.Ledger) (*Locks, error) {
	l := &Locks{}
	err := ledger.Records(ctx, stemLock, func(file string, raw []byte) error {
		var r lockRecord
		if err := json.Unmarshal(raw, &r); err != nil {
			return &manifest.BadLineError{File: file, Reason: err.Error()}
		}
		l.records = append(l.records, r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the settings of locks: %w", err)
	}
	slices.SortStableFunc(l.records, func(a, b lockRecord) int { return a.Time.Compare(b.Time) })
	return l, nil
}

// Settings returns the current settings.
func (l *Locks) Settings() LockSettings {
	if len(l.records) == 0 {
		return LockSettings{}
	}
	s := l.records[len(l.records)-1].LockSettings
	s.Confirmed = slices.ContainsFunc(l.records, func(r lockRecord) bool { return r.Confirmed })
	return s
}

// IsEmpty reports whether no settings ever asked for locks.
func (l *Locks) IsEmpty() bool {
	return !slices.ContainsFunc(l.records, func(r lockRecord) bool { return r.Mode != store.Unlocked })
}

// Covers reports whether these settings were noted for everything stored until now.
func (l *Locks) Covers(s LockSettings) bool {
	return slices.ContainsFunc(l.records, func(r lockRecord) bool { return r.All && r.Rule() == s.Rule() }) && l.Settings() == s
}

// Note notes settings that apply from the second of a time on; with all, they also apply to everything stored
// earlier, which must already be locked.
func (l *Locks) Note(ctx context.Context, ledger *manifest.Ledger, s LockSettings, from time.Time, all bool) error {
	var last time.Time
	if n := len(l.records); n > 0 {
		last = l.records[n-1].Time
	}
	r := lockRecord{RecordHead: manifest.RecordHead{Kind: stemLock, Time: nextTime(last, from)}, LockSettings: s, All: all}
	if err := ledger.PutRecords(ctx, stemLock, &r); err != nil {
		return fmt.Errorf("save the settings of locks: %w", err)
	}
	l.records = append(l.records, r)
	return nil
}

// with returns the locks with an additional rule for everything stored before a time.
func (l *Locks) with(s LockSettings, from time.Time) *Locks {
	r := lockRecord{RecordHead: manifest.RecordHead{Time: from}, LockSettings: s, All: true}
	return &Locks{records: append(slices.Clone(l.records), r)}
}

// Wanted is the required lock of an object. The zero value means no lock.
type Wanted struct {
	Mode  store.LockMode
	Until time.Time
	Due   time.Time // start of the lock
}

// Want returns the required lock of an object stored at a time: the stronger one of the settings in force then and
// those that lock applied later. A seal is due at once, because it contains no personal data.
func (l *Locks) Want(stored time.Time, isSeal bool) Wanted {
	var w Wanted
	for i := range l.records {
		r := &l.records[i]
		before := !stored.Before(r.Time) && (i+1 == len(l.records) || stored.Before(l.records[i+1].Time))
		if r.Mode == store.Unlocked || !before && (!r.All || !stored.Before(r.Time)) {
			continue
		}
		due := stored
		if !isSeal {
			due = r.After.After(stored)
		}
		if w.Mode == store.Unlocked || due.Before(w.Due) {
			w.Due = due
		}
		if w.Mode != store.Compliance {
			w.Mode = r.Mode
		}
		if until := r.For.After(stored); until.After(w.Until) {
			w.Until = until
		}
	}
	return w
}

// LockFault says what is wrong with a lock.
type LockFault string

// What can be wrong with a lock.
const (
	LockGood    LockFault = ""
	LockMissing LockFault = "lock_missing" // it is not locked
	LockShort   LockFault = "lock_short"   // the lock ends too early
	LockWeak    LockFault = "lock_mode"    // the mode is governance instead of compliance
	LockUnknown LockFault = "lock_unknown" // the bucket has a default lock, but the server does not show it
)

// Judge says what is wrong with the lock of an object at a time. Before the lock is due, and after it has ended,
// nothing is wrong.
func (w Wanted) Judge(has store.Lock, now time.Time) LockFault {
	switch {
	case w.Mode == store.Unlocked, now.Before(w.Due), !now.Before(w.Until):
		return LockGood
	case has.Mode == store.Unlocked:
		return LockMissing
	case has.Until.Before(w.Until.Add(-w.slack())):
		return LockShort
	case w.Mode == store.Compliance && has.Mode != store.Compliance:
		return LockWeak
	}
	return LockGood
}

// slack is how much too early a lock may end, because it is sent before the object is stored and by
// another clock.
func (w Wanted) slack() time.Duration { return min(time.Hour, w.Until.Sub(w.Due)/10) }

// grace is how late a due lock may be, because lock runs once a night.
func (w Wanted) grace(stored time.Time) time.Duration { return min(24*time.Hour, w.Due.Sub(stored)) }

// LockStore is the part of a bucket that locks use; *store.S3 implements it.
type LockStore interface {
	LockOf(ctx context.Context, key string) (lock store.Lock, stored time.Time, err error)
	SetLock(ctx context.Context, key string, mode store.LockMode, until time.Time) error
	HasDefaultRetention(ctx context.Context) (bool, error)
}

// LockCheck checks locks for verify. Make it with [NewLockCheck].
type LockCheck struct {
	locks    *Locks
	store    LockStore
	now      time.Time
	byServer bool
}

// NewLockCheck returns a check with the settings noted in the archive, nil if they never asked for
// locks.
func NewLockCheck(ctx context.Context, ledger *manifest.Ledger, bucket LockStore, now time.Time) (*LockCheck, error) {
	locks, err := LoadLocks(ctx, ledger)
	if err != nil || locks.IsEmpty() {
		return nil, err
	}
	byServer, err := bucket.HasDefaultRetention(ctx)
	if err != nil {
		return nil, err
	}
	return &LockCheck{locks: locks, store: bucket, now: now, byServer: byServer}, nil
}

// Check returns what is wrong with the lock of the object under a key, and a text for people. noted is the time of its
// recording's line, zero for a seal. A missing object is fs.ErrNotExist. It may be called concurrently.
func (c *LockCheck) Check(ctx context.Context, key string, noted time.Time) (fault LockFault, detail string, err error) {
	has, stored, err := c.store.LockOf(ctx, key)
	if err != nil {
		return LockGood, "", err
	}
	stored = earlier(stored, noted)
	want := c.locks.Want(stored, noted.IsZero())
	if c.now.Before(want.Due.Add(want.grace(stored))) {
		return LockGood, "", nil
	}
	const day = time.DateOnly
	switch fault = want.Judge(has, c.now); {
	case fault == LockMissing && c.byServer:
		return LockUnknown, "the bucket has a default retention, and the server shows no lock", nil
	case fault == LockMissing:
		detail = fmt.Sprintf("not locked, must be in mode %s until %s", want.Mode, want.Until.UTC().Format(day))
	case fault == LockShort:
		detail = fmt.Sprintf("locked until %s, must be until %s", has.Until.UTC().Format(day), want.Until.UTC().Format(day))
	case fault == LockWeak:
		detail = fmt.Sprintf("locked in mode %s, must be %s", has.Mode, want.Mode)
	}
	return fault, detail, nil
}

// earlier returns the earlier of two times; the second may be unknown. A copied object is newer than its recording.
func earlier(a, b time.Time) time.Time {
	if !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
