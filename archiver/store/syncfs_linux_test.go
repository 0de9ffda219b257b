package store

import (
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
