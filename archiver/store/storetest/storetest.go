// Package storetest is the one suite that every place where recordings are kept must pass. It tests
// the guarantees of package store.
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

// Store is the tested interface.
type Store interface {
	Put(ctx context.Context, o store.Object) (store.Info, error)
	NewPart() (*store.Part, error)
	Stat(ctx context.Context, key string) (store.Info, error)
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	OpenRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
	List(ctx context.Context, prefix string) iter.Seq2[store.Info, error]
	Remove(ctx context.Context, key string) error
	RemoveAside(ctx context.Context, name string) error
	RemoveOlder(ctx context.Context, prefix string) error
	Names(ctx context.Context, prefix string) iter.Seq2[string, error]
	Close() error
}

// Place is an initially empty location for a store.
type Place struct {
	// Open opens a store over the place. Opening it again simulates the next run.
	Open func(t *testing.T) Store
	// OneRun says that only one run at a time may write here.
	OneRun bool
	// RemembersRemoved says that this server refuses to create an object whose last version was removed.
	RemembersRemoved bool
}

// Run runs the suite. newPlace makes a new place for each test.
func Run(t *testing.T, newPlace func(t *testing.T) Place) {
	for name, test := range map[string]func(*testing.T, Place){
		"sizes":           testSizes,
		"parts":           testParts,
		"keys":            testKeys,
		"refused keys":    testRefusedKeys,
		"refused objects": testRefusedObjects,
		"missing":         testMissing,
		"ranges":          testRanges,
		"taken":           testTaken,
		"same bytes":      testSameBytes,
		"case":            testCase,
		"race":            testRace,
		"race of one":     testRaceOfOne,
		"cancelled":       testCancelled,
		"list":            testList,
		"remove":          testRemove,
		"refused removal": testRefusedRemoval,
		"names":           testNames,
	} {
		t.Run(name, func(t *testing.T) { test(t, newPlace(t)) })
	}
}

// Body returns size bytes that depend only on the seed.
func Body(seed uint64, size int) []byte {
	body := make([]byte, size)
	source := rand.NewChaCha8([32]byte{0: byte(seed), 1: byte(seed >> 8)})
	_, _ = source.Read(body) // it never fails
	return body
}

// Object makes an object with a body in memory.
func Object(recordingID string, body []byte, key string) store.Object {
	return store.Object{
		Key: key, Body: bytes.NewReader(body), Size: int64(len(body)), SHA256: sha256.Sum256(body),
		ContentType: "audio/mpeg", RecordingID: recordingID, CallID: "call-of-" + recordingID, CallDay: "2025-05-01",
	}
}

