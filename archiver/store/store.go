// Package store keeps recordings under keys, in a folder on disk or in an S3 bucket. Both give the same guarantees:
//
//   - A body is stored under its key only when all of it is there, on stable storage.
//   - Nothing is ever overwritten. What stands under a taken key is described by a
//     [TakenError]; whether it may be adopted is the caller's to decide.
//   - A run that is killed leaves nothing that could be taken for a recording.
//   - No error text holds a key, for keys may hold phone numbers and names.
//
// The two stores are the concrete types [Disk] and [S3]; their users declare the
// interface they need. Both are safe for concurrent use. Bodies too large for memory
// go into a [Part] of the store.
//
// Put is never tried twice by this package, so that the caller's retry loop is the
// only one: see [IsRetriable] and [ErrUnusable].
package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// Object is one complete, validated body to store.
type Object struct {
	// Key is the name to store it under.
	Key string
	// Body is stored from offset 0, whatever its current offset. It may be a *Part made by the same store. It is not
	// read after Put has returned.
	Body io.ReadSeeker
	// Size is the length of Body in bytes, at least 1.
	Size int64
	// SHA256 is the hash of Body.
	SHA256 [32]byte
	// ContentType is the media type. Only S3 keeps it.
	ContentType string
	// RecordingID is the recording's identity, CallID and CallDay (2025-05-01) are
	// for people and for rebuilding a ledger. S3 keeps them as metadata.
	RecordingID, CallID, CallDay string
	// LockMode and LockUntil lock the object when it is stored, only in a bucket with Object Lock.
	LockMode  LockMode
	LockUntil time.Time
	// Class is the object's tag "retention", empty for none. Only S3 keeps it.
	Class string
}

func (o Object) check() error {
	switch {
	case o.RecordingID == "":
		return errors.New("store object: no recording id")
	case o.Size < 1:
		return errors.New("store object: an empty body is not a recording")
	}
	size, err := o.Body.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	if size != o.Size {
		return fmt.Errorf("store object: the body has %d bytes, not %d", size, o.Size)
	}
	return checkNewKey(o.Key)
}

// info is what is known of an object just stored.
func (o Object) info() Info {
	return Info{
		Key: o.Key, Size: o.Size, SHA256: o.SHA256,
		RecordingID: o.RecordingID, CallID: o.CallID, CallDay: o.CallDay,
	}
}

// Info describes a stored object.
type Info struct {
	Key  string
	Size int64 // bytes
	// ModTime is when the object was stored, by the store's clock. It is zero in what
	// Put returns.
	ModTime time.Time
	// SHA256 is the hash noted with the object when it was stored, or computed by Put:
	// zero when unknown, which is so on disk, in a listing, and for objects that came
	// into the bucket by copying.
	SHA256 [32]byte
	// RecordingID, CallID and CallDay are S3's metadata, empty when unknown. Compare
	// the first by IsOf.
	RecordingID, CallID, CallDay string
	// ETag, without quotes, and StorageClass are S3's.
	ETag, StorageClass string
}

// IsOf reports whether the metadata of an object says that it is of this recording.
func (i Info) IsOf(recordingID string) bool {
	if len(i.RecordingID) == maxMeta { // it was cut
		return i.RecordingID == metaValue(recordingID)
	}
	return i.RecordingID != "" && i.RecordingID == recordingID
}

// TakenError is returned by Put when something is stored under the key. Nothing was
// written.
type TakenError struct {
	// Info is what is there. On a file system that ignores case, its Key may differ
	// from the key asked for.
	Info Info
	// Same is true when it has the very same bytes, by their hash (on S3 the hash in the
	// metadata, where there is one). It is then on stable storage.
	Same bool
}

// Error implements error. It does not name the key.
func (e *TakenError) Error() string {
	if e.Same {
		return "store object: the same bytes are already stored under its name"
	}
	return "store object: its name is taken"
}

// Unwrap returns fs.ErrExist.
func (e *TakenError) Unwrap() error { return fs.ErrExist }
