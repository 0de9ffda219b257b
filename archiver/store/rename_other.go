//go:build !linux && !darwin

package store

import (
	"errors"
	"os"
)

// renameNew would rename a file unless the new name exists. This system has no
// such call that keeps within an os.Root.
func renameNew(*os.Root, string, string) error { return errors.ErrUnsupported }
