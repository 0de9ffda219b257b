// Differences between operating systems.

package web

import "runtime"

// isWindows reports whether folders cannot be synced.
func isWindows() bool { return runtime.GOOS == "windows" }
