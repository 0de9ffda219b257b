// Implements a target in S3.

package export

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
)

// Objects is the part of a bucket that an export uses, below the export's prefix. *store.S3
// implements it.
type Objects interface {
	GetFile(ctx context.Context, name string) (body io.ReadCloser, tag string, err error)
	ListFiles(ctx context.Context, prefix string) iter.Seq2[fs.FileInfo, error]
	ReplaceFile(ctx context.Context, name string, body io.ReadSeeker, size int64, sum [32]byte) error
	RemoveFile(ctx context.Context, name string) error
}

// Bucket is a target in S3.
type Bucket struct {
	Objects Objects
	TempDir string // for unfinished files; empty: the system's
}

// Files implements Reader.
func (b *Bucket) Files(ctx context.Context) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		for info, err := range b.Objects.ListFiles(ctx, "") {
			if err != nil {
				yield(File{}, trouble(ctx, "list the files", err))
				return
			}
			if !yield(File{Name: info.Name(), Size: info.Size()}, nil) {
				return
			}
		}
	}
}

// Read implements Reader.
func (b *Bucket) Read(ctx context.Context, name string) ([]byte, error) {
	body, _, err := b.Objects.GetFile(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, trouble(ctx, "read a file", err)
	}
	defer body.Close()
	data, err := readAll(body)
	return data, trouble(ctx, "read a file", err)
}

// Replace implements Writer: it makes the file in the temporary folder, and stores it with one
// request.
func (b *Bucket) Replace(ctx context.Context, name string, write func(io.Writer) error) (size int64, err error) {
	temp, err := os.CreateTemp(b.TempDir, "convoso-export-*")
	if err != nil {
		return 0, trouble(ctx, "make a temporary file", err)
	}
	_ = os.Remove(temp.Name()) // so that a killed run leaves nothing; if an open file cannot be removed, the second call does it
	defer func() {
		_ = temp.Close()
		_ = os.Remove(temp.Name())
	}()
	hash := sha256.New()
	buffered := bufio.NewWriterSize(stopped{ctx, io.MultiWriter(temp, hash)}, 128<<10)
	if err := errors.Join(write(buffered), buffered.Flush()); err != nil {
		return 0, trouble(ctx, "write a temporary file", err)
	}
	if size, err = temp.Seek(0, io.SeekEnd); err != nil {
		return 0, trouble(ctx, "write a temporary file", err)
	}
	err = b.Objects.ReplaceFile(ctx, name, temp, size, [32]byte(hash.Sum(nil)))
	return size, trouble(ctx, "write a file", err)
}

// Remove implements Writer.
func (b *Bucket) Remove(ctx context.Context, name string) error {
	return trouble(ctx, "remove a file", b.Objects.RemoveFile(ctx, name))
}
