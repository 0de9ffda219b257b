// Implements a target on disk.

package export

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// Folder is a target on disk. The caller must close it.
type Folder struct {
	root *os.Root
}

// OpenFolder opens a folder, and creates it if missing.
func OpenFolder(name string) (*Folder, error) {
	if err := os.MkdirAll(name, 0o700); err != nil {
		return nil, &TargetError{Op: "make the folder", Err: err}
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, &TargetError{Op: "open the folder", Err: err}
	}
	return &Folder{root}, nil
}

// Close closes the folder.
func (f *Folder) Close() error { return f.root.Close() }

// A temporary file is in the target file's folder, so that the rename works on any mount.
const (
	tempPrefix = ".export-"
	tempSuffix = ".part"
)

func isTemp(name string) bool {
	base := path.Base(name)
	return strings.HasPrefix(base, tempPrefix) && strings.HasSuffix(base, tempSuffix)
}

// Files implements Reader. It walks only the folders of the tables; of other files it lists only those at the top.
func (f *Folder) Files(ctx context.Context) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		err := fs.WalkDir(f.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case entry.IsDir():
				return enter(name)
			}
			info, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			if !yield(File{Name: name, Size: info.Size()}, nil) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield(File{}, trouble(ctx, "list the files", err))
		}
	}
}

// enter selects the folders to walk: those of an export, and others to their first level, so that foreign folders are
// detected by their files.
func enter(folder string) error {
	first, rest, deep := strings.Cut(folder, "/")
	isTable := first == tableCalls || first == tableRecordings
	if deep && (!isTable || strings.Contains(rest, "/")) {
		return fs.SkipDir
	}
	return nil
}

// Read implements Reader.
func (f *Folder) Read(ctx context.Context, name string) ([]byte, error) {
	file, err := f.root.Open(filepath.FromSlash(name))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return nil, trouble(ctx, "read a file", err)
	}
	defer file.Close()
	data, err := readAll(file)
	return data, trouble(ctx, "read a file", err)
}

// Replace implements Writer: it syncs and renames a temporary file in the same folder, and syncs
// the folder.
func (f *Folder) Replace(ctx context.Context, name string, write func(io.Writer) error) (size int64, err error) {
	size, err = f.replace(ctx, filepath.FromSlash(name), write)
	return size, trouble(ctx, "write a file", err)
}

func (f *Folder) replace(ctx context.Context, name string, write func(io.Writer) error) (size int64, err error) {
	folder := filepath.Dir(name)
	made := false
	if _, err := f.root.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		made = true
		if err := f.root.MkdirAll(folder, 0o700); err != nil {
			return 0, err
		}
	}
	temp := filepath.Join(folder, tempPrefix+strings.ToLower(rand.Text())+tempSuffix)
	file, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = f.root.Remove(temp)
		}
	}()
	buffered := bufio.NewWriterSize(stopped{ctx, file}, 128<<10)
	if err := errors.Join(write(buffered), buffered.Flush()); err != nil {
		return 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return 0, err
	}
	if err := f.root.Rename(temp, name); err != nil {
		return 0, err
	}
	if err := f.sync(folder); err != nil || !made {
		return info.Size(), err
	}
	for folder != "." {
		folder = filepath.Dir(folder)
		if err := f.sync(folder); err != nil {
			return 0, err
		}
	}
	return info.Size(), nil
}

// sync syncs the names in a folder. Windows cannot and need not do that.
func (f *Folder) sync(folder string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	open, err := f.root.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(open.Sync(), open.Close())
}

// Remove implements Writer. It also removes an empty folder of a day.
func (f *Folder) Remove(ctx context.Context, name string) error {
	name = filepath.FromSlash(name)
	if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return trouble(ctx, "remove a file", err)
	}
	folder := filepath.Dir(name)
	if folder == "." {
		return nil
	}
	_ = f.root.Remove(folder) // fails unless it is empty
	err := f.sync(filepath.Dir(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return trouble(ctx, "remove a file", err)
}

// Inside reports whether a folder is another one or inside it, after resolving links. The folder need not exist
// yet.
func Inside(folder, other string) (bool, error) {
	within, err := realPath(folder)
	if err != nil {
		return false, fmt.Errorf("find the folder: %w", err)
	}
	around, err := realPath(other)
	if err != nil {
		return false, fmt.Errorf("find the folder: %w", err)
	}
	rel, err := filepath.Rel(around, within)
	if err != nil { // on another drive
		return false, nil
	}
	return rel == "." || rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)), nil
}

// realPath resolves the links in the existing part of a path.
func realPath(name string) (string, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	rest := ""
	for {
		found, err := filepath.EvalSymlinks(name)
		if err == nil {
			return filepath.Join(found, rest), nil
		}
		parent := filepath.Dir(name)
		if !errors.Is(err, fs.ErrNotExist) || parent == name {
			return "", err
		}
		name, rest = parent, filepath.Join(filepath.Base(name), rest)
	}
}
