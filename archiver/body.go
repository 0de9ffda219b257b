// Holds one recording between download and store, in memory or in a part file.

package archiver

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"

	"convoso-archiver/archiver/store"
)

// bufferSize is how much of a body a worker holds in memory. Most recordings are smaller;
// a larger one goes to a part file of the store.
const bufferSize = 256 << 10

// body holds one recording until it is checked and stored: in its worker's buffer, or in a part
// file. It hashes what is written to it.
type body struct {
	newPart func() (*store.Part, error)
	buffer  []byte // of the worker; its content is not in the part yet
	part    *store.Part
	size    int64
	hash    hash.Hash
}

// newBody makes an empty body that uses buffer, which must not be used by others until discard.
func newBody(buffer []byte, newPart func() (*store.Part, error)) *body {
	return &body{newPart: newPart, buffer: buffer[:0], hash: sha256.New()}
}

// Write implements io.Writer.
func (b *body) Write(p []byte) (int, error) {
	if len(b.buffer)+len(p) > cap(b.buffer) {
		if err := b.flush(); err != nil {
			return 0, err
		}
	}
	if len(p) > cap(b.buffer) {
		if _, err := b.part.Write(p); err != nil {
			return 0, err
		}
	} else {
		b.buffer = append(b.buffer, p...)
	}
	b.hash.Write(p)
	b.size += int64(len(p))
	return len(p), nil
}

// flush moves the buffer to the part.
func (b *body) flush() error {
	if b.part == nil {
		part, err := b.newPart()
		if err != nil {
			return err
		}
		b.part = part
	}
	_, err := b.part.Write(b.buffer)
	b.buffer = b.buffer[:0]
	return err
}

// end marks the body as complete.
func (b *body) end() error {
	if b.part == nil {
		return nil
	}
	return b.flush()
}

func (b *body) sum() [32]byte { return [32]byte(b.hash.Sum(nil)) }

// reader returns what was written, from its start, once the body has ended.
func (b *body) reader() (io.ReadSeeker, error) {
	if b.part == nil {
		return bytes.NewReader(b.buffer), nil
	}
	if _, err := b.part.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return b.part, nil
}

// discard removes the part. It may be called more than once, also after the body was stored.
func (b *body) discard() {
	if b.part != nil {
		b.part.Discard()
	}
}
