// Holds a body in a temporary file until it is stored.

package store

import (
	"crypto/rand"
	"errors"
	"io"
	"os"
	"strings"
)

// partSuffix is the suffix of every temporary file.
const partSuffix = ".part"

// Part is a temporary file for a body too large for memory. Write all of it, then give it to Put of
// the store that made it as [Object.Body], and always call Discard. It is not safe for concurrent
// use, and its errors contain no file name.
type Part struct {
	folder *os.Root
	name   string
	file   *os.File
	size   int64
	at     string // flag that selects the location
	gone   bool
}

var (
	_ io.ReadWriteSeeker = (*Part)(nil)
	_ io.ReaderAt        = (*Part)(nil)
)

// newPart creates an empty part in a folder. The name is random, so it reveals nothing, and in
// lower case, because some file systems lower all names. Only the owner can access the file.
func newPart(folder *os.Root, at string) (*Part, error) {
	name := strings.ToLower(rand.Text()) + partSuffix
	file, err := folder.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fileFailure("create part file", at, err)
	}
	return &Part{folder: folder, name: name, file: file, at: at}, nil
}

// Write appends to the part.
func (p *Part) Write(b []byte) (int, error) {
	n, err := p.file.WriteAt(b, p.size)
	p.size += int64(n)
	if err != nil {
		return n, fileFailure("write part file", p.at, err)
	}
	return n, nil
}

// Size returns the number of bytes written.
func (p *Part) Size() int64 { return p.size }

// Read implements io.Reader. Reading starts at the beginning and is independent of
// writing.
func (p *Part) Read(b []byte) (int, error) {
	n, err := p.file.Read(b)
	return n, p.readFailure(err)
}

// ReadAt implements io.ReaderAt.
func (p *Part) ReadAt(b []byte, offset int64) (int, error) {
	n, err := p.file.ReadAt(b, offset)
	return n, p.readFailure(err)
}

// Seek sets the offset for the next Read.
func (p *Part) Seek(offset int64, whence int) (int64, error) {
	n, err := p.file.Seek(offset, whence)
	return n, p.readFailure(err)
}

func (p *Part) readFailure(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return fileFailure("read part file", p.at, err)
}

// sync syncs the bytes to stable storage.
func (p *Part) sync() error {
	if err := p.file.Sync(); err != nil {
		return fileFailure("sync part file", p.at, err)
	}
	return nil
}

// Discard removes the part. After Put it does nothing, and it may be called more than once. It reports no error: sync
// has reported every failed write, and the next run finds a file that could not be removed.
func (p *Part) Discard() {
	if p.gone {
		return
	}
	p.gone = true
	_ = p.folder.Remove(p.name)
	_ = p.file.Close()
}
