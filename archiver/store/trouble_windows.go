// Classifies the errors of file systems on Windows.

package store

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

// troubleOf returns what to try when a file system refuses writes, and whether the error is
// temporary.
func troubleOf(err error) (hint string, passes bool) {
	number, _ := errors.AsType[syscall.Errno](err)
	switch number {
	case windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED:
		return troubleFull, false
	case windows.ERROR_WRITE_PROTECT:
		return troubleReadOnly, false
	case windows.ERROR_ACCESS_DENIED:
		return troubleDenied, false
	case windows.ERROR_SHARING_VIOLATION, windows.ERROR_LOCK_VIOLATION, // often a virus scanner
		windows.ERROR_TOO_MANY_OPEN_FILES, windows.ERROR_NOT_ENOUGH_MEMORY, windows.ERROR_NO_SYSTEM_RESOURCES:
		return "", true
	}
	return "", false
}

// linksMissing reports whether a link failed because the file system does not support links, like
// FAT and exFAT.
func linksMissing(err error) bool {
	number, _ := errors.AsType[syscall.Errno](err)
	switch number {
	case windows.ERROR_INVALID_FUNCTION, windows.ERROR_NOT_SUPPORTED, windows.ERROR_TOO_MANY_LINKS,
		windows.ERROR_CALL_NOT_IMPLEMENTED:
		return true
	}
	return false
}

// isOtherFileSystem reports whether a link failed because the new name is on another
// file system.
func isOtherFileSystem(err error) bool { return errors.Is(err, windows.ERROR_NOT_SAME_DEVICE) }

// syncFolder does nothing: Windows has no sync of folders. NTFS keeps names in its
// journal.
func syncFolder(*os.File) error { return nil }

// isFileInPath reports whether a name is impossible because one of its folders is a file.
func isFileInPath(err error) bool {
	return errors.Is(err, syscall.ENOTDIR) || errors.Is(err, windows.ERROR_DIRECTORY)
}
