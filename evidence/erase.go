// Plans an erasure: chooses the calls, and finds what prevents their removal.

package evidence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

// Remover is the part of a store that an erasure uses; *store.Disk and *store.S3 implement it.
type Remover interface {
	Stat(ctx context.Context, key string) (store.Info, error)
	Remove(ctx context.Context, key string) error
	RemoveAside(ctx context.Context, name string) error
	RemoveOlder(ctx context.Context, name string) error
	Names(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// Locker is a store whose objects may be locked; *store.S3 implements it.
type Locker interface {
	Locks(ctx context.Context, key string) ([]store.Lock, error)
	HasDefaultRetention(ctx context.Context) (bool, error)
}

// RowKeys finds the possible keys of a row's recordings, by their ids; *archiver.RowKeys implements it.
type RowKeys interface {
	Of(day string, row []byte) map[string][]string
}

// Erasing removes calls and recordings on purpose. In a folder the caller holds the archive's lock.
type Erasing struct {
	Ledger *manifest.Ledger
	Store  Remover
	Locks  Locker // nil if nothing can be locked
	Keys   RowKeys
	Now    time.Time
}

// Chosen is a call of a day to erase, with its row and all of its recordings.
type Chosen struct {
	Day        string            `json:"day"`
	Call       string            `json:"call_id"` // empty if lines have none
	Recordings []ChosenRecording `json:"recordings"`
}

// ChosenRecording is a recording to erase.
type ChosenRecording struct {
	ID    string `json:"recording_id"`
	Bytes int64  `json:"bytes"` // of its audio, 0 if none is stored
}

// Kept says what prevents an erasure.
type Kept struct {
	Day       string    `json:"day"`
	Call      string    `json:"call_id"`
	Recording string    `json:"recording_id"` // empty for the call's row
	Cases     []string  `json:"cases"`        // cases that hold it
	Until     time.Time `json:"locked_until,omitzero"`
	LegalHold bool      `json:"legal_hold"` // of its object
	Shared    string    `json:"shared"`     // another recording or call that stays and has, or may have, the same audio
	File      string    `json:"file"`       // locked file of the ledger
	Bucket    bool      `json:"bucket"`     // the bucket locks everything stored
}

// KeptError means that the erasure stopped because something must stay.
type KeptError struct {
	Kept      []Kept
	Withdrawn bool // the intent was withdrawn; otherwise the erasure stays unfinished
}

// Error implements error.
func (e *KeptError) Error() string {
	return fmt.Sprintf("erase: %d items are held, locked or shared", len(e.Kept))
}

// Erased is the result of one erasure.
type Erased struct {
	Erasure    string   `json:"erasure"` // its id
	Calls      int      `json:"calls"`
	Recordings int      `json:"recordings"`
	Days       []string `json:"days"`
	Audio      int      `json:"audio_removed"`      // objects
	Quarantine int      `json:"quarantine_removed"` // copies
	Aside      int      `json:"aside_removed"`      // files beside segments
	Stubs      int      `json:"stubs"`              // stubs that replaced erased lines
}

const (
	maxReason      = 500 // characters
	maxDigits      = 6   // of a number in the reason: more may be a telephone number
	idsPerRecord   = 10_000
	removersAtOnce = 8
)

// CheckReason checks the reason of an erasure, which is kept for ever: it must not contain a telephone number.
func CheckReason(reason string) error {
	switch {
	case strings.TrimSpace(reason) == "":
		return errors.New("it is empty")
	case !isPrintable(reason):
		return errors.New("it contains a character that cannot be printed")
	case utf8.RuneCountInString(reason) > maxReason:
		return fmt.Errorf("it is longer than %d characters", maxReason)
	case longestNumber(reason) > maxDigits:
		return errors.New("it may contain a phone number, and it is kept for ever")
	}
	return nil
}

// isPrintable reports whether a text has no invisible characters, which might hide a number by separating its
// digits.
func isPrintable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// longestNumber counts the digits, in any script, of the longest number in a text. Only letters end a number.
func longestNumber(text string) (longest int) {
	n := 0
	for _, r := range text {
		switch {
		case unicode.IsNumber(r):
			n++
			longest = max(longest, n)
		case unicode.IsLetter(r):
			n = 0
		}
	}
	return longest
}

// Check returns what must stay of the chosen calls: held and locked data, and audio that another recording or
// call shares. It changes nothing.
func (e *Erasing) Check(ctx context.Context, chosen []Chosen) ([]Kept, error) {
	kept, err := e.held(ctx, chosen)
	if err != nil {
		return nil, err
	}
	w := newWanted(intentOf("", "", chosen))
	audio, err := e.audioOf(ctx, w)
	if err != nil {
		return nil, err
	}
	for i := range audio {
		if a := &audio[i]; a.shared != "" || a.unsure != "" {
			kept = append(kept, Kept{Day: a.day, Call: a.call, Recording: a.id, Shared: cmp.Or(a.shared, a.unsure)})
		}
	}
	shared, err := e.sharedRows(ctx, w)
	if err != nil {
		return nil, err
	}
	kept = append(kept, shared...)
	locked, err := e.locked(ctx, w, audio)
	if err != nil {
		return nil, err
	}
	kept = append(kept, locked...)
	slices.SortStableFunc(kept, func(a, b Kept) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Call, b.Call), cmp.Compare(a.Recording, b.Recording))
	})
	return kept, nil
}

