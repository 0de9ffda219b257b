// Reads and writes the manifest's files in a folder.

package manifest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"runtime"
	"strings"
	"syscall"
)

// disk implements Objects for a folder. Only the holder of the archive's lock writes to it.
type disk struct{ root *os.Root }

// errNoFolder means that a file has the name of a folder.
var errNoFolder = errors.New("a file is in its place")

// GetFile's tag is reliable because only the holder of the lock writes.
func (d disk) GetFile(_ context.Context, name string) (io.ReadCloser, string, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, "", err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, "", errors.Join(err, f.Close())
	}
	return f, fmt.Sprint(info.Size(), "-", info.ModTime().UnixNano()), nil
}

// PutFile replaces the file atomically and durably: no run could open an archive with a partial
// file.
func (d disk) PutFile(ctx context.Context, name string, body []byte, ifTag string) error {
	old, tag, err := d.GetFile(ctx, name)
	switch {
	case err == nil:
		_ = old.Close() // read only
		if tag != ifTag {
			return fs.ErrExist
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case ifTag != "":
		return fs.ErrExist
	}
	if err := makeDir(d.root, path.Dir(name)); err != nil {
		return err
	}
	part := name + ".part"
	f, err := d.root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err = settle(f, err); err != nil {
		return errors.Join(err, d.root.Remove(part))
	}
	if err := d.root.Rename(part, name); err != nil {
		return err
	}
	return syncDir(d.root, path.Dir(name))
}

// settle syncs a written file, unless writing failed, and closes it.
func settle(f *os.File, err error) error {
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// ListFiles supports three kinds of prefix: a folder, which ends in a slash; FOLDER/DAY, for which it reads only
// FOLDER/DAY.jsonl and the folder FOLDER/DAY, for any number of days; and evidence/PREFIX. A folder's files come at
// the position of its own name, so that a day's files are together.
func (d disk) ListFiles(ctx context.Context, prefix string) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) {
		names := []string{prefix + extPlain, prefix}
		if folder, ok := strings.CutSuffix(prefix, "/"); ok {
			names = []string{folder}
		} else if strings.HasPrefix(prefix, string(TreeEvidence)+"/") {
			names = []string{string(TreeEvidence)}
		}
		isDone := false
		visit := func(name string, entry fs.DirEntry, err error) error {
			if err == nil {
				err = context.Cause(ctx)
			}
			var info fs.FileInfo
			if err == nil && !entry.IsDir() && strings.HasPrefix(name, prefix) {
				info, err = entry.Info()
			}
			switch {
			case errors.Is(err, fs.ErrNotExist) || err == nil && info == nil:
				return nil // removed meanwhile, or not a wanted file
			case !yield(namedFile{info, name}, err) || err != nil:
				isDone = true
				return fs.SkipAll
			}
			return nil
		}
		for _, name := range names {
			if !isDone {
				_ = fs.WalkDir(d.root.FS(), name, visit) // visit keeps every error
			}
		}
	}
}

// namedFile is a file with its name relative to the archive's root.
type namedFile struct {
	fs.FileInfo
	name string
}

func (f namedFile) Name() string { return f.name }

// makeDir makes a folder below root, 0700, durable with its parents, even if a killed run created it without a
// sync.
func makeDir(root *os.Root, name string) error {
	if info, err := root.Stat(name); err != nil || !info.IsDir() {
		err := root.MkdirAll(name, 0o700)
		if errors.Is(err, fs.ErrExist) { // which for a segment would mean to try the next number
			err = errNoFolder
		}
		if err != nil {
			return fmt.Errorf("make manifest folder: %w", err)
		}
	}
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		if err := syncDir(root, dir); err != nil {
			return err
		}
		if dir == "." {
			return nil
		}
	}
}

// syncDir makes the names in a folder durable. Windows has no such call, and some network file systems refuse it;
// both keep names durable in other ways.
func syncDir(root *os.Root, name string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := root.Open(name)
	if err != nil {
		return fmt.Errorf("open manifest folder: %w", err)
	}
	err = d.Sync()
	for _, refused := range []error{syscall.EINVAL, syscall.ENOTTY, syscall.ENOENT, errors.ErrUnsupported} {
		if errors.Is(err, refused) {
			err = nil
		}
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("sync manifest folder: %w", err)
	}
	return nil
}
