package manifest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

const (
	segmentsAhead = 4
	readTries     = 3
	readPause     = time.Second
)

// readAhead opens the objects in the order of keys, the next few while one is read: segments are small, so
// that the time goes into waiting for the first byte. Only the body in turn is read, so memory stays flat.
func readAhead(ctx context.Context, objects Objects, keys []string) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var ahead []chan opened
		defer func() {
			cancel()
			for _, ch := range ahead {
				if o := <-ch; o.err == nil {
					_ = o.body.Close() // nobody read it
				}
			}
		}()
		for next, i := 0, 0; i < len(keys); i++ {
			for ; next < len(keys) && len(ahead) < segmentsAhead; next++ {
				ahead = append(ahead, openAsync(ctx, objects, keys[next]))
			}
			o := <-ahead[0]
			ahead = ahead[1:]
			if o.err != nil {
				yield(piece{}, o.err)
				return
			}
			more := yield(piece{name: keys[i], body: o.body}, nil)
			_ = o.body.Close() // only read from
			if !more {
				return
			}
		}
	}
}

type opened struct {
	body io.ReadCloser
	err  error
}

func openAsync(ctx context.Context, objects Objects, key string) chan opened {
	ch := make(chan opened, 1)
	go func() {
		body, err := objects.Get(ctx, key)
		if err != nil {
			ch <- opened{err: fmt.Errorf("read %s: %w", key, err)}
			return
		}
		ch <- opened{body: &segmentReader{ctx: ctx, objects: objects, key: key, body: body, tries: readTries}}
	}()
	return ch
}

// segmentReader reads an object through broken connections: segments never change, so what was read
// already can be read past.
type segmentReader struct {
	ctx     context.Context // of the reading of all segments
	objects Objects
	key     string
	body    io.ReadCloser
	off     int64
	broken  error // why body gives no more
	tries   int
}

func (r *segmentReader) Read(p []byte) (int, error) {
	for {
		if r.broken != nil {
			if err := r.reopen(r.broken); err != nil {
				return 0, err
			}
			r.broken = nil
		}
		n, err := r.body.Read(p)
		r.off += int64(n)
		if err == nil || err == io.EOF {
			return n, err
		}
		r.broken = err
		if n > 0 {
			return n, nil
		}
	}
}

// reopen gets the object again and skips what was read; cause is why the last body broke.
func (r *segmentReader) reopen(cause error) error {
	for r.tries > 1 {
		r.tries--
		select {
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		case <-time.After(readPause):
		}
		body, err := r.objects.Get(r.ctx, r.key)
		if err == nil {
			_, err = io.CopyN(io.Discard, body, r.off)
			if err == nil {
				_ = r.body.Close() // it is broken
				r.body = body
				return nil
			}
			err = errors.Join(err, body.Close())
		}
		cause = err
	}
	return fmt.Errorf("read %s: %w", r.key, cause)
}

func (r *segmentReader) Close() error { return r.body.Close() }
