package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"convoso-archiver/archiver/store"
	"convoso-archiver/archiver/store/storetest"
)

// smallDisk mounts a file system of 1 MiB. Mounting needs a privilege; without it
// TestTroubles still holds what the errors mean.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		if os.Getenv("CI") != "" && os.Geteuid() == 0 {
			t.Fatalf("mount: %v", err)
		}
		t.Logf("no small disk could be mounted (%v)", err)
		return ""
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
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
	put(t, d, storetest.Object("rec-3", storetest.Body(3, 300_000), "CANARY-3.mp3")) // there is room again
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

// Opening a pipe to compare it would wait for good.
func TestDiskPipe(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "name.mp3"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := openDisk(t, dir, store.DiskOptions{})
	if stored := put(t, d, storetest.Object("rec", storetest.Body(1, 10), "name.mp3", "other.mp3")); stored.Key != "other.mp3" {
		t.Errorf("stored %+v", stored)
	}
	for info, err := range d.List(t.Context(), "") {
		if err != nil || info.Key != "other.mp3" {
			t.Errorf("listed %+v, %v", info, err)
		}
	}
}
