// Package store keeps recordings under keys, in a folder on disk or in an S3
// bucket. Both ways give the same promises:
//
//   - A body stands under its key only when all of it is there, on stable storage.
//   - Nothing is ever overwritten. Where a key is taken by another recording, the
//     next of the keys given is tried; where it is taken by the very same
//     recording, what stands there is adopted.
//   - A run that is killed leaves nothing that could be taken for a recording.
//   - No error text holds a key, for keys may hold phone numbers and names.
//
// The two stores are the concrete types [Disk] and [S3]; whoever uses them
// declares the interface needed. Both are safe for concurrent use. Bodies too large
// for memory go into a [Part] of the store.
//
// No call here is retried by this package where the caller can retry it: see
// [IsRetriable] and [ErrUnusable].
package store

import (
	"errors"
	"io"
	"time"
)

// Object is one complete, validated body to store.
type Object struct {
	// Keys are the names to try in order: the wanted one, then those to use when
	// it is taken by another recording.
	Keys []string
	// Body is stored from offset 0, wherever its offset stands. It may be a
	// *Part made by the same store, which then becomes the object without a copy.
	// It is not read after Put has returned.
	Body io.ReadSeeker
	// Size is the length of Body in bytes, at least 1.
	Size int64
	// SHA256 is the hash of Body.
	SHA256 [32]byte
	// ContentType is the media type. Only S3 keeps it.
	ContentType string
	// RecordingID is the recording's identity: two objects with the same one are
	// the same recording. CallID is for people. S3 keeps both as metadata.
	RecordingID, CallID string
}

func (o Object) check() error {
	switch {
	case len(o.Keys) == 0:
		return errors.New("store object: no key")
	case o.RecordingID == "":
		return errors.New("store object: no recording id")
	case o.Size < 1:
		return errors.New("store object: an empty body is no recording")
	}
	return checkKeys(o.Keys)
}

// Stored tells where a recording is.
type Stored struct {
	Key     string
	Adopted bool // it was there already
	Size    int64
	SHA256  [32]byte
	// ETag, without quotes, and VersionID are S3's, and empty where it sends none.
	ETag, VersionID string
}

// Info describes a stored object.
type Info struct {
	Key     string
	Size    int64
	ModTime time.Time
	// SHA256 and RecordingID are what was noted with the object when it was stored,
	// not computed: zero where nothing is known, which is so on disk, and in a
	// listing.
	SHA256      [32]byte
	RecordingID string
	// ETag, without quotes, and StorageClass are S3's.
	ETag, StorageClass string
}
