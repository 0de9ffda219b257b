//go:build !linux && !darwin && !windows

// Holds the stub for systems on which the free space is unknown.

package store

import (
	"errors"
	"fmt"
)

// FreeSpace is unknown on this system.
func FreeSpace(string) (int64, error) {
	return 0, fmt.Errorf("look at file system: %w", errors.ErrUnsupported)
}