func open(t *testing.T, p Place) Store {
	t.Helper()
	s := p.Open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// retried stores with retries, like the archiver.
func retried(ctx context.Context, s Store, o store.Object) (info store.Info, err error) {
	for range 50 {
		if info, err = s.Put(ctx, o); !store.IsRetriable(err) {
			break
		}
	}
	return info, err
}

func put(t *testing.T, s Store, o store.Object) {
	t.Helper()
	info, err := s.Put(t.Context(), o)
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	if info.Key != o.Key || info.Size != o.Size || info.SHA256 != o.SHA256 || !info.IsOf(o.RecordingID) ||
		info.CallID != o.CallID || info.CallDay != o.CallDay {
		t.Errorf("put returned %+v, want what is in %+v", info, o)
	}
}

// wantTaken checks that a key is refused, and the reported object there: its size and recording.
func wantTaken(t *testing.T, s Store, o store.Object, same bool, size int, recordingID string) {
	t.Helper()
	_, err := retried(t.Context(), s, o)
	checkTaken(t, err, o, same, size, recordingID)
}

func checkTaken(t *testing.T, err error, o store.Object, same bool, size int, recordingID string) {
	t.Helper()
	taken, ok := errors.AsType[*store.TakenError](err)
	if !ok || !errors.Is(err, fs.ErrExist) || store.IsRetriable(err) || errors.Is(err, store.ErrUnusable) {
		t.Fatalf("put: %v, want a TakenError", err)
	}
	if strings.Contains(err.Error(), o.Key) {
		t.Errorf("the error names the key: %v", err)
	}
	info := taken.Info
	if taken.Same != same || !strings.EqualFold(info.Key, o.Key) || info.Size != int64(size) || info.ModTime.IsZero() {
		t.Errorf("put says %+v, want same %t and size %d", taken, same, size)
	}
	if same && info.SHA256 != o.SHA256 {
		t.Errorf("put says hash %x, want %x", info.SHA256, o.SHA256)
	}
	if info.RecordingID != "" && !info.IsOf(recordingID) {
		t.Errorf("put says that it is of %q, want %q", info.RecordingID, recordingID)
	}
}

// wantObject checks that a key has exactly the given body.
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

// wantKeys checks the set of objects.
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

func testSizes(t *testing.T, p Place) {
	s := open(t, p)
	for _, size := range []int{1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 3<<20 + 1} {
		key := fmt.Sprintf("size-%d.mp3", size)
		body := Body(uint64(size), size)
		object := Object(key, body, key)
		if _, err := object.Body.Seek(1, io.SeekStart); err != nil { // Put must ignore the offset
			t.Fatal(err)
		}
		put(t, s, object)
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

func testParts(t *testing.T, p Place) {
	s := open(t, p)
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
	put(t, s, object)
	part.Discard()
	wantObject(t, s, "a/part.mp3", body)

	// The same body again, and another body: both parts stay unchanged.
	object.Body = newPart(t, s, body)
	wantTaken(t, s, object, true, len(body), "rec-1")
	object.Key = "a/part-2.mp3"
	put(t, s, object)
	other := Body(2, 2<<20)
	object = Object("rec-2", other, "a/part.mp3")
	object.Body = newPart(t, s, other)
	wantTaken(t, s, object, false, len(body), "rec-1")
	object.Key = "a/part-rec-2.mp3"
	put(t, s, object)
	wantObject(t, s, "a/part.mp3", body)
	wantObject(t, s, "a/part-rec-2.mp3", other)

	// A part of another store is copied.
	object = Object("rec-4", body, "a/of-another.mp3")
	object.Body = newPart(t, open(t, p), body)
	put(t, s, object)
	wantObject(t, s, "a/of-another.mp3", body)

	// A discarded part, and a part with another size than the object.
	newPart(t, s, body).Discard()
	short := Object("rec-3", body, "a/short.mp3")
	short.Body = newPart(t, s, body[1:])
	if _, err := s.Put(t.Context(), short); err == nil {
		t.Error("a part shorter than its size was stored")
	}
	wantKeys(t, s, "", "a/part.mp3", "a/part-2.mp3", "a/part-rec-2.mp3", "a/of-another.mp3")
}

func testKeys(t *testing.T, p Place) {
	s := open(t, p)
	keys := []string{
		"a b.mp3", "a+b.mp3", "a%2Fb.mp3", "a%20b.mp3", "50% off?.mp3", "a&b=c;d.mp3", "it's (1) #2!.mp3", "~x@y,z$.mp3",
		"Zoë Müller 山田.mp3", "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p.mp3", strings.Repeat("x", 251) + ".mp3",
		strings.Repeat("é", 127) + "/" + strings.Repeat("y", 255), "quarantine/2025-05-01/x", "noextension",
		"manifest-of-mine/x.mp3", "callsheet.mp3", "a/manifest/x.mp3", "a/.hidden",
	}
	for i, key := range keys {
		body := Body(uint64(i), 100+i)
		put(t, s, Object(key, body, key))
	}
	for i, key := range keys {
		wantObject(t, s, key, Body(uint64(i), 100+i))
	}
	wantKeys(t, s, "", keys...)
}

func testRefusedKeys(t *testing.T, p Place) {
	s := open(t, p)
	for _, key := range []string{
		"", ".", "..", "../x", "a/../../x", "/etc/x", "a//b", "a/", "./a", "a/./b", "a\x00b", "a\nb", "\xff.mp3",
		"manifest/2025-05-01.jsonl", "manifest", "Manifest/x", "manifest./x", "calls/2025-05-01.jsonl", "CALLS /x",
		".tmp/x", ".hidden", ".../x", "a/.x.part",
	} {
		if _, err := s.Put(t.Context(), Object("rec", Body(1, 10), key)); !errors.Is(err, store.ErrBadKey) {
			t.Errorf("put %q: %v, want ErrBadKey", key, err)
		}
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, store.ErrBadKey) {
			t.Errorf("stat %q: %v, want ErrBadKey", key, err)
		}
		if r, err := s.Open(t.Context(), key); !errors.Is(err, store.ErrBadKey) {
			t.Errorf("open %q: %v, %v, want ErrBadKey", key, r, err)
		}
	}
	// Older versions may have used these keys.
	for _, key := range []string{"evidence/x", "Seals/x.mp3", "access./x"} {
		if _, err := s.Put(t.Context(), Object("rec", Body(1, 10), key)); !errors.Is(err, store.ErrBadKey) {
			t.Errorf("put %q: %v, want ErrBadKey", key, err)
		}
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("stat %q: %v, want fs.ErrNotExist", key, err)
		}
	}
	wantKeys(t, s, "")
}

func testRefusedObjects(t *testing.T, p Place) {
	s := open(t, p)
	body := Body(1, 1000)
	for name, spoil := range map[string]func(*store.Object){
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

func testMissing(t *testing.T, p Place) {
	s := open(t, p)
	put(t, s, Object("rec", Body(1, 10), "a.mp3"))
	for _, key := range []string{"missing.mp3", "no/such/folder.mp3", "a.mp3/below"} {
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("stat: %v, want fs.ErrNotExist", err)
		}
		if r, err := s.Open(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open: %v, %v, want fs.ErrNotExist", r, err)
		}
		wantKeys(t, s, key)
	}
}

func testTaken(t *testing.T, p Place) {
	body := Body(1, 5000)
	s := open(t, p)
	put(t, s, Object("rec-1", body, "name.mp3"))
	wantTaken(t, s, Object("rec-2", Body(2, 5000), "name.mp3"), false, 5000, "rec-1")
	wantTaken(t, s, Object("rec-1", Body(2, 4999), "name.mp3"), false, 5000, "rec-1")
	wantObject(t, s, "name.mp3", body)
	wantKeys(t, s, "", "name.mp3")
}

// testSameBytes stores the same bytes again, like the next run for a recording without a line.
func testSameBytes(t *testing.T, p Place) {
	body := Body(1, 70_000)
	for i, id := range []string{"rec-1", "rec ü/1%", strings.Repeat("long", 300)} {
		key := fmt.Sprintf("name-%d.mp3", i)
		put(t, open(t, p), Object(id, body, key))
		s := open(t, p)
		wantTaken(t, s, Object(id, body, key), true, len(body), id)
		wantTaken(t, s, Object("another", body, key), true, len(body), id)
		wantObject(t, s, key, body)
	}
}

// testCase stores names that differ in case only. If that is the same name, the store must report
// the object's actual name.
func testCase(t *testing.T, p Place) {
	s := open(t, p)
	body, other := Body(1, 100), Body(2, 100)
	put(t, s, Object("rec-1", body, "a/Name.mp3"))
	_, err := s.Put(t.Context(), Object("rec-2", other, "a/NAME.mp3"))
	if err == nil {
		wantObject(t, s, "a/NAME.mp3", other)
		wantObject(t, s, "a/Name.mp3", body)
		return
	}
	checkTaken(t, err, Object("rec-2", other, "a/NAME.mp3"), false, 100, "rec-1")
	_, err = s.Put(t.Context(), Object("rec-3", body, "a/NAME.mp3"))
	checkTaken(t, err, Object("rec-3", body, "a/NAME.mp3"), true, 100, "rec-1")
	if taken, _ := errors.AsType[*store.TakenError](err); taken.Info.Key != "a/Name.mp3" {
		t.Errorf("it is known as %q, want %q", taken.Info.Key, "a/Name.mp3")
	}
	wantObject(t, s, "a/Name.mp3", body)
}

// testRace stores many recordings with one name in parallel.
func testRace(t *testing.T, p Place) {
	const racers = 12
	s := open(t, p)
	var wg sync.WaitGroup
	objects, errs := make([]store.Object, racers), make([]error, racers)
	for i := range racers {
		wg.Go(func() {
			objects[i] = Object(fmt.Sprintf("rec-%d", i), Body(uint64(i), 30_000), "day/name.mp3")
			_, errs[i] = retried(t.Context(), s, objects[i])
		})
	}
	wg.Wait()
	winner := slices.Index(errs, nil)
	if winner < 0 {
		t.Fatal(errs)
	}
	wantObject(t, s, "day/name.mp3", Body(uint64(winner), 30_000))
	for i, err := range errs {
		if i != winner {
			checkTaken(t, err, objects[i], false, 30_000, fmt.Sprintf("rec-%d", winner))
		}
	}
}

// testRaceOfOne stores one recording several times in parallel, as two runs may.
func testRaceOfOne(t *testing.T, p Place) {
	const racers = 6
	stores := []Store{open(t, p), open(t, p)}
	if p.OneRun {
		stores[1] = stores[0]
	}
	body := Body(1, 30_000)
	var wg sync.WaitGroup
	errs := make([]error, racers)
	for i := range racers {
		wg.Go(func() { _, errs[i] = retried(t.Context(), stores[i%2], Object("rec", body, "name.mp3")) })
	}
	wg.Wait()
	winner := slices.Index(errs, nil)
	for i, err := range errs {
		if i != winner {
			checkTaken(t, err, Object("rec", body, "name.mp3"), true, 30_000, "rec")
		}
	}
	wantObject(t, stores[0], "name.mp3", body)
	wantKeys(t, stores[0], "", "name.mp3")
}

func testCancelled(t *testing.T, p Place) {
	s := open(t, p)
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
	put(t, s, inPart) // still usable
}

func testList(t *testing.T, p Place) {
	s := open(t, p)
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
	for range s.List(t.Context(), "") { // a caller may stop early
		break
	}
}
