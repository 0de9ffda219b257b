// Holds the differences between operating systems.

package web

import "runtime"

// isWindows reports whether this is Windows, where folders cannot be synced.
func isWindows() bool { return runtime.GOOS == "windows" }
