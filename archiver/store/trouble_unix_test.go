//go:build unix

package store

import (
	"io/fs"
	"syscall"
	"testing"
)

const (
	errNoSpace = syscall.ENOSPC
	errNoWrite = syscall.EROFS
	errDenied  = syscall.EACCES
	errTooMany = syscall.EMFILE
	errBusy    = syscall.EBUSY
)

func TestLinksMissing(t *testing.T) {
	for _, err := range []error{
		syscall.EPERM, syscall.ENOTSUP, syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.EMLINK,
	} {
		if !linksMissing(err) {
			t.Errorf("linksMissing(%v) is false", err)
		}
	}
	for _, err := range []error{syscall.EEXIST, syscall.EXDEV, syscall.EACCES, syscall.ENOSPC, syscall.ENOENT, nil} {
		if linksMissing(err) {
			t.Errorf("linksMissing(%v) is true", err)
		}
	}
}

func TestCannotSync(t *testing.T) {
	for _, err := range []error{syscall.EINVAL, syscall.ENOENT, syscall.ENOTTY, syscall.ENOTSUP, syscall.EOPNOTSUPP, syscall.EROFS} {
		if !cannotSync(&fs.PathError{Op: "sync", Path: "x", Err: err}) {
			t.Errorf("cannotSync(%v) is false", err)
		}
	}
	for _, err := range []error{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, nil} {
		if cannotSync(err) {
			t.Errorf("cannotSync(%v) is true", err)
		}
	}
}
