// Defines the errors of the manifest.

package manifest

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrLocked: another process holds the archive. The error that wraps it names the holder.
	ErrLocked = errors.New("another run has locked this archive")
	// ErrReadOnly: a ledger opened with Options.ReadOnly, or a day got from Ledger.Read, was asked to write.
	ErrReadOnly = errors.New("the manifest is open read-only")
	// ErrClosed: the ledger was closed.
	ErrClosed = errors.New("the manifest is closed")
	// ErrChanged: another run wrote to the day after it was loaded, so it was not closed.
	ErrChanged = errors.New("another run wrote to this day")
	// ErrUnflushed: the lines were taken and count, but putting them into the bucket failed. They stay in memory,
	// and the next Flush tries again. They must not be noted again.
	ErrUnflushed = errors.New("lines of the manifest are not stored yet")
)

// BadLineError reports a complete line that cannot be read. Its day must not be worked on: the line may
// be the one that says a recording is archived. The text quotes nothing of the line.
type BadLineError struct {
	Day    string // 2006-01-02
	File   string // the segment, from the archive's root
	Line   int    // from 1 within File
	Reason string
}

// Error returns one lower-case line that quotes nothing of the file.
func (e *BadLineError) Error() string {
	return fmt.Sprintf("read manifest of %s: %s line %d: %s", e.Day, e.File, e.Line, e.Reason)
}

// VersionError reports something written by a later version of the format. Nothing may be written to
// such an archive; a ledger that meets it refuses every later line.
type VersionError struct {
	File string // from the archive's root
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
	// FaultBadLine: a complete line that cannot be read, or a line without an end in a segment that a day line names.
	FaultBadLine FaultKind = "bad_line"
	// FaultTornLine: a segment that no day line names ends in part of a line. A crash leaves that, and so does a cut.
	FaultTornLine FaultKind = "torn_line"
	// FaultDayLine: a day line disagrees with the lines that it vouches for: their number, root, hash or counts.
	FaultDayLine FaultKind = "wrong_day_line"
	// FaultLostSegments: a segment that a day line names is not there.
	FaultLostSegments FaultKind = "lost_segments"
	// FaultChangedSegment: a segment that a day line names has another size or hash.
	FaultChangedSegment FaultKind = "changed_segment"
	// FaultNoManifest: calls/ holds rows of the day, and manifest/ holds nothing.
	FaultNoManifest FaultKind = "no_manifest"
)

// Fault is one fault of the files of a day. Its texts quote nothing of the lines.
type Fault struct {
	Kind   FaultKind
	File   string // from the archive's root
	Line   int    // from 1 within File, 0 when the whole file is meant
	Reason string
	// Written is when the file, or the newest of calls/, was last written to, for a torn line and a day without
	// manifest alone: a file that another process is writing looks the same.
	Written time.Time
}
