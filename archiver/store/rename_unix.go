//go:build linux || darwin

package store

import (
	"os"
	"path"
)

// betweenFolders calls f with the open folders of two names. The folders are opened
// through the root, so that neither name can lead out of it.
func betweenFolders(root *os.Root, oldName, newName string, f func(from, to int) error) error {
	from, err := root.Open(path.Dir(oldName))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := root.Open(path.Dir(newName))
	if err != nil {
		return err
	}
	defer to.Close()
	return f(int(from.Fd()), int(to.Fd()))
}
