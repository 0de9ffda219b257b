// Package storetest is the one suite that every place where recordings are kept must
// pass. What it asks for is what package store promises.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"convoso-archiver/archiver/store"
)

// Store is what is tested.
type Store interface {
	Put(ctx context.Context, o store.Object) (store.Stored, error)
	Find(ctx context.Context, keys []string, recordingID string) (store.Stored, bool, error)
	NewPart() (*store.Part, error)
	Stat(ctx context.Context, key string) (store.Info, error)
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	List(ctx context.Context, prefix string) iter.Seq2[store.Info, error]
	Close() error
}

// Owner is what a manifest knows about keys. A store that can tell itself whose an
// object is has no use for it.
type Owner func(ctx context.Context, key string) (recordingID string, err error)

// Opener opens a store over one place, which is empty at first. Opening it again is
// what the next run does.
type Opener func(t *testing.T, owner Owner) Store

// Run runs the suite. place makes a new, empty place for each test.
func Run(t *testing.T, place func(t *testing.T) Opener) {
	for name, test := range map[string]func(*testing.T, Opener){
		"sizes":             testSizes,
		"parts":             testParts,
		"keys":              testKeys,
		"refused keys":      testRefusedKeys,
		"refused objects":   testRefusedObjects,
		"missing":           testMissing,
		"taken":             testTaken,
		"taken to the last": testAllTaken,
		"adopted":           testAdopted,
		"same bytes":        testSameBytesOfAnother,
		"find":              testFind,
		"race":              testRace,
		"race of one":       testRaceOfOne,
		"cancelled":         testCancelled,
		"list":              testList,
	} {
		t.Run(name, func(t *testing.T) { test(t, place(t)) })
	}
}

// Body returns size bytes that depend on the seed alone.
func Body(seed uint64, size int) []byte {
	body := make([]byte, size)
	source := rand.NewChaCha8([32]byte{0: byte(seed), 1: byte(seed >> 8)})
	_, _ = source.Read(body) // it never fails
	return body
}

// Object makes an object with a body in memory.
func Object(recordingID string, body []byte, keys ...string) store.Object {
	return store.Object{
		Keys: keys, Body: bytes.NewReader(body), Size: int64(len(body)), SHA256: sha256.Sum256(body),
		ContentType: "audio/mpeg", RecordingID: recordingID, CallID: "call-of-" + recordingID,
	}
}

func open(t *testing.T, o Opener, owner Owner) Store {
	t.Helper()
	if owner == nil {
		owner = func(context.Context, string) (string, error) { return "", nil }
	}
	s := o(t, owner)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// retried stores as the archiver does, which tries again what may pass.
func retried(ctx context.Context, s Store, o store.Object) (stored store.Stored, err error) {
	for range 50 {
		if stored, err = s.Put(ctx, o); !store.IsRetriable(err) {
			break
		}
	}
	return stored, err
}

func put(t *testing.T, s Store, o store.Object) store.Stored {
	t.Helper()
	stored, err := s.Put(t.Context(), o)
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	if stored.Size != o.Size || stored.SHA256 != o.SHA256 {
		t.Errorf("put returned size %d and hash %x, want %d and %x", stored.Size, stored.SHA256, o.Size, o.SHA256)
	}
	return stored
}

// wantObject checks that a key holds a body and nothing else.
func wantObject(t *testing.T, s Store, key string, body []byte) {
	t.Helper()
	info, err := s.Stat(t.Context(), key)
	if err != nil {
		t.Fatalf("stat: %v", err)
	}
	if info.Key != key || info.Size != int64(len(body)) || info.ModTime.IsZero() {
		t.Errorf("stat gives %+v, want size %d", info, len(body))
	}
	if sum := sha256.Sum256(body); info.SHA256 != [32]byte{} && info.SHA256 != sum {
		t.Errorf("stat gives hash %x, want %x", info.SHA256, sum)
	}
	r, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("read: %v", err)
	}
	if !bytes.Equal(got, body) {
		t.Errorf("read %d bytes that differ from the %d stored", len(got), len(body))
	}
}

// wantKeys checks which objects there are.
func wantKeys(t *testing.T, s Store, prefix string, want ...string) {
	t.Helper()
	var got []string
	for info, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		if info.Size < 1 || info.ModTime.IsZero() {
			t.Errorf("list gives %+v", info)
		}
		got = append(got, info.Key)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("list %q gives %q, want %q", prefix, got, want)
	}
}

func testSizes(t *testing.T, o Opener) {
	s := open(t, o, nil)
	for _, size := range []int{1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 3<<20 + 1} {
		key := fmt.Sprintf("size-%d.mp3", size)
		body := Body(uint64(size), size)
		object := Object(key, body, key)
		if _, err := object.Body.Seek(1, io.SeekStart); err != nil { // Put must not care
			t.Fatal(err)
		}
		if stored := put(t, s, object); stored.Key != key || stored.Adopted {
			t.Errorf("put returned %+v", stored)
		}
		wantObject(t, s, key, body)
	}
}

