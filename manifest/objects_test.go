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
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var errServer = errors.New("503 slow down")

// memoryObjects is a bucket in memory that fails on demand. The real store runs in TestOnS3.
type memoryObjects struct {
	mu      sync.Mutex
	objects map[string]object
	written int
	puts    []string // names in the order in which they were stored
	gets    int
	lists   int

	put func(name string) error                             // before storing; nil: none
	got func(name string) error                             // after storing: the reply is lost
	get func(name string, body io.ReadCloser) io.ReadCloser // wraps bodies
}

type object struct {
	data []byte
	tag  string
}

func newObjects() *memoryObjects { return &memoryObjects{objects: map[string]object{}} }

func (m *memoryObjects) GetFile(ctx context.Context, name string) (io.ReadCloser, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gets++
	o, ok := m.objects[name]
	if !ok {
		return nil, "", fmt.Errorf("get object: %w", fs.ErrNotExist)
	}
	body := io.NopCloser(bytes.NewReader(o.data))
	if m.get != nil {
		body = m.get(name, body)
	}
	return body, o.tag, ctx.Err()
}

func (m *memoryObjects) PutFile(ctx context.Context, name string, body []byte, ifTag string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if m.put != nil {
		if err := m.put(name); err != nil {
			return err
		}
	}
	if m.objects[name].tag != ifTag {
		return fmt.Errorf("put object: %w", fs.ErrExist)
	}
	m.set(name, body)
	m.puts = append(m.puts, name)
	if m.got != nil {
		return m.got(name)
	}
	return nil
}

// set stores an object; m.mu is held.
func (m *memoryObjects) set(name string, data []byte) {
	m.written++
	m.objects[name] = object{bytes.Clone(data), fmt.Sprintf(`"%d"`, m.written)}
}

// objectInfo is one entry of a listing.
type objectInfo struct {
	name string
	size int64
}

func (o objectInfo) Name() string       { return o.name }
func (o objectInfo) Size() int64        { return o.size }
func (o objectInfo) Mode() fs.FileMode  { return 0o600 }
func (o objectInfo) ModTime() time.Time { return noon }
func (o objectInfo) IsDir() bool        { return false }
func (o objectInfo) Sys() any           { return nil }

func (m *memoryObjects) ListFiles(ctx context.Context, prefix string) iter.Seq2[fs.FileInfo, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lists++
	var found []objectInfo
	for _, name := range slices.Sorted(maps.Keys(m.objects)) {
		if strings.HasPrefix(name, prefix) {
			found = append(found, objectInfo{name, int64(len(m.objects[name].data))})
		}
	}
	return func(yield func(fs.FileInfo, error) bool) {
		for _, info := range found {
			if !yield(info, ctx.Err()) {
				return
			}
		}
	}
}

func (m *memoryObjects) names(prefix string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m.objects)), func(name string) bool { return !strings.HasPrefix(name, prefix) })
}

// locked changes the bucket from outside the ledger.
func (m *memoryObjects) locked(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// place is an archive in a folder or a bucket, for tests that cover both.
type place struct {
	name    string
	dir     string         // "" for a bucket
	objects *memoryObjects // nil for a folder and for a real server
	s3      Objects        // a real server
}

// places returns one place of each kind.
func places(t *testing.T) []place {
	return []place{{name: "disk", dir: t.TempDir()}, {name: "bucket", objects: newObjects()}}
}

// inPlaces runs a test on each kind of archive.
func inPlaces(t *testing.T, test func(t *testing.T, p place)) {
	t.Helper()
	for _, p := range places(t) {
		t.Run(p.name, func(t *testing.T) { test(t, p) })
	}
}

// open opens the ledger; it is closed when the test ends.
func (p place) open(t testing.TB, o Options) *Ledger {
	t.Helper()
	if p.dir != "" {
		return openDir(t, p.dir, o)
	}
	l, err := OpenBucket(p.bucket(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

// bucket returns the place as Objects.
func (p place) bucket() Objects {
	if p.s3 != nil {
		return p.s3
	}
	return p.objects
}

// store returns a place of either kind as Objects.
func (p place) store(t testing.TB) Objects {
	if p.dir != "" {
		return disk{openRoot(t, p.dir)}
	}
	return p.bucket()
}

// files returns every file below a prefix with its bytes.
func (p place) files(t testing.TB, prefix string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	objects := p.store(t)
	for _, tree := range []string{"manifest/", "calls/", "evidence/"} {
		for info, err := range objects.ListFiles(t.Context(), tree) {
			if err == nil && info.Name() != lockFile {
				all[info.Name()], _, err = readFile(t.Context(), objects, info.Name())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	maps.DeleteFunc(all, func(name string, _ []byte) bool { return !strings.HasPrefix(name, prefix) })
	return all
}

// write writes a file, replacing an existing one.
func (p place) write(t testing.TB, name string, data []byte) {
	t.Helper()
	if p.objects != nil {
		p.objects.locked(func() { p.objects.set(name, data) })
		return
	}
	if p.s3 != nil {
		_, tag, err := readFile(t.Context(), p.s3, name)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			err = p.s3.PutFile(t.Context(), name, data, tag)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	writeFile(t, filepath.Join(p.dir, filepath.FromSlash(name)), data)
}

func (p place) remove(t testing.TB, name string) {
	t.Helper()
	if p.objects != nil {
		p.objects.locked(func() { delete(p.objects.objects, name) })
		return
	}
	if err := os.Remove(filepath.Join(p.dir, filepath.FromSlash(name))); err != nil {
		t.Fatal(err)
	}
}

// copyTo copies an archive file by file.
func (p place) copyTo(t testing.TB, to place) {
	t.Helper()
	for name, data := range p.files(t, "") {
		to.write(t, name, data)
	}
}

// readTestdata copies a fixture into the place.
func (p place) readTestdata(t testing.TB, name string) {
	t.Helper()
	dir := filepath.Join("testdata", name)
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		if err == nil {
			p.write(t, filepath.ToSlash(rel), fileBytes(t, file))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
