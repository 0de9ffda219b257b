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
	maxAtTop   = 16     // times readNames that linksAtTop looks at
)

// DiskOptions are the settings of [OpenDisk]. The zero value is valid.
type DiskOptions struct {
	// ReadOnly opens a folder that must exist, and never writes to it.
	ReadOnly bool
	// Logger gets the name of a system folder (lost+found) that List skips. It may be nil.
	Logger *slog.Logger
}

// Disk keeps recordings as files below one folder. Only the owner can read the files (0600), and so are the folders
// it makes (0700). No symbolic link below the folder is followed. A folder below it may be another file system.
//
// An empty file is not an object: none is ever stored.
type Disk struct {
	root   *os.Root
	temp   *os.Root // tempFolder; nil in a folder opened for reading
	logger *slog.Logger

	claiming sync.Mutex // held while a name is claimed and not whole yet

	link func(oldName, newName string) error // of root; tests replace it
}

// OpenDisk opens the folder dir, makes it when it is missing, and proves that it can
// be written. The errors name dir, which holds no key. An error wraps
// [ErrLinkedFolder] when a folder at its top is a symbolic link; with ReadOnly only the
// archive's own folders are looked at.
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

// makeDestination makes dir and the folders above it, and makes their names durable. A
// run that was killed may have made any of them without.
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
		if errors.Is(err, fs.ErrPermission) { // one may use folders that one may not read
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

// refuseLinks fails when a name at the top is a link to a folder, or to what cannot be
// seen: a disk that is not mounted now. A link to a file does no harm. For reading it
// looks at the archive's own folders only.
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

// linksAtTop returns the symbolic links at the top that the archive's names can lead
// through. In a folder with a great many names, where most are recordings, it looks at
// the first ones only: opening must not take longer the larger the archive is, and Put
// refuses the others.
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

// proveWritable writes and removes a file the way every recording begins.
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

// Root returns the folder, for the archive's own files in it. It is closed by
// [Disk.Close].
func (d *Disk) Root() *os.Root { return d.root }

// Close closes the folder. No other call may be in progress.
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

// CleanTemp removes the parts that killed runs have left. The caller holds the
// archive's lock, so that no other run is writing, and has made no part of its own
// yet.
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

// syncFolder makes the names in a folder of keys durable.
func (d *Disk) syncFolder(folder string) error {
	file, err := d.root.Open(filepath.FromSlash(folder))
	if err != nil {
		return err
	}
	return errors.Join(syncFolder(file), file.Close())
}
