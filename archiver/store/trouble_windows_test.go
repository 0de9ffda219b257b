package store

import "golang.org/x/sys/windows"

const (
	errNoSpace = windows.ERROR_DISK_FULL
	errNoWrite = windows.ERROR_WRITE_PROTECT
	errDenied  = windows.ERROR_ACCESS_DENIED
	errTooMany = windows.ERROR_TOO_MANY_OPEN_FILES
	errBusy    = windows.ERROR_SHARING_VIOLATION
)