// held returns the chosen data that cases hold.
func (e *Erasing) held(ctx context.Context, chosen []Chosen) (kept []Kept, err error) {
	holds, err := LoadHolds(ctx, e.Ledger)
	if err != nil {
		return nil, err
	}
	for _, c := range chosen {
		if cases := holds.OfCall(c.Call); len(cases) > 0 {
			kept = append(kept, Kept{Day: c.Day, Call: c.Call, Cases: cases})
		}
		for _, r := range c.Recordings {
			if cases := holds.OfEither(r.ID, c.Call); len(cases) > 0 {
				kept = append(kept, Kept{Day: c.Day, Call: c.Call, Recording: r.ID, Cases: cases})
			}
		}
	}
	return kept, nil
}

// locked returns the locked data: audio, and files with lines of the days.
func (e *Erasing) locked(ctx context.Context, w *wanted, audio []audioOf) (kept []Kept, err error) {
	if e.Locks == nil {
		return nil, nil
	}
	byDefault := false
	err = patiently(ctx, func() (err error) {
		byDefault, err = e.Locks.HasDefaultRetention(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for the bucket's default retention: %w", err)
	}
	if byDefault { // the files that replace the lines would be locked too
		return []Kept{{Bucket: true}}, nil
	}
	objects := objectsOf(audio)
	for _, day := range w.days {
		for _, tree := range []manifest.Tree{manifest.TreeManifest, manifest.TreeCalls} {
			names, err := e.names(ctx, string(tree)+"/"+day, func(string) bool { return true })
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				objects = append(objects, lockable{name, Kept{Day: day, File: name}})
			}
		}
	}
	return e.lockedOf(ctx, objects)
}

// lockable is an object that may be locked.
type lockable struct {
	key string
	of  Kept
}

func objectsOf(audio []audioOf) (objects []lockable) {
	for i := range audio {
		for _, key := range audio[i].keys {
			objects = append(objects, lockable{key, Kept{Day: audio[i].day, Call: audio[i].call, Recording: audio[i].id}})
		}
	}
	return objects
}

// lockedOf returns the objects with a locked version.
func (e *Erasing) lockedOf(ctx context.Context, objects []lockable) (kept []Kept, err error) {
	group, looking := errgroup.WithContext(ctx)
	group.SetLimit(removersAtOnce)
	for i := range objects {
		group.Go(func() error { return e.lookForLocks(looking, objects[i].key, &objects[i].of) })
	}
	err = group.Wait()
	for _, o := range objects {
		if !o.of.Until.IsZero() || o.of.LegalHold {
			kept = append(kept, o.of)
		}
	}
	return kept, err
}

// lookForLocks notes the locks of all versions of an object.
func (e *Erasing) lookForLocks(ctx context.Context, key string, of *Kept) error {
	var locks []store.Lock
	err := patiently(ctx, func() (err error) {
		locks, err = e.Locks.Locks(ctx, key)
		return err
	})
	if err != nil && !isGone(err) {
		return fmt.Errorf("look for locks of recordings to erase on %s: %w", of.Day, err)
	}
	for _, lock := range locks {
		of.LegalHold = of.LegalHold || lock.LegalHold
		if lock.Mode != store.Unlocked && lock.Until.After(e.Now) && lock.Until.After(of.Until) {
			of.Until = lock.Until.UTC()
		}
	}
	return nil
}

// Begin durably notes the intent of an erasure, and returns it. From then on all readers and runs obey it. The
// chosen calls must have passed Check.
func (e *Erasing) Begin(ctx context.Context, reason string, chosen []Chosen) (manifest.ErasureRecord, error) {
	whole := intentOf(e.Ledger.Run(), reason, chosen)
	var records []manifest.Record
	for from := 0; from == 0 || from < max(len(whole.Recordings), len(whole.Calls)); from += idsPerRecord {
		part := manifest.NewErasureRecord(manifest.ErasureIntent, whole.Erasure)
		part.Reason, part.Recordings, part.Calls = reason, partOf(whole.Recordings, from), partOf(whole.Calls, from)
		records = append(records, part)
	}
	if err := e.Ledger.PutRecords(ctx, manifest.ErasureStem, records...); err != nil {
		return whole, fmt.Errorf("record the erasure: %w", err)
	}
	return whole, nil
}

// partOf returns the part of a list that fits into one record.
func partOf[T any](list []T, from int) []T {
	return list[min(from, len(list)):min(from+idsPerRecord, len(list))]
}

func intentOf(erasure, reason string, chosen []Chosen) manifest.ErasureRecord {
	intent := manifest.ErasureRecord{State: manifest.ErasureIntent, Erasure: erasure, Reason: reason}
	for _, c := range chosen {
		if c.Call != "" {
			intent.Calls = append(intent.Calls, manifest.ErasedID{Day: c.Day, ID: c.Call})
		}
		for _, r := range c.Recordings {
			intent.Recordings = append(intent.Recordings, manifest.ErasedID{Day: c.Day, ID: r.ID, Call: c.Call})
		}
	}
	return intent
}

// Unfinished returns the intents of unfinished erasures.
func (e *Erasing) Unfinished(ctx context.Context) ([]manifest.ErasureRecord, error) {
	erasures, err := e.Ledger.Erasures(ctx)
	if err != nil {
		return nil, err
	}
	return erasures.Unfinished(), nil
}

// isGone reports whether an error means that something does not exist.
func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, store.ErrBadKey) }
