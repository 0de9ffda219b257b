//go:build !linux && !darwin && !windows

package store

import (
	"errors"
	"fmt"
)

// FreeSpace is not known on this system.
func FreeSpace(string) (int64, error) {
	return 0, fmt.Errorf("look at file system: %w", errors.ErrUnsupported)
}
