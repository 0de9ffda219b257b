// Package doctor looks at what archiving will need, from the token's rights to the free space, and tells
// what it saw as facts: it stores nothing and judges nothing.
package doctor

import (
	"context"
	"errors"
	"time"
)

// The time limits of examinations. Those of the vendor, the destination, folders and monitoring run in parallel, so all
// of them end within a minute, even if something hangs.
const (
	apiTime    = 20 * time.Second
	mediaTime  = 20 * time.Second
	bucketTime = 20 * time.Second
	folderTime = 20 * time.Second
	pingTime   = 10 * time.Second
	sizeTime   = 3 * time.Second // of this, for the size of a day
)

// ErrHangs means that a system call on a folder did not return, as with a network file system whose server is
// down.
var ErrHangs = errors.New("the file system does not answer")

// within returns the result of look, or ErrHangs if that takes too long: a system call cannot be cancelled.
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
