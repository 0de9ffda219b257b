// Defines the errors of stores, and the hints for what to do about them.

package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

var (
	// ErrUnusable marks errors that end the whole run, not one recording: the disk is full, the destination is not
	// writable, S3 refuses the credentials. The text says what to try. Such an error may also be retriable
	// (credentials that cannot be renewed temporarily): then it ends the run once no retry is left.
	ErrUnusable = errors.New("the store cannot be used")
	// ErrLinkedFolder marks errors about a folder that is a symbolic link: links
	// below the destination are not followed. OpenDisk finds those at the top,
	// before anything is downloaded. It comes with ErrUnusable.
	ErrLinkedFolder = errors.New("the program follows no links below the destination")
)

// IsRetriable reports whether trying again later may succeed: the server is busy or fails, a connection broke, a
// timeout passed, the system temporarily lacks a resource. The end of the caller's context is not retriable.
func IsRetriable(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.retriable
}

// failure replaces every error of a file system or of S3. Those errors contain the file or the
// address, and so the key; a failure contains only the operation and parts known not to contain a
// key. For the same reason it unwraps only to sentinel errors, never to its cause.
type failure struct {
	text      string // "verb noun: cause"
	hint      string // what to try
	retriable bool
	is        []error
	code      string // error code of S3
}

// Error implements error.
func (f *failure) Error() string {
	if f.hint == "" {
		return f.text
	}
	return f.text + ": " + f.hint
}

// Unwrap makes errors.Is see what the failure means.
func (f *failure) Unwrap() []error { return f.is }

// Hints for file systems, by the flag that selects the location.
const (
	atDestination = "--dest"
	atState       = "--state-dir"
)

// Hints of troubleOf for error numbers of the system, followed by the flag.
const (
	troubleFull     = "free some space, or choose another "
	troubleReadOnly = "mount it writable, or choose another "
	troubleDenied   = "let this user read and write there, or choose another "
)

// fileFailure makes the error for a failed file operation, with op as "verb noun".
func fileFailure(op, at string, err error) error {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	err = withoutPath(err)
	f := &failure{text: op + ": " + err.Error(), hint: Hint(err, at), is: []error{err}}
	if f.hint != "" {
		f.is = append(f.is, ErrUnusable)
	}
	_, f.retriable = troubleOf(err)
	return f
}

// diskFailure is like fileFailure, for an operation at the destination that may have failed because
// ctx ended.
func diskFailure(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return stopped(ctx, op)
	}
	return fileFailure(op, atDestination, err)
}

// Hint says what to try when a file system refuses writes, in any package, and "" for every other
// error. at is the flag that selects the location.
func Hint(err error, at string) string {
	hint, _ := troubleOf(err)
	if hint == "" {
		return ""
	}
	return hint + at
}

// withoutPath returns the cause inside errors of package os, which contain file names.
func withoutPath(err error) error {
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return number
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}

// stopped returns the error for an ended context of the caller.
func stopped(ctx context.Context, op string) error {
	f := &failure{text: op + ": " + ctx.Err().Error(), is: []error{ctx.Err()}}
	if cause := context.Cause(ctx); !errors.Is(cause, ctx.Err()) {
		f.is = append(f.is, cause)
	}
	return f
}

// goneAgain is the error for a name that was taken on creation, and free afterwards.
func goneAgain() error {
	return &failure{text: opStore + ": another object had this name and was removed since", retriable: true}
}

// plain returns a server's error code or request id if it looks like one, and otherwise "", so that
// a server that repeats the request cannot leak a key into a message.
func plain(s string) string {
	const maxLength = 80
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.'
	}
	if len(s) > maxLength || strings.ContainsFunc(s, odd) {
		return ""
	}
	return s
}
