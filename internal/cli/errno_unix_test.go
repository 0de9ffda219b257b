//go:build !windows

package cli

import "syscall"

func noSpace() error { return syscall.ENOSPC }
