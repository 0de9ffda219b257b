package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestGroupSync holds a sync while others come, which must then share one that
// begins after they came, and each get the error of its own item.
func TestGroupSync(t *testing.T) {
	began := make(chan []int)
	end := make(chan struct{})
	errOdd := errors.New("odd")
	group := &groupSync[int]{sync: func(items []int) []error {
		began <- items
		<-end
		errs := make([]error, len(items))
		for i, item := range items {
			if item%2 == 1 {
				errs[i] = errOdd
			}
		}
		return errs
	}}
	returned := make(chan int, 10)
	call := func(item int) {
		go func() {
			if err := group.do(item); (err != nil) != (item%2 == 1) {
				t.Errorf("item %d got %v", item, err)
			}
			returned <- item
		}()
	}
	waiting := func() int {
		group.mu.Lock()
		defer group.mu.Unlock()
		if group.next == nil {
			return 0
		}
		return len(group.next.items)
	}

	call(0)
	if items := <-began; len(items) != 1 || items[0] != 0 {
		t.Fatalf("the first sync has %v", items)
	}
	for item := 1; item <= 5; item++ {
		call(item)
	}
	for waiting() < 5 {
		runtime.Gosched()
	}
	end <- struct{}{}
	if items := <-began; len(items) != 5 {
		t.Errorf("the second sync has %v, want 1 to 5", items)
	}
	if item := <-returned; item != 0 || len(returned) > 0 {
		t.Errorf("%d and %d more returned after the first sync, want 0 alone", item, len(returned))
	}
	call(6)
	for waiting() < 1 {
		runtime.Gosched()
	}
	end <- struct{}{}
	<-began
	for range 5 {
		if item := <-returned; item == 6 {
			t.Error("item 6 returned after a sync that began before it came")
		}
	}
	end <- struct{}{}
	<-returned
}

// syncOf replaces the sync of the whole file system, and counts its calls.
func syncOf(d *Disk, err error) *atomic.Int32 {
	var calls atomic.Int32
	syncFS := func() error {
		calls.Add(1)
		return err
	}
	d.under.syncFS = syncFS
	return &calls
}

func openInternal(t *testing.T) *Disk {
	t.Helper()
	d, err := OpenDisk(t.TempDir(), DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func newParts(t *testing.T, d *Disk, count int) []*Part {
	t.Helper()
	parts := make([]*Part, count)
	for i := range parts {
		part, err := d.NewPart()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(part.Discard)
		parts[i] = part
	}
	return parts
}

// TestSyncParts syncs many parts at once by one sync of the file system, and few by
// themselves. A part whose file cannot be synced tells whether it was tried.
func TestSyncParts(t *testing.T) {
	const broken = 3
	for _, c := range []struct {
		name      string
		count     int
		syncFS    error
		wholes    int32 // syncs of the file system in two rounds
		wantError bool  // of the broken part
	}{
		{"few", groupWorth - 1, nil, 0, true},
		{"many", groupWorth, nil, 2, false},
		{"many, and a write to the file system failed", groupWorth, errors.New("input/output error"), 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := openInternal(t)
			calls := syncOf(d, c.syncFS)
			parts := newParts(t, d, c.count)
			if err := parts[broken].file.Close(); err != nil {
				t.Fatal(err)
			}
			items := make([]unsynced, len(parts))
			for i, part := range parts {
				items[i].part = part
			}
			for range 2 {
				for i, err := range d.syncAll(items) {
					if want := c.wantError && i == broken; (err != nil) != want {
						t.Errorf("part %d: %v", i, err)
					}
				}
			}
			if calls.Load() != c.wholes {
				t.Errorf("%d syncs of the file system, want %d", calls.Load(), c.wholes)
			}
		})
	}
}

func TestSyncFolders(t *testing.T) {
	for _, c := range []struct {
		name      string
		folders   int
		wholes    int32
		wantError bool // of the folder that is not there
	}{
		{"few", groupWorth - 2, 0, true},
		{"many", groupWorth, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := openInternal(t)
			calls := syncOf(d, nil)
			var items []unsynced
			for i := range c.folders {
				folder := fmt.Sprint("campaign-", i)
				if err := d.makeFolders(folder); err != nil {
					t.Fatal(err)
				}
				items = append(items, unsynced{folder: folder}, unsynced{folder: folder})
			}
			items = append(items, unsynced{folder: "missing"})
			for i, err := range d.syncAll(items) {
				if want := c.wantError && items[i].folder == "missing"; (err != nil) != want {
					t.Errorf("folder %s: %v", items[i].folder, err)
				}
			}
			if calls.Load() != c.wholes {
				t.Errorf("%d syncs of the file system, want %d", calls.Load(), c.wholes)
			}
		})
	}
}

// TestSyncFile syncs a file of the ledger in the rounds of everything else.
func TestSyncFile(t *testing.T) {
	d := openInternal(t)
	calls := syncOf(d, nil)
	file, err := d.root.Create("ledger")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := d.Sync(file); err != nil {
		t.Error(err)
	}
	items := []unsynced{{file: file}}
	for _, part := range newParts(t, d, groupWorth-1) {
		items = append(items, unsynced{part: part})
	}
	for i, err := range d.syncAll(items) {
		if err != nil {
			t.Errorf("item %d: %v", i, err)
		}
	}
	if calls.Load() != 1 {
		t.Errorf("%d syncs of the file system, want one for all that came together", calls.Load())
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Sync(file); err == nil {
		t.Error("a file that cannot be synced was taken for durable")
	}
}

// TestPutTogether puts many bodies at once, of which all must stand, whether the
// file system can be synced as a whole or not.
func TestPutTogether(t *testing.T) {
	for _, syncFS := range []error{nil, errors.ErrUnsupported} {
		d := openInternal(t)
		if syncFS != nil {
			syncOf(d, syncFS)
		}
		var callers sync.WaitGroup
		for i := range 100 {
			callers.Go(func() {
				body := strings.Repeat("x", i+1)
				_, err := d.Put(context.Background(), Object{
					Keys: []string{fmt.Sprintf("%d/%d.mp3", i%20, i)}, Body: strings.NewReader(body), Size: int64(len(body)),
					SHA256: sha256.Sum256([]byte(body)), RecordingID: fmt.Sprint(i),
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		for i := range 100 {
			info, err := d.root.Stat(fmt.Sprintf("%d/%d.mp3", i%20, i))
			if err != nil || info.Size() != int64(i+1) {
				t.Errorf("body %d: %v", i, err)
			}
		}
	}
}
