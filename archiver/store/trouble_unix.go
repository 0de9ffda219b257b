//go:build unix

package store

import (
	"errors"
	"os"
	"syscall"
)

func troubleOf(err error) trouble {
	number, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return noTrouble
	}
	switch number {
	case syscall.ENOSPC, syscall.EDQUOT:
		return troubleFull
	case syscall.EROFS:
		return troubleReadOnly
	case syscall.EACCES, syscall.EPERM:
		return troubleDenied
	case syscall.EINTR, syscall.EAGAIN, syscall.EBUSY, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
		syscall.ETIMEDOUT, syscall.ESTALE: // the last two are of network file systems
		return troublePassing
	}
	return noTrouble
}

// linksMissing reports whether a link failed because the file system has none. FAT
// says EPERM on Linux; true permission trouble shows again in what is tried next.
func linksMissing(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM) ||
		errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EMLINK)
}

// syncFolder makes the names in an open folder durable. Some network file systems
// cannot sync folders and say so; there is nothing more to be done on those.
func syncFolder(folder *os.File) error {
	err := folder.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// isFileInPath reports whether a name could not be, because one of the folders in
// it is a file.
func isFileInPath(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
