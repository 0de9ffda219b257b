// Writes lines into a folder, sharing one sync between several lines.

package manifest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"

	"github.com/gofrs/flock"
)

const (
	maxSegment    = 64 << 20 // bytes of a segment on disk, except one that begins with a longer batch
	maxBatchBytes = 1 << 20  // maximum of one write and sync, plus its last lines
)

// committer is the writer of a folder. Waiting lines are written together and share one sync. After a failed write or
// sync it refuses all later lines of that day in that tree, because no line may follow a gap.
type committer struct {
	root *os.Root
	lock *flock.Flock
	run  string
	open func(name string, create bool) (appendFile, error) // with create, fs.ErrExist if it exists

	writing sync.Mutex // held while a batch is written

	mu       sync.Mutex
	segments map[string]*openSegment // guarded by mu; by their day's folder
}

// appendFile is the part of a file that the committer uses.
type appendFile interface {
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// openSegment is the segment that a run appends to. Its file is opened for each batch, which is cheap compared
// with a sync.
type openSegment struct {
	next *batch // guarded by committer.mu; the lines that wait, nil for none

	// Guarded by committer.writing.
	n      int    // number of the segment; 0: none yet
	name   string // empty: the next batch starts a new one
	size   int64  // durable bytes; the next write starts here
	failed error  // error of a write; later lines are refused
}

// batch is a group of lines written together.
type batch struct {
	lines []byte // guarded by committer.mu until they are written
	done  chan struct{}
	err   error // once done is closed
}

func newCommitter(root *os.Root, run string, lock *flock.Flock) *committer {
	c := &committer{root: root, lock: lock, run: run, segments: map[string]*openSegment{}}
	c.open = func(name string, create bool) (appendFile, error) {
		if !create {
			return root.OpenFile(name, os.O_RDWR, 0)
		}
		f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		// Without this, a power failure may lose the name of a synced file.
		if err := syncDir(root, path.Dir(name)); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
	return c
}

// append waits until the lines are durable. It does not stop when the context ends.
func (c *committer) append(_ context.Context, tree, day string, lines []byte) error {
	c.mu.Lock()
	s := c.segment(tree, day)
	b := s.next
	isFirst := b == nil || len(b.lines) >= maxBatchBytes
	if isFirst {
		b = &batch{done: make(chan struct{})}
		s.next = b
	}
	b.lines = append(b.lines, lines...)
	c.mu.Unlock()
	if isFirst { // the first caller of a batch writes for the others
		c.writing.Lock()
		c.mu.Lock()
		if s.next == b {
			s.next = nil
		}
		c.mu.Unlock()
		b.err = c.write(s, tree, day, b.lines)
		c.writing.Unlock()
		close(b.done)
	}
	<-b.done
	return b.err
}

func (c *committer) segment(tree, day string) *openSegment {
	folder := tree + "/" + day
	if c.segments[folder] == nil {
		c.segments[folder] = &openSegment{}
	}
	return c.segments[folder]
}

func (c *committer) flush(context.Context, string) error { return nil }

func (c *committer) seal(_ context.Context, day string) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.segment(treeManifest, day).name, c.segment(treeCalls, day).name = "", ""
	return nil
}

// close is called last, when no other call is in progress.
func (c *committer) close(context.Context) error {
	if err := c.lock.Unlock(); err != nil {
		return fmt.Errorf("unlock archive: %w", err)
	}
	return nil
}

// write appends a batch durably to the segment of a day.
func (c *committer) write(s *openSegment, tree, day string, lines []byte) error {
	if s.failed != nil {
		return fmt.Errorf("%s/%s takes no more lines: %w", tree, day, s.failed)
	}
	file, err := c.openFor(s, tree, day, int64(len(lines)))
	if err != nil {
		return fmt.Errorf("open manifest file: %w", err)
	}
	_, err = file.WriteAt(lines, s.size)
	if err == nil {
		err = file.Sync()
	}
	if err != nil && file.Truncate(s.size) == nil {
		// If this fails too, a torn tail is left, or complete lines that were not acknowledged: both are
		// harmless.
		_ = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		s.failed = fmt.Errorf("append to %s: %w", s.name, err)
		return s.failed
	}
	s.size += int64(len(lines))
	return nil
}

// openFor opens the segment of a day, or a new one if none has space for size bytes.
func (c *committer) openFor(s *openSegment, tree, day string, size int64) (appendFile, error) {
	if s.name != "" && (s.size == 0 || s.size+size <= maxSegment) {
		return c.open(s.name, false)
	}
	if err := makeDir(c.root, tree+"/"+day); err != nil {
		return nil, err
	}
	for n := s.n + 1; ; n++ {
		name := segmentFile(tree, day, c.run, n, extPlain)
		file, err := c.open(name, true)
		if err == nil {
			s.n, s.name, s.size = n, name, 0
		}
		if !errors.Is(err, fs.ErrExist) {
			return file, err
		}
	}
}

// cut is only called for segments of other runs. It appends to NAME.torn.
func (c *committer) cut(_ context.Context, name string, size int64) error {
	f, err := c.root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("remove incomplete line: %w", err)
	}
	err = saveTail(c.root, name+".torn", io.NewSectionReader(f, size, 1<<62))
	if err == nil {
		err = f.Truncate(size)
	}
	if err = settle(f, err); err != nil {
		return fmt.Errorf("remove incomplete line of %s: %w", name, err)
	}
	return nil
}

// settle syncs a file, its name and its folders. It is cheap if they are already durable.
func (c *committer) settle(name string) error {
	f, err := c.root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open manifest file: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	if err := syncDir(c.root, path.Dir(name)); err != nil {
		return err
	}
	return makeDir(c.root, path.Dir(name))
}

// saveTail durably appends the bytes to be cut off to a file, and ends them with a line feed.
func saveTail(root *os.Root, name string, tail io.Reader) error {
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.MultiReader(tail, bytes.NewReader([]byte("\n"))))
	if err = settle(out, err); err != nil {
		return err
	}
	return syncDir(root, path.Dir(name))
}
