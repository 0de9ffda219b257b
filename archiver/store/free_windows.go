// Measures the free space of a file system on Windows.

package store

import (
	"fmt"
	"math"

	"golang.org/x/sys/windows"
)

// FreeSpace returns how many bytes this user may still write to the file system of a folder.
func FreeSpace(folder string) (int64, error) {
	name, err := windows.UTF16PtrFromString(folder)
	if err != nil {
		return 0, fmt.Errorf("look at file system: %w", err)
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, fmt.Errorf("look at file system: %w", err)
	}
	return int64(min(free, math.MaxInt64)), nil
}
