// Opens a folder as a store of recordings.

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
)

const (
	tempFolder = ".tmp" // holds the parts
	readNames  = 1024   // of a folder at a time
	maxAtTop   = 16     // limit of linksAtTop, in multiples of readNames
)

// DiskOptions are the settings of [OpenDisk]. The zero value is valid.
type DiskOptions struct {
	// ReadOnly opens a folder that must exist, and never writes to it.
	ReadOnly bool
	// Logger logs the name of a system folder (lost+found) that List skips. It may be nil.
	Logger *slog.Logger
}

// Disk keeps recordings as files below one folder. Files (0600) and the folders that it creates (0700) are
// accessible only to the owner. It follows no symbolic link below the folder. A folder below it may be another file
// system.
//
// An empty file is not an object, because empty bodies are never stored.
type Disk struct {
	root   *os.Root
	temp   *os.Root // tempFolder; nil in a folder opened for reading
	logger *slog.Logger

	claiming sync.Mutex // held while a claimed name is not complete

	link func(oldName, newName string) error // root.Link; replaced in tests
}

// OpenDisk opens the folder dir, creates it if missing, and checks that it is writable. The errors
// contain dir, which has no key. An error wraps [ErrLinkedFolder] when a folder at its top is a
// symbolic link; with ReadOnly only the archive's own folders are checked.
func OpenDisk(dir string, o DiskOptions) (*Disk, error) {
	if dir == "" {
		return nil, errors.New("open folder: no name given") // os would use the working folder
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
	d := &Disk{root: root, logger: o.Logger, link: root.Link}
	if d.logger == nil {
		d.logger = slog.New(slog.DiscardHandler)
	}
	err = d.refuseLinks(dir, o.ReadOnly)
	if err == nil && !o.ReadOnly {
		err = d.proveWritable(dir)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// makeDestination creates dir and its parents, and syncs their names, because a killed run may have
// created any of them without a sync.
func makeDestination(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for above := filepath.Dir(dir); above != dir; dir, above = above, filepath.Dir(above) {
		folder, err := os.Open(above)
		if errors.Is(err, fs.ErrPermission) { // an unreadable folder may still be usable
			continue
		}
		if err != nil {
			return err
		}
		if err := errors.Join(syncFolder(folder), folder.Close()); err != nil {
			return err
		}
	}
	return nil
}

// refuseLinks fails when a name at the top is a link to a folder, or to a missing target, like an
// unmounted disk. A link to a file is harmless. For reading it only checks the archive's own
// folders.
func (d *Disk) refuseLinks(dir string, readOnly bool) error {
	names := []string{"manifest", "calls", tempFolder}
	if !readOnly {
		links, err := d.linksAtTop()
		if err != nil {
			return fileFailure("read folder "+dir, atDestination, err)
		}
		names = append(names, links...)
	}
	for _, name := range names {
		if info, err := d.root.Lstat(name); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		if target, err := os.Stat(filepath.Join(dir, name)); err == nil && !target.IsDir() {
			continue
		}
		if isOwn(name) {
			return linkedFolder("open folder " + dir + ": its folder " + name)
		}
		return linkedFolder("open folder " + dir + ": a folder in it") // the name could be part of a key
	}
	return nil
}

// linksAtTop returns the symbolic links at the top that names of the archive can pass through. In a
// folder with very many names, mostly recordings, it only checks the first ones: the time to open
// must not grow with the archive, and Put refuses the other links.
func (d *Disk) linksAtTop() (links []string, err error) {
	top, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer top.Close()
	for range maxAtTop {
		entries, err := top.ReadDir(readNames)
		for _, entry := range entries {
			name := entry.Name()
			if entry.Type()&fs.ModeSymlink != 0 && !strings.HasPrefix(name, ".") {
				links = append(links, name)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return links, nil
}

// linkedFolder is the error for a folder that is a link.
func linkedFolder(what string) error {
	return &failure{
		text: what + " is a symbolic link",
		hint: ErrLinkedFolder.Error() + ": move the folder itself there, or mount it there",
		is:   []error{ErrLinkedFolder, ErrUnusable},
	}
}

// proveWritable writes and removes a file like the start of storing a recording.
func (d *Disk) proveWritable(dir string) (err error) {
	op := "write to folder " + dir
	if err := d.root.Mkdir(tempFolder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fileFailure(op, atDestination, err)
	}
	if d.temp, err = d.root.OpenRoot(tempFolder); err != nil {
		return fileFailure(op, atDestination, err)
	}
	probe, err := d.NewPart()
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	defer probe.Discard()
	if _, err := probe.Write([]byte("probe")); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return probe.sync()
}

// Root returns the folder, for the archive's own files. [Disk.Close] closes it.
func (d *Disk) Root() *os.Root { return d.root }

// Close closes the folder. No other call may be active.
func (d *Disk) Close() error {
	if d.temp == nil {
		return d.root.Close()
	}
	return errors.Join(d.temp.Close(), d.root.Close())
}

// NewPart makes a temporary file in the destination.
func (d *Disk) NewPart() (*Part, error) {
	if d.temp == nil {
		return nil, errReadOnly
	}
	return newPart(d.temp, atDestination)
}

// CleanTemp removes the parts of killed runs. The caller must hold the archive's lock, so that no
// other run writes, and must not have created a part yet.
func (d *Disk) CleanTemp(ctx context.Context) error {
	const op = "remove old part files"
	if d.temp == nil {
		return errReadOnly
	}
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
		switch path.Ext(name) {
		case partSuffix:
			err = d.remove(filepath.Join(tempFolder, name))
		case besideSuffix:
			err = d.cleanBeside(strings.TrimSuffix(name, besideSuffix))
		}
		if err != nil {
			return fileFailure(op, atDestination, err)
		}
	}
	return nil
}

func (d *Disk) remove(name string) error {
	if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncFolder syncs the names in a folder of keys.
func (d *Disk) syncFolder(folder string) error {
	file, err := d.root.Open(filepath.FromSlash(folder))
	if err != nil {
		return err
	}
	return errors.Join(syncFolder(file), file.Close())
}
