//go:build unix

// Classifies the errors of file systems on Unix.

package store

import (
	"errors"
	"os"
	"syscall"
)

// troubleOf returns what to try when a file system refuses writes, and whether the error is
// temporary.
func troubleOf(err error) (hint string, passes bool) {
	number, _ := errors.AsType[syscall.Errno](err)
	switch number {
	case syscall.ENOSPC, syscall.EDQUOT:
		return troubleFull, false
	case syscall.EROFS:
		return troubleReadOnly, false
	case syscall.EACCES, syscall.EPERM:
		return troubleDenied, false
	case syscall.EINTR, syscall.EAGAIN, syscall.EBUSY, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
		syscall.ETIMEDOUT, syscall.ESTALE: // the last two are of network file systems
		return "", true
	}
	return "", false
}

// linksMissing reports whether a link failed because the file system does not support links. FAT
// returns EPERM on Linux; a real permission error occurs again in the next call.
func linksMissing(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EMLINK)
}

// isOtherFileSystem reports whether a link failed because the new name is on another
// file system.
func isOtherFileSystem(err error) bool { return errors.Is(err, syscall.EXDEV) }

// syncFolder syncs the names in an open folder. Some network file systems cannot sync folders;
// nothing more can be done there.
func syncFolder(folder *os.File) error {
	err := folder.Sync()
	if cannotSync(err) {
		return nil
	}
	return err
}

// cannotSync reports whether the sync of a folder failed because the file system does not support
// it. SMB and FUSE file systems return ENOENT or ENOTTY, some read-only ones EROFS.
func cannotSync(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTTY) ||
		errors.Is(err, syscall.EROFS) || errors.Is(err, errors.ErrUnsupported)
}

// isFileInPath reports whether a name is impossible because one of its folders is a file.
func isFileInPath(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
