//go:build unix

package store

import (
	"syscall"
	"testing"
)

const (
	errFull     = syscall.ENOSPC
	errReadOnly = syscall.EROFS
	errDenied   = syscall.EACCES
	errBusy     = syscall.EMFILE
)

func TestLinksMissing(t *testing.T) {
	for _, err := range []error{
		syscall.EPERM, syscall.ENOTSUP, syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.EXDEV, syscall.EMLINK,
	} {
		if !linksMissing(err) {
			t.Errorf("linksMissing(%v) is false", err)
		}
	}
	for _, err := range []error{syscall.EEXIST, syscall.EACCES, syscall.ENOSPC, syscall.ENOENT, nil} {
		if linksMissing(err) {
			t.Errorf("linksMissing(%v) is true", err)
		}
	}
}
