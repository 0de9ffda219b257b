package manifest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// frailDisk is a disk that keeps what was written apart from what was synced, and fails when told to.
type frailDisk struct {
	mu       sync.Mutex
	files    map[string]*frailFile
	opened   int
	mostOpen int
	writes   int
	syncs    int
	failing  func(op string) error // nil error: goes on
}

type frailFile struct {
	disk    *frailDisk
	written []byte
	durable []byte
}

func newFrailDisk() *frailDisk {
	return &frailDisk{files: map[string]*frailFile{}, failing: func(string) error { return nil }}
}

func (d *frailDisk) open(name string) (logFile, int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.failing("open"); err != nil {
		return nil, 0, err
	}
	f := d.files[name]
	if f == nil {
		f = &frailFile{disk: d}
		d.files[name] = f
	}
	d.opened++
	d.mostOpen = max(d.mostOpen, d.opened)
	return f, int64(len(f.written)), nil
}

func (f *frailFile) WriteAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.disk.writes++
	if err := f.disk.failing("write"); err != nil {
		half := len(p) / 2
		f.written = append(f.written[:off], p[:half]...)
		return half, err
	}
	f.written = append(f.written[:off], p...)
	return len(p), nil
}

func (f *frailFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.failing("truncate"); err != nil {
		return err
	}
	f.written = f.written[:size]
	return nil
}

func (f *frailFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.disk.syncs++
	if err := f.disk.failing("sync"); err != nil {
		return err
	}
	f.durable = bytes.Clone(f.written)
	return nil
}

func (f *frailFile) Close() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.disk.opened--
	return nil
}

// powerCut returns what the disk holds after the power went.
func (d *frailDisk) powerCut(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return string(d.files[name].durable)
}

// Whenever the power goes, what was acknowledged is there.
func TestAcknowledgedIsDurable(t *testing.T) {
	disk := newFrailDisk()
	c := startCommitter(disk.open)
	const workers, each = 16, 50
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range each {
				name, line := fmt.Sprint("day", i%3), fmt.Sprintf("%d/%d\n", w, i)
				if err := c.do(&change{name: name, data: []byte(line)}); err != nil {
					t.Error(err)
				}
				if !bytes.Contains([]byte(disk.powerCut(name)), []byte(line)) {
					t.Errorf("%q was acknowledged and is not durable", line)
				}
			}
		})
	}
	group.Wait()
	if err := c.close(); err != nil {
		t.Error(err)
	}
	if disk.opened != 0 {
		t.Errorf("%d files left open", disk.opened)
	}
	if err := c.do(&change{name: "day0"}); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

// Lines that wait together share one write and one sync, and the day line comes after all of them.
func TestGroupCommit(t *testing.T) {
	disk := newFrailDisk()
	c := startCommitter(disk.open)
	blocked, release := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		_ = c.do(&change{name: "other", task: func() error { close(blocked); <-release; return nil }})
	})
	<-blocked
	const waiting = 50
	var folded []string
	take := func(data []byte) error { folded = append(folded, string(data)); return nil }
	queue := func(ch *change) {
		ch.done = make(chan error, 1)
		c.queue <- ch
	}
	for i := range waiting {
		queue(&change{name: "day", data: fmt.Appendf(nil, "%d\n", i), durable: take})
	}
	counted := 0
	queue(&change{name: "day", durable: take, build: func() ([]byte, error) {
		counted = len(folded)
		return []byte("closed\n"), nil
	}})
	last := &change{name: "day", data: []byte("after\n"), durable: take}
	queue(last)
	close(release)
	<-last.done
	group.Wait()
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	if disk.writes != 3 || disk.syncs != 3 {
		t.Errorf("%d writes and %d syncs, want 3", disk.writes, disk.syncs)
	}
	if counted != waiting {
		t.Errorf("the day line counts %d lines, want %d", counted, waiting)
	}
	if joined := fmt.Sprint(folded); len(folded) != waiting+2 || folded[waiting] != "closed\n" || folded[waiting+1] != "after\n" {
		t.Errorf("order %s", joined)
	}
}

