// Package verify checks stored recordings against the manifest: that each is there, with the very bytes that were
// noted when it was stored, and that the manifest agrees with itself.
//
// First the keys in the manifest are compared with a listing of the store: an object without a line is unknown, and
// in quick mode the listing replaces reading. Keys are stored as hashes, up to a fixed number: a larger archive needs
// several passes, each for a part of the keys, so memory does not grow with the archive. Then the days are read and
// checked, two at a time, and the bytes of every recording, or of a sample, are read and hashed.
//
// It never deletes anything. It writes only with Config.Repair, and only to the manifest.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

// Store reads the recordings; *store.Disk and *store.S3 implement it.
type Store interface {
	Stat(ctx context.Context, key string) (store.Info, error)
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	List(ctx context.Context, prefix string) iter.Seq2[store.Info, error]
}

// Mode is the thoroughness of checks.
type Mode string

// The modes.
const (
	Full    Mode = manifest.VerifiedFull   // every byte is read and hashed
	Quick   Mode = manifest.VerifiedQuick  // presence, size and entity tag, by listing the store
	Sampled Mode = manifest.VerifiedSample // like Full, for the recordings of Config.Sample
)

// Config configures a verification.
type Config struct {
	Mode   Mode
	Sample Sample // for Sampled
	// From and To are the first and the last day, 2006-01-02; empty for no bound. The store is always compared
	// with the manifest of all days, because a file does not show its day.
	From, To string
	// Strict makes unknown files findings.
	Strict bool
	// Repair notes damaged recordings, so that the next archive run downloads them again, and restored
	// ones, and repairs the manifest. The ledger must be open for writing.
	Repair  bool
	Workers int // recordings read in parallel, at least 1

	keysAtOnce int // keys in memory; 0 for the default
}

// Verifier verifies one archive. Its fields are set before Run is called once.
type Verifier struct {
	Config Config
	Store  Store
	Ledger *manifest.Ledger
	Logger *slog.Logger
	// BadArchive is the error of reading archive.json, or nil. It becomes a finding.
	BadArchive error
	// BadLocks is the error of reading the lock settings, or nil. It becomes a finding.
	BadLocks error
	// Lock returns what is wrong with the locks of an object, by kind and detail; nil if the archive
	// does not use locks.
	Lock func(ctx context.Context, o Stored) ([]Finding, error)
	// Expired reports whether missing audio has expired: its retention has ended and nothing holds it. It must be safe for
	// concurrent use. It is nil if recordings are kept for ever.
	Expired func(ctx context.Context, o Stored) (bool, error)
	// Held finds recordings that a case holds without a legal hold in the store, [HoldMissing]. It is nil if
	// that is unknown.
	Held func(ctx context.Context) ([]Finding, error)
	// Sealed returns those of the days that a seal signs. It is nil if that is unknown, and is only called if the manifest
	// is damaged.
	Sealed func(ctx context.Context, days []string) ([]string, error)

	state atomic.Pointer[run]
}

const (
	daysAtOnce = 2 // read in parallel, so that workers do not wait at the end of a day
	// maxTrouble is the number of consecutive failures that mean that the whole store is
	// unreadable.
	maxTrouble = 50
)

// run is the state of one Verifier.Run.
type run struct {
	*Verifier
	started time.Time
	days    []string // days of the span
	index   *index
	slots   chan struct{} // one slot for each recording being read
	stop    context.CancelCauseFunc

	trouble atomic.Int64 // consecutive failures
	checked atomic.Int64
	bytes   atomic.Int64

	blind error // why not all keys could be read, so unknown files cannot be determined

	mu        sync.Mutex
	summary   Summary
	damaged   map[string]bool // recordings with a finding, by day and id, up to a limit
	daysBegun int
}

// Run verifies. It returns nil if it completed, with any findings, which are in the Summary. It returns an error if
// the archive is unreadable, for example a *manifest.VersionError, and the cause when its context ends. It must be
// called only once; Summary and Progress may be called at any time.
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
		err = cause // not its consequential errors
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

// all processes the archive: the keys of all days and the listing of the store, once for each part of the keys,
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
	r.index.entries = nil // frees memory for the days
	if err := r.checkSeals(ctx); err != nil {
		return err
	}
	if err := r.readDays(ctx); err != nil {
		return err
	}
	if err := r.checkHolds(ctx); err != nil {
		return err
	}
	if err := r.lookForSealed(ctx); err != nil {
		return err
	}
	if r.blind != nil && r.summary.Counts[NotReadable] == 0 { // otherwise the day explains it
		r.find(Finding{Kind: NotReadable, Detail: fmt.Sprintf("the manifest: %v", withoutPath(r.blind))})
	}
	r.count(func(s *Summary) { s.UnknownChecked = r.blind == nil })
	return nil
}

// checkHolds adds the findings about legal holds.
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

// lookForSealed notes which days with damage in the manifest are sealed.
func (r *run) lookForSealed(ctx context.Context) error {
	var days []string
	for _, f := range r.summary.Findings {
		if f.Kind.ofManifest() && f.Day != "" {
			days = append(days, f.Day)
		}
	}
	if len(days) == 0 || r.Sealed == nil {
		return nil
	}
	slices.Sort(days)
	sealed, err := r.Sealed(ctx, slices.Compact(days))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.find(Finding{Kind: NotReadable, Detail: fmt.Sprintf("the seals: %v", withoutPath(err))})
	}
	r.count(func(s *Summary) { s.SealedDays = append(s.SealedDays, sealed...) })
	return nil
}

// Progress is a snapshot of a run.
type Progress struct {
	Checked, Expected int // recordings; Expected is an estimate until all days are read
	Bytes             int64
	Day               string // current day
	Days, DaysDone    int
}

// Progress returns a snapshot of the run. It is cheap, and safe for concurrent use.
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
