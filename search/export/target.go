// Defines the target of an export and its errors.

package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Target is the destination of an export. Names are relative to its root, with slashes. [Folder] and [Bucket]
// implement it.
type Target interface {
	Reader
	Writer
}

// Reader reads from a target.
type Reader interface {
	// Files yields the files that an export may have written, and the first few others.
	Files(ctx context.Context) iter.Seq2[File, error]
	// Read returns the content of a small file; the error for a missing one is fs.ErrNotExist.
	Read(ctx context.Context, name string) ([]byte, error)
}

// Writer writes to a target.
type Writer interface {
	// Replace writes a file, and returns its size. It gets its name only when it is complete and durable; after an
	// error, the previous file stays.
	Replace(ctx context.Context, name string, write func(io.Writer) error) (size int64, err error)
	// Remove removes a file; a missing one is not an error.
	Remove(ctx context.Context, name string) error
}

// File is a file of a target.
type File struct {
	Name string
	Size int64 // bytes
}

// TargetError is an error of the target, not of the archive.
type TargetError struct {
	Op  string // "verb noun"
	Err error
}

// Error implements error.
func (e *TargetError) Error() string { return fmt.Sprintf("%s of the export: %v", e.Op, e.Err) }

// Unwrap returns the cause.
func (e *TargetError) Unwrap() error { return e.Err }

// trouble wraps an error as a [*TargetError], except the end of ctx.
func trouble(ctx context.Context, op string, err error) error {
	switch _, known := errors.AsType[*TargetError](err); {
	case err == nil || known:
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return &TargetError{Op: op, Err: err}
}

// maxNote limits the result of Read, in bytes: the size of a note over a century.
const maxNote = 32 << 20

// readAll reads a small file.
func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxNote+1))
	if err == nil && len(data) > maxNote {
		err = errors.New("it is too long")
	}
	return data, err
}

// stopped aborts a write when its context ends.
type stopped struct {
	ctx context.Context
	w   io.Writer
}

// Write implements io.Writer.
func (s stopped) Write(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.w.Write(p)
}