func newPart(t *testing.T, s Store, body []byte) *store.Part {
	t.Helper()
	part, err := s.NewPart()
	if err != nil {
		t.Fatalf("new part: %v", err)
	}
	t.Cleanup(part.Discard)
	for chunk := range slices.Chunk(body, 64<<10) {
		if n, err := part.Write(chunk); n != len(chunk) || err != nil {
			t.Fatalf("write part: %d, %v", n, err)
		}
	}
	return part
}

func testParts(t *testing.T, o Opener) {
	s := open(t, o, nil)
	body := Body(1, 5<<20+3)
	object := Object("rec-1", body, "a/part.mp3")
	part := newPart(t, s, body)
	if part.Size() != int64(len(body)) {
		t.Errorf("the part has %d bytes, want %d", part.Size(), len(body))
	}
	read, err := io.ReadAll(part)
	if err != nil || !bytes.Equal(read, body) {
		t.Errorf("read %d bytes back from the part, %v", len(read), err)
	}
	object.Body = part
	if stored := put(t, s, object); stored.Key != "a/part.mp3" || stored.Adopted {
		t.Errorf("put returned %+v", stored)
	}
	part.Discard()
	wantObject(t, s, "a/part.mp3", body)

	// The same again, and one that is taken.
	object.Body = newPart(t, s, body)
	if stored := put(t, s, object); !stored.Adopted {
		t.Errorf("put of the same recording returned %+v", stored)
	}
	other := Body(2, 2<<20)
	object = Object("rec-2", other, "a/part.mp3", "a/part-rec-2.mp3")
	object.Body = newPart(t, s, other)
	if stored := put(t, s, object); stored.Key != "a/part-rec-2.mp3" || stored.Adopted {
		t.Errorf("put of another recording returned %+v", stored)
	}
	wantObject(t, s, "a/part.mp3", body)
	wantObject(t, s, "a/part-rec-2.mp3", other)

	// Given up.
	newPart(t, s, body).Discard()
	short := Object("rec-3", body, "a/short.mp3")
	short.Body = newPart(t, s, body[1:])
	if _, err := s.Put(t.Context(), short); err == nil {
		t.Error("a part shorter than its size was stored")
	}
	wantKeys(t, s, "", "a/part.mp3", "a/part-rec-2.mp3")
}

func testKeys(t *testing.T, o Opener) {
	s := open(t, o, nil)
	keys := []string{
		"a b.mp3", "a+b.mp3", "a%2Fb.mp3", "a%20b.mp3", "50% off?.mp3", "a&b=c;d.mp3", "it's (1) #2!.mp3", "~x@y,z$.mp3",
		"Zoë Müller 山田.mp3", "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p.mp3", strings.Repeat("x", 251) + ".mp3",
		strings.Repeat("é", 127) + "/" + strings.Repeat("y", 255), "quarantine/2025-05-01/x", "noextension",
		"manifest-of-mine/x.mp3", "callsheet.mp3", "a/manifest/x.mp3", "a/.hidden",
	}
	for i, key := range keys {
		body := Body(uint64(i), 100+i)
		if stored := put(t, s, Object(key, body, key)); stored.Key != key {
			t.Errorf("stored under %q, want %q", stored.Key, key)
		}
	}
	for i, key := range keys {
		wantObject(t, s, key, Body(uint64(i), 100+i))
	}
	wantKeys(t, s, "", keys...)
}

func testRefusedKeys(t *testing.T, o Opener) {
	s := open(t, o, nil)
	for _, key := range []string{
		"", ".", "..", "../x", "a/../../x", "/etc/x", "a//b", "a/", "./a", "a/./b", "a\x00b", "a\nb", "\xff.mp3",
		"manifest/2025-05-01.jsonl", "manifest", "Manifest/x", "manifest./x", "calls/2025-05-01.jsonl", "CALLS /x",
		".tmp/x", ".hidden", ".../x",
	} {
		for _, keys := range [][]string{{key}, {"fine.mp3", key}} {
			if _, err := s.Put(t.Context(), Object("rec", Body(1, 10), keys...)); !errors.Is(err, store.ErrBadKey) {
				t.Errorf("put %q: %v, want ErrBadKey", keys, err)
			}
		}
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, store.ErrBadKey) {
			t.Errorf("stat %q: %v, want ErrBadKey", key, err)
		}
		if r, err := s.Open(t.Context(), key); !errors.Is(err, store.ErrBadKey) {
			t.Errorf("open %q: %v, %v, want ErrBadKey", key, r, err)
		}
		if _, _, err := s.Find(t.Context(), []string{key}, "rec"); !errors.Is(err, store.ErrBadKey) {
			t.Errorf("find %q: %v, want ErrBadKey", key, err)
		}
	}
	wantKeys(t, s, "")
}

