// Package verify checks stored recordings against the manifest: that each is there, with the very bytes that
// were noted when it was stored, and that the manifest itself agrees with itself.
//
// Every recording's bytes are read and hashed, or those of a sample; or, quickly, the store is listed and
// compared. The days of the manifest are read as streams, a few side by side. To find what the manifest does not
// know, the keys of the whole archive are compared with a listing of the store: keys are held as hashes, at most
// a fixed number at a time. A larger archive is gone through in several passes, each for a part of all keys, so
// that memory does not grow with the archive.
//
// Nothing is ever deleted, and nothing is written but with Config.Repair, and then to the manifest alone.
package verify

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/internal/retry"
	"convoso-archiver/manifest"
)

// Store is where the recordings are; *store.Disk and *store.S3 are the two there are.
type Store interface {
	Stat(ctx context.Context, key string) (store.Info, error)
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	List(ctx context.Context, prefix string) iter.Seq2[store.Info, error]
}

// Mode says how thoroughly recordings are checked.
type Mode string

// The modes.
const (
	Full    Mode = "full"   // every byte is read and hashed
	Quick   Mode = "quick"  // presence, size and entity tag, by listing the store
	Sampled Mode = "sample" // as Full, for the recordings of Config.Sample
)

// Config says what to verify, and how.
type Config struct {
	Mode   Mode
	Sample Sample // for Sampled
	// From and To are the first and the last day, 2006-01-02; empty for no bound. The store is compared
	// with the manifest of all days in any case: a file tells of no day.
	From, To string
	// Strict makes files that the manifest does not know findings.
	Strict bool
	// Repair notes what was found damaged, so that the next archive run fetches it again, and mends the
	// manifest. The ledger must have been opened for writing.
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

	state atomic.Pointer[run]
}

const (
	daysAtOnce        = 3       // read side by side, so that workers do not wait at the end of a day
	defaultKeysAtOnce = 4 << 20 // of 24 bytes each
	// mostTrouble is how many failures in a row mean that the store as a whole cannot be read.
	mostTrouble = 50
)

// run is the state of one Verifier.Run.
type run struct {
	*Verifier
	config  Config
	started time.Time
	days    []string // all that the ledger knows
	index   *index
	retry   retry.Policy
	jobs    chan job
	buffers sync.Pool // of *[]byte
	stop    context.CancelCauseFunc

	trouble atomic.Int64 // failures in a row
	checked atomic.Int64
	bytes   atomic.Int64
	noted   atomic.Bool // lines were noted

	mu       sync.Mutex
	summary  Summary
	damaged  map[string]bool // recordings with a finding, by day and id, as long as they are few
	blind    bool            // a day could not be read, so that it is not known what is unknown
	shared   map[uint64]bool
	active   map[string]bool
	daysDone int
}

// Run verifies. It returns nil when it came to its end, whatever it found: that is told by the Summary. It returns
// an error when the archive cannot be read at all, a *manifest.VersionError among them, and the cause
// when ctx ends. It is called once; Summary and Progress may be called at any time.
func (v *Verifier) Run(ctx context.Context) error {
	r := &run{
		Verifier: v, config: v.Config, started: time.Now(),
		retry: retry.Policy{Tries: 4, Initial: 500 * time.Millisecond, Max: 10 * time.Second},
		jobs:  make(chan job), index: newIndex(v.Config.keysAtOnce),
		shared: map[uint64]bool{}, damaged: map[string]bool{}, active: map[string]bool{},
	}
	r.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	r.summary = newSummary(v.Config, r.started)
	v.state.Store(r)
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r.stop = stop
	var workers sync.WaitGroup
	for range max(r.config.Workers, 1) {
		workers.Go(func() { r.work(inner) })
	}
	err := r.all(inner)
	close(r.jobs)
	workers.Wait()
	if cause := context.Cause(inner); cause != nil {
		err = cause // rather than what it led to
	}
	r.letTimePass(ctx)
	r.finish(ctx)
	return err
}

// letTimePass waits until the second of the last line is over. Lines have whole seconds, and the next run's must
// be later: only a later archived line beats a damaged one.
func (r *run) letTimePass(ctx context.Context) {
	if !r.noted.Load() {
		return
	}
	now := time.Now()
	timer := time.NewTimer(now.Truncate(time.Second).Add(time.Second).Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// all goes through the archive, once for each part of the keys.
func (r *run) all(ctx context.Context) error {
	if err := r.listDays(ctx); err != nil {
		return err
	}
	if r.BadArchive != nil {
		r.find(Finding{Kind: BadArchive, File: "manifest/archive.json", Detail: withoutPath(r.BadArchive).Error()})
	}
	for pass := 0; pass < r.index.passes; pass++ {
		r.index.begin(pass)
		if err := r.readDays(ctx, r.firstLook); err != nil {
			return err
		}
		r.index.complete()
		if err := r.compare(ctx); err != nil {
			return err
		}
		if r.config.Mode == Quick && r.index.unseen() {
			if err := r.readDays(ctx, r.lookForUnseen); err != nil {
				return err
			}
		}
	}
	if len(r.shared) > 0 {
		return r.readDays(ctx, r.lookForShared)
	}
	return nil
}

// work checks recordings until there are no more.
func (r *run) work(ctx context.Context) {
	for j := range r.jobs {
		if ctx.Err() == nil {
			if f, bad := r.check(ctx, j.target); bad {
				j.day.add(j.target, f)
			}
		}
		j.day.owed.Done()
	}
}

// Progress is a look at a run while it works.
type Progress struct {
	Checked, Expected int // recordings; more may be expected than is known
	Bytes             int64
	Day               string // earliest day in work
	Days, DaysDone    int
}

// Progress returns a look at the run. It is cheap, and safe for concurrent use.
func (v *Verifier) Progress() Progress {
	r := v.state.Load()
	if r == nil {
		return Progress{}
	}
	p := Progress{Checked: int(r.checked.Load()), Bytes: r.bytes.Load()}
	r.mu.Lock()
	defer r.mu.Unlock()
	p.Expected, p.Days, p.DaysDone = r.summary.expected(), len(r.days), min(r.daysDone, len(r.days))
	for day := range r.active {
		if p.Day == "" || day < p.Day {
			p.Day = day
		}
	}
	return p
}
