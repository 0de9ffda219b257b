// Copies recordings into a folder, several at once.

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

// Source is where the recordings are stored.
type Source interface {
	Open(ctx context.Context, key string) (io.ReadCloser, error)
}

// Options say how to copy. All but Source may be left out.
type Options struct {
	Source  Source
	Names   *key.Template // of the copies; nil for the names that they have in the archive
	Workers int           // recordings read at once
	// Passing reports whether reading failed for a reason that may pass, so that it is tried again.
	Passing func(error) bool
	// Removed reports whether a recording that is missing was erased or has expired meanwhile. nil: none was.
	Removed func(ctx context.Context, day, recordingID, callID string) (bool, error)
	// Tell is called with every recording that is not copied, in the order of [Copy.Add], from another goroutine.
	Tell func(Failure)
	// Done is called with every recording that is in the folder, with its name there, likewise.
	Done func(r search.Recording, name string)
}

// Failure is a recording that was left out.
type Failure struct {
	RecordingID string
	Day         string
	Damaged     bool  // it is missing, or its bytes are others; false: it could not be read
	Err         error // names no key
}

// Counts is the result of a copy.
type Counts struct {
	Added           int // recordings that were to be copied
	Copied, There   int // copied now, and there with the same bytes already
	Damaged, Unread int // left out
	Bytes           int64
	CopiedBytes     int64 // only of Copied
	Unfinished      int   // because the copy was stopped
}

// Copy is a copy under way.
type Copy struct {
	o      Options
	folder *folder
	stop   context.CancelCauseFunc
	ctx    context.Context
	turns  turns
	read   chan struct{} // a place for each recording that may be read at once
	queue  chan *task    // for the workers
	order  chan *task    // for the tables, in the order of Add
	work   sync.WaitGroup
	tables sync.WaitGroup

	added, done atomic.Int64
	bytes       atomic.Int64
	trouble     atomic.Int64 // recordings in a row that the store did not deliver
	counts      Counts       // written by the goroutine of the tables
	err         error        // likewise
}

// task is one recording to copy.
type task struct {
	call  search.Call
	rec   search.Recording
	names []string // to try in turn
	err   error    // of making the names

	wait <-chan struct{} // until the first name may be used
	over func()

	name   string // under which it is at last
	copied bool
	left   *Failure
	done   chan struct{}
}

// perReader is how many recordings are worked on for each that is read: the others wait for stable storage, which takes the
// longest, and is faster for many at once.
const perReader = 4

// waitingTasks is how many recordings may wait for the tables: that many are copied beyond a slow one.
const waitingTasks = 64

// Start begins a copy into a folder, which is made where there is none. The error is a [*FolderError], or one that says
// that another copy into it is under way, [ErrBusy].
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

// Add copies a recording, which is archived, of a complete call. It waits while all workers are busy. The error is why
// the copy cannot continue: the folder's, or the end of ctx.
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

// Finish waits for what was added, writes the tables, and says what the copy came to. It is called once, in any case.
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
	for _, err := range []error{c.err, stopped, closeErr} { // an error of the tables stopped the others too
		if err != nil {
			return c.counts, err
		}
	}
	return c.counts, nil
}

// Progress returns how many recordings were added so far, how many of them are done, and how many bytes were read. It
// may be called at any time.
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

// extension is that of the archive's own copy, which follows the bytes.
type extension string

// Extension returns it with its dot.
func (e extension) Extension() string { return string(e) }

// worker works on tasks until there are no more.
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

// try works on one task. Its error ends the copy, or is that of its end.
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
			if !isThere { // else look at what came there meanwhile
				t.name, t.copied = name, true
				return nil
			}
		}
	}
	t.fail(false, errors.New("other files have its names"))
	return nil
}

// compare looks whether a recording is stored under a name.
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

// turns gives a name to those that want it one after another, in the order of asking.
type turns struct {
	mu   sync.Mutex
	last map[string]chan struct{}
}

// queue returns what to wait for, nil for nothing, and what ends the turn.
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

// instant is the call's time, empty if no row tells it.
func instant(c *search.Call) string {
	if c.NoRow || c.Erased {
		return ""
	}
	return c.Time.Format(time.RFC3339)
}

func wrongBytes(got, noted int64) error {
	return fmt.Errorf("size mismatch: %d bytes, the manifest says %d", got, noted)
}
