package store_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"convoso-archiver/archiver/store"
	"convoso-archiver/archiver/store/storetest"
)

// smallDisk mounts a file system of 1 MiB. Mounting needs a privilege; without it, only
// TestTroubles checks the meaning of errors.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if !mount(t, dir) {
		return ""
	}
	return dir
}

func mount(t *testing.T, dir string) bool {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		if os.Getenv("CI") != "" && os.Geteuid() == 0 {
			t.Fatalf("mount: %v", err)
		}
		t.Logf("no small disk could be mounted (%v)", err)
		return false
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return true
}

func TestDiskFull(t *testing.T) {
	dir := smallDisk(t)
	if dir == "" {
		return
	}
	d := openDisk(t, dir, store.DiskOptions{})
	put(t, d, storetest.Object("rec-1", storetest.Body(1, 300_000), "CANARY-1.mp3"))
	_, err := d.Put(t.Context(), storetest.Object("rec-2", storetest.Body(2, 2_000_000), "CANARY-2.mp3"))
	wantUnusable(t, err, "free some space")
	part, err := d.NewPart()
	if err != nil {
		t.Fatal(err)
	}
	_, err = part.Write(storetest.Body(2, 2_000_000))
	wantUnusable(t, err, "free some space")
	part.Discard()
	wantFiles(t, dir, "CANARY-1.mp3")
	put(t, d, storetest.Object("rec-3", storetest.Body(3, 300_000), "CANARY-3.mp3")) // there is space again
}

func TestDiskNotWritable(t *testing.T) {
	dir := smallDisk(t)
	if dir == "" {
		return
	}
	d := openDisk(t, dir, store.DiskOptions{})
	put(t, d, storetest.Object("rec-1", storetest.Body(1, 10), "CANARY-1.mp3"))
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	_, err := d.Put(t.Context(), storetest.Object("rec-2", storetest.Body(2, 10), "CANARY-2.mp3"))
	wantUnusable(t, err, "mount it writable")
	for _, dir := range []string{dir, filepath.Join(dir, "below")} {
		_, err := store.OpenDisk(dir, store.DiskOptions{})
		wantUnusable(t, err, "mount it writable")
		if !strings.Contains(err.Error(), dir) {
			t.Errorf("the error does not say where: %v", err)
		}
	}
}

func wantUnusable(t *testing.T, err error, hint string) {
	t.Helper()
	if !errors.Is(err, store.ErrUnusable) || store.IsRetriable(err) || !strings.Contains(err.Error(), hint) || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("got %v, want ErrUnusable that says %q", err, hint)
	}
}

// Opening a pipe to compare it would block for ever.
func TestDiskPipe(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "name.mp3"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := openDisk(t, dir, store.DiskOptions{})
	wantTaken(t, d, storetest.Object("rec", storetest.Body(1, 10), "name.mp3"), false)
	put(t, d, storetest.Object("rec", storetest.Body(1, 10), "other.mp3"))
	for info, err := range d.List(t.Context(), "") {
		if err != nil || info.Key != "other.mp3" {
			t.Errorf("listed %+v, %v", info, err)
		}
	}
}

