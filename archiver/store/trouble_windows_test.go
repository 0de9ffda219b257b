package store

import "golang.org/x/sys/windows"

const (
	errFull     = windows.ERROR_DISK_FULL
	errReadOnly = windows.ERROR_WRITE_PROTECT
	errDenied   = windows.ERROR_ACCESS_DENIED
	errBusy     = windows.ERROR_SHARING_VIOLATION
)
