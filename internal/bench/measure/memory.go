package measure

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// TouchMemory uses so many bytes of memory and gives them back to the system, half
// of what is available at most. On a virtual machine whose host takes free memory
// away, each page of it costs again when it is used: the same 8,000 files took 0.3 or
// 2.9 s to write (measured), whatever tool came next. After this, all of them find
// memory that is there.
func TouchMemory(bytes int64) {
	const page = 4096
	if available, ok := availableMemory(); ok {
		bytes = min(bytes, available/2)
	}
	block := make([]byte, bytes)
	for i := 0; i < len(block); i += page {
		block[i] = 1
	}
	runtime.KeepAlive(block)
	debug.FreeOSMemory()
}

// availableMemory reads what can be used without swapping from /proc, which only
// Linux has.
func availableMemory() (bytes int64, ok bool) {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	_, after, found := strings.Cut(string(info), "MemAvailable:")
	if !found {
		return 0, false
	}
	kilobytes, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	return kilobytes << 10, err == nil
}
