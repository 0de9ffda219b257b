// Removes recordings from a folder.

package store

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"path"
	"path/filepath"
	"strings"
)

// Remove removes the object under a key, durably, and folders that become empty. A missing object is not an error. It
// follows no symbolic link: a link under the key itself is removed, and a linked folder is an error that wraps
// [ErrLinkedFolder]. Other hard links to the same bytes stay. The caller must hold the archive's lock.
func (d *Disk) Remove(ctx context.Context, key string) error {
	if err := checkRemoval(key); err != nil {
		return err
	}
	return d.removeFile(ctx, key)
}

// RemoveAside removes a copy that was moved aside from a day's segments, as defined by [IsAside].
func (d *Disk) RemoveAside(ctx context.Context, name string) error {
	if err := checkAside(name); err != nil {
		return err
	}
	return d.removeFile(ctx, name)
}

// RemoveOlder does nothing: a folder keeps no older versions.
func (d *Disk) RemoveOlder(context.Context, string) error { return nil }

func (d *Disk) removeFile(ctx context.Context, key string) error {
	if d.temp == nil {
		return errReadOnly
	}
	if ctx.Err() != nil {
		return stopped(ctx, opRemove)
	}
	name, err := filepath.Localize(key)
	if err != nil {
		return ErrBadKey
	}
	folder := path.Dir(key)
	if d.isLinked(folder) {
		return linkedFolder(opRemove + ": a folder of its key")
	}
	info, err := d.root.Lstat(name)
	if err == nil && !info.IsDir() {
		err = d.root.Remove(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !isFileInPath(err) {
		return fileFailure(opRemove, atDestination, err)
	}
	for ; ; folder = path.Dir(folder) { // also after a run that was killed before the sync
		err := d.syncFolder(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !isFileInPath(err) {
			return fileFailure(opRemove, atDestination, err)
		}
		if folder == "." {
			return nil
		}
		if err == nil && d.root.Remove(filepath.FromSlash(folder)) != nil {
			return nil // the folder is not empty
		}
	}
}

// Names yields the names, below the folder of the prefix, of all files with the prefix, including the archive's own.
func (d *Disk) Names(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		fail := func(err error) {
			yield("", diskFailure(ctx, "list files", err))
		}
		folder := path.Dir(prefix + "x")
		if folder != "." && checkPath(folder) != nil {
			fail(ErrBadKey)
			return
		}
		err := fs.WalkDir(d.root.FS(), folder, func(name string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist) || isFileInPath(err):
				return nil
			case err != nil:
				return err
			case ctx.Err() != nil:
				return ctx.Err()
			case entry.IsDir() && name != folder && !strings.HasPrefix(name+"/", prefix) && !strings.HasPrefix(prefix, name+"/"):
				return fs.SkipDir
			case entry.IsDir() || !strings.HasPrefix(name, prefix):
				return nil
			case !yield(name, nil):
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			fail(err)
		}
	}
}
