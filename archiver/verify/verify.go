// Package verify checks stored recordings against the manifest: that each is there, with the very bytes that
// were noted when it was stored, and that the manifest agrees with itself.
//
// First the keys that the manifest names are compared with a listing of the store: what no line names is unknown, and
// in quick mode the listing takes the place of reading. Keys are held as hashes, at most a fixed number at a time: a
// larger archive is gone through in several passes, each for a part of all keys, so that memory does not grow with
// the archive. Then the days are read and checked, two at a time, and every recording's bytes are read and hashed, or
// those of a sample.
//
// Nothing is ever deleted. Only with Config.Repair is anything written, and then only to the manifest.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

// Store is where the recordings are; *store.Disk and *store.S3 implement it.
type Store interface {
	Stat(ctx context.Context, key string) (store.Info, error)
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	List(ctx context.Context, prefix string) iter.Seq2[store.Info, error]
}

// Mode says how thoroughly recordings are checked.
type Mode string

// The modes.
const (
	Full    Mode = manifest.VerifiedFull   // every byte is read and hashed
	Quick   Mode = manifest.VerifiedQuick  // presence, size and entity tag, by listing the store
	Sampled Mode = manifest.VerifiedSample // as Full, for the recordings of Config.Sample
)

// Config says what to verify, and how.
type Config struct {
	Mode   Mode
	Sample Sample // for Sampled
	// From and To are the first and the last day, 2006-01-02; empty for no bound. The store is compared with the
	// manifest of all days in any case: a file does not say its day.
	From, To string
	// Strict makes files that the manifest does not know findings.
	Strict bool
	// Repair notes what was found damaged, so that the next archive run fetches it again, and what is found
	// back, and repairs the manifest. The ledger must have been opened for writing.
	Repair  bool
	Workers int // recordings read at once, at least 1

	keysAtOnce int // held in memory at a time; 0 for the default
}

// Verifier verifies one archive. Its fields are set before Run is called once.
type Verifier struct {
	Config Config
	Store  Store
	Ledger *manifest.Ledger
	Logger *slog.Logger
	// BadArchive is why archive.json could not be read, nil when it could. It becomes a finding.
	BadArchive error
	// BadLocks is why the notes of locks could not be read, nil when they could. It becomes a finding.
	BadLocks error
	// Lock tells what the locks of an object lack, by kind and detail; nil if nothing is to be locked.
	Lock func(ctx context.Context, o Stored) ([]Finding, error)
	// Expired reports whether missing audio has expired: its retention has ended and nothing holds it. It must be safe for
	// concurrent use. It is nil if recordings are kept for ever.
	Expired func(ctx context.Context, o Stored) (bool, error)
	// Held tells of recordings that a case holds and the store does not, [HoldMissing]. It is nil if that is not
	// known.
	Held func(ctx context.Context) ([]Finding, error)

	state atomic.Pointer[run]
}

const (
	daysAtOnce = 2 // read side by side, so that workers do not wait at the end of a day
	// maxTrouble is how many failures in a row mean that the store as a whole cannot be read.
	maxTrouble = 50
)

// run is the state of one Verifier.Run.
type run struct {
	*Verifier
	started time.Time
	days    []string // of the span
	index   *index
	slots   chan struct{} // one for each recording that is read
	stop    context.CancelCauseFunc

	trouble atomic.Int64 // failures in a row
	checked atomic.Int64
	bytes   atomic.Int64

	blind error // why not all keys could be read, so that it is not known what is unknown

	mu        sync.Mutex
	summary   Summary
	damaged   map[string]bool // recordings with a finding, by day and id, as long as they are few
	daysBegun int
}

// Run verifies. It returns nil when it came to its end, whatever it found: the Summary has that. It returns an error
// when the archive cannot be read at all, a *manifest.VersionError among them, and the cause when its context ends.
// It is called once; Summary and Progress may be called at any time.
func (v *Verifier) Run(outer context.Context) error {
	ctx, stop := context.WithCancelCause(outer)
	defer stop(nil)
	r := &run{
		Verifier: v, started: time.Now(), summary: newSummary(v.Config, time.Now()), stop: stop,
		slots: make(chan struct{}, max(v.Config.Workers, 1)), index: newIndex(v.Config.keysAtOnce), damaged: map[string]bool{},
	}
	v.state.Store(r)
	err := r.all(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause // not the errors that followed from it
	}
	r.count(func(s *Summary) {
		s.Ended = time.Now().UTC()
		s.Seconds = s.Ended.Sub(s.Started).Seconds()
		if cause := context.Cause(outer); cause != nil {
			s.Stopped = cause.Error()
		}
	})
	return err
}

// all goes through the archive: the keys of all days and the listing of the store, once for each part of the keys,
// then the days of the span.
func (r *run) all(ctx context.Context) error {
	if err := r.listDays(ctx); err != nil {
		return err
	}
	if r.BadArchive != nil {
		r.find(Finding{Kind: BadArchive, File: "manifest/archive.json", Detail: withoutPath(r.BadArchive).Error()})
	}
	if bad, ok := errors.AsType[*manifest.BadLineError](r.BadLocks); ok {
		r.find(Finding{Kind: BadLine, File: bad.File, Line: bad.Line, Detail: bad.Reason})
	}
	for pass := 0; pass < r.index.passes; pass++ {
		r.index.begin(pass)
		if err := r.takeKeys(ctx); err != nil {
			return err
		}
		if err := r.compare(ctx); err != nil {
			return err
		}
	}
	r.index.entries = nil // the days need the memory
	if err := r.checkSeals(ctx); err != nil {
		return err
	}
	if err := r.readDays(ctx); err != nil {
		return err
	}
	if err := r.checkHolds(ctx); err != nil {
		return err
	}
	if r.blind != nil && r.summary.Counts[NotReadable] == 0 { // else the day explains it
		r.find(Finding{Kind: NotReadable, Detail: fmt.Sprintf("the manifest: %v", withoutPath(r.blind))})
	}
	r.count(func(s *Summary) { s.UnknownChecked = r.blind == nil })
	return nil
}

// checkHolds takes in what is wrong with legal holds.
func (r *run) checkHolds(ctx context.Context) error {
	if r.Held == nil {
		return nil
	}
	findings, err := r.Held(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.find(Finding{Kind: NotReadable, Detail: fmt.Sprintf("the holds: %v", withoutPath(err))})
	}
	for _, f := range findings {
		r.find(f)
	}
	return nil
}

// Progress is a look at a run while it works.
type Progress struct {
	Checked, Expected int // recordings; Expected is an estimate until every day was read
	Bytes             int64
	Day               string // that is read
	Days, DaysDone    int
}

// Progress returns a look at the run. It is cheap, and safe for concurrent use.
func (v *Verifier) Progress() Progress {
	r := v.state.Load()
	if r == nil {
		return Progress{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Progress{Checked: int(r.checked.Load()), Expected: r.summary.Asked, Bytes: r.bytes.Load(), Days: len(r.days)}
	if begun := min(r.daysBegun, p.Days); begun > 0 {
		p.Expected = p.Expected * p.Days / begun
		p.Day, p.DaysDone = r.days[begun-1], begun-1
	}
	return p
}
