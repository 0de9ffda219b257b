package manifest

import (
	"errors"
	"fmt"
)

var (
	// ErrLocked: another process holds the archive. The error that wraps it names the holder.
	ErrLocked = errors.New("another run holds this archive")
	// ErrReadOnly: a ledger opened with Options.ReadOnly was asked to write.
	ErrReadOnly = errors.New("the manifest is open for reading only")
	// ErrClosed: the ledger was closed.
	ErrClosed = errors.New("the manifest is closed")
	// ErrChanged: another run wrote to the day after it was loaded, so it was not closed.
	ErrChanged = errors.New("another run wrote to this day")
)

// BadLineError reports a complete line that cannot be read. Its day must not be worked: the line may
// be the one that says a recording is archived. The text quotes nothing of the line.
type BadLineError struct {
	Day    string // 2006-01-02
	File   string // the file or segment, from the archive's root
	Line   int    // from 1 within File
	Reason string
}

// Error returns one lower-case line that quotes nothing of the file.
func (e *BadLineError) Error() string {
	return fmt.Sprintf("read manifest of %s: %s line %d: %s", e.Day, e.File, e.Line, e.Reason)
}

// VersionError reports something written by a later version of the format. Nothing may be written to
// such an archive; a ledger that meets it refuses every later append.
type VersionError struct {
	File string // the file or segment, from the archive's root
	V    int    // the version found
}

// Error returns one lower-case line that says what to do.
func (e *VersionError) Error() string {
	return fmt.Sprintf("read %s: written in format version %d, this program knows version %d: use a newer version of the program",
		e.File, e.V, formatVersion)
}
