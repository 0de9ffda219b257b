package manifest

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	maxOpenFiles  = 16      // handles kept between batches
	maxBatchBytes = 1 << 20 // of one write and sync, but for its last change
	queueLength   = 256
	// syncPause is how long after a batch the next one of several changes begins at the earliest: many lines
	// a second then share few syncs. Nothing waits for it where few come.
	syncPause = 20 * time.Millisecond
)

// change is one request to the committer.
type change struct {
	name string // file, from the committer's root
	data []byte // whole lines to append

	// build makes data when everything requested before is durable; the change is then alone in its batch.
	build func() ([]byte, error)
	// task runs instead of an append, alone, with the file closed.
	task func() error
	// durable, if not nil, is called with data, in the order of the file, before the waiter is told.
	durable func(data []byte) error

	done chan error
}

func (c *change) alone() bool { return c.build != nil || c.task != nil }

// committer owns the files of a ledger that are open for appending: one goroutine takes whatever changes are
// waiting, writes once and syncs once per file, and then tells the waiters. After a write or sync that
// failed it refuses everything: nothing may be noted after a hole.
type committer struct {
	open    func(name string) (logFile, int64, error)
	queue   chan *change
	stopped chan struct{}
	handles map[string]*handle // the goroutine's own
	clock   int64              // of handle use; the goroutine's own
	joined  []byte             // the bytes of a batch; the goroutine's own
	began   time.Time          // the batch before; the goroutine's own

	gate   sync.RWMutex // held for reading while a change is under way
	closed bool         // guarded by gate

	mu    sync.Mutex
	cause error // why it refuses
}

type handle struct {
	file logFile
	size int64 // bytes known to be durable; the next write goes here
	used int64
}

// startCommitter starts the goroutine; close ends it.
func startCommitter(open func(name string) (logFile, int64, error)) *committer {
	c := &committer{
		open:    open,
		queue:   make(chan *change, queueLength),
		stopped: make(chan struct{}),
		handles: map[string]*handle{},
	}
	go c.run()
	return c
}

// do hands in a change and waits until it is durable.
func (c *committer) do(ch *change) error {
	c.gate.RLock()
	defer c.gate.RUnlock()
	if c.closed {
		return ErrClosed
	}
	ch.done = make(chan error, 1)
	c.queue <- ch
	return <-ch.done
}

// close waits for the changes under way, ends the goroutine and closes the files.
func (c *committer) close() error {
	c.gate.Lock()
	c.closed = true
	close(c.queue)
	c.gate.Unlock()
	<-c.stopped
	var errs []error
	for name := range c.handles {
		errs = append(errs, c.drop(name))
	}
	return errors.Join(errs...)
}

// refuse makes every later append fail with cause.
func (c *committer) refuse(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = cause
	}
}

func (c *committer) refusal() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		return nil
	}
	return fmt.Errorf("manifest takes no more lines: %w", c.cause)
}

func (c *committer) run() {
	defer close(c.stopped)
	for first := range c.queue {
		batch, last := c.gather(first)
		c.commit(batch)
		if last != nil {
			c.commitAlone(last)
		}
		c.limitHandles()
	}
}

// gather takes what is waiting, up to a change that must be alone.
func (c *committer) gather(next *change) (batch []*change, alone *change) {
	if len(c.queue) > 0 {
		time.Sleep(time.Until(c.began.Add(syncPause)))
	}
	c.began = time.Now()
	for bytes := 0; ; {
		if next.alone() {
			return batch, next
		}
		batch = append(batch, next)
		if bytes += len(next.data); bytes >= maxBatchBytes {
			return batch, nil
		}
		var ok bool
		select {
		case next, ok = <-c.queue:
			if !ok {
				return batch, nil
			}
		default:
			return batch, nil
		}
	}
}

