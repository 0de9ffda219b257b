package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// frailDisk makes files that separate written from synced bytes, and fail on demand.
type frailDisk struct {
	mu      sync.Mutex
	files   map[string]*frailFile
	writes  int
	syncs   int
	failing func(op string) error // nil to continue
}

type frailFile struct {
	disk    *frailDisk
	written []byte
	durable []byte
}

// open is the committer's open.
func (d *frailDisk) open(name string, create bool) (appendFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.failing("open"); err != nil {
		return nil, err
	}
	if !create {
		return d.files[name], nil
	}
	if d.files[name] != nil {
		return nil, fs.ErrExist
	}
	d.files[name] = &frailFile{disk: d}
	return d.files[name], nil
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

func (f *frailFile) Close() error { return nil }

// powerCut returns the content of a day on disk after a power failure.
func (d *frailDisk) powerCut(day string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, f := range d.files {
		if strings.Contains(name, day) {
			return string(f.durable)
		}
	}
	return ""
}

func (d *frailDisk) fail(failing func(op string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failing = failing
}

// frailLedger is a ledger in a folder whose segments are made by a frailDisk.
func frailLedger(t *testing.T) (*Ledger, *frailDisk) {
	t.Helper()
	disk := &frailDisk{files: map[string]*frailFile{}, failing: func(string) error { return nil }}
	l := openDir(t, t.TempDir(), Options{Run: runA})
	l.writer.(*committer).open = disk.open
	return l, disk
}

func dayOfMay(n int) string { return fmt.Sprintf("2025-05-%02d", n) }

// After a power failure at any moment, all acknowledged lines exist.
func TestAcknowledgedIsDurable(t *testing.T) {
	l, disk := frailLedger(t)
	const workers, each = 16, 50
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range each {
				day, line := dayOfMay(1+i%3), fmt.Sprintf("%d/%d\n", w, i)
				if err := l.append(t.Context(), treeManifest, day, []byte(line)); err != nil {
					t.Error(err)
				}
				if !strings.Contains(disk.powerCut(day), line) {
					t.Errorf("%q was acknowledged and is not durable", line)
				}
			}
		})
	}
	group.Wait()
	closeLedger(t, l)
	if err := l.append(t.Context(), treeManifest, testDay, []byte("x\n")); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

// Lines that wait together share one write and one sync for each file.
func TestGroupCommit(t *testing.T) {
	l, disk := frailLedger(t)
	c := l.writer.(*committer)
	const waiting = 50
	c.writing.Lock() // the disk is busy
	var group sync.WaitGroup
	for i := range waiting {
		group.Go(func() {
			if err := l.append(t.Context(), treeManifest, dayOfMay(1+i%2), fmt.Appendf(nil, "%d\n", i)); err != nil {
				t.Error(err)
			}
		})
	}
	for waits := 0; waits < waiting; { // until all of them wait
		c.mu.Lock()
		waits = 0
		for _, s := range c.segments {
			if s.next != nil {
				waits += lineCount(s.next.lines)
			}
		}
		c.mu.Unlock()
		runtime.Gosched()
	}
	c.writing.Unlock()
	group.Wait()
	if disk.writes != 2 || disk.syncs != 2 {
		t.Errorf("%d writes and %d syncs, want 2", disk.writes, disk.syncs)
	}
	if err := c.seal(t.Context(), testDay); err != nil {
		t.Fatal(err)
	}
	if err := l.append(t.Context(), treeManifest, testDay, []byte("after\n")); err != nil {
		t.Fatal(err)
	}
	first, second := disk.files[segmentFile(treeManifest, testDay, runA, 1, extPlain)], disk.files[segmentFile(treeManifest, testDay, runA, 2, extPlain)]
	if lineCount(first.durable) != waiting/2 || string(second.durable) != "after\n" {
		t.Errorf("%q before the seal, %q after it", first.durable, second.durable)
	}
}

// After a failed write or sync, no more lines of that day are accepted, and no partial line stays. Other days continue.
func TestFailureStopsTheDay(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	for _, op := range []string{"write", "sync"} {
		for _, cutFails := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s cut fails %t", op, cutFails), func(t *testing.T) {
				l, disk := frailLedger(t)
				d := loadDay(t, l, testDay)
				note(t, d, recording("first", Archived))
				before := disk.powerCut(testDay)
				failed := false
				disk.fail(func(now string) error {
					if now == op && !failed || now == "truncate" && cutFails {
						failed = true
						return full
					}
					return nil
				})
				if err := d.Note(t.Context(), recording("second", Archived)); !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("second line: %v", err)
				}
				if _, ok := d.Recording("second"); ok {
					t.Error("what could not be written is in the state")
				}
				if err := l.append(t.Context(), treeManifest, testDay, []byte("third\n")); !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("third line: %v", err)
				}
				if err := l.append(t.Context(), treeManifest, "2025-05-02", []byte("third\n")); err != nil {
					t.Errorf("a line of another day: %v", err)
				}
				closeLedger(t, l)
				if got := disk.powerCut(testDay); got != before {
					t.Errorf("durable: %q", got)
				}
				file := disk.files[segmentFile(treeManifest, testDay, runA, 1, extPlain)]
				if !cutFails && string(file.written) != before {
					t.Errorf("written: %q", file.written)
				}
			})
		}
	}
}

// An unwritable day leaves no gap: the next attempt may succeed, and other days continue.
func TestOpenFailureIsNotFinal(t *testing.T) {
	l, disk := frailLedger(t)
	disk.fail(func(string) error { return syscall.EMFILE })
	d := loadDay(t, l, testDay)
	if err := d.Note(t.Context(), recording("1", Archived)); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("got %v", err)
	}
	disk.fail(func(string) error { return nil })
	note(t, d, recording("1", Archived))

	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "manifest", "2025-05-02"), nil) // a file where the day's folder should be
	l = openDir(t, dir, Options{})
	good, bad := loadDay(t, l, testDay), loadDay(t, l, testDay)
	bad.day = "2025-05-02"
	if err := bad.Note(t.Context(), recording("1", Archived)); err == nil || !strings.Contains(err.Error(), "2025-05-02") {
		t.Errorf("a day without a folder: %v", err)
	}
	note(t, good, recording("1", Archived))
}

// A real full disk, if the system has one.
func TestDiskFull(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("/dev/full is Linux's")
	}
	l := openDir(t, t.TempDir(), Options{})
	l.writer.(*committer).open = func(string, bool) (appendFile, error) { return os.OpenFile("/dev/full", os.O_RDWR, 0) }
	d := loadDay(t, l, testDay)
	if err := d.Note(t.Context(), recording("1", Archived)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("note: %v", err)
	}
	if _, ok := d.Recording("1"); ok {
		t.Error("what could not be written is in the state")
	}
}
