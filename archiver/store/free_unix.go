//go:build linux || darwin

// Measures the free space of a file system on Unix.

package store

import (
	"fmt"
	"syscall"
)

// FreeSpace returns how many bytes this user may still write to the file system of a folder.
func FreeSpace(folder string) (int64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(folder, &stat); err != nil {
		return 0, fmt.Errorf("look at file system: %w", err)
	}
	return int64(stat.Bavail) * int64(stat.Bsize), nil
}
