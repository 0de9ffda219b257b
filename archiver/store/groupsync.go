package store

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// groupWorth is how many syncs at once are worth one of the whole file system,
	// which also writes what other programs have left unwritten there.
	groupWorth = 8
	// syncsAtOnce bounds the syncs made side by side where there is none of the whole
	// file system. A journal takes those together that arrive together.
	syncsAtOnce = 16
	// syncPause is how long after a sync began the next one of several items begins at
	// the earliest: many recordings a second then share few syncs. Nothing waits for
	// it where few come.
	syncPause = 20 * time.Millisecond
)

// groupSync lets those who need a sync while another one is under way share the
// next. No caller returns before a sync that began after it called has ended. It is
// safe for concurrent use.
type groupSync[T any] struct {
	// sync makes all items durable and returns one error for each. It is never
	// called twice at a time.
	sync func(items []T) []error

	turn  sync.Mutex // held while syncing
	began time.Time  // the sync before; guarded by turn

	mu   sync.Mutex
	next *syncBatch[T] // gathers until its turn has come; nil when nobody waits
}

type syncBatch[T any] struct {
	items []T
	errs  []error
	done  chan struct{}
}

// do returns when item is durable, or with what kept it from being so.
func (g *groupSync[T]) do(item T) error {
	g.mu.Lock()
	batch, first := g.next, g.next == nil
	if first {
		batch = &syncBatch[T]{done: make(chan struct{})}
		g.next = batch
	}
	place := len(batch.items)
	batch.items = append(batch.items, item)
	g.mu.Unlock()
	if first {
		g.run(batch)
	}
	<-batch.done
	return batch.errs[place]
}

func (g *groupSync[T]) run(batch *syncBatch[T]) {
	g.turn.Lock()
	defer g.turn.Unlock()
	g.mu.Lock()
	several := len(batch.items) > 1
	g.mu.Unlock()
	if several {
		time.Sleep(time.Until(g.began.Add(syncPause)))
	}
	g.mu.Lock()
	g.next = nil // who comes now may have written after this sync began
	g.mu.Unlock()
	g.began = time.Now()
	batch.errs = g.sync(batch.items)
	close(batch.done)
}

// unsynced is what a recording waits for: the bytes of its part, its name in a folder,
// or the ledger's line about it.
type unsynced struct {
	part   *Part
	file   *os.File // of the ledger
	folder string   // of keys; where the others are nil
}

// Sync makes what was written to a file of the archive's ledger durable, together with
// whatever else waits for a sync. One on another file system, as where a folder of the
// archive is a mount, is synced by itself. It is safe for concurrent use.
func (d *Disk) Sync(file *os.File) error {
	if !sameFileSystem(d.under.folder, file) {
		return file.Sync()
	}
	return d.syncs.do(unsynced{file: file})
}

// syncAll makes items durable: many by one sync of the file system, else each part,
// file and folder once.
func (d *Disk) syncAll(items []unsynced) []error {
	distinct := make([]unsynced, 0, len(items))
	place := make(map[unsynced]int, len(items))
	for _, item := range items {
		if _, known := place[item]; !known {
			place[item] = len(distinct)
			distinct = append(distinct, item)
		}
	}
	errs := make([]error, len(items))
	if len(distinct) >= groupWorth && d.under.sync() {
		return errs
	}
	results := sideBySide(distinct, d.syncOne)
	for i, item := range items {
		errs[i] = results[place[item]]
	}
	return errs
}

func (d *Disk) syncOne(item unsynced) error {
	switch {
	case item.part != nil:
		return item.part.sync()
	case item.file != nil:
		return item.file.Sync()
	}
	return d.syncFolder(item.folder)
}

// fileSystem is the file system below the folder, to be synced as a whole. The
// system tells a failed write once to each file opened on it. Who has been told
// cannot know whose write it was: from then on each file is synced by itself, which
// tells its own failures. It is not safe for concurrent use.
type fileSystem struct {
	folder *os.File
	syncFS func() error // nil where there is none to rely upon
}

func openFileSystem(root *os.Root) (*fileSystem, error) {
	folder, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	return &fileSystem{folder: folder, syncFS: fileSystemSync(folder)}, nil
}

// sync makes everything written to the file system durable, and reports whether it
// did.
func (f *fileSystem) sync() bool {
	if f.syncFS == nil {
		return false
	}
	if f.syncFS() == nil {
		return true
	}
	f.syncFS = nil
	return false
}

// close may be called on nil, which is what a folder opened for reading has.
func (f *fileSystem) close() error {
	if f == nil {
		return nil
	}
	return f.folder.Close()
}

// sideBySide calls sync for each item and returns its errors in the same order.
func sideBySide[T any](items []T, sync func(T) error) []error {
	errs := make([]error, len(items))
	var group errgroup.Group
	group.SetLimit(syncsAtOnce)
	for i, item := range items {
		group.Go(func() error {
			errs[i] = sync(item)
			return nil
		})
	}
	_ = group.Wait() // each error stands at its place
	return errs
}