func testRefusedObjects(t *testing.T, o Opener) {
	s := open(t, o, nil)
	body := Body(1, 1000)
	for name, spoil := range map[string]func(*store.Object){
		"no key":     func(o *store.Object) { o.Keys = nil },
		"no id":      func(o *store.Object) { o.RecordingID = "" },
		"empty":      func(o *store.Object) { o.Body, o.Size = bytes.NewReader(nil), 0 },
		"too short":  func(o *store.Object) { o.Body = bytes.NewReader(body[1:]) },
		"too long":   func(o *store.Object) { o.Body = bytes.NewReader(append(slices.Clone(body), 0)) },
		"wrong hash": func(o *store.Object) { o.SHA256[0]++ },
	} {
		object := Object("rec", body, "x.mp3")
		spoil(&object)
		if stored, err := s.Put(t.Context(), object); err == nil || errors.Is(err, store.ErrUnusable) {
			t.Errorf("%s: put returned %+v, %v", name, stored, err)
		}
	}
	wantKeys(t, s, "")
}

func testMissing(t *testing.T, o Opener) {
	s := open(t, o, nil)
	put(t, s, Object("rec", Body(1, 10), "a.mp3"))
	for _, key := range []string{"missing.mp3", "no/such/folder.mp3", "a.mp3/below"} {
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("stat: %v, want fs.ErrNotExist", err)
		}
		if r, err := s.Open(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open: %v, %v, want fs.ErrNotExist", r, err)
		}
		if _, found, err := s.Find(t.Context(), []string{key}, "rec"); found || err != nil {
			t.Errorf("find: %v, %v", found, err)
		}
		wantKeys(t, s, key)
	}
}

func testTaken(t *testing.T, o Opener) {
	first, second := Body(1, 5000), Body(2, 5000)
	s := open(t, o, nil)
	put(t, s, Object("rec-1", first, "name.mp3", "name-rec-1.mp3"))
	stored := put(t, s, Object("rec-2", second, "name.mp3", "name-rec-2.mp3"))
	if stored.Key != "name-rec-2.mp3" || stored.Adopted {
		t.Errorf("put returned %+v", stored)
	}
	wantObject(t, s, "name.mp3", first)
	wantObject(t, s, "name-rec-2.mp3", second)
}

func testAllTaken(t *testing.T, o Opener) {
	s := open(t, o, nil)
	put(t, s, Object("rec-1", Body(1, 500), "name.mp3"))
	put(t, s, Object("rec-2", Body(2, 500), "name-rec-3.mp3"))
	_, err := s.Put(t.Context(), Object("rec-3", Body(3, 500), "name.mp3", "name-rec-3.mp3"))
	if !errors.Is(err, store.ErrKeyTaken) || store.IsRetriable(err) || errors.Is(err, store.ErrUnusable) {
		t.Errorf("put: %v, want ErrKeyTaken", err)
	}
	wantKeys(t, s, "", "name.mp3", "name-rec-3.mp3")
}

func testAdopted(t *testing.T, o Opener) {
	body := Body(1, 70_000)
	object := Object("rec ü/1%", body, "name.mp3", "name-rec-1.mp3")
	put(t, open(t, o, nil), object)
	for name, owner := range map[string]string{"no line": "", "own line": "rec ü/1%"} {
		s := open(t, o, func(context.Context, string) (string, error) { return owner, nil })
		if stored := put(t, s, object); !stored.Adopted || stored.Key != "name.mp3" {
			t.Errorf("%s: put returned %+v", name, stored)
		}
		wantObject(t, s, "name.mp3", body)
		wantKeys(t, s, "", "name.mp3")
	}
}

func testSameBytesOfAnother(t *testing.T, o Opener) {
	body := Body(1, 70_000)
	s := open(t, o, func(_ context.Context, key string) (string, error) {
		if key == "name.mp3" {
			return "rec-1", nil
		}
		return "", nil
	})
	put(t, s, Object("rec-1", body, "name.mp3"))
	stored := put(t, s, Object("rec-2", body, "name.mp3", "name-rec-2.mp3"))
	if stored.Key != "name-rec-2.mp3" || stored.Adopted {
		t.Errorf("put returned %+v", stored)
	}
	wantKeys(t, s, "", "name.mp3", "name-rec-2.mp3")
}

