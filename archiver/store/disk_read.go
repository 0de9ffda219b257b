// Describes, opens and lists the recordings in a folder.

package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"
)

const (
	opLookUp = "look up object"
	opOpen   = "open object"
)

// Stat describes the object under a key; a missing one is fs.ErrNotExist. Anything but a regular
// file, such as a link, is not an object. The error wraps [ErrLinkedFolder] when a folder of the
// key is a symbolic link.
func (d *Disk) Stat(ctx context.Context, key string) (Info, error) {
	if ctx.Err() != nil {
		return Info{}, stopped(ctx, opLookUp)
	}
	if err := checkKey(key); err != nil {
		return Info{}, err
	}
	name, err := filepath.Localize(key)
	if err != nil {
		return Info{}, ErrBadKey
	}
	info, err := d.root.Lstat(name)
	if isFileInPath(err) || err == nil && !isObject(info) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return Info{}, d.readFailure(opLookUp, path.Dir(key), err)
	}
	return Info{Key: key, Size: info.Size(), ModTime: info.ModTime()}, nil
}

// readFailure makes the error for a failed operation in a folder of keys. If a folder
// is a symbolic link, package os says only that the path leaves the root.
func (d *Disk) readFailure(op, folder string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) && d.isLinked(folder) {
		return linkedFolder(op + ": a folder of its key")
	}
	return fileFailure(op, atDestination, err)
}

// isLinked reports whether a folder of keys, or one above it, is a symbolic link.
func (d *Disk) isLinked(folder string) bool {
	if folder == "." {
		return false
	}
	if d.isLinked(path.Dir(folder)) {
		return true
	}
	name, err := filepath.Localize(folder)
	if err != nil {
		return false
	}
	info, err := d.root.Lstat(name)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

func isObject(info fs.FileInfo) bool { return info.Mode().IsRegular() && info.Size() > 0 }

// Open opens the object under a key for reading; a missing one is fs.ErrNotExist. The result also
// implements io.Seeker and io.ReaderAt.
func (d *Disk) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if _, err := d.Stat(ctx, key); err != nil {
		return nil, err
	}
	name, err := filepath.Localize(key)
	if err != nil {
		return nil, ErrBadKey
	}
	file, err := d.root.Open(name)
	if err != nil {
		return nil, fileFailure(opOpen, atDestination, err)
	}
	return file, nil
}

// OpenRange opens length bytes of the object under a key, from an offset; fewer at its end. The
// error for a missing object is fs.ErrNotExist; an offset outside of the object is an error.
func (d *Disk) OpenRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	info, err := d.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	if offset < 0 || length < 1 || offset >= info.Size {
		return nil, errRange()
	}
	whole, err := d.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	file, ok := whole.(*os.File)
	if !ok {
		return nil, errors.Join(errRange(), whole.Close())
	}
	return &section{SectionReader: io.NewSectionReader(file, offset, length), file: file}, nil
}

// section is a part of a file.
type section struct {
	*io.SectionReader
	file *os.File
}

// Close implements io.Closer.
func (s *section) Close() error { return s.file.Close() }

func errRange() error { return &failure{text: "open object: the range is not within it"} }

// List yields the objects whose keys begin with prefix, in no order, including those in quarantine, but without
// the archive's own files. It keeps only a few names in memory. An error ends it. An unreadable system folder
// (lost+found) is skipped and logged to DiskOptions.Logger.
func (d *Disk) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		start := "."
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			start = prefix[:i]
		}
		if start != "." && checkKey(start) != nil {
			yield(Info{}, ErrBadKey)
			return
		}
		d.walk(ctx, start, prefix, yield)
	}
}

// walk lists one folder and its subfolders. It reports whether to continue.
func (d *Disk) walk(ctx context.Context, folder, prefix string, yield func(Info, error) bool) bool {
	const op = "list objects"
	fail := func(err error) bool {
		yield(Info{}, d.readFailure(op, folder, err))
		return false
	}
	name, err := filepath.Localize(folder)
	if err != nil {
		return fail(ErrBadKey)
	}
	if folder == "lost+found" { // at the top it belongs to the file system, not to the archive
		d.logger.Info("skipped a system folder", "folder", folder)
		return true
	}
	dir, err := d.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) || isFileInPath(err) {
		return true
	}
	if errors.Is(err, fs.ErrPermission) && isOfSystem(folder) {
		d.logger.Info("skipped a system folder that this user may not read", "folder", path.Base(folder))
		return true
	}
	if err != nil {
		return fail(err)
	}
	defer dir.Close()
	for {
		if ctx.Err() != nil {
			yield(Info{}, stopped(ctx, op))
			return false
		}
		entries, err := dir.ReadDir(readNames)
		for _, entry := range entries {
			if !d.visit(ctx, path.Join(folder, entry.Name()), entry.IsDir(), prefix, yield) {
				return false
			}
		}
		if errors.Is(err, io.EOF) || isFileInPath(err) {
			return true
		}
		if err != nil {
			return fail(err)
		}
	}
}

// visit yields a file, or walks a folder, if it may match the prefix.
func (d *Disk) visit(ctx context.Context, key string, isFolder bool, prefix string, yield func(Info, error) bool) bool {
	switch {
	case isOwn(key):
		return true
	case isFolder:
		below := key + "/"
		return !strings.HasPrefix(below, prefix) && !strings.HasPrefix(prefix, below) ||
			d.walk(ctx, key, prefix, yield)
	case !strings.HasPrefix(key, prefix):
		return true
	}
	info, err := d.Stat(ctx, key)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrBadKey) {
		return true // removed meanwhile, not an object, or not a valid key
	}
	return yield(info, err) && err == nil
}

// isOfSystem reports whether a folder belongs to the file system. It can be at the top of the
// destination and at mount points.
func isOfSystem(folder string) bool {
	base := path.Base(folder)
	return base == "lost+found" || strings.EqualFold(base, "System Volume Information")
}

// realKey returns a key with the file's name as stored, on a file system that ignores case. There,
// the upper-case name leads to the same file.
func (d *Disk) realKey(key string) string {
	folder, base := path.Split(key)
	if _, err := d.root.Lstat(filepath.FromSlash(folder + strings.ToUpper(base))); err != nil {
		return key
	}
	dir, err := d.root.Open(filepath.FromSlash(path.Dir(key)))
	if err != nil {
		return key
	}
	defer dir.Close()
	found := key
	for err == nil {
		var names []string
		names, err = dir.Readdirnames(readNames)
		for _, name := range names {
			if name == base {
				return key
			}
			if strings.EqualFold(name, base) {
				found = folder + name
			}
		}
	}
	return found
}
