// Manages the folder of the copies: its lock, parts and names.

package copier

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gofrs/flock"

	"convoso-archiver/manifest"
)

// The files in addition to the copies.
const (
	IndexFile    = "index.csv"
	PlaylistFile = "playlist.m3u8"

	ownFolder = ".find" // for parts and the lock during a copy
	lockFile  = ownFolder + "/lock"
)

// ErrBusy means that another copy writes into the same folder.
var ErrBusy = errors.New("another find is copying into this folder")

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
	if err == nil {
		return nil
	}
	return &FolderError{Op: op, Err: withoutPath(err)}
}

// withoutPath drops file names, which may contain personal data.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}

// isOwn reports whether a name is one of the copy's own files, ignoring case.
func isOwn(name string) bool {
	first, _, _ := strings.Cut(strings.ToLower(name), "/")
	return first == IndexFile || first == PlaylistFile || first == ownFolder
}

// folder is the target folder. Paths in it use slashes.
type folder struct {
	root *os.Root
	lock *flock.Flock
	part atomic.Int64 // number of the last one

	mu      sync.Mutex
	changed map[string]bool // folders with new names
}

// openFolder creates a folder and takes its lock. It removes parts of a killed copy.
func openFolder(dir string) (*folder, error) {
	const op = "open the folder for the copies"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, folderError(op, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, folderError(op, err)
	}
	f := &folder{root: root, changed: map[string]bool{".": true}}
	if err := f.begin(dir); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return f, nil
}

func (f *folder) begin(dir string) error {
	const op = "write to the folder for the copies"
	if err := f.root.MkdirAll(ownFolder, 0o700); err != nil {
		return folderError(op, err)
	}
	if info, err := f.root.Lstat(ownFolder); err != nil || !info.IsDir() { // a link would remove files of others
		return folderError(op, cmp.Or(err, errors.New(ownFolder+" is not a folder")))
	}
	file, err := f.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600) // through the root: no link leads out of it
	if err != nil {
		return folderError(op, err)
	}
	if err := file.Close(); err != nil {
		return folderError(op, err)
	}
	f.lock = flock.New(filepath.Join(dir, filepath.FromSlash(lockFile)))
	locked, err := f.lock.TryLock()
	if err != nil {
		return folderError("lock the folder for the copies", err)
	}
	if !locked {
		return ErrBusy
	}
	return f.removeParts()
}

func (f *folder) removeParts() error {
	const op = "remove files of a killed copy"
	dir, err := f.root.Open(ownFolder)
	if err != nil {
		return folderError(op, err)
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return folderError(op, err)
	}
	for _, name := range names {
		if name == path.Base(lockFile) {
			continue
		}
		if err := f.root.Remove(ownFolder + "/" + name); err != nil {
			return folderError(op, err)
		}
	}
	return nil
}

// close syncs the folders with new names, releases the lock and removes its own folder.
func (f *folder) close() error {
	var failed error
	for name := range f.changed {
		if err := f.syncFolder(name); err != nil {
			failed = folderError("sync the folder for the copies", err)
		}
	}
	// A file that cannot be removed is harmless. Windows removes no open file, so the lock is released first.
	if err := f.lock.Unlock(); err != nil && failed == nil {
		failed = folderError("unlock the folder for the copies", err)
	}
	_ = f.root.Remove(lockFile)
	_ = f.root.Remove(ownFolder)
	return errors.Join(failed, f.root.Close())
}

func (f *folder) syncFolder(name string) error {
	if runtime.GOOS == "windows" { // folders cannot be synced
		return nil
	}
	dir, err := f.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// standing describes the file under a name.
type standing int

const (
	absent standing = iota
	same            // the recording itself
	other
)

// compare checks whether a recording is stored under a name.
func (f *folder) compare(ctx context.Context, name string, noted *manifest.State) (standing, error) {
	const op = "look into the folder for the copies"
	info, err := f.root.Lstat(filepath.FromSlash(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return absent, nil
	case err != nil:
		return absent, folderError(op, err)
	case !info.Mode().IsRegular() || info.Size() != noted.Size:
		return other, nil
	}
	file, err := f.root.Open(filepath.FromSlash(name))
	if err != nil {
		return absent, folderError(op, err)
	}
	defer file.Close() // read only
	hash := sha256.New()
	for chunk := make([]byte, min(buffer, noted.Size+1)); ; {
		if err := context.Cause(ctx); err != nil {
			return absent, err
		}
		n, err := file.Read(chunk)
		hash.Write(chunk[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return absent, folderError(op, err)
		}
	}
	if [32]byte(hash.Sum(nil)) != noted.SHA256 {
		return other, nil
	}
	return same, nil
}

// part is a copy without its final name.
type part struct {
	f    *folder
	file *os.File // nil after close
	name string
}

func (f *folder) newPart() (*part, error) {
	name := ownFolder + "/" + strconv.FormatInt(f.part.Add(1), 10)
	file, err := f.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, folderError("write a copy", err)
	}
	return &part{f: f, file: file, name: name}, nil
}

// sync syncs the bytes to stable storage.
func (p *part) sync() error {
	err := errors.Join(p.file.Sync(), p.file.Close())
	p.file = nil
	return folderError("write a copy", err)
}

// discard removes a part; after publish only its temporary name.
func (p *part) discard() {
	if p == nil {
		return
	}
	if p.file != nil {
		_ = p.file.Close() // its content is not needed
	}
	_ = p.f.root.Remove(p.name) // otherwise the next copy removes it
}

// publish gives a part its name, and reports whether the name is taken.
func (f *folder) publish(p *part, name string) (isThere bool, err error) {
	const op = "write a copy"
	parent := path.Dir(name)
	if err := f.root.MkdirAll(filepath.FromSlash(parent), 0o700); err != nil {
		return false, folderError(op, err)
	}
	err = f.root.Link(p.name, filepath.FromSlash(name))
	if errors.Is(err, fs.ErrExist) {
		return true, nil
	}
	if err != nil {
		if isThere, err := f.rename(p, name); isThere || err != nil {
			return isThere, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for ; !f.changed[parent]; parent = path.Dir(parent) {
		f.changed[parent] = true
	}
	return false, nil
}

// rename is like publish, for a file system without links. Other workers wait meanwhile, and the folder's lock
// excludes another find.
func (f *folder) rename(p *part, name string) (isThere bool, err error) {
	const op = "write a copy"
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.root.Lstat(filepath.FromSlash(name)); !errors.Is(err, fs.ErrNotExist) {
		return err == nil, folderError(op, err)
	}
	return false, folderError(op, f.root.Rename(p.name, filepath.FromSlash(name)))
}

// oneLine removes characters that would break a line of a list.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' || r == '\t' }), " ")
}
