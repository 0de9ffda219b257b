// Stores recordings in a folder, durably and without replacing anything.

package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

const (
	opStore    = "store object"
	copyBuffer = 128 << 10

	// besideSuffix is the suffix of a note in the temporary folder. The note contains the folder in
	// which a copy of the part with the same name may be, so that the next run can remove it after
	// a kill.
	besideSuffix = ".beside"
)

var errReadOnly = errors.New("write object: the destination was opened for reading only")

// Put stores a body: temporary file, sync, link to the final name, sync of the folder. When it
// returns without error, the recording survives a power failure. It never replaces anything. The
// error is a *[TakenError] if the key is taken, wraps [ErrUnusable] if the disk is full or not
// writable, and otherwise concerns only this recording. A Part given as Body is consumed on success
// and unchanged after an error.
func (d *Disk) Put(ctx context.Context, o Object) (Info, error) {
	if d.temp == nil {
		return Info{}, errReadOnly
	}
	if err := o.check(); err != nil {
		return Info{}, err
	}
	name, err := filepath.Localize(o.Key)
	if err != nil {
		return Info{}, ErrBadKey
	}
	part, ours := o.Body.(*Part)
	if !ours || part.folder != d.temp {
		if part, err = d.copyToPart(ctx, o); err != nil {
			return Info{}, err
		}
		defer part.Discard()
	}
	if err := part.sync(); err != nil {
		return Info{}, err
	}
	if ctx.Err() != nil {
		return Info{}, stopped(ctx, opStore)
	}
	err = d.publish(ctx, part, path.Dir(o.Key), name)
	if errors.Is(err, fs.ErrExist) {
		return Info{}, d.taken(ctx, o, name)
	}
	if err == nil {
		err = d.syncFolders(path.Dir(o.Key))
	}
	if err != nil {
		return Info{}, diskFailure(ctx, opStore, err)
	}
	part.Discard() // its other name
	return o.info(), nil
}

// copyToPart writes a body from memory to a part. Its hash is computed during the copy, so it
// matches the bytes on disk.
func (d *Disk) copyToPart(ctx context.Context, o Object) (*Part, error) {
	part, err := d.NewPart()
	if err != nil {
		return nil, err
	}
	hash := sha256.New()
	err = copyTo(ctx, io.MultiWriter(part, hash), o.Body)
	switch {
	case ctx.Err() != nil:
		err = stopped(ctx, opStore)
	case err != nil:
		err = fmt.Errorf("copy body: %w", err)
	case [32]byte(hash.Sum(nil)) != o.SHA256:
		err = errors.New("store object: checksum mismatch")
	default:
		return part, nil
	}
	part.Discard()
	return nil, err
}

// publish links a part to its final name, in a folder of keys. The error is fs.ErrExist if the name
// is taken.
func (d *Disk) publish(ctx context.Context, part *Part, folder, name string) error {
	if err := d.makeFolders(folder); err != nil {
		return err
	}
	err := d.name(filepath.Join(tempFolder, part.name), name)
	if isOtherFileSystem(err) {
		return d.nameByCopy(ctx, part, folder, name)
	}
	return err
}

// makeFolders creates a folder of keys and its parents. The error is fs.ErrExist if one of the
// names is a file.
func (d *Disk) makeFolders(folder string) error {
	if folder == "." {
		return nil
	}
	if err := d.makeFolders(path.Dir(folder)); err != nil {
		return err
	}
	name := filepath.FromSlash(folder)
	err := d.root.Mkdir(name, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := d.root.Lstat(name)
	switch {
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return linkedKey()
	case !info.IsDir():
		return fs.ErrExist
	}
	return nil
}

// CheckFolders fails when Put would refuse the key because one of its folders is a symbolic link: the error wraps
// [ErrLinkedFolder]. This detects the problem before a download. It may be called concurrently.
func (d *Disk) CheckFolders(key string) error {
	for folder := path.Dir(key); folder != path.Dir(folder); folder = path.Dir(folder) {
		info, err := d.root.Lstat(filepath.FromSlash(folder)) // fails below a link, which is visited later
		if err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return linkedKey()
		}
	}
	return nil
}

func linkedKey() error { return linkedFolder(opStore + ": a folder of its key") }

// syncFolders syncs a folder of keys and all of its parents, because this run or a killed one may
// have just created them. Syncing an unchanged folder is cheap.
func (d *Disk) syncFolders(folder string) error {
	for ; ; folder = path.Dir(folder) {
		if err := d.syncFolder(folder); err != nil || folder == "." {
			return err
		}
	}
}

