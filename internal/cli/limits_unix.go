//go:build unix

// Asks Unix for the limit of open files, and whether a folder is a mount point.

package cli

import (
	"os"
	"path/filepath"
	"syscall"
)

// openFileLimit returns the limit of open files.
func openFileLimit() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return noFileLimit
	}
	return uint64(limit.Cur)
}

// isMounted reports whether a folder is a mount point.
func isMounted(folder string) (bool, error) {
	info, err := os.Stat(folder)
	if err != nil {
		return false, err
	}
	above, err := os.Stat(filepath.Dir(folder))
	if err != nil {
		return false, err
	}
	here, ok := info.Sys().(*syscall.Stat_t)
	there, known := above.Sys().(*syscall.Stat_t)
	return !ok || !known || here.Dev != there.Dev, nil
}
