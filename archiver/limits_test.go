package archiver

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"convoso-archiver/archiver/store"
)

func TestLimiterArchivesExactlySoMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 10
		l := newLimiter(most)
		var archived, begun, ended atomic.Int64
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for {
					if err := l.reserve(t.Context()); err != nil {
						if !errors.Is(err, errLimitReached) {
							t.Error(err)
						}
						ended.Add(1)
						return
					}
					good := begun.Add(1)%3 == 0
					if good {
						archived.Add(1)
					}
					l.release(good)
				}
			})
		}
		group.Wait()
		if archived.Load() != most || ended.Load() != 8 {
			t.Errorf("%d archived, %d workers ended", archived.Load(), ended.Load())
		}
	})
}

func TestLimiterEndsWithItsContext(t *testing.T) {
	l := newLimiter(1)
	_ = l.reserve(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.reserve(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// idle returns how many chunks are not lent.
func (p *chunkPool) idle() int { return len(p.free) + len(p.fresh)/chunkSize }

// fill appends content to a body, the way a download does.
func fill(b *body, content []byte) error {
	for len(content) > 0 {
		room, err := b.room()
		if err != nil {
			return err
		}
		n := copy(room, content)
		if err := b.take(n); err != nil {
			return err
		}
		content = content[n:]
	}
	return nil
}

// bodyOf returns a body with all of content in it, also beside an error.
func bodyOf(pool *chunkPool, newPart func() (*store.Part, error), content []byte) (*body, error) {
	b := newBody(pool, newPart)
	return b, cmp.Or(fill(b, content), b.end())
}

// TestBody writes bodies of sizes around every bound in pieces of odd sizes, with a
// pool that has room and one that has none, and reads them back.
func TestBody(t *testing.T) {
	disk, err := store.OpenDisk(t.TempDir(), store.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	for _, c := range []struct {
		chunks int
		moved  bool // to a part, after the first piece
	}{{chunks: 0}, {chunks: 1}, {chunks: 3}, {chunks: poolBytes / chunkSize}, {chunks: 0, moved: true}, {chunks: 1, moved: true}, {chunks: 3, moved: true}} {
		pool := newChunkPool(c.chunks * chunkSize)
		for _, size := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 3*chunkSize + 7, memoryLimit - 1, memoryLimit, memoryLimit + 1, memoryLimit + chunkSize} {
			content := make([]byte, size)
			random := rand.NewChaCha8([32]byte{byte(size)})
			_, _ = random.Read(content)
			b := newBody(pool, disk.NewPart)
			for rest := content; len(rest) > 0; {
				n := min(len(rest), 7001)
				if err := fill(b, rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
				if c.moved {
					if err := b.moveToPart(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := b.end(); err != nil {
				t.Fatal(err)
			}
			if c.moved && pool.idle() != c.chunks {
				t.Errorf("size %d: a body in a part holds memory", size)
			}
			if b.size != int64(size) || b.sum() != sha256.Sum256(content) {
				t.Errorf("size %d: size or sum differ", size)
			}
			for range 2 {
				reader, err := b.reader()
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, content) {
					t.Errorf("size %d with %d chunks, moved %t: read back %d bytes, %v", size, c.chunks, c.moved, len(got), err)
				}
			}
			b.discard()
			b.discard()
		}
		if pool.idle() != c.chunks {
			t.Errorf("%d chunks of %d came back", pool.idle(), c.chunks)
		}
	}
}

func TestChunkReader(t *testing.T) {
	content := make([]byte, chunkSize+100)
	for i := range content {
		content[i] = byte(i)
	}
	chunk := make([]byte, chunkSize)
	copy(chunk, content[chunkSize:])
	reader := &chunkReader{chunks: [][]byte{content[:chunkSize], chunk}, size: int64(len(content))}
	if err := iotest.TestReader(reader, content); err != nil {
		t.Error(err)
	}
}

func TestWithoutAny(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 100_000)
	for name, test := range map[string]struct {
		body []byte
		want bool
	}{
		"empty":    {nil, true},
		"without":  {long, true},
		"at end":   {append(bytes.Clone(long), "secret"...), false},
		"at start": {append([]byte("secret"), long...), false},
	} {
		for _, reader := range []io.Reader{bytes.NewReader(test.body), iotest.OneByteReader(bytes.NewReader(test.body))} {
			if got, err := withoutAny(reader, []string{"secret", "other"}); err != nil || got != test.want {
				t.Errorf("%s: %v %v", name, got, err)
			}
		}
	}
}
