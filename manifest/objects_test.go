package manifest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
)

var errServer = errors.New("503 slow down")

// memoryObjects is a bucket in memory that fails when told to. What the real store does is tested there.
type memoryObjects struct {
	mu      sync.Mutex
	objects map[string][]byte
	puts    []string // keys in the order in which they were stored
	gets    int
	lists   int

	put func(key string) error                             // before storing; nil: none
	got func(key string) error                             // after storing: the reply is lost
	get func(key string, body io.ReadCloser) io.ReadCloser // wraps what is read
}

func newObjects() *memoryObjects { return &memoryObjects{objects: map[string][]byte{}} }

func (m *memoryObjects) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gets++
	data, ok := m.objects[key]
	if !ok {
		return nil, fmt.Errorf("get object: %w", fs.ErrNotExist)
	}
	body := io.NopCloser(bytes.NewReader(data))
	if m.get != nil {
		body = m.get(key, body)
	}
	return body, ctx.Err()
}

func (m *memoryObjects) PutObject(ctx context.Context, key string, body io.ReadSeeker, size int64, overwrite bool) error {
	data, err := io.ReadAll(body)
	if err != nil || int64(len(data)) != size {
		return fmt.Errorf("body of %d bytes, said to be %d: %w", len(data), size, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if m.put != nil {
		if err := m.put(key); err != nil {
			return err
		}
	}
	if _, ok := m.objects[key]; ok && !overwrite {
		return fmt.Errorf("put object: %w", fs.ErrExist)
	}
	m.objects[key] = data
	m.puts = append(m.puts, key)
	if m.got != nil {
		return m.got(key)
	}
	return nil
}

func (m *memoryObjects) ListKeys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lists++
	keys := slices.Sorted(maps.Keys(m.objects))
	return func(yield func(string, error) bool) {
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) && !yield(key, ctx.Err()) {
				return
			}
		}
	}
}

func (m *memoryObjects) keys(prefix string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m.objects)), func(key string) bool { return !strings.HasPrefix(key, prefix) })
}

func (m *memoryObjects) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// brokenBody fails after some bytes.
type brokenBody struct {
	io.Reader
	left int
}

func (b *brokenBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errServer
	}
	n, err := b.Reader.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

func (b *brokenBody) Close() error { return nil }
