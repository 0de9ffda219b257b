// Reads one recording from the store and checks it.

package copier

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

const (
	tries      = 3
	firstPause = time.Second / 2 // before the second attempt
	maxTrouble = 8               // consecutive recordings with temporary read errors before the copy ends
	buffer     = 256 << 10       // bytes per read
)

// fetch reads a recording into a part. Without a part, the task has failed, or the error ends the copy.
func (c *Copy) fetch(t *task) (*part, error) {
	for try := 1; ; try++ {
		body, err := c.fetchOnce(t)
		if err == nil {
			c.trouble.Store(0)
			return body, nil
		}
		if cause := context.Cause(c.ctx); cause != nil {
			return nil, cause
		}
		var damage *damageError
		_, isFolders := errors.AsType[*FolderError](err)
		switch {
		case isFolders:
			return nil, err
		case errors.As(err, &damage):
			t.fail(true, damage.err)
			return nil, nil
		case errors.Is(err, fs.ErrNotExist):
			return nil, c.failMissing(t)
		case c.o.Passing == nil || !c.o.Passing(err):
			t.fail(false, withoutPath(err))
			return nil, nil
		case try == tries:
			t.fail(false, withoutPath(err))
			if n := c.trouble.Add(1); n >= maxTrouble { // then the store fails
				return nil, fmt.Errorf("%d recordings in a row cannot be read: %w", n, err)
			}
			return nil, nil
		}
		select {
		case <-time.After(firstPause << (try - 1)):
		case <-c.ctx.Done():
		}
	}
}

// failMissing leaves out a recording whose file is missing. One that was removed on purpose is no damage.
func (c *Copy) failMissing(t *task) error {
	removed := false
	if c.o.Removed != nil {
		var err error
		if removed, err = c.o.Removed(c.ctx, t.call.Day, t.rec.ID, t.call.ID); err != nil {
			return err
		}
	}
	if removed {
		t.fail(false, errors.New("it was erased, or its retention ended, during this search"))
	} else {
		t.fail(true, errors.New("file missing"))
	}
	return nil
}

// damageError means that the bytes differ from the noted ones.
type damageError struct{ err error }

// Error implements error.
func (e *damageError) Error() string { return e.err.Error() }

func (c *Copy) fetchOnce(t *task) (*part, error) {
	to, err := c.readPart(t)
	if err != nil {
		return nil, err
	}
	if err := to.sync(); err != nil {
		to.discard()
		return nil, err
	}
	return to, nil
}

func (c *Copy) readPart(t *task) (*part, error) {
	c.read <- struct{}{}
	defer func() { <-c.read }()
	from, err := c.o.Source.Open(c.ctx, t.rec.Key)
	if err != nil {
		return nil, err
	}
	defer from.Close() // read only
	to, err := c.folder.newPart()
	if err != nil {
		return nil, err
	}
	if err := c.transfer(to, from, t); err != nil {
		to.discard()
		return nil, err
	}
	return to, nil
}

func (c *Copy) transfer(to *part, from io.Reader, t *task) error {
	noted := t.rec.State
	hash := sha256.New()
	var size int64
	for chunk := make([]byte, min(buffer, noted.Size+1)); ; {
		if err := context.Cause(c.ctx); err != nil {
			return err
		}
		n, readErr := from.Read(chunk)
		if size += int64(n); size > noted.Size {
			return &damageError{errors.New("size mismatch: it is larger than the manifest says")}
		}
		hash.Write(chunk[:n])
		c.bytes.Add(int64(n))
		if _, err := to.file.Write(chunk[:n]); err != nil {
			return folderError("write a copy", err)
		}
		if errors.Is(readErr, io.EOF) {
			break
		}
		if readErr != nil {
			return readErr
		}
	}
	if size != noted.Size {
		return &damageError{wrongBytes(size, noted.Size)}
	}
	if [32]byte(hash.Sum(nil)) != noted.SHA256 {
		return &damageError{errors.New("checksum mismatch: its SHA-256 differs from the manifest's")}
	}
	return nil
}
