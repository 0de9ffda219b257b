package cli

import "golang.org/x/sys/windows"

func noSpace() error { return windows.ERROR_DISK_FULL }
