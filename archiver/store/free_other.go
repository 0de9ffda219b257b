//go:build !linux && !darwin && !windows

// Says that the free space is not known on other systems.

package store

import (
	"errors"
	"fmt"
)

// FreeSpace is not known on this system.
func FreeSpace(string) (int64, error) {
	return 0, fmt.Errorf("look at file system: %w", errors.ErrUnsupported)
}