func (c *committer) commitAlone(ch *change) {
	if ch.task != nil {
		ch.done <- errors.Join(c.drop(ch.name), ch.task())
		return
	}
	if err := c.refusal(); err != nil {
		ch.done <- err
		return
	}
	data, err := ch.build()
	if err != nil {
		ch.done <- err
		return
	}
	ch.data = data
	c.commit([]*change{ch})
}

// commit appends a batch: one write per file, in the order in which the files first occur, and then one sync
// of each, side by side.
func (c *committer) commit(batch []*change) {
	groups := map[string]*appended{}
	var files []*appended
	for _, ch := range batch {
		a := groups[ch.name]
		if a == nil {
			a = &appended{name: ch.name}
			groups[ch.name] = a
			files = append(files, a)
		}
		a.changes = append(a.changes, ch)
	}
	for _, a := range files {
		a.err = c.write(a)
	}
	syncAll(files)
	for _, a := range files {
		c.settle(a)
	}
}

// appended are the changes of a batch that go to one file.
type appended struct {
	name    string
	changes []*change
	handle  *handle // nil when nothing was written
	size    int64   // bytes written
	err     error
}

func (c *committer) write(a *appended) error {
	if err := c.refusal(); err != nil {
		return err
	}
	h, err := c.handle(a.name)
	if err != nil {
		return err
	}
	data := a.changes[0].data
	if len(a.changes) > 1 {
		c.joined = c.joined[:0]
		for _, ch := range a.changes {
			c.joined = append(c.joined, ch.data...)
		}
		data = c.joined
	}
	a.handle, a.size = h, int64(len(data))
	if _, err = h.file.WriteAt(data, h.size); err != nil {
		c.refuse(failedAppend(err)) // before the next file is written
	}
	return err
}

// syncAll syncs what was written whole.
func syncAll(files []*appended) {
	var syncs sync.WaitGroup
	for _, a := range files {
		if a.err == nil {
			syncs.Go(func() { a.err = a.handle.file.Sync() })
		}
	}
	syncs.Wait()
}

// settle tells those who wait what came of it.
func (c *committer) settle(a *appended) {
	err := a.err
	switch {
	case a.handle == nil: // it was not even tried
	case err == nil:
		a.handle.size += a.size
	default:
		err = failedAppend(err)
		c.refuse(err)
		c.cutBack(a.handle)
	}
	for _, ch := range a.changes {
		if err == nil && ch.durable != nil {
			ch.done <- ch.durable(ch.data)
			continue
		}
		ch.done <- err
	}
}

func failedAppend(err error) error { return fmt.Errorf("append to manifest: %w", err) }

// cutBack takes away what a failed append may have left. If that fails too, the next run's repair finds
// either a torn tail, or whole lines of which nobody was told: both are harmless.
func (c *committer) cutBack(h *handle) {
	if h.file.Truncate(h.size) == nil {
		_ = h.file.Sync()
	}
}

func (c *committer) handle(name string) (*handle, error) {
	h := c.handles[name]
	if h == nil {
		file, size, err := c.open(name)
		if err != nil {
			return nil, err
		}
		h = &handle{file: file, size: size}
		c.handles[name] = h
	}
	c.clock++
	h.used = c.clock
	return h, nil
}

// drop closes a file, if it is open.
func (c *committer) drop(name string) error {
	h := c.handles[name]
	if h == nil {
		return nil
	}
	delete(c.handles, name)
	if err := h.file.Close(); err != nil {
		return fmt.Errorf("close manifest file: %w", err)
	}
	return nil
}

// limitHandles closes the files used longest ago.
func (c *committer) limitHandles() {
	for len(c.handles) > maxOpenFiles {
		oldest := ""
		for name, h := range c.handles {
			if oldest == "" || h.used < c.handles[oldest].used {
				oldest = name
			}
		}
		// Every byte was synced, so a failing close loses nothing; it still says that the disk is not well.
		if err := c.drop(oldest); err != nil {
			c.refuse(err)
		}
	}
}
