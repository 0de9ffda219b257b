// Writes lines into a bucket, a whole file at a time.

package manifest

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"
)

// maxBuffer is how many bytes of a day's lines are buffered before they are stored.
const maxBuffer = 1 << 20

// bucket is the writer of a bucket. It buffers lines in memory and stores them as complete
// segments.
type bucket struct {
	objects  Objects
	run      string
	erasures func(context.Context) (*Erasures, error) // current state
	expired  func(ctx context.Context, day string, only func(string) bool) (map[string]*ExpiryRecord, error)
	leaveOut func(Recording) // called for erased recordings that are not stored

	mu   sync.Mutex
	days map[string]*dayBuffers
}

type dayBuffers struct {
	putting sync.Mutex // held while segments are put
	calls   buffer
	records buffer
}

// buffer holds lines of a day in one tree.
type buffer struct {
	lines []byte // guarded by bucket.mu

	// Guarded by dayBuffers.putting.
	n     int    // number of the last segment
	chunk []byte // lines of the next segment; nil for none. They do not change until they are stored or erased
}

func (b *bucket) day(day string) *dayBuffers {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.days[day]
	if d == nil {
		d = &dayBuffers{}
		b.days[day] = d
	}
	return d
}

// append returns ErrUnflushed if the lines were accepted but could not be stored.
func (b *bucket) append(ctx context.Context, tree, day string, lines []byte) error {
	d := b.day(day)
	buf := &d.records
	if tree == treeCalls {
		buf = &d.calls
	}
	b.mu.Lock()
	buf.lines = append(buf.lines, lines...)
	isFull := len(buf.lines) >= maxBuffer
	b.mu.Unlock()
	if !isFull {
		return nil
	}
	if err := b.flush(ctx, day); err != nil {
		return fmt.Errorf("%w: %w", ErrUnflushed, err)
	}
	return nil
}

func (b *bucket) flush(ctx context.Context, day string) error {
	if day != "" {
		return b.flushDay(ctx, day)
	}
	b.mu.Lock()
	days := slices.Sorted(maps.Keys(b.days))
	b.mu.Unlock()
	var errs []error
	for _, day := range days {
		errs = append(errs, b.flushDay(ctx, day))
	}
	return errors.Join(errs...)
}

func (b *bucket) seal(ctx context.Context, day string) error { return b.flush(ctx, day) }

func (b *bucket) close(ctx context.Context) error { return b.flush(ctx, "") }

// flushDay stores the lines of a day that are buffered at the time of the call, call rows before the recordings
// that need them. Both may have a chunk that an earlier flush could not store, and newer lines.
func (b *bucket) flushDay(ctx context.Context, day string) error {
	d := b.day(day)
	d.putting.Lock()
	defer d.putting.Unlock()
	for range 2 {
		// The recordings are taken first: rows that are noted from now on belong to recordings that are noted
		// later.
		b.take(&d.records)
		for range 2 {
			b.take(&d.calls)
			if err := b.put(ctx, &d.calls, TreeCalls, day, extGzip); err != nil {
				return err
			}
		}
		if err := b.put(ctx, &d.records, TreeManifest, day, extPlain); err != nil {
			return err
		}
	}
	return nil
}

// take turns the buffered lines into the next chunk, if there is none.
func (b *bucket) take(buf *buffer) {
	if buf.chunk != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	buf.chunk, buf.lines = buf.lines, nil
}

func gzipped(lines []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(lines) // a bytes.Buffer never fails
	_ = w.Close()
	return out.Bytes()
}

// put stores the chunk as a separate segment, without recordings erased since its lines were noted. If the name is
// taken by the same bytes, the reply to an earlier attempt was lost; for other bytes it uses the next number.
func (b *bucket) put(ctx context.Context, buf *buffer, tree Tree, day, ext string) error {
	for buf.chunk != nil {
		erasures, err := b.erasures(ctx)
		if err != nil {
			return err
		}
		chunk, err := erasures.without(buf.chunk, tree)
		if err != nil {
			return fmt.Errorf("remove erased lines of %s: %w", day, err)
		}
		if tree == TreeManifest && len(chunk) != len(buf.chunk) {
			erasures.leaveOutOf(buf.chunk, b.leaveOut)
		}
		if tree == TreeManifest {
			expired, err := b.expired(ctx, day, nil)
			if err == nil {
				chunk, err = withoutExpired(chunk, expired, b.leaveOut)
			}
			if err != nil {
				return fmt.Errorf("leave out what has expired of %s: %w", day, err)
			}
		}
		if buf.chunk = chunk; chunk == nil {
			return nil
		}
		name := segmentFile(string(tree), day, b.run, buf.n+1, ext)
		body := packed(name, buf.chunk)
		stored := body
		err = b.objects.PutFile(ctx, name, stored, "")
		if errors.Is(err, fs.ErrExist) {
			stored, _, err = readFile(ctx, b.objects, name)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		buf.n++
		if bytes.Equal(stored, body) {
			buf.chunk = nil
		}
	}
	return nil
}

func (b *bucket) settle(string) error { return nil }

// cut rewrites a segment: only a segment copied into the bucket has a torn tail. Tails cut earlier are kept.
func (b *bucket) cut(ctx context.Context, name string, size int64) error {
	data, tag, err := readFile(ctx, b.objects, name)
	if err != nil {
		return err
	}
	if size > int64(len(data)) {
		return fmt.Errorf("remove incomplete line of %s: %w", name, io.ErrUnexpectedEOF)
	}
	err = b.objects.PutFile(ctx, name+".torn", append(bytes.Clone(data[size:]), '\n'), "")
	if err == nil || errors.Is(err, fs.ErrExist) {
		err = b.objects.PutFile(ctx, name, data[:size], tag)
	}
	if err != nil {
		return fmt.Errorf("remove incomplete line of %s: %w", name, err)
	}
	return nil
}
