package store

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"sync"
)

// mostFolders bounds what durableFolders remembers, for a template may make a folder
// for each call.
const mostFolders = 4096

// durableFolders remembers the folders whose names are known to be on stable
// storage. Its mutex is held while a folder is made and synced, so that no other
// worker takes a folder for durable before it is.
type durableFolders struct {
	mu    sync.Mutex
	known map[string]struct{}
}

// forget makes the folders be looked at again.
func (f *durableFolders) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known = nil
}

func (f *durableFolders) has(folder string) bool {
	_, ok := f.known[folder]
	return ok
}

func (f *durableFolders) add(folder string) {
	if f.known == nil || len(f.known) >= mostFolders {
		f.known = make(map[string]struct{})
	}
	f.known[folder] = struct{}{}
}

// makeFolders makes a folder of keys and all above it. Folders that exist are synced
// too, once in each process: a run that was killed may have made them and not
// synced. It is errTaken when one of the names is a file.
func (d *Disk) makeFolders(folder string) error {
	d.folders.mu.Lock()
	defer d.folders.mu.Unlock()
	return d.makeFolder(folder)
}

func (d *Disk) makeFolder(folder string) error {
	if folder == "." || d.folders.has(folder) {
		return nil
	}
	parent := path.Dir(folder)
	if err := d.makeFolder(parent); err != nil {
		return err
	}
	name, err := filepath.Localize(folder)
	if err != nil {
		return ErrBadKey
	}
	if err := d.root.Mkdir(name, 0o700); errors.Is(err, fs.ErrExist) {
		info, err := d.root.Stat(name)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return errTaken
		}
	} else if err != nil {
		return err
	}
	if err := d.syncFolder(parent); err != nil {
		return err
	}
	d.folders.add(folder)
	return nil
}

// syncFolder makes the names in a folder of keys durable.
func (d *Disk) syncFolder(folder string) error {
	name, err := filepath.Localize(folder)
	if err != nil {
		return ErrBadKey
	}
	file, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(syncFolder(file), file.Close())
}
