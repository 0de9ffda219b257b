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
	for err, want := range map[error]bool{
		syscall.EPERM: true, syscall.ENOTSUP: true, syscall.EOPNOTSUPP: true, syscall.ENOSYS: true, syscall.EXDEV: true, syscall.EMLINK: true,
		syscall.EEXIST: false, syscall.EACCES: false, syscall.ENOSPC: false, syscall.ENOENT: false, nil: false,
	} {
		if linksMissing(err) != want {
			t.Errorf("linksMissing(%v) is %t", err, !want)
		}
	}
}
