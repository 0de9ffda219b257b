// Opens the manifest of an archive in a folder or a bucket.

package manifest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Objects is the part of a bucket that the ledger uses. Names are relative to the archive's root.
// *store.S3 implements it.
type Objects interface {
	// GetFile opens a file; a missing one is fs.ErrNotExist. tag identifies the opened version, for
	// PutFile.
	GetFile(ctx context.Context, name string) (body io.ReadCloser, tag string, err error)
	// PutFile writes a whole file. With an empty ifTag it only creates; otherwise it only replaces the file
	// with that tag. The error is fs.ErrExist if there is another one.
	PutFile(ctx context.Context, name string, body []byte, ifTag string) error
	// ListFiles yields every file whose name has the prefix, ascending. Name() is the whole name.
	ListFiles(ctx context.Context, prefix string) iter.Seq2[fs.FileInfo, error]
}

// writer holds the other differences between a folder and a bucket. It is safe for concurrent use.
type writer interface {
	// append adds whole lines to this run's segment of a day.
	append(ctx context.Context, tree, day string, lines []byte) error
	// flush stores the buffered lines of a day, or of every day if day is empty.
	flush(ctx context.Context, day string) error
	// seal is like flush; afterwards nothing is appended to the day's segments.
	seal(ctx context.Context, day string) error
	// cut moves the bytes after the first size bytes of a file to NAME.torn.
	cut(ctx context.Context, name string, size int64) error
	// settle makes a file of a killed run durable.
	settle(name string) error
	close(ctx context.Context) error
}

// Options are common to both kinds of ledger.
type Options struct {
	Run      string       // id of this run, from NewRunID; empty: a new one
	ReadOnly bool         // takes no lock, repairs nothing, writes nothing
	Logger   *slog.Logger // nil: silent
}

// Ledger is the manifest of one archive. It is safe for concurrent use.
type Ledger struct {
	objects Objects
	writer  writer // nil when read-only
	scans   int    // days that Scan reads in parallel
	run     string
	log     *slog.Logger

	archive  archive
	erasures atomic.Pointer[Erasures] // nil until read
	erasing  sync.Mutex               // held while reading them
	whole    sync.Mutex               // held while Status reads lines, to limit its memory to one day

	gate sync.RWMutex // read-locked during writes
	shut bool         // guarded by gate

	mu      sync.Mutex
	later   error       // guarded by mu; error of data from a later version
	leftOut []Recording // guarded by mu
}

// runTime is the layout of the time at the start of a run's id.
const runTime = "20060102T150405Z"

var runPattern = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-z]{8}$`)

// NewRunID returns an id like 20250502T090003Z-1f0c9a3e: the time, so that ids sort by age, and 32
// random bits, so that two runs that start in one second differ.
func NewRunID(now time.Time) string {
	var random [4]byte
	rand.Read(random[:]) // never fails
	return now.UTC().Format(runTime) + "-" + hex.EncodeToString(random[:])
}

// OpenDir opens the ledger of the archive in root, and takes the archive's lock unless o.ReadOnly; the error
// is ErrLocked if another process holds it. The caller must keep root open until after Close. Everything
// except the lock goes through root, so that no link leads out of the archive.
func OpenDir(root *os.Root, o Options) (*Ledger, error) {
	l, err := newLedger(o)
	if err != nil {
		return nil, err
	}
	l.objects, l.scans = disk{root}, 1
	if o.ReadOnly {
		return l, nil
	}
	lock, err := lockArchive(root)
	if err != nil {
		return nil, err
	}
	if err := syncDir(root, treeManifest); err != nil { // archive.json may be from a killed run
		return nil, errors.Join(err, lock.Unlock())
	}
	l.writer = newCommitter(root, l.run, lock)
	return l, nil
}

// OpenBucket opens the ledger of the archive in a bucket. It sends no request.
func OpenBucket(objects Objects, o Options) (*Ledger, error) {
	l, err := newLedger(o)
	if err != nil {
		return nil, err
	}
	l.objects, l.scans = objects, 8
	if !o.ReadOnly {
		l.writer = &bucket{objects: objects, run: l.run, erasures: l.Erasures, expired: l.Expired, leaveOut: l.leaveOut, days: map[string]*dayBuffers{}}
	}
	return l, nil
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
	return &Ledger{run: o.Run, log: o.Logger}, nil
}

// Run returns the id of this run.
func (l *Ledger) Run() string { return l.run }

// guard calls do, which writes to the archive, if writing is allowed; Close waits for it.
func (l *Ledger) guard(ctx context.Context, do func() error) error {
	if l.writer == nil {
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
	l.mu.Lock()
	later := l.later
	l.mu.Unlock()
	if later != nil {
		return fmt.Errorf("the manifest takes no more lines: %w", later)
	}
	return l.noteLater(do())
}

// write is like guard, for files of the current layout.
func (l *Ledger) write(ctx context.Context, do func() error) error {
	return l.guard(ctx, func() error {
		if err := l.upgradeArchive(ctx); err != nil {
			return err
		}
		return do()
	})
}

// append adds whole lines to this run's segment of a day.
func (l *Ledger) append(ctx context.Context, tree, day string, lines []byte) error {
	return l.write(ctx, func() error { return l.writer.append(ctx, tree, day, lines) })
}

// noteLater makes the ledger refuse writes if err means that a later version wrote to the archive.
func (l *Ledger) noteLater(err error) error {
	if _, is := errors.AsType[*VersionError](err); is {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.later == nil {
			l.later = err
		}
	}
	return err
}

// Days yields every day with a file in manifest/ or calls/, ascending. An error is the last.
func (l *Ledger) Days(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if _, err := l.Erasures(ctx); err != nil {
			yield("", err)
			return
		}
		var days []string
		for _, tree := range []string{treeManifest, treeCalls} {
			for found, err := range l.list(ctx, tree, "") {
				if err != nil {
					yield("", err)
					return
				}
				days = append(days, found.day)
			}
		}
		slices.Sort(days)
		for _, day := range slices.Compact(days) {
			if !yield(day, nil) {
				return
			}
		}
	}
}

// Flush stores buffered lines in the bucket, for each day call rows before recordings. Lines that could not be
// stored stay for the next Flush. On disk it does nothing.
func (l *Ledger) Flush(ctx context.Context) error { return l.flush(ctx, "") }

func (l *Ledger) flush(ctx context.Context, day string) error {
	if l.writer == nil {
		return nil
	}
	l.gate.RLock()
	defer l.gate.RUnlock()
	if l.shut {
		return ErrClosed
	}
	return l.writer.flush(ctx, day)
}

// Close flushes, waits for lines that are being written and frees the lock. A second Close does nothing.
func (l *Ledger) Close(ctx context.Context) error {
	l.gate.Lock()
	defer l.gate.Unlock()
	if l.shut || l.writer == nil {
		return nil
	}
	l.shut = true
	return l.writer.close(ctx)
}
