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
	"slices"
	"strings"
	"sync"
)

const (
	tempFolder = ".tmp" // holds the parts, on the same file system as the final names
	copyBuffer = 128 << 10
)

// DiskOptions are the settings of [OpenDisk]. The zero value will do.
type DiskOptions struct {
	// Owner returns the id of the recording that a key is known to belong to,
	// "" when it is known to belong to none. A file carries no id of its own, so a
	// file that stands under a wanted key with the very bytes to be stored is
	// adopted unless Owner names another recording. Owner must therefore also
	// know the recordings that this process is storing right now or has stored and
	// not noted yet. It is called from several goroutines. Nil: no key has an owner.
	Owner func(ctx context.Context, key string) (recordingID string, err error)
	// ReadOnly opens a folder that must exist, and never writes to it.
	ReadOnly bool
}

// Disk keeps recordings as files below one folder. Files are for their owner alone
// (0600), and so are the folders it makes (0700). No symbolic link is followed out
// of the folder.
//
// An empty file is no object: none is ever stored.
type Disk struct {
	root     *os.Root
	temp     *os.Root // tempFolder; nil in a folder opened for reading
	owner    func(ctx context.Context, key string) (string, error)
	readOnly bool
	folders  durableFolders
	claiming sync.Mutex // see claim

	syncs groupSync[unsynced]
	under *fileSystem // of everything; used by syncs alone

	// What the file system may lack; tests replace them.
	link      func(oldName, newName string) error
	renameNew func(oldName, newName string) error
}

// OpenDisk opens the folder dir, makes it when it is missing, and proves that it can
// be written. The errors name dir, which holds no key.
func OpenDisk(dir string, o DiskOptions) (*Disk, error) {
	if dir == "" {
		return nil, errors.New("open folder: no name given") // os would take it for the working folder
	}
	if !o.ReadOnly {
		if err := makeDestination(dir); err != nil {
			return nil, fileFailure("make folder "+dir, atDestination, err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fileFailure("open folder "+dir, atDestination, err)
	}
	d := &Disk{root: root, owner: o.Owner, readOnly: o.ReadOnly, link: root.Link}
	d.renameNew = func(oldName, newName string) error { return renameNew(root, oldName, newName) }
	d.syncs.sync = d.syncAll
	if d.readOnly {
		return d, nil
	}
	if err := d.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("write to folder %s: %w", dir, err), d.Close())
	}
	return d, nil
}

// prepare makes the folder ready for writing, and proves that it can be written.
func (d *Disk) prepare() (err error) {
	if d.under, err = openFileSystem(d.root); err != nil {
		return fileFailure("open folder", atDestination, err)
	}
	return d.proveWritable()
}

// makeDestination makes dir and the folders above it, one after another, and makes
// each name durable before the next. So only the last one that exists may be what a
// killed run has made and not synced.
func makeDestination(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	var missing []string
	existing := dir
	for ; ; existing = filepath.Dir(existing) {
		_, err := os.Stat(existing)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		missing = append(missing, existing)
	}
	if err := syncParent(filepath.Dir(existing)); err != nil {
		return err
	}
	for _, folder := range slices.Backward(missing) {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		if err := syncParent(filepath.Dir(folder)); err != nil {
			return err
		}
	}
	return nil
}

// syncParent syncs a folder above the destination. One may make folders in a folder
// that one may not read; then it cannot be synced by us.
func syncParent(folder string) error {
	f, err := os.Open(folder)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(syncFolder(f), f.Close())
}

// proveWritable writes and removes a file the way every recording begins.
func (d *Disk) proveWritable() error {
	if err := d.root.Mkdir(tempFolder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fileFailure("make folder "+tempFolder, atDestination, err)
	}
	var err error
	if d.temp, err = d.root.OpenRoot(tempFolder); err != nil {
		return fileFailure("open folder "+tempFolder, atDestination, err)
	}
	probe, err := d.NewPart()
	if err != nil {
		return err
	}
	defer probe.Discard()
	if _, err := probe.Write([]byte("probe")); err != nil {
		return err
	}
	return probe.sync()
}

// Root returns the folder, for the archive's own files in it. It is closed by
// [Disk.Close].
func (d *Disk) Root() *os.Root { return d.root }

// Close lets go of the folder. Nothing may be under way.
func (d *Disk) Close() error {
	var temp error
	if d.temp != nil {
		temp = d.temp.Close()
	}
	return errors.Join(temp, d.under.close(), d.root.Close())
}

// NewPart makes a temporary file in the destination.
func (d *Disk) NewPart() (*Part, error) { return newPart(d.temp, atDestination) }

// KeepsParts is true: a part gets its final name.
func (d *Disk) KeepsParts() bool { return true }

// CleanTemp removes the parts that killed runs have left. The caller holds the
// archive's lock, so that no other run is writing, and has made no part of its own
// yet.
func (d *Disk) CleanTemp(ctx context.Context) error {
	const op = "remove old part files"
	folder, err := d.root.Open(tempFolder)
	if err != nil {
		return fileFailure(op, atDestination, err)
	}
	names, err := folder.Readdirnames(-1)
	if err := errors.Join(err, folder.Close()); err != nil {
		return fileFailure(op, atDestination, err)
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return stopped(ctx, op)
		}
		if !strings.HasSuffix(name, partSuffix) {
			continue
		}
		if err := d.root.Remove(tempFolder + "/" + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fileFailure(op, atDestination, err)
		}
	}
	return nil
}

