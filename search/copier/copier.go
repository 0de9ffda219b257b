// Copies recordings into a folder, several in parallel.

package copier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"convoso-archiver/archiver/key"
	"convoso-archiver/search"
)

// Source reads the stored recordings.
type Source interface {
	Open(ctx context.Context, key string) (io.ReadCloser, error)
}

// Options configure a copy. All except Source are optional.
type Options struct {
	Source  Source
	Names   *key.Template // of the copies; nil for the names in the archive
	Workers int           // recordings read in parallel
	// Passing reports whether a read error is temporary, so that it is retried.
	Passing func(error) bool
	// Removed reports whether a recording that is missing was erased or has expired meanwhile. nil: none was.
	Removed func(ctx context.Context, day, recordingID, callID string) (bool, error)
	// Tell is called for every recording that is not copied, in the order of [Copy.Add], from another goroutine.
	Tell func(Failure)
	// Done is called in the same way for every recording in the folder, with its name there.
	Done func(r search.Recording, name string)
}

// Failure is a recording that was not copied.
type Failure struct {
	RecordingID string
	Day         string
	Damaged     bool  // it is missing, or its bytes differ; false: it could not be read
	Err         error // without its key
}

// Counts is the result of a copy.
type Counts struct {
	Added           int // recordings to copy
	Copied, There   int // copied now, and already present with the same bytes
	Damaged, Unread int // not copied
	Bytes           int64
	CopiedBytes     int64 // only of Copied
	Unfinished      int   // not copied because of a stop
}

// Copy is a copy in progress.
type Copy struct {
	o      Options
	folder *folder
	stop   context.CancelCauseFunc
	ctx    context.Context
	turns  turns
	read   chan struct{} // one slot for each parallel read
	queue  chan *task    // for the workers
	order  chan *task    // for the tables, in the order of Add
	work   sync.WaitGroup
	tables sync.WaitGroup

	added, done atomic.Int64
	bytes       atomic.Int64
	trouble     atomic.Int64 // consecutive recordings that the store did not deliver
	counts      Counts       // written by the goroutine of the tables
	err         error        // likewise
}

// task is one recording to copy.
type task struct {
	call  search.Call
	rec   search.Recording
	names []string // to try in turn
	err   error    // of making the names

	wait <-chan struct{} // closed when the first name may be used
	over func()

	name   string // final name
	copied bool
	left   *Failure
	done   chan struct{}
}

// perReader is the number of recordings in work per parallel read: the others wait for syncs, which take the longest
// and are faster in parallel.
const perReader = 4

// waitingTasks is the maximum number of finished recordings that wait for the tables behind a slow
// one.
const waitingTasks = 64

// Start begins a copy into a folder, which is created if missing. The error is a [*FolderError], or [ErrBusy] if
// another copy writes into it.
func Start(ctx context.Context, dir string, o Options) (*Copy, error) {
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	w, err := f.beginTables()
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	c := &Copy{o: o, folder: f, queue: make(chan *task), order: make(chan *task, waitingTasks)}
	c.ctx, c.stop = context.WithCancelCause(ctx)
	c.read = make(chan struct{}, max(o.Workers, 1))
	for range perReader * cap(c.read) {
		c.work.Go(c.worker)
	}
	c.tables.Go(func() { c.err = c.note(w) })
	return c, nil
}

// Add copies a recording, which is archived, of a complete call. It waits while all workers are busy. The error ends
// the copy: one of the folder, or the end of ctx.
func (c *Copy) Add(call *search.Call, r search.Recording) error {
	t := &task{call: *call, rec: r, done: make(chan struct{}), over: func() {}}
	if t.names, t.err = c.names(call, r); t.err == nil {
		t.wait, t.over = c.turns.queue(strings.ToLower(t.names[0]))
	}
	for i, to := range []chan *task{c.order, c.queue} {
		select {
		case to <- t:
			continue
		case <-c.ctx.Done():
		}
		t.over()
		if i > 0 { // the tables wait for it
			close(t.done)
		}
		return context.Cause(c.ctx)
	}
	c.added.Add(1)
	return nil
}

// Finish waits for the added recordings, writes the tables, and returns the counts. It must always be called, once.
func (c *Copy) Finish() (Counts, error) {
	close(c.queue)
	c.work.Wait()
	stopped := context.Cause(c.ctx)
	close(c.order)
	c.tables.Wait()
	c.stop(nil)
	c.counts.Added = int(c.added.Load())
	c.counts.Unfinished = max(c.counts.Added-c.counts.Copied-c.counts.There-c.counts.Damaged-c.counts.Unread, 0)
	c.counts.Bytes = c.bytes.Load()
	closeErr := c.folder.close()
	for _, err := range []error{c.err, stopped, closeErr} { // an error of the tables also stopped the others
		if err != nil {
			return c.counts, err
		}
	}
	return c.counts, nil
}

