// Defines the errors of the manifest.

package manifest

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrLocked means that another process holds the archive. The wrapping error names the holder.
	ErrLocked = errors.New("another run has locked this archive")
	// ErrReadOnly means an attempt to write with a ledger opened with Options.ReadOnly, or a day from
	// Ledger.Read.
	ErrReadOnly = errors.New("the manifest is open read-only")
	// ErrClosed means that the ledger was closed.
	ErrClosed = errors.New("the manifest is closed")
	// ErrChanged means that another run wrote to the day after it was loaded, so it was not closed.
	ErrChanged = errors.New("another run wrote to this day")
	// ErrUnflushed means that the lines were accepted, but storing them in the bucket failed. They stay in
	// memory, and the next Flush tries again. They must not be noted again.
	ErrUnflushed = errors.New("lines of the manifest are not stored yet")
)

// BadLineError reports a complete line that cannot be read. Its day must not be worked on: the line may
// be the archived line of a recording. The text does not quote the line.
type BadLineError struct {
	Day    string // 2006-01-02
	File   string // the segment, relative to the archive's root
	Line   int    // from 1 within File
	Reason string
}

// Error returns one lower-case line without content of the file.
func (e *BadLineError) Error() string {
	return fmt.Sprintf("read manifest of %s: %s line %d: %s", e.Day, e.File, e.Line, e.Reason)
}

// VersionError reports data of a later version of the format. Such an archive must not be written;
// after this error, a ledger refuses every line.
type VersionError struct {
	File string // relative to the archive's root
	V    int    // the version found
}

// Error returns one lower-case line that says what to do.
func (e *VersionError) Error() string {
	return fmt.Sprintf("read %s: written in format version %d, this program knows version %d: use a newer version of the program",
		e.File, e.V, formatVersion)
}

// FaultKind says what is wrong with the files of a day.
type FaultKind string

// The faults that Ledger.Read finds.
const (
	// FaultBadLine: a complete line that cannot be read, or a line without an end in a segment of a day line.
	FaultBadLine FaultKind = "bad_line"
	// FaultTornLine: a segment outside of all day lines ends in a partial line, as left by a crash or truncation.
	FaultTornLine FaultKind = "torn_line"
	// FaultDayLine: a day line disagrees with its lines: their number, root, hash or counts.
	FaultDayLine FaultKind = "wrong_day_line"
	// FaultLostSegments: a segment of a day line is missing.
	FaultLostSegments FaultKind = "lost_segments"
	// FaultChangedSegment: a segment of a day line has another size or hash.
	FaultChangedSegment FaultKind = "changed_segment"
	// FaultNoManifest: calls/ has rows of the day, but manifest/ has nothing.
	FaultNoManifest FaultKind = "no_manifest"
)

// Fault is one fault of the files of a day. Its texts do not quote lines.
type Fault struct {
	Kind   FaultKind
	File   string // relative to the archive's root
	Line   int    // from 1 within File, 0 for the whole file
	Reason string
	// Written is when the file, or the newest of calls/, was last written to, only for a torn line and a day
	// without manifest, because a file being written by another process looks the same.
	Written time.Time
}