// After a write or sync that failed nothing is noted any more, and no half line stays.
func TestFailureStopsTheLedger(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	for _, op := range []string{"write", "sync"} {
		for _, cutFails := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s cut fails %t", op, cutFails), func(t *testing.T) {
				disk := newFrailDisk()
				c := startCommitter(disk.open)
				if err := c.do(&change{name: "a", data: []byte("first\n")}); err != nil {
					t.Fatal(err)
				}
				failed := false
				disk.mu.Lock()
				disk.failing = func(now string) error {
					if now == op && !failed || now == "truncate" && cutFails {
						failed = true
						return full
					}
					return nil
				}
				disk.mu.Unlock()
				folded := false
				err := c.do(&change{name: "a", data: []byte("second\n"), durable: func([]byte) error { folded = true; return nil }})
				if !errors.Is(err, syscall.ENOSPC) || folded {
					t.Errorf("second line: %v, folded %t", err, folded)
				}
				for _, name := range []string{"a", "b"} {
					if err := c.do(&change{name: name, data: []byte("third\n")}); !errors.Is(err, syscall.ENOSPC) {
						t.Errorf("third line to %s: %v", name, err)
					}
				}
				if err := c.do(&change{name: "a", build: func() ([]byte, error) { return []byte("x\n"), nil }}); !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("day line: %v", err)
				}
				if err := c.close(); err != nil {
					t.Error(err)
				}
				if got := disk.powerCut("a"); got != "first\n" {
					t.Errorf("durable: %q", got)
				}
				if got := string(disk.files["a"].written); !cutFails && got != "first\n" {
					t.Errorf("written: %q", got)
				}
			})
		}
	}
}

// A file that cannot be opened has no hole: the next try may succeed.
func TestOpenFailureIsNotFinal(t *testing.T) {
	disk := newFrailDisk()
	disk.failing = func(string) error { return syscall.EMFILE }
	c := startCommitter(disk.open)
	if err := c.do(&change{name: "a", data: []byte("1\n")}); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("got %v", err)
	}
	disk.mu.Lock()
	disk.failing = func(string) error { return nil }
	disk.mu.Unlock()
	if err := errors.Join(c.do(&change{name: "a", data: []byte("1\n")}), c.close()); err != nil {
		t.Error(err)
	}
}

func TestOpenFilesAreBounded(t *testing.T) {
	disk := newFrailDisk()
	c := startCommitter(disk.open)
	for round := range 3 {
		for i := range 5 * maxOpenFiles {
			if err := c.do(&change{name: fmt.Sprint(i), data: fmt.Appendf(nil, "%d\n", round)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	if disk.mostOpen > maxOpenFiles+1 || disk.opened != 0 {
		t.Errorf("%d files open at once, %d at the end", disk.mostOpen, disk.opened)
	}
	if got := disk.powerCut("7"); got != "0\n1\n2\n" {
		t.Errorf("file 7 holds %q", got)
	}
}

// The real thing on a full disk, where the system has one.
func TestDiskFull(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("/dev/full is Linux's")
	}
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	l := openDir(t, t.TempDir(), Options{})
	d := loadDay(t, l, testDay)
	if err := l.files.close(); err != nil {
		t.Fatal(err)
	}
	l.files = startCommitter(func(string) (logFile, int64, error) { return full, 0, nil })
	l.medium.(*disk).files = l.files
	if err := d.Note(context.Background(), recording("1", Archived)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("note: %v", err)
	}
	if _, ok := d.Recording("1"); ok {
		t.Error("what could not be written is in the state")
	}
}

// TestFilesAreSyncedSideBySide: who makes many files durable at once is asked for all of
// a batch before it has to answer for one, and a failure is that file's own.
func TestFilesAreSyncedSideBySide(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	together := make(chan struct{})
	broken := errors.New("input/output error")
	var asked atomic.Int32
	l, err := OpenDir(root, Options{Sync: func(f *os.File) error {
		if asked.Add(1) == 2 {
			close(together)
		}
		select {
		case <-together:
		case <-time.After(10 * time.Second):
			t.Error("the files of a batch are synced one after another")
		}
		if strings.HasSuffix(f.Name(), fileName(treeManifest, "2025-05-02")) {
			return broken
		}
		return f.Sync()
	}})
	if err != nil {
		t.Fatal(err)
	}
	var changes []*change
	for _, day := range []string{"2025-05-01", "2025-05-02"} {
		changes = append(changes, &change{name: fileName(treeManifest, day), data: []byte("line\n"), done: make(chan error, 1)})
	}
	l.files.commit(changes)
	if err := <-changes[0].done; err != nil {
		t.Errorf("the file that was synced: %v", err)
	}
	if err := <-changes[1].done; !errors.Is(err, broken) {
		t.Errorf("the file that was not: %v", err)
	}
	if data, err := root.ReadFile(fileName(treeManifest, "2025-05-02")); err != nil || len(data) > 0 {
		t.Errorf("left of what was not synced: %q, %v", data, err)
	}
	if err := l.files.do(&change{name: fileName(treeManifest, "2025-05-03"), data: []byte("line\n")}); !errors.Is(err, broken) {
		t.Errorf("a line after the failure: %v", err)
	}
	if err := l.Close(t.Context()); err != nil && !errors.Is(err, broken) {
		t.Error(err)
	}
}
