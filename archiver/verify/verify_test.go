package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

const (
	firstDay  = "2025-05-01"
	secondDay = "2025-05-02"
)

// fixture is an archive on disk with recordings that stand as they were noted.
type fixture struct {
	t      *testing.T
	dir    string
	disk   *store.Disk
	ledger *manifest.Ledger
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir()}
	var err error
	if f.disk, err = store.OpenDisk(f.dir, store.DiskOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.disk.Close() })
	f.open()
	return f
}

// open opens the ledger for writing, by a run of its own.
func (f *fixture) open() {
	f.t.Helper()
	var err error
	if f.ledger, err = manifest.OpenDir(f.disk.Root(), manifest.Options{}); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = f.ledger.Close(context.Background()) })
}

func body(id string) []byte { return bytes.Repeat([]byte(id+"."), 100) }

// store stores a recording and notes it.
func (f *fixture) store(day, id, key string) {
	f.t.Helper()
	f.put(id, key)
	f.note(day, id, key)
}

func (f *fixture) put(id, key string) {
	f.t.Helper()
	_, err := f.disk.Put(f.t.Context(), store.Object{
		Keys: []string{key}, Body: bytes.NewReader(body(id)), Size: int64(len(body(id))), SHA256: sha256.Sum256(body(id)), RecordingID: id,
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) note(day, id, key string) {
	f.t.Helper()
	d, err := f.ledger.Day(f.t.Context(), day)
	if err != nil {
		f.t.Fatal(err)
	}
	defer d.Release()
	err = d.Note(f.t.Context(), manifest.Recording{
		RecordingID: id, Outcome: manifest.Archived, Key: key, Size: int64(len(body(id))),
		SHA256: fmt.Sprintf("%x", sha256.Sum256(body(id))), CallID: "c" + id,
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// verify runs a verification and returns its summary.
func (f *fixture) verify(c Config) Summary {
	f.t.Helper()
	v := f.verifier(c)
	if err := v.Run(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	return v.Summary()
}

func (f *fixture) verifier(c Config) *Verifier {
	if c.Workers == 0 {
		c.Workers = 4
	}
	if c.Mode == "" {
		c.Mode = Full
	}
	return &Verifier{Config: c, Store: f.disk, Ledger: f.ledger, Logger: slog.New(slog.DiscardHandler)}
}

// want fails unless there are findings of these numbers, and no other.
func want(t *testing.T, s Summary, counts map[Kind]int) {
	t.Helper()
	if !maps.Equal(s.Counts, counts) {
		t.Errorf("found %v, want %v: %+v %+v", s.Counts, counts, s.Findings, s.UnknownFiles)
	}
}

// TestPasses: an archive with more keys than may be held at once gives the same answers.
func TestPasses(t *testing.T) {
	f := newFixture(t)
	for i := range 60 {
		f.store(firstDay, fmt.Sprint("a", i), fmt.Sprintf("one/%d.mp3", i))
		f.store(secondDay, fmt.Sprint("b", i), fmt.Sprintf("two/%d.mp3", i))
	}
	f.put("stranger", "three/stranger.mp3")
	f.put("stray", "quarantine/stray.bin")
	if err := os.Remove(filepath.Join(f.dir, "one", "7.mp3")); err != nil {
		t.Fatal(err)
	}
	f.note(secondDay, "c", "one/8.mp3") // which is another's, and has other bytes of another length
	for _, mode := range []Mode{Full, Quick} {
		for _, keys := range []int{0, 8} {
			t.Run(fmt.Sprint(mode, keys), func(t *testing.T) {
				s := f.verify(Config{Mode: mode, keysAtOnce: keys})
				want(t, s, map[Kind]int{Missing: 1, WrongSize: 1, SharedKey: 2, Unknown: 1})
				if s.Recordings != 121 || s.Checked != 121 || s.Damaged != 3 || s.Quarantined != 1 || s.UnknownBytes != int64(len(body("stranger"))) {
					t.Errorf("summary %+v", s)
				}
			})
		}
	}
	// A span asks for its days alone, but a key of another day is no unknown file.
	want(t, f.verify(Config{From: firstDay, To: firstDay}), map[Kind]int{Missing: 1, SharedKey: 1, Unknown: 1})
	want(t, f.verify(Config{From: "2025-06-01"}), map[Kind]int{Unknown: 1})
}

// TestRepairAndAgain: a damaged recording has its old key noted, so that its file is known, and may be damaged again.
func TestRepairAndAgain(t *testing.T) {
	f := newFixture(t)
	f.store(firstDay, "a", "a.mp3")
	f.store(firstDay, "b", "b.mp3")
	for round, key := range []string{"a.mp3", "a-a.mp3"} {
		name := filepath.Join(f.dir, key)
		if err := os.WriteFile(name, bytes.ToUpper(body("a")), 0o600); err != nil {
			t.Fatal(err)
		}
		s := f.verify(Config{Repair: true})
		want(t, s, map[Kind]int{WrongHash: 1})
		if s.Reopened != 1 {
			t.Errorf("summary %+v", s)
		}
		// It stays damage until it is fetched again, and is noted once.
		s = f.verify(Config{Strict: true, Repair: true})
		want(t, s, map[Kind]int{KnownDamaged: 1})
		if s.Reopened != 0 || s.Damaged != 1 || s.Recordings != 2 || !s.IsDamaged() {
			t.Errorf("summary %+v", s)
		}
		f.store(firstDay, "a", []string{"a-a.mp3", "a-b.mp3"}[round])
		want(t, f.verify(Config{Strict: true}), map[Kind]int{})
	}
}

// brokenStore fails to open some objects.
type brokenStore struct {
	*store.Disk
	fail func(key string) error
}

func (b brokenStore) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := b.fail(key); err != nil {
		return nil, err
	}
	return b.Disk.Open(ctx, key)
}

func (b brokenStore) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return b.Disk.List(ctx, prefix)
}

// TestNotReadable: what cannot be read is told apart from what is damaged, and does not hold up the rest; when
// nothing at all can be read, the run ends.
func TestNotReadable(t *testing.T) {
	f := newFixture(t)
	for i := range 3 * mostTrouble {
		f.store(firstDay, fmt.Sprint(i), fmt.Sprintf("%d.mp3", i))
	}
	odd := errors.New("the object is in an archive class")
	v := f.verifier(Config{})
	v.Store = brokenStore{f.disk, func(key string) error {
		if key == "5.mp3" {
			return odd
		}
		return nil
	}}
	if err := v.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := v.Summary()
	want(t, s, map[Kind]int{NotReadable: 1})
	if s.Unreadable != 1 || s.Checked != 3*mostTrouble-1 || s.IsDamaged() || !s.IsIncomplete() {
		t.Errorf("summary %+v", s)
	}
	v = f.verifier(Config{})
	v.Store = brokenStore{f.disk, func(string) error { return fmt.Errorf("%w: no permission", store.ErrUnusable) }}
	if err := v.Run(t.Context()); !errors.Is(err, store.ErrUnusable) {
		t.Errorf("the run ended with %v", err)
	}
	v = f.verifier(Config{})
	v.Store = brokenStore{f.disk, func(string) error { return odd }} // all of the archive is in such a class
	if err := v.Run(t.Context()); err != nil || v.Summary().Unreadable != 3*mostTrouble {
		t.Errorf("the run ended with %v, %d not readable", err, v.Summary().Unreadable)
	}
}

// TestUnreadableDay: of a day whose manifest cannot be read nothing is known, also not which files are its own.
func TestUnreadableDay(t *testing.T) {
	f := newFixture(t)
	f.store(firstDay, "a", "a.mp3")
	f.store(secondDay, "b", "b.mp3")
	name := filepath.Join(f.dir, "manifest", firstDay+".jsonl")
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
	s := f.verify(Config{Strict: true})
	want(t, s, map[Kind]int{NotReadable: 1})
	if s.UnknownChecked || s.IsDamaged() || !s.IsIncomplete() || s.Checked != 1 {
		t.Errorf("summary %+v", s)
	}
}

// TestTornLineBeingWritten: a line that another process is writing is no finding.
func TestTornLineBeingWritten(t *testing.T) {
	f := newFixture(t)
	f.store(firstDay, "a", "a.mp3")
	name := filepath.Join(f.dir, "manifest", firstDay+".jsonl")
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"v":1,"ki`); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	for after, counts := range map[time.Duration]map[Kind]int{time.Hour: {}, -time.Hour: {TornLine: 1}} {
		when := time.Now().Add(after)
		if err := os.Chtimes(name, when, when); err != nil {
			t.Fatal(err)
		}
		want(t, f.verify(Config{}), counts)
	}
}

// TestCancelled: a run that is stopped says so, and what it had found.
func TestCancelled(t *testing.T) {
	f := newFixture(t)
	for i := range 20 {
		f.store(firstDay, fmt.Sprint(i), fmt.Sprintf("%d.mp3", i))
	}
	cause := errors.New("stopped by a test")
	ctx, cancel := context.WithCancelCause(t.Context())
	v := f.verifier(Config{Workers: 1})
	reads := 0
	v.Store = brokenStore{f.disk, func(string) error {
		if reads++; reads == 5 {
			cancel(cause)
		}
		return nil
	}}
	if err := v.Run(ctx); !errors.Is(err, cause) {
		t.Errorf("the run ended with %v", err)
	}
	s := v.Summary()
	if s.Stopped != cause.Error() || s.Checked != 4 || len(s.Findings) > 0 || !s.IsIncomplete() {
		t.Errorf("summary %+v", s)
	}
	if p := v.Progress(); p.Checked != 4 || p.Days != 1 {
		t.Errorf("progress %+v", p)
	}
}

// TestFindingsAreBounded: all are counted, the first are listed.
func TestFindingsAreBounded(t *testing.T) {
	v := &Verifier{Logger: slog.New(slog.DiscardHandler)}
	r := &run{Verifier: v, damaged: map[string]bool{}}
	r.summary = newSummary(Config{}, time.Now())
	v.state.Store(r)
	for i := range MostListed + 100 {
		r.find(Finding{Kind: Missing, RecordingID: fmt.Sprint(i)})
		r.find(Finding{Kind: Unknown, Key: fmt.Sprint(i)})
	}
	s := v.Summary()
	if len(s.Findings) != MostListed || len(s.UnknownFiles) != MostListed || s.Counts[Missing] != MostListed+100 || s.Unknown != MostListed+100 || s.Damaged != MostListed+100 {
		t.Errorf("%d and %d listed, counts %v", len(s.Findings), len(s.UnknownFiles), s.Counts)
	}
	if !slices.IsSortedFunc(s.Findings, func(a, b Finding) int { return bytes.Compare([]byte(a.RecordingID), []byte(b.RecordingID)) }) {
		t.Error("the findings are in no order")
	}
}
