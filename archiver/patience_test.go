package archiver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/internal/retry"
	"convoso-archiver/manifest"
)

// memoryBucket is a bucket for a manifest, which can be out of order.
type memoryBucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	trouble error  // of the next requests
	left    int    // how many of them fail; below 0 for all
	failed  func() // is called for each
}

// fail takes the place of a request while the bucket is out of order.
func (b *memoryBucket) fail() error {
	if b.left == 0 {
		return nil
	}
	b.left--
	if b.failed != nil {
		b.failed()
	}
	return b.trouble
}

func (b *memoryBucket) Get(_ context.Context, key string) (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.fail(); err != nil {
		return nil, err
	}
	data, ok := b.objects[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (b *memoryBucket) PutObject(_ context.Context, key string, body io.ReadSeeker, _ int64, overwrite bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.fail(); err != nil {
		return err
	}
	if _, ok := b.objects[key]; ok && !overwrite {
		return fs.ErrExist
	}
	data, err := io.ReadAll(body)
	b.objects[key] = data
	return err
}

func (b *memoryBucket) ListKeys(_ context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		b.mu.Lock()
		err := b.fail()
		keys := slices.Sorted(maps.Keys(b.objects))
		b.mu.Unlock()
		if err != nil {
			yield("", err)
			return
		}
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) && !yield(key, nil) {
				return
			}
		}
	}
}

