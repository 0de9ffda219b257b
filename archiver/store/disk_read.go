package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"iter"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Find looks for a whole object of this recording, stored by a run that was killed
// before it could note it. A file carries no id, so a file counts when its key is
// one of the keys and Owner names no other recording for it. The last key is looked
// at first: it has the recording's id in it, while the wanted key may be another's.
func (d *Disk) Find(ctx context.Context, keys []string, recordingID string) (Stored, bool, error) {
	if err := checkKeys(keys); err != nil {
		return Stored{}, false, err
	}
	for _, key := range slices.Backward(keys) {
		info, err := d.Stat(ctx, key)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Stored{}, false, err
		}
		free, err := d.isFree(ctx, key, recordingID)
		if err != nil {
			return Stored{}, false, err
		}
		if !free {
			continue
		}
		sum, err := d.hash(ctx, key)
		if err != nil {
			return Stored{}, false, err
		}
		return Stored{Key: key, Adopted: true, Size: info.Size, SHA256: sum}, true, nil
	}
	return Stored{}, false, nil
}

// isFree reports whether no other recording owns a key.
func (d *Disk) isFree(ctx context.Context, key, recordingID string) (bool, error) {
	if d.owner == nil {
		return true, nil
	}
	owner, err := d.owner(ctx, key)
	return owner == "" || owner == recordingID, err
}

func (d *Disk) hash(ctx context.Context, key string) ([32]byte, error) {
	const op = "read object"
	file, err := d.Open(ctx, key)
	if err != nil {
		return [32]byte{}, err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.CopyBuffer(hash, &contextReader{ctx: ctx, r: file}, make([]byte, copyBuffer)); err != nil {
		if ctx.Err() != nil {
			return [32]byte{}, stopped(ctx, op)
		}
		return [32]byte{}, fileFailure(op, atDestination, err)
	}
	return [32]byte(hash.Sum(nil)), nil
}

// mayAdopt is nil when the file under a taken key is this very recording: the same
// bytes, and nobody else's. It is errTaken when it is not.
func (d *Disk) mayAdopt(ctx context.Context, part *Part, key, name, recordingID string) error {
	same, err := d.sameBytes(ctx, part, name)
	if err != nil {
		if ctx.Err() != nil {
			return stopped(ctx, "compare object")
		}
		return fileFailure("compare object", atDestination, err)
	}
	if !same {
		return errTaken
	}
	free, err := d.isFree(ctx, key, recordingID)
	if err != nil {
		return err
	}
	if !free {
		return errTaken
	}
	return nil
}

// sameBytes reports whether a file has the bytes of a part. What is no regular file
// is not opened: opening a pipe would wait for good.
func (d *Disk) sameBytes(ctx context.Context, part *Part, name string) (bool, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() || info.Size() != part.size {
		return false, nil
	}
	file, err := d.root.Open(name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	return equal(&contextReader{ctx: ctx, r: file}, io.NewSectionReader(part, 0, part.size))
}

// equal reports whether two readers hold the same bytes.
func equal(a, b io.Reader) (bool, error) {
	bufA, bufB := make([]byte, copyBuffer/2), make([]byte, copyBuffer/2)
	for {
		nA, errA := io.ReadFull(a, bufA)
		nB, errB := io.ReadFull(b, bufB)
		endA, endB := isEnd(errA), isEnd(errB)
		switch {
		case errA != nil && !endA:
			return false, errA
		case errB != nil && !endB:
			return false, errB
		case !bytes.Equal(bufA[:nA], bufB[:nB]) || endA != endB:
			return false, nil
		case endA:
			return true, nil
		}
	}
}

// isEnd reports whether io.ReadFull met the end.
func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// Stat describes the object under a key; a missing one is fs.ErrNotExist. What is no
// regular file, a link for one, is not an object.
func (d *Disk) Stat(ctx context.Context, key string) (Info, error) {
	const op = "look up object"
	if ctx.Err() != nil {
		return Info{}, stopped(ctx, op)
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
		return Info{}, fileFailure(op, atDestination, err)
	}
	return Info{Key: key, Size: info.Size(), ModTime: info.ModTime()}, nil
}

func isObject(info fs.FileInfo) bool { return info.Mode().IsRegular() && info.Size() > 0 }

// Open opens the object under a key for reading; a missing one is fs.ErrNotExist.
// What it returns can also seek and read at an offset.
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
		return nil, fileFailure("open object", atDestination, err)
	}
	return file, nil
}

// List yields the objects whose keys begin with prefix, in no order, those under
// quarantine included and the archive's own files left out. It holds a few names
// at a time, however many there are. An error ends it.
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

// walk lists one folder and those below it. It reports whether to go on.
func (d *Disk) walk(ctx context.Context, folder, prefix string, yield func(Info, error) bool) bool {
	const op = "list objects"
	fail := func(err error) bool {
		yield(Info{}, fileFailure(op, atDestination, err))
		return false
	}
	name, err := filepath.Localize(folder)
	if err != nil {
		return fail(ErrBadKey)
	}
	dir, err := d.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) || isFileInPath(err) {
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
		entries, err := dir.ReadDir(256)
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

// visit yields a file, or walks a folder, that may have the prefix.
func (d *Disk) visit(ctx context.Context, key string, isFolder bool, prefix string, yield func(Info, error) bool) bool {
	switch {
	case reserved(key):
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
		return true // gone meanwhile, no object, or a name that no key can have
	}
	return yield(info, err) && err == nil
}