// Put stores a body: temporary file, sync, link to the final name, sync of the
// folder. Calls side by side share their syncs. When it returns without error the
// recording survives a power cut. The
// error is ErrKeyTaken when all keys are taken, wraps ErrUnusable when the disk is
// full or may not be written, and is otherwise for this recording alone. A Part
// given as Body is gone after success and as it was after an error.
func (d *Disk) Put(ctx context.Context, o Object) (Stored, error) {
	if d.readOnly {
		return Stored{}, errors.New("store object: the destination was opened for reading only")
	}
	if err := o.check(); err != nil {
		return Stored{}, err
	}
	part, ours := o.Body.(*Part)
	if !ours || part.folder != d.temp {
		var err error
		if part, err = d.copyToPart(ctx, o); err != nil {
			return Stored{}, err
		}
		defer part.Discard()
	}
	if part.size != o.Size {
		return Stored{}, fmt.Errorf("store object: the part has %d bytes, not %d", part.size, o.Size)
	}
	if err := d.syncs.do(unsynced{part: part}); err != nil {
		return Stored{}, err
	}
	for _, key := range o.Keys {
		stored, err := d.putPart(ctx, part, key, o)
		if errors.Is(err, errTaken) {
			continue
		}
		if err == nil {
			part.Discard() // its other name
		}
		return stored, err
	}
	return Stored{}, ErrKeyTaken
}

// copyToPart writes a body from memory to a part. Its hash is computed on the way,
// as the bytes pass by anyway: what is noted is then what is on disk.
func (d *Disk) copyToPart(ctx context.Context, o Object) (_ *Part, err error) {
	if _, err := o.Body.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	part, err := d.NewPart()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			part.Discard()
		}
	}()
	hash := sha256.New()
	body := &contextReader{ctx: ctx, r: o.Body}
	if _, err := io.CopyBuffer(io.MultiWriter(part, hash), body, make([]byte, copyBuffer)); err != nil {
		if ctx.Err() != nil {
			return nil, stopped(ctx, "store object")
		}
		return nil, fmt.Errorf("copy body: %w", err)
	}
	if part.size == o.Size && [32]byte(hash.Sum(nil)) != o.SHA256 {
		return nil, errWrongHash
	}
	return part, nil
}

// putPart stores a part under one key. It is errTaken when another recording, or
// anything else, has the key.
func (d *Disk) putPart(ctx context.Context, part *Part, key string, o Object) (Stored, error) {
	const op = "store object"
	if ctx.Err() != nil {
		return Stored{}, stopped(ctx, op)
	}
	name, err := filepath.Localize(key)
	if err != nil {
		return Stored{}, ErrBadKey
	}
	stored := Stored{Key: key, Size: o.Size, SHA256: o.SHA256}
	err = d.publish(part, key, name)
	if errors.Is(err, fs.ErrExist) {
		if err := d.mayAdopt(ctx, part, key, name, o.RecordingID); err != nil {
			return Stored{}, err
		}
		stored.Adopted, err = true, nil
	}
	if errors.Is(err, errTaken) {
		return Stored{}, err
	}
	if err == nil {
		// Also after adoption: the run that linked the file may have died before
		// this.
		err = d.syncs.do(unsynced{folder: path.Dir(key)})
	}
	if err != nil {
		return Stored{}, fileFailure(op, atDestination, err)
	}
	return stored, nil
}

// publish gives a part its final name too. The error is fs.ErrExist when the name
// is taken. A folder that vanished since it was made is made again, once.
func (d *Disk) publish(part *Part, key, name string) error {
	for again := false; ; again = true {
		if err := d.makeFolders(path.Dir(key)); err != nil {
			return err
		}
		err := d.name(part, name)
		if again || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		d.folders.forget()
	}
}

// name gives a part its final name by the best means the file system has. Each of
// them leaves an existing name alone.
func (d *Disk) name(part *Part, name string) error {
	err := d.link(nameOf(part), name)
	if !linksMissing(err) {
		return err
	}
	err = d.renameNew(nameOf(part), name)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return d.claim(part, name)
}

// nameOf returns a part's name from the destination.
func nameOf(part *Part) string { return filepath.Join(tempFolder, part.name) }

// claim is for file systems that have neither links nor a rename that does not
// replace. It creates the name exclusively and renames the part over this own claim,
// in one step, so that the name is never half written: it is empty, or it is whole.
// A run killed in between leaves an empty file, which no reader takes for an object
// and which the next claim takes over; that this is not another worker's claim is
// what the mutex is for, and that it is not another process's is what the archive's
// lock is for.
func (d *Disk) claim(part *Part, name string) error {
	d.claiming.Lock()
	defer d.claiming.Unlock()
	file, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = file.Close()
	} else if errors.Is(err, fs.ErrExist) && d.isStaleClaim(name) {
		err = nil
	}
	if err != nil {
		return err
	}
	if err := d.root.Rename(nameOf(part), name); err != nil {
		return errors.Join(err, d.root.Remove(name))
	}
	return nil
}

func (d *Disk) isStaleClaim(name string) bool {
	info, err := d.root.Lstat(name)
	return err == nil && info.Mode().IsRegular() && info.Size() == 0
}

// contextReader ends reading when its context ends.
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
