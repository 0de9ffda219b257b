package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
)

var (
	// ErrUnusable marks errors that doom the whole run, not one recording: the
	// disk is full, the destination may not be written, S3 refuses the credentials.
	// The text says what to try. Such an error may be retriable too (credentials
	// that cannot be renewed for the moment): then it dooms the run once the
	// retries are used up.
	ErrUnusable = errors.New("the store cannot be used")
	// ErrKeyTaken is returned by Put when each of the keys belongs to another
	// recording.
	ErrKeyTaken = errors.New("store object: every name for this recording is taken by another one")
)

// errTaken says of one key what ErrKeyTaken says of all.
var errTaken = errors.New("the key is taken by another recording")

// IsRetriable reports whether trying again later may mend err: the server is busy
// or in trouble, a connection broke, a time limit passed, the system is out of some
// passing resource. The end of the caller's context is not retriable.
func IsRetriable(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.retriable
}

// failure is every error that comes from a file system or from S3. Those errors
// name the file or the address, and so the key; a failure holds only what was done
// and what is known not to hold a key. For the same reason it unwraps to sentinel
// errors alone, never to the error that it was made from.
type failure struct {
	text      string // "verb noun: cause"
	hint      string // what to try
	retriable bool
	is        []error

	// Of calls to S3: the code of the answer, and whether there was none.
	code       string
	unanswered bool
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

// trouble is what an error number of the system means to us.
type trouble int

const (
	noTrouble trouble = iota
	troubleFull
	troubleReadOnly
	troubleDenied
	troublePassing
)

// Where a file system failed, by the flag that chooses it.
const (
	atDestination = "--dest"
	atState       = "--state-dir"
)

// fileFailure makes the error for a failed file operation, op being "verb noun".
func fileFailure(op, at string, err error) error {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	err = withoutPath(err)
	f := &failure{text: op + ": " + err.Error(), hint: Hint(err, at), is: []error{err}}
	switch troubleOf(err) {
	case troubleFull, troubleReadOnly, troubleDenied:
		f.is = append(f.is, ErrUnusable)
	case troublePassing:
		f.retriable = true
	case noTrouble:
	}
	return f
}

// Hint says what to try when a file system refuses to be written, whoever met that
// error, and "" for every other error. at names the flag that chooses the place.
func Hint(err error, at string) string {
	switch troubleOf(err) {
	case troubleFull:
		return "free some space, or choose another " + at
	case troubleReadOnly:
		return "mount it writable, or choose another " + at
	case troubleDenied:
		return "let this user write there, or choose another " + at
	case troublePassing, noTrouble:
	}
	return ""
}

// withoutPath returns the cause within the errors of package os that name files.
func withoutPath(err error) error {
	for {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err
		} else if e, ok := errors.AsType[*os.LinkError](err); ok {
			err = e.Err
		} else if e, ok := errors.AsType[*os.SyscallError](err); ok {
			err = e.Err
		} else {
			return err
		}
	}
}

// stopped is the error when the caller's context has ended.
func stopped(ctx context.Context, op string) error {
	f := &failure{text: op + ": " + ctx.Err().Error(), is: []error{ctx.Err()}}
	if cause := context.Cause(ctx); !errors.Is(cause, ctx.Err()) {
		f.is = append(f.is, cause)
	}
	return f
}

// plain returns a server's error code or request id if it looks like one, and else
// nothing, so that a server that repeats what it was asked for cannot get a key into
// a message.
func plain(s string) string {
	const longest = 80
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.'
	}
	if len(s) > longest || strings.ContainsFunc(s, odd) {
		return ""
	}
	return s
}
