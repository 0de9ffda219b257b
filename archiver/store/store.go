// Package store keeps recordings under keys, in a folder on disk or in an S3 bucket. Both give the same guarantees:
//
//   - A body is stored under its key only when all of it is there, on stable storage.
//   - Nothing is ever overwritten. A [TakenError] describes the object under a taken key;
//     the caller decides whether to adopt it.
//   - A killed run leaves nothing that could be mistaken for a recording.
//   - No error text contains a key, because keys may contain phone numbers and names.
//
// The stores are the concrete types [Disk] and [S3]; their users declare the interfaces that they need. Both are
// safe for concurrent use. Bodies too large for memory go into a [Part] of the store.
//
// This package never retries Put; the caller does: see [IsRetriable] and [ErrUnusable].
package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// Object is a complete, validated body to store.
type Object struct {
	// Key is the name under which to store it.
	Key string
	// Body is stored from offset 0, regardless of its current offset. It may be a *Part of the same store. It is not
	// read after Put has returned.
	Body io.ReadSeeker
	// Size is the length of Body in bytes, at least 1.
	Size int64
	// SHA256 is the hash of Body.
	SHA256 [32]byte
	// ContentType is the media type. Only S3 stores it.
	ContentType string
	// RecordingID is the recording's identity, CallID and CallDay (2025-05-01) serve people and the
	// rebuilding of a ledger. S3 stores them as metadata.
	RecordingID, CallID, CallDay string
	// LockMode and LockUntil lock the object on storage, only in a bucket with Object Lock.
	LockMode  LockMode
	LockUntil time.Time
	// Class is the object's tag "retention", empty for none. Only S3 stores it.
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

// info describes an object just stored.
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
	// ModTime is the storage time, by the store's clock. It is zero in the result of Put.
	ModTime time.Time
	// SHA256 is the hash in the object's metadata, or computed by Put. It is zero if unknown: on
	// disk, in a listing, and for copied objects.
	SHA256 [32]byte
	// RecordingID, CallID and CallDay are S3's metadata, empty if unknown. Compare RecordingID with
	// IsOf.
	RecordingID, CallID, CallDay string
	// ETag, without quotes, and StorageClass are S3's.
	ETag, StorageClass string
}

// IsOf reports whether the metadata of an object belongs to this recording.
func (i Info) IsOf(recordingID string) bool {
	if len(i.RecordingID) == maxMeta { // truncated
		return i.RecordingID == metaValue(recordingID)
	}
	return i.RecordingID != "" && i.RecordingID == recordingID
}

// TakenError is returned by Put if the key is taken. Nothing was written.
type TakenError struct {
	// Info describes the existing object. On a file system that ignores case, its Key may differ
	// from the requested key.
	Info Info
	// Same is true if it has the same bytes, by their hash (on S3 the hash in the metadata, if
	// any). Then it is on stable storage.
	Same bool
}

// Error implements error. It does not contain the key.
func (e *TakenError) Error() string {
	if e.Same {
		return "store object: the same bytes are already stored under its name"
	}
	return "store object: its name is taken"
}

// Unwrap returns fs.ErrExist.
func (e *TakenError) Unwrap() error { return fs.ErrExist }
