// Defines the target of an export and its errors.

package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Target is the destination of an export. Names are from its root, with slashes. [Folder] and [Bucket] implement it.
type Target interface {
	Reader
	Writer
}

// Reader reads what lies there.
type Reader interface {
	// Files yields the files that an export may have written, and the first few others.
	Files(ctx context.Context) iter.Seq2[File, error]
	// Read returns the whole of a small file; a missing one is fs.ErrNotExist.
	Read(ctx context.Context, name string) ([]byte, error)
}

// Writer changes it.
type Writer interface {
	// Replace writes a file, and returns its size. It is stored under its name when all of it is there, durably, and
	// after an error the previous file stays.
	Replace(ctx context.Context, name string, write func(io.Writer) error) (size int64, err error)
	// Remove removes a file; one that is not there is no error.
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

// maxNote bounds what Read returns, in bytes: a note of a century.
const maxNote = 32 << 20

// readAll reads a small file.
func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxNote+1))
	if err == nil && len(data) > maxNote {
		err = errors.New("it is too long")
	}
	return data, err
}

// stopped ends a write when its context ends.
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