// A folder of the destination may be another file system. Files of a killed run there are not
// recordings, and the next run removes them.
func TestDiskOtherFileSystem(t *testing.T) {
	dir := t.TempDir()
	mounted := filepath.Join(dir, "2026", "05")
	if err := os.MkdirAll(mounted, 0o700); err != nil {
		t.Fatal(err)
	}
	if !mount(t, mounted) {
		return
	}
	for _, prepare := range []func(*store.Disk){func(*store.Disk) {}, (*store.Disk).WithoutLinksElsewhere} {
		d := openDisk(t, dir, store.DiskOptions{})
		prepare(d)
		body := storetest.Body(1, 1000)
		for _, key := range []string{"2026/05/a.mp3", "2026/05/new/b.mp3", "2026/c.mp3"} {
			put(t, d, storetest.Object("rec", body, key))
			wantTaken(t, d, storetest.Object("rec", body, key), true)
			wantTaken(t, d, storetest.Object("rec", storetest.Body(2, 1000), key), false)
		}
		part, err := d.NewPart()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write(body); err != nil {
			t.Fatal(err)
		}
		object := storetest.Object("rec", body, "2026/05/d.mp3")
		object.Body = part
		put(t, d, object)
		wantFiles(t, dir, "2026/05/a.mp3", "2026/05/d.mp3", "2026/05/new/b.mp3", "2026/c.mp3")
		if err := errors.Join(os.RemoveAll(filepath.Join(mounted, "new")), os.Remove(filepath.Join(dir, "2026", "c.mp3")),
			os.Remove(filepath.Join(mounted, "a.mp3")), os.Remove(filepath.Join(mounted, "d.mp3"))); err != nil {
			t.Fatal(err)
		}
	}

	d := openDisk(t, dir, store.DiskOptions{})
	object := storetest.Object("rec", storetest.Body(1, 2_000_000), "2026/05/full.mp3")
	_, err := d.Put(t.Context(), object)
	wantUnusable(t, err, "free some space")
	wantFiles(t, dir)

	if err := d.LeaveBeside(t.Context(), "2026/05/x.mp3", []byte("torn")); err != nil {
		t.Fatal(err)
	}
	for info, err := range d.List(t.Context(), "") {
		t.Errorf("listed %+v, %v", info, err)
	}
	if len(files(t, dir)) != 3 { // the part, the note and the copy
		t.Errorf("a killed run leaves %q", files(t, dir))
	}
	if err := openDisk(t, dir, store.DiskOptions{}).CleanTemp(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir)
}

// lost+found belongs to root. It is skipped with a log line; other folders are not.
func TestDiskLostAndFound(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	d := openDisk(t, dir, store.DiskOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	put(t, d, storetest.Object("rec", storetest.Body(1, 10), "a/name.mp3"))
	asNobody(t, dir)
	for _, folder := range []string{"lost+found", "a/lost+found"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0); err != nil {
			t.Fatal(err)
		}
	}
	for info, err := range d.List(t.Context(), "") {
		if err != nil || info.Key != "a/name.mp3" {
			t.Errorf("listed %+v, %v", info, err)
		}
	}
	if got := log.String(); strings.Count(got, "\n") != 2 || strings.Count(got, "folder=lost+found") != 2 {
		t.Errorf("the log says %q", got)
	}

	if err := os.Mkdir(filepath.Join(dir, "CANARY"), 0); err != nil {
		t.Fatal(err)
	}
	var last error
	for _, last = range d.List(t.Context(), "") {
	}
	wantUnusable(t, last, "let this user read and write there")
}

// asNobody runs the rest of the test as an unprivileged user who owns the folder.
func asNobody(t *testing.T, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	const nobody = 65534
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, nobody, nobody))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { // created by package testing, accessible only to root
		t.Fatal(err)
	}
	runtime.LockOSThread() // the user id applies only to this thread
	_ = unix.Setfsuid(nobody)
	t.Cleanup(func() {
		_ = unix.Setfsuid(0)
		runtime.UnlockOSThread()
	})
}

// A process with a low limit of open files is slower, but has no permanent failures.
func TestDiskTooManyOpenFiles(t *testing.T) {
	d := openDisk(t, t.TempDir(), store.DiskOptions{})
	object := storetest.Object("rec", storetest.Body(1, 10), "a/CANARY.mp3")
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	few := unix.Rlimit{Cur: uint64(len(open)), Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	var parts []*store.Part
	for err == nil && len(parts) < 10 {
		var part *store.Part
		if part, err = d.NewPart(); err == nil {
			parts = append(parts, part)
		}
	}
	_, errPut := d.Put(t.Context(), object)
	_, errStat := d.Stat(t.Context(), object.Key)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		part.Discard()
	}
	for _, err := range []error{err, errPut, errStat} {
		if !store.IsRetriable(err) || errors.Is(err, store.ErrUnusable) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("too many open files: %v", err)
		}
	}
	put(t, d, object)
}
