// Creates the folder of a bag, and gives it its name when it is complete.

package bag

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/gofrs/flock"
)

// ErrBusy means that another export writes into the same folder.
var ErrBusy = errors.New("another export is writing this bag")

// ErrTaken means that the folder of the bag is not empty, or that a file next to it is not from an
// export.
var ErrTaken = errors.New("the folder already contains files")

// FolderError means that the folder cannot be written. It names no file in it.
type FolderError struct {
	Op  string
	Err error
}

// Error returns one lower-case line.
func (e *FolderError) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *FolderError) Unwrap() error { return e.Err }

func folderError(op string, err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		err = e.Err
	}
	if err == nil {
		return nil
	}
	return &FolderError{Op: op, Err: err}
}

// The names next to the bag during writing.
const (
	partSuffix = ".part"
	lockSuffix = ".part.lock"
)

// folder is the folder of an unfinished bag. Names in it use slashes.
type folder struct {
	dir  string // of the bag
	root *os.Root
	lock *flock.Flock
}

// openFolder takes the lock, and makes an empty folder next to the place of the bag. It removes the files of a killed
// export there.
func openFolder(dir string) (*folder, error) {
	const op = "make the folder of the bag"
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, folderError(op, err)
	}
	f := &folder{dir: dir, lock: flock.New(dir + lockSuffix)}
	locked, err := f.lock.TryLock()
	if err != nil {
		return nil, folderError("lock the folder of the bag", err)
	}
	if !locked {
		return nil, ErrBusy
	}
	if err := f.begin(op); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *folder) begin(op string) error {
	if names, err := namesIn(f.dir); err != nil {
		return folderError(op, err)
	} else if len(names) > 0 {
		return fmt.Errorf("write the bag: %w", ErrTaken)
	}
	part := f.dir + partSuffix
	names, err := namesIn(part)
	if err != nil {
		return folderError(op, err)
	}
	own := []string{"data", declarationFile, infoFile, readmeFile, manifestFile, tagManifestFile}
	if slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(own, name) }) {
		return fmt.Errorf("write the bag: the temporary folder that ends in %s: %w", partSuffix, ErrTaken)
	}
	if err := os.RemoveAll(part); err != nil {
		return folderError("remove files of a killed export", err)
	}
	if err := os.Mkdir(part, 0o700); err != nil {
		return folderError(op, err)
	}
	if f.root, err = os.OpenRoot(part); err != nil {
		return folderError(op, err)
	}
	return nil
}

// namesIn returns the names in a folder, none if it does not exist.
func namesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, err
}

// path returns the path of a name, for callers that open it themselves.
func (f *folder) path(name string) string {
	return filepath.Join(f.dir+partSuffix, filepath.FromSlash(name))
}

// file is a new file of the bag.
type file struct {
	*hashed
	name string
	base *os.File // nil after close
}

func (f *folder) create(name string) (*file, error) {
	const op = "write a file of the bag"
	if err := f.root.MkdirAll(filepath.FromSlash(path.Dir(name)), 0o700); err != nil {
		return nil, folderError(op, err)
	}
	base, err := f.root.OpenFile(filepath.FromSlash(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, folderError(op, err)
	}
	return &file{hashed: newHashed(base), name: name, base: base}, nil
}

// Write implements io.Writer.
func (f *file) Write(p []byte) (int, error) {
	n, err := f.hashed.Write(p)
	return n, folderError("write a file of the bag", err)
}

// finish syncs it to stable storage.
func (f *file) finish() error {
	err := errors.Join(f.base.Sync(), f.base.Close())
	f.base = nil
	return folderError("write a file of the bag", err)
}

// discard closes an unfinished file of an unfinished bag.
func (f *file) discard() {
	if f != nil && f.base != nil {
		_ = f.base.Close()
	}
}

// write writes a complete file.
func (f *folder) write(name, text string) (*hashed, error) {
	made, err := f.create(name)
	if err != nil {
		return nil, err
	}
	defer made.discard()
	if _, err := made.Write([]byte(text)); err != nil {
		return nil, err
	}
	return made.hashed, made.finish()
}

// publish gives the bag its name, once its folders are on stable storage.
func (f *folder) publish() error {
	const op = "give the bag its name"
	err := fs.WalkDir(f.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = syncFolder(f.path(name))
		}
		return err
	})
	if err != nil {
		return folderError(op, err)
	}
	if err := f.root.Close(); err != nil { // Windows renames no open folder
		return folderError(op, err)
	}
	f.root = nil
	if err := os.Remove(f.dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one
		return folderError(op, err)
	}
	if err := os.Rename(f.dir+partSuffix, f.dir); err != nil {
		return folderError(op, err)
	}
	return folderError(op, syncFolder(filepath.Dir(f.dir)))
}

func syncFolder(name string) error {
	if runtime.GOOS == "windows" { // it syncs no folder
		return nil
	}
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// close releases the lock and removes a bag that is not published.
func (f *folder) close() error {
	var failed error
	if f.root != nil {
		failed = errors.Join(f.root.Close(), os.RemoveAll(f.dir+partSuffix))
	}
	failed = errors.Join(failed, f.lock.Unlock())
	_ = os.Remove(f.dir + lockSuffix) // harmless if it stays
	return folderError("close the folder of the bag", failed)
}
