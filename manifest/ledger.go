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

// Objects is the bucket as the ledger needs it. Names are from the archive's root. *store.S3 is one.
type Objects interface {
	// GetFile opens a file; a missing one is fs.ErrNotExist. tag names what was opened, for PutFile.
	GetFile(ctx context.Context, name string) (body io.ReadCloser, tag string, err error)
	// PutFile writes a whole file. With an empty ifTag it only creates, else it only replaces the file that has
	// that tag; fs.ErrExist when something else is there.
	PutFile(ctx context.Context, name string, body []byte, ifTag string) error
	// ListFiles yields every file whose name has the prefix, ascending. Name() is the whole name.
	ListFiles(ctx context.Context, prefix string) iter.Seq2[fs.FileInfo, error]
}

// writer is everything else that differs between a folder and a bucket. It is safe for concurrent use.
type writer interface {
	// append adds whole lines to this run's segment of a day.
	append(ctx context.Context, tree, day string, lines []byte) error
	// flush stores what is held in memory of a day, of every day when day is empty.
	flush(ctx context.Context, day string) error
	// seal is flush, after which nothing is appended to the segments that the day has.
	seal(ctx context.Context, day string) error
	// cut moves what follows the first size bytes of a file to NAME.torn.
	cut(ctx context.Context, name string, size int64) error
	// settle makes durable what a killed run has left of a file.
	settle(name string) error
	close(ctx context.Context) error
}

// Options are common to both kinds of ledger.
type Options struct {
	Run      string       // id of this run, as NewRunID makes it; empty: a new one
	ReadOnly bool         // takes no lock, repairs nothing, writes nothing
	Logger   *slog.Logger // nil: silent
}

// Ledger is the manifest of one archive. It is safe for concurrent use.
type Ledger struct {
	objects Objects
	writer  writer // nil when read-only
	scans   int    // days that Scan reads at once
	run     string
	log     *slog.Logger

	archive  archive
	erasures atomic.Pointer[Erasures] // nil until they were read
	erasing  sync.Mutex               // held while they are read
	whole    sync.Mutex               // held while Status reads lines, so that its memory is that of one day

	gate sync.RWMutex // held for reading while something is written
	shut bool         // guarded by gate

	mu      sync.Mutex
	later   error       // guarded by mu; a later version wrote to the archive
	leftOut []Recording // guarded by mu
}

// runTime is the time with which the id of a run begins.
const runTime = "20060102T150405Z"

var runPattern = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-z]{8}$`)

// NewRunID returns an id like 20250502T090003Z-1f0c9a3e: the time, so that ids sort by age, and 32
// random bits, so that two runs that start in one second differ.
func NewRunID(now time.Time) string {
	var random [4]byte
	rand.Read(random[:]) // never fails
	return now.UTC().Format(runTime) + "-" + hex.EncodeToString(random[:])
}

// OpenDir opens the ledger of the archive in root, and takes the archive's lock unless o.ReadOnly; the
// error is ErrLocked when another process holds it. The caller keeps root open until after Close. Everything
// but the lock goes through root, so that no link leads out of the archive.
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

// OpenBucket opens the ledger of the archive in a bucket. It asks the bucket nothing.
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

// guard calls do, which writes to the archive, if that is allowed; Close waits for it.
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

// write is guard for files of the present layout.
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

// noteLater makes the ledger refuse to write when err says that a later version wrote to the archive.
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

// Days yields every day of which manifest/ or calls/ holds a file, ascending. An error is the last.
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

// Flush puts what is held in memory into the bucket, of each day the call rows before the recordings. What could
// not be put stays for the next Flush. On disk there is nothing to do.
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
