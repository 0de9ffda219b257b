package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/manifest"
)

// memory is a bucket, which calls before ahead of each put.
type memory struct {
	files  map[string][]byte
	n      map[string]int // how often each was written
	before func(name string)
}

type memoryFile struct {
	fs.FileInfo
	name string
	size int
}

func (f memoryFile) Name() string       { return f.name }
func (f memoryFile) Size() int64        { return int64(f.size) }
func (f memoryFile) ModTime() time.Time { return time.Time{} }

func (m *memory) GetFile(_ context.Context, name string) (io.ReadCloser, string, error) {
	body, ok := m.files[name]
	if !ok {
		return nil, "", fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(body)), fmt.Sprint(m.n[name]), nil
}

func (m *memory) PutFile(_ context.Context, name string, body []byte, ifTag string) error {
	if m.before != nil {
		m.before(name)
	}
	if _, there := m.files[name]; there != (ifTag != "") || there && fmt.Sprint(m.n[name]) != ifTag {
		return fs.ErrExist
	}
	m.files[name] = bytes.Clone(body)
	m.n[name]++
	return nil
}

func (m *memory) ListFiles(_ context.Context, prefix string) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) {
		for _, name := range slices.Sorted(func(yield func(string) bool) {
			for name := range m.files {
				if strings.HasPrefix(name, prefix) && !yield(name) {
					return
				}
			}
		}) {
			if !yield(memoryFile{name: name, size: len(m.files[name])}, nil) {
				return
			}
		}
	}
}

// TestTwoSealings makes another seal at each step of the first one, in a bucket: one of the two wins, and the result is
// signed.
func TestTwoSealings(t *testing.T) {
	for _, moment := range []struct {
		name string
		nth  int // of the puts of that name
	}{{sigName(1), 1}, {sealName(1), 1}} {
		for _, firstFails := range []bool{false, true} {
			m := &memory{files: map[string][]byte{}, n: map[string]int{}}
			l, err := manifest.OpenBucket(m, manifest.Options{})
			if err != nil {
				t.Fatal(err)
			}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			now := time.Date(2026, 3, 10, 9, 0, 0, 0, time.UTC)
			must(l.SaveArchive(t.Context(), manifest.Archive{TimeZone: "UTC"}))
			d, err := l.Load(t.Context(), "2026-03-01")
			must(err)
			must(d.Note(t.Context(), manifest.Recording{RecordingID: "r", Outcome: manifest.Lost, Time: now, Final: true}))
			must(d.Close(t.Context(), manifest.DayLine{Kept: []string{"calls", "recordings"}, ListedAt: now, Time: now}))
			a, b := newSigner(t), newSigner(t)
			other := func() error {
				_, err := (&Sealing{Ledger: l, Signer: b, Now: now}).Run(t.Context())
				return err
			}
			var otherErr error
			m.before = func(name string) {
				if name != moment.name {
					return
				}
				m.before = nil
				if firstFails { // it dies between its signature and its seal
					sealText := []byte("left")
					must(m.PutFile(t.Context(), sigName(1), sealText, tagOf(m, sigName(1))))
					return
				}
				otherErr = other()
			}
			_, err = (&Sealing{Ledger: l, Signer: a, Now: now}).Run(t.Context())
			if !firstFails && (err == nil) == (otherErr == nil) {
				t.Errorf("%s: both say %v and %v", moment.name, err, otherErr)
			}
			if err != nil {
				if _, ok := errors.AsType[*ChainError](err); !ok {
					t.Errorf("%s: %v", moment.name, err)
				}
			}
			seals, _, err := load(t.Context(), m)
			must(err)
			if len(seals) != 1 || !isSigned(&seals[0]) {
				t.Errorf("%s, other dies %t: %d seals, signed %t", moment.name, firstFails, len(seals), len(seals) > 0 && isSigned(&seals[0]))
			}
		}
	}
}

func tagOf(m *memory, name string) string {
	if m.n[name] == 0 {
		return ""
	}
	return fmt.Sprint(m.n[name])
}
