package store

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// fileSystemSync returns a function that makes everything written to folder's file
// system durable in one step, or nil where that cannot be relied upon. folder stays
// open: syncfs reports a failed write once to each open file, counted from its
// opening (syncfs(2)), and before Linux 5.8 it did not report any.
//
// Only file systems that are known to flush the device are taken. FUSE is the
// counter-example: syncfs writes to its server, and does not ask that to sync.
func fileSystemSync(folder *os.File) func() error {
	var fs unix.Statfs_t
	if unix.Fstatfs(int(folder.Fd()), &fs) != nil || !syncsWhole(int64(fs.Type)) || !reportsFailedWrites() {
		return nil
	}
	return func() error { return unix.Syncfs(int(folder.Fd())) }
}

// sameFileSystem reports whether a sync of folder's file system covers file. Of two
// devices with one file system, as Btrfs has them, it says no.
func sameFileSystem(folder, file *os.File) bool {
	var a, b unix.Stat_t
	return unix.Fstat(int(folder.Fd()), &a) == nil && unix.Fstat(int(file.Fd()), &b) == nil && a.Dev == b.Dev
}

func syncsWhole(fileSystem int64) bool {
	switch fileSystem {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return true // ext2 and ext3 have the same number as ext4
	}
	return false
}

// reportsFailedWrites reports whether the kernel is Linux 5.8 or later.
func reportsFailedWrites() bool {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return false
	}
	return isSinceLinux58(unix.ByteSliceToString(name.Release[:]))
}

func isSinceLinux58(release string) bool {
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n < 2 {
		return false
	}
	return major > 5 || major == 5 && minor >= 8
}