func (b *memoryBucket) change(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// inBucket puts the run's manifest into a bucket; its recordings stay on disk.
func (s *setup) inBucket(t *testing.T) *memoryBucket {
	t.Helper()
	b := &memoryBucket{objects: map[string][]byte{}}
	ledger, err := manifest.OpenObjects(t.Context(), b, manifest.Options{Run: s.Config.Run, SpoolDir: t.TempDir(), UploadEvery: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	onDisk := s.Ledger
	s.Ledger = ledger
	t.Cleanup(func() {
		b.change(func() { b.left = 0 })
		if err := errors.Join(ledger.Close(context.Background()), onDisk.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return b
}

// TestManifestOutlastsAnOutage puts the bucket of the manifest out of order at the end
// of a day, which waits or closes then, and at the beginning of another.
func TestManifestOutlastsAnOutage(t *testing.T) {
	const day = fetcher.Date("2025-05-10")
	passing, lasting := passingError(t), errors.New("not allowed")
	for name, test := range map[string]struct {
		trouble error
		left    int
		atEnd   bool // of the day's listing
		waits   bool
		stopped bool // the run is asked to stop while it waits
		failed  bool
	}{
		"while a day is looked at":             {trouble: passing, left: 3},
		"while a day closes":                   {trouble: passing, left: 3, atEnd: true},
		"while a day's notes are uploaded":     {trouble: passing, left: 3, atEnd: true, waits: true},
		"for good, while a day is looked at":   {trouble: passing, left: -1, failed: true},
		"for good, while a day closes":         {trouble: passing, left: -1, atEnd: true, failed: true},
		"for good, while notes are uploaded":   {trouble: passing, left: -1, atEnd: true, waits: true, failed: true},
		"refused":                              {trouble: lasting, left: 1, atEnd: true, failed: true},
		"and the run is asked to stop":         {trouble: passing, left: -1, atEnd: true, stopped: true, failed: true},
		"and the run is asked to stop at once": {trouble: passing, left: -1, stopped: true, failed: true},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.rows[day] = []row{callAt("1", day, noon, v.recording("111"))}
			if test.waits {
				v.status["111"] = 404
			}
			s := v.archive(t).open()
			b := s.inBucket(t)
			r := s.prepare(t.Context())
			defer r.kill()
			r.now = func() time.Time { return instant(t, "2025-05-20"+noon) }
			r.patience = retry.Policy{Tries: 5, Initial: time.Millisecond, Max: time.Millisecond}
			if test.stopped {
				r.patience = retry.Policy{Tries: 5, Initial: time.Hour, Max: time.Hour}
			}
			spoil := func() {
				b.change(func() {
					b.trouble, b.left = test.trouble, test.left
					if test.stopped {
						b.failed = func() { r.stop(errors.New("a signal")) }
					}
				})
			}
			if test.atEnd {
				v.onAudio = func(string) { spoil() }
			} else {
				spoil()
			}
			end := withWorkers(r)
			err := r.workDay(wholeDay(day))
			end()
			if (err != nil) != test.failed {
				t.Errorf("the day's work ends with %v", err)
			}
			if told := err != nil && strings.Contains(err.Error(), "out of order for minutes"); told != (test.left < 0 && !test.stopped) {
				t.Errorf("the error says %v", err)
			}
			summary := s.Summary()
			if told := summary.DaysClosed + len(summary.OpenDays); told != 1 || (summary.DaysClosed == 1) != (!test.failed && !test.waits) {
				t.Errorf("%d days closed, open %+v", summary.DaysClosed, summary.OpenDays)
			}
			if len(r.open) > 0 {
				t.Errorf("%d ledgers are held", len(r.open))
			}
			b.change(func() { b.left = 0 })
			if err := s.Ledger.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPatienceIsOfMinutes looks how long a run waits for a store that is out of order,
// that it then ends, and that nothing of it waits when it is asked to stop.
func TestPatienceIsOfMinutes(t *testing.T) {
	out := passingError(t)
	for name, work := range map[string]func(*run, *int) error{
		"manifest": func(r *run, tries *int) error {
			return r.withPatience(func() error { *tries++; return out })
		},
		"recording": func(r *run, tries *int) error {
			r.Store = busyStore{err: out, tries: tries}
			b, err := bodyOf(r.pool, nil, someMP3())
			if err != nil {
				return err
			}
			defer b.discard()
			_, err = r.storeWithPatience(&job{call: facts{}, keys: []string{"a.mp3"}}, &download{body: b})
			return err
		},
	} {
		for end, stopAfter := range map[string]time.Duration{"for good": 0, "stopped": 10 * time.Second} {
			t.Run(name+", "+end, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a := &Archiver{Config: Config{Grace: time.Minute, Workers: 1}, Logger: slog.New(slog.DiscardHandler)}
					r := a.prepare(t.Context())
					if stopAfter > 0 {
						time.AfterFunc(stopAfter, func() { r.stop(nil) })
					}
					begun, tries := time.Now(), 0
					err := work(r, &tries)
					took := time.Since(begun)
					r.kill()
					switch {
					case err == nil || tries < 2:
						t.Errorf("after %d tries: %v", tries, err)
					case stopAfter > 0 && took != stopAfter:
						t.Errorf("asked to stop after %v, it waited %v", stopAfter, took)
					case stopAfter == 0 && (took < time.Minute || took > 10*time.Minute):
						t.Errorf("it waited %v", took)
					case stopAfter == 0 && (errors.Is(err, errStopping) || !store.IsRetriable(err) || !strings.Contains(err.Error(), "for minutes")):
						t.Errorf("it ends with %v", err)
					}
				})
			})
		}
	}
}

// busyStore takes nothing.
type busyStore struct {
	Store
	err   error
	tries *int
}

func (s busyStore) Put(context.Context, store.Object) (store.Stored, error) {
	*s.tries++
	return store.Stored{}, s.err
}

func (s busyStore) KeepsParts() bool { return false }

// TestStoreOutageCostsNoRecordingItsOutcome has a body in hand that the store does not
// take: it is tried on beyond what a recording's own trouble is given, without another
// download, and nothing is noted.
func TestStoreOutageCostsNoRecordingItsOutcome(t *testing.T) {
	const day = fetcher.Date("2025-05-10")
	v := newVendor(t)
	v.rows[day] = []row{callAt("1", day, noon, v.recording("111"))}
	a := v.archive(t)
	h := a.byHand(instant(t, "2025-05-20"+noon))
	h.run.retry = retry.Policy{Tries: 3, Initial: time.Millisecond, Max: time.Millisecond}
	tries := 0
	h.Store = stoppingStore{busyStore{Store: h.Store, err: passingError(t), tries: &tries}, func() {
		if tries > h.run.retry.Tries {
			h.stop(errors.New("a signal"))
		}
	}}
	h.work(day)
	if tries != h.run.retry.Tries+1 {
		t.Errorf("%d tries to store", tries)
	}
	if asked := v.requests()["111"]; asked != 1 {
		t.Errorf("%d downloads", asked)
	}
	if lines := a.lines(day, "recording"); len(lines) > 0 {
		t.Errorf("noted as %q, though the store alone was in trouble", lines[0].Outcome)
	}
}

// stoppingStore calls a function after each try.
type stoppingStore struct {
	busyStore
	tried func()
}

func (s stoppingStore) Put(ctx context.Context, object store.Object) (store.Stored, error) {
	defer s.tried()
	return s.busyStore.Put(ctx, object)
}