// Progress returns how many recordings were added so far, how many are done, and the bytes read. It may be called at
// any time.
func (c *Copy) Progress() (added, done int, bytes int64) {
	return int(c.added.Load()), int(c.done.Load()), c.bytes.Load()
}

// names returns the names to try in turn.
func (c *Copy) names(call *search.Call, r search.Recording) ([]string, error) {
	if r.State == nil || r.State.SHA256 == [32]byte{} {
		return nil, errors.New("the manifest has no checksum for it")
	}
	names := key.NamesOf(r.Key)
	if c.o.Names != nil {
		fields, file := call.Values(), call.File(r)
		fields["recording_id"], fields["filename"], fields["type"], fields["new"] = r.ID, file.Filename, file.Type, file.New
		if file.ID != "" {
			fields["recording_id"] = file.ID
		}
		made, err := c.o.Names.Key(fields, call.Wall, key.Options{RecordingID: r.ID, Format: extension(path.Ext(r.Key))})
		if err != nil {
			return nil, err
		}
		names = made
	}
	var free []string
	for _, name := range names.For(r.ID, r.State.SHA256) {
		if !isOwn(name) {
			free = append(free, name)
		}
	}
	if free == nil {
		return nil, errors.New("its name is in the folder of temporary files: give another --path-template")
	}
	return free, nil
}

// extension is the extension of the archive's key, which matches the bytes.
type extension string

// Extension returns it with its dot.
func (e extension) Extension() string { return string(e) }

// worker processes tasks until there are no more.
func (c *Copy) worker() {
	for t := range c.queue {
		err := c.try(t)
		t.over()
		if err != nil {
			c.stop(err)
		}
		if t.left != nil || t.name != "" {
			c.done.Add(1)
		}
		close(t.done)
	}
}

// try works on one task. Its error ends the copy, or is the cause of its end.
func (c *Copy) try(t *task) error {
	if t.err != nil {
		t.fail(false, t.err)
		return nil
	}
	if err := c.await(t.wait); err != nil {
		return err
	}
	var body *part
	defer func() { body.discard() }()
	for _, name := range t.names {
		for {
			there, err := c.compare(name, t)
			if err != nil {
				return err
			}
			if there == same {
				t.name = name
				return nil
			}
			if there == other {
				break
			}
			if body == nil {
				if body, err = c.fetch(t); err != nil || body == nil {
					return err
				}
			}
			isThere, err := c.folder.publish(body, name)
			if err != nil {
				return err
			}
			if !isThere { // otherwise check the new file there
				t.name, t.copied = name, true
				return nil
			}
		}
	}
	t.fail(false, errors.New("other files have its names"))
	return nil
}

// compare checks whether a recording is stored under a name.
func (c *Copy) compare(name string, t *task) (standing, error) {
	c.read <- struct{}{}
	defer func() { <-c.read }()
	return c.folder.compare(c.ctx, name, t.rec.State)
}

func (c *Copy) await(turn <-chan struct{}) error {
	if turn == nil {
		return context.Cause(c.ctx)
	}
	select {
	case <-turn:
		return context.Cause(c.ctx)
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}

func (t *task) fail(damaged bool, err error) {
	t.left = &Failure{RecordingID: t.rec.ID, Day: t.call.Day, Damaged: damaged, Err: err}
}

// turns assigns a name to its requesters one after another, in order of request.
type turns struct {
	mu   sync.Mutex
	last map[string]chan struct{}
}

// queue returns a channel to wait for, nil for none, and a function that ends the turn.
func (t *turns) queue(name string) (wait <-chan struct{}, over func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = map[string]chan struct{}{}
	}
	mine := make(chan struct{})
	if before, taken := t.last[name]; taken {
		wait = before
	}
	t.last[name] = mine
	return wait, sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if close(mine); t.last[name] == mine {
			delete(t.last, name)
		}
	})
}

// instant is the call's time, empty if no row has it.
func instant(c *search.Call) string {
	if c.NoRow || c.Erased {
		return ""
	}
	return c.Time.Format(time.RFC3339)
}

func wrongBytes(got, noted int64) error {
	return fmt.Errorf("size mismatch: %d bytes, the manifest says %d", got, noted)
}
