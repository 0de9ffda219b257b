package store

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestIsSinceLinux58(t *testing.T) {
	for release, want := range map[string]bool{
		"5.8.0": true, "5.10.0-28-amd64": true, "6.1": true, "10.0.1": true,
		"5.7.19": false, "4.19.0": false, "3.10.0-1160.el7.x86_64": false, "": false, "six": false, "6": false,
	} {
		if got := isSinceLinux58(release); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}

// TestSyncsWhole refuses the file systems that do not flush what syncfs writes.
func TestSyncsWhole(t *testing.T) {
	for _, refused := range []int64{unix.FUSE_SUPER_MAGIC, unix.NFS_SUPER_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.MSDOS_SUPER_MAGIC} {
		if syncsWhole(refused) {
			t.Errorf("%x is taken", refused)
		}
	}
	if !syncsWhole(unix.EXT4_SUPER_MAGIC) {
		t.Error("ext4 is not taken")
	}
}

// TestSyncOnAnotherFileSystem: a sync of the destination's file system says nothing of a
// ledger's file that stands on another one.
func TestSyncOnAnotherFileSystem(t *testing.T) {
	d := openInternal(t)
	syncOf(d, nil)
	elsewhere, err := os.Open("/proc/self/status") // which is on one of its own
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	rounds := 0
	syncAll := d.syncs.sync
	d.syncs.sync = func(items []unsynced) []error {
		rounds++
		return syncAll(items)
	}
	if err := d.Sync(elsewhere); err == nil || rounds > 0 {
		t.Errorf("what cannot be synced took part in %d rounds, error %v", rounds, err)
	}
	here, err := d.root.Create("ledger")
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	if err := d.Sync(here); err != nil || rounds != 1 {
		t.Errorf("a file of the same file system took part in %d rounds, error %v", rounds, err)
	}
}