// name gives a temporary file its final name. It never replaces an existing name.
func (d *Disk) name(temp, name string) error {
	err := d.link(temp, name)
	if linksMissing(err) {
		return d.claim(temp, name)
	}
	return err
}

// claim is for file systems without hard links. It creates the name exclusively and then renames
// the temporary file over it atomically, so the file is always either empty or complete. A run
// killed in between leaves an empty file, which no reader treats as an object.
func (d *Disk) claim(temp, name string) error {
	d.claiming.Lock()
	defer d.claiming.Unlock()
	file, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = file.Close()
	if err == nil {
		err = d.root.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(err, d.root.Remove(name))
	}
	return nil
}

// nameByCopy gives a body a final name on a file system other than that of the temporary folder: it
// copies the body into the folder of keys, and names the copy.
func (d *Disk) nameByCopy(ctx context.Context, part *Part, folder, name string) (err error) {
	note := filepath.Join(tempFolder, part.name+besideSuffix)
	if err := errors.Join(d.write(ctx, note, strings.NewReader(folder)), d.syncFolder(tempFolder)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.cleanBeside(part.name)) }()
	copied := filepath.Join(filepath.Dir(name), besideName(part.name))
	if err := d.write(ctx, copied, part); err != nil {
		return err
	}
	return d.name(copied, name)
}

// besideName returns the name of the copy of a part, which List skips.
func besideName(part string) string { return "." + part }

// isBeside reports whether a key could be a copy of a part.
func isBeside(key string) bool {
	base := path.Base(key)
	return strings.HasPrefix(base, ".") && strings.HasSuffix(base, partSuffix)
}

// cleanBeside removes the copy of a part, durably, and then its note. A note without a folder was
// not synced, so nothing was copied yet.
func (d *Disk) cleanBeside(part string) error {
	note := filepath.Join(tempFolder, part+besideSuffix)
	text, err := d.root.ReadFile(note)
	if err != nil {
		return err
	}
	if folder, err := filepath.Localize(string(text)); err == nil {
		if err := d.remove(filepath.Join(folder, besideName(part))); err != nil {
			return err
		}
		if err := d.syncFolder(string(text)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return d.remove(note)
}

// write creates a file and syncs its content, but not its name.
func (d *Disk) write(ctx context.Context, name string, content io.Reader) error {
	file, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(copyTo(ctx, file, content), file.Sync(), file.Close())
}

// taken describes what is stored under a name that could not be created.
func (d *Disk) taken(ctx context.Context, o Object, name string) error {
	const op = "compare object"
	taken := &TakenError{Info: Info{Key: o.Key}}
	d.claiming.Lock() // afterwards, another worker's claim is complete
	info, err := d.root.Lstat(name)
	d.claiming.Unlock()
	switch {
	case isFileInPath(err): // a needed folder is a file
		return taken
	case errors.Is(err, fs.ErrNotExist):
		return goneAgain()
	case err != nil:
		return fileFailure(op, atDestination, err)
	}
	taken.Info.Size, taken.Info.ModTime = info.Size(), info.ModTime()
	if !info.Mode().IsRegular() || info.Size() != o.Size { // opening a pipe would wait for ever
		return taken
	}
	file, err := d.root.Open(name)
	if err != nil {
		return fileFailure(op, atDestination, err)
	}
	defer file.Close()
	if taken.Info.SHA256, err = hashOf(ctx, file); err != nil {
		return diskFailure(ctx, op, err)
	}
	if taken.Info.SHA256 != o.SHA256 {
		return taken
	}
	// The run that linked the file may have died before the sync.
	if err := d.syncFolders(path.Dir(o.Key)); err != nil {
		return fileFailure(op, atDestination, err)
	}
	taken.Same, taken.Info.Key = true, d.realKey(o.Key)
	return taken
}

func hashOf(ctx context.Context, r io.Reader) ([32]byte, error) {
	hash := sha256.New()
	if err := copyTo(ctx, hash, r); err != nil {
		return [32]byte{}, err
	}
	return [32]byte(hash.Sum(nil)), nil
}

// copyTo copies all of r to w, from its start if r can seek, until ctx ends.
func copyTo(ctx context.Context, w io.Writer, r io.Reader) error {
	if s, ok := r.(io.Seeker); ok {
		if _, err := s.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, &contextReader{ctx: ctx, r: r}, make([]byte, copyBuffer))
	return err
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
