package store

import (
	"errors"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// renameNew renames a file unless the new name exists. It is
// errors.ErrUnsupported where the file system cannot do that in one step.
func renameNew(root *os.Root, oldName, newName string) error {
	return betweenFolders(root, oldName, newName, func(from, to int) error {
		err := unix.RenameatxNp(from, path.Base(oldName), to, path.Base(newName), unix.RENAME_EXCL)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
			return errors.ErrUnsupported
		}
		return err
	})
}