func testFind(t *testing.T, o Opener) {
	owner := map[string]string{"noted.mp3": "rec-1"}
	s := open(t, o, func(_ context.Context, key string) (string, error) { return owner[key], nil })
	body := Body(1, 70_000)
	put(t, s, Object("rec-1", Body(2, 10), "noted.mp3"))
	put(t, s, Object("rec-2", body, "noted.mp3", "noted-rec-2.mp3"))
	stored, found, err := s.Find(t.Context(), []string{"noted.mp3", "noted-rec-2.mp3"}, "rec-2")
	if err != nil || !found {
		t.Fatalf("find: %v, %v", found, err)
	}
	if stored.Key != "noted-rec-2.mp3" || !stored.Adopted || stored.Size != 70_000 || stored.SHA256 != sha256.Sum256(body) {
		t.Errorf("found %+v", stored)
	}
	if stored, found, err = s.Find(t.Context(), []string{"noted.mp3", "noted-rec-3.mp3"}, "rec-3"); err != nil || found {
		t.Errorf("find of one never stored: %+v, %v, %v", stored, found, err)
	}
	if stored, found, err = s.Find(t.Context(), []string{"noted.mp3"}, "rec-1"); err != nil || !found || stored.Key != "noted.mp3" {
		t.Errorf("find of one that is noted: %+v, %v, %v", stored, found, err)
	}
}

// testRace has many recordings ask for one name at once.
func testRace(t *testing.T, o Opener) {
	const racers = 12
	s := open(t, o, nil)
	var wg sync.WaitGroup
	results, errs := make([]store.Stored, racers), make([]error, racers)
	for i := range racers {
		wg.Go(func() {
			id := fmt.Sprintf("rec-%d", i)
			object := Object(id, Body(uint64(i), 30_000), "day/name.mp3", "day/name-"+id+".mp3")
			results[i], errs[i] = retried(t.Context(), s, object)
		})
	}
	wg.Wait()
	winners := 0
	for i, stored := range results {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if stored.Adopted {
			t.Errorf("racer %d adopted another's object", i)
		}
		if stored.Key == "day/name.mp3" {
			winners++
		}
		wantObject(t, s, stored.Key, Body(uint64(i), 30_000))
	}
	if winners != 1 {
		t.Errorf("%d recordings have the name, want 1", winners)
	}
}

// testRaceOfOne stores one recording several times at once, as two runs may.
func testRaceOfOne(t *testing.T, o Opener) {
	const racers = 6
	stores := []Store{open(t, o, nil), open(t, o, nil)}
	body := Body(1, 30_000)
	var wg sync.WaitGroup
	results, errs := make([]store.Stored, racers), make([]error, racers)
	for i := range racers {
		wg.Go(func() {
			object := Object("rec", body, "name.mp3", "name-rec.mp3")
			results[i], errs[i] = retried(t.Context(), stores[i%2], object)
		})
	}
	wg.Wait()
	for i, stored := range results {
		if errs[i] != nil || stored.Key != "name.mp3" {
			t.Errorf("racer %d: %+v, %v", i, stored, errs[i])
		}
	}
	wantObject(t, stores[0], "name.mp3", body)
	wantKeys(t, stores[0], "", "name.mp3")
}

func testCancelled(t *testing.T, o Opener) {
	s := open(t, o, nil)
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	object := Object("rec", Body(1, 100_000), "x/name.mp3")
	inPart := object
	inPart.Body = newPart(t, s, Body(1, 100_000))
	for _, o := range []store.Object{object, inPart} {
		_, err := s.Put(ctx, o)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, why) || store.IsRetriable(err) || errors.Is(err, store.ErrUnusable) {
			t.Errorf("put: %v", err)
		}
	}
	if _, err := s.Stat(ctx, "name.mp3"); !errors.Is(err, context.Canceled) {
		t.Errorf("stat: %v", err)
	}
	for _, err := range s.List(ctx, "") {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("list: %v", err)
		}
	}
	wantKeys(t, s, "")
	put(t, s, inPart) // as good as before
}

func testList(t *testing.T, o Opener) {
	s := open(t, o, nil)
	wantKeys(t, s, "")
	keys := []string{"a.mp3", "a/1.mp3", "a/2.mp3", "a/b/3.mp3", "ab/4.mp3", "b.mp3", "quarantine/q"}
	for i, key := range keys {
		put(t, s, Object(key, Body(uint64(i), 10), key))
	}
	wantKeys(t, s, "", keys...)
	wantKeys(t, s, "a", "a.mp3", "a/1.mp3", "a/2.mp3", "a/b/3.mp3", "ab/4.mp3")
	wantKeys(t, s, "a/", "a/1.mp3", "a/2.mp3", "a/b/3.mp3")
	wantKeys(t, s, "a/b", "a/b/3.mp3")
	wantKeys(t, s, "a/1.mp3", "a/1.mp3")
	wantKeys(t, s, "none/")
	for range s.List(t.Context(), "") { // a caller may stop
		break
	}
}
