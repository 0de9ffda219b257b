package manifest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options are common to both kinds of ledger.
type Options struct {
	Run         string        // id of this run, as NewRunID makes it; empty: a new one
	ReadOnly    bool          // takes no lock, repairs nothing, writes nothing
	Logger      *slog.Logger  // nil: silent
	SpoolDir    string        // S3: folder for lines not yet uploaded, best of this one archive alone
	UploadEvery time.Duration // S3: how often the spool is uploaded; 0: each minute

	// Sync makes what was written to a file durable, on disk; it is called from several goroutines. Nil: each
	// file by itself. Recordings on the same file system can so share their syncs with the ledger.
	Sync func(*os.File) error
}

// Ledger is the manifest of one archive. It is safe for concurrent use.
type Ledger struct {
	medium medium
	files  *committer // nil when read-only
	run    string
	log    *slog.Logger

	newArchive string // the archive's id if this run makes it

	mu   sync.Mutex
	days map[string]*Day

	gate sync.RWMutex // held for reading while something is appended
	shut bool         // guarded by gate
}

// medium is what differs between a folder and a bucket.
type medium interface {
	// readArchive returns archive.json, or an error that is fs.ErrNotExist.
	readArchive(ctx context.Context) ([]byte, error)
	// writeArchive writes archive.json; without replace an existing one is fs.ErrExist.
	writeArchive(ctx context.Context, data []byte, replace bool) error
	days(ctx context.Context) iter.Seq2[DayStatus, error]
	status(ctx context.Context, day string) (DayStatus, error)
	// repair makes a day's file whole before it is appended to.
	repair(tree, day string) error
	// pieces opens the day's files one after another, on S3 closed.json last; each is good until the next.
	pieces(ctx context.Context, tree, day string) iter.Seq2[piece, error]
	// closeDay completes the day line, writes it and sets d's closing line.
	closeDay(ctx context.Context, d *Day, line DayLine) error
	flush(ctx context.Context) error
	close(ctx context.Context) error
}

// The two folders of an archive that belong to the ledger.
const (
	treeManifest = "manifest"
	treeCalls    = "calls"
)

// fileName is the file of a day that is appended to, from the archive's root or the spool's.
func fileName(tree, day string) string { return tree + "/" + day + ".jsonl" }

