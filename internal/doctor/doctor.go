// Package doctor looks at what archiving will need, from the token's rights to the free space, and tells
// what it saw as facts: it stores nothing and judges nothing.
package doctor

import (
	"context"
	"errors"
	"time"
)

// What one look may take. The looks at the vendor, the destination, folders and those who watch run side by side, so that
// all of them together end within a minute whatever hangs.
const (
	apiTime    = 20 * time.Second
	mediaTime  = 20 * time.Second
	bucketTime = 20 * time.Second
	folderTime = 20 * time.Second
	pingTime   = 10 * time.Second
	sizeTime   = 3 * time.Second // of it, for the size of a day
)

// ErrHangs says that the system did not return from a look at a folder, as at that of a server which is away.
var ErrHangs = errors.New("the file system does not answer")

// within returns what look returns, or ErrHangs when that takes too long: a system call cannot be cancelled.
func within[T any](ctx context.Context, limit time.Duration, look func() T) (seen T, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan T, 1)
	go func() { done <- look() }()
	select {
	case seen = <-done:
		return seen, nil
	case <-ctx.Done():
		return seen, ErrHangs
	}
}
