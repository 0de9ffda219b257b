//go:build !linux

package cases

// worldOfThisSystem is empty: mounts, other users and failing system calls are tried on Linux.
func worldOfThisSystem() []example { return nil }