var runPattern = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-z]{8}$`)

// NewRunID returns an id like 20250502T090003Z-1f0c9a3e: the time, so that ids sort by age, and 32
// random bits, so that two runs that start in one second differ.
func NewRunID(now time.Time) string {
	var random [4]byte
	rand.Read(random[:]) // never fails
	return now.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(random[:])
}

func newLedger(o Options) (*Ledger, error) {
	if o.Run == "" {
		o.Run = NewRunID(time.Now())
	}
	if !runPattern.MatchString(o.Run) {
		return nil, errors.New("open manifest: the run id is not of the form 20250502T090003Z-xxxxxxxx")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Ledger{run: o.Run, log: o.Logger, newArchive: strings.ToLower(rand.Text()), days: map[string]*Day{}}, nil
}

// Run returns the id of this run.
func (l *Ledger) Run() string { return l.run }

func (l *Ledger) runOr(run string) string {
	if run == "" {
		return l.run
	}
	return run
}

// DayStatus is what a cheap look tells of a day.
type DayStatus struct {
	Day     string  // 2006-01-02
	Closed  bool    // Line stands and holds
	DayLine DayLine // zero when the day is open
}

// ClosedFor reports whether the day is closed for a filter: by a day line with the same filter, or by one
// without a filter.
func (s DayStatus) ClosedFor(filter string) bool {
	return s.Closed && (s.DayLine.Filter == "" || s.DayLine.Filter == filter)
}

// Days yields every day the ledger knows, ascending, after a look at its last line only. An error that comes
// with a day's name concerns that day alone, and the next one follows; any other is the last.
func (l *Ledger) Days(ctx context.Context) iter.Seq2[DayStatus, error] {
	return func(yield func(DayStatus, error) bool) {
		for s, err := range l.medium.days(ctx) {
			if !yield(s, l.refuseLater(err)) {
				return
			}
		}
	}
}

// Status looks at one day; a day of which nothing is known is open.
func (l *Ledger) Status(ctx context.Context, day string) (DayStatus, error) {
	if err := checkDay(day); err != nil {
		return DayStatus{}, err
	}
	s, err := l.medium.status(ctx, day)
	return s, l.refuseLater(err)
}

// Day loads a day and folds its lines, or returns it if it is loaded; each call needs its Release. The error
// is a *BadLineError when a line cannot be read and the day must not be worked, and a *VersionError
// when a later version wrote to it, after which the ledger takes no more lines.
func (l *Ledger) Day(ctx context.Context, day string) (*Day, error) {
	if err := checkDay(day); err != nil {
		return nil, err
	}
	if l.isShut() {
		return nil, ErrClosed // without the lock nothing may be repaired
	}
	d := l.retain(day)
	d.loading.Lock()
	defer d.loading.Unlock()
	if d.loaded {
		return d, nil
	}
	err := l.medium.repair(treeManifest, day)
	if err == nil {
		err = d.load(ctx)
	}
	if err != nil {
		d.Release()
		return nil, l.refuseLater(err)
	}
	d.loaded = true
	return d, nil
}

func (l *Ledger) retain(day string) *Day {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.days[day]
	if d == nil {
		d = &Day{ledger: l, day: day}
		l.days[day] = d
	}
	d.refs++
	return d
}

func (l *Ledger) release(d *Day) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d.refs--; d.refs == 0 {
		delete(l.days, d.day)
	}
}

// append hands lines to the committer and waits until they are durable.
func (l *Ledger) append(ctx context.Context, c *change) error {
	if l.files == nil {
		return ErrReadOnly
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l.gate.RLock()
	defer l.gate.RUnlock()
	if l.shut {
		return ErrClosed
	}
	return l.files.do(c)
}

func (l *Ledger) closeDay(ctx context.Context, d *Day, line DayLine) error {
	if l.files == nil {
		return ErrReadOnly
	}
	if l.isShut() {
		return ErrClosed
	}
	return l.medium.closeDay(ctx, d, line)
}

func (l *Ledger) isShut() bool {
	l.gate.RLock()
	defer l.gate.RUnlock()
	return l.shut
}

// refuseLater makes the ledger read-only when err says that a later version wrote to the archive.
func (l *Ledger) refuseLater(err error) error {
	if later := (*VersionError)(nil); l.files != nil && errors.As(err, &later) {
		l.files.refuse(err)
	}
	return err
}

// Records yields every line of a day in the order in which it is folded; on S3 closed.json comes last. A
// *BadLineError and a *VersionError come with their line, and the reading goes on; any other error is the last.
func (l *Ledger) Records(ctx context.Context, day string) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		if err := checkDay(day); err != nil {
			yield(Line{}, err)
			return
		}
		var v view
		for raw, err := range lines(ctx, day, l.medium.pieces(ctx, treeManifest, day), maxLine) {
			line := Line{File: raw.file, Number: raw.n}
			if err == nil {
				line.Raw = raw.text[:len(raw.text)-1]
				if line.Kind, err = parseLine(line.Raw, &v); err != nil {
					err = l.refuseLater(raw.fault(day, err))
				}
			}
			if !yield(line, err) {
				return
			}
		}
	}
}

// Flush uploads what is spooled. On disk there is nothing to do.
func (l *Ledger) Flush(ctx context.Context) error {
	if l.isShut() {
		return ErrClosed
	}
	return l.medium.flush(ctx)
}

// Close waits for appends under way, uploads what is spooled and frees the lock. What could not be
// uploaded stays in the spool for the next run. A second Close does nothing.
func (l *Ledger) Close(ctx context.Context) error {
	l.gate.Lock()
	was := l.shut
	l.shut = true
	l.gate.Unlock()
	if was {
		return nil
	}
	return l.medium.close(ctx)
}

func checkDay(day string) error {
	if !isDay(day) {
		return fmt.Errorf("open day: %q is not a date like 2006-01-02", day)
	}
	return nil
}

func isDay(day string) bool {
	t, err := time.Parse(time.DateOnly, day)
	return err == nil && t.Format(time.DateOnly) == day
}

// sortedDays returns the keys in order.
func sortedDays[V any](days map[string]V) []string {
	list := make([]string, 0, len(days))
	for day := range days {
		list = append(list, day)
	}
	slices.Sort(list)
	return list
}
