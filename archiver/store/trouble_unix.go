//go:build unix

// Classifies the errors of file systems on Unix.

package store

import (
	"errors"
	"os"
	"syscall"
)

// troubleOf tells what to try when a file system refuses to be written, and whether an
// error may pass by itself.
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

// linksMissing reports whether a link failed because the file system has none. FAT
// says EPERM on Linux; true permission trouble shows again in what is tried next.
func linksMissing(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EMLINK)
}

// isOtherFileSystem reports whether a link failed because the new name is on another
// file system.
func isOtherFileSystem(err error) bool { return errors.Is(err, syscall.EXDEV) }

// syncFolder makes the names in an open folder durable. Some network file systems
// cannot sync folders and say so; there is nothing more to be done on those.
func syncFolder(folder *os.File) error {
	err := folder.Sync()
	if cannotSync(err) {
		return nil
	}
	return err
}

// cannotSync reports whether the sync of a folder failed because the file system has
// none. SMB and FUSE file systems say ENOENT or ENOTTY, some read-only ones EROFS.
func cannotSync(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTTY) ||
		errors.Is(err, syscall.EROFS) || errors.Is(err, errors.ErrUnsupported)
}

// isFileInPath reports whether a name could not be, because one of the folders in
// it is a file.
func isFileInPath(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
