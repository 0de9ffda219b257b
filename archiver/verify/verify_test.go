package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

const (
	firstDay  = "2025-05-01"
	secondDay = "2025-05-02"
)

// fixture is an archive on disk with recordings as noted.
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

// open opens the ledger for writing, as a separate run.
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
		Key: key, Body: bytes.NewReader(body(id)), Size: int64(len(body(id))), SHA256: sha256.Sum256(body(id)), RecordingID: id,
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) note(day, id, key string) {
	f.t.Helper()
	f.line(day, manifest.Recording{
		RecordingID: id, Outcome: manifest.Archived, Key: key, Size: int64(len(body(id))),
		SHA256: fmt.Sprintf("%x", sha256.Sum256(body(id))), CallID: "c" + id,
	})
}

// line notes a line, and returns the state of its recording.
func (f *fixture) line(day string, r manifest.Recording) manifest.State {
	f.t.Helper()
	d := f.load(day)
	if err := d.Note(f.t.Context(), r); err != nil {
		f.t.Fatal(err)
	}
	state, _ := d.Recording(r.RecordingID)
	return state
}

func (f *fixture) load(day string) *manifest.Day {
	f.t.Helper()
	d, err := f.ledger.Load(f.t.Context(), day)
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

// segment returns the segment of a day.
func (f *fixture) segment(day string) string { return f.only("manifest", day) }

// rows returns its segment of call rows.
func (f *fixture) rows(day string) string { return f.only("calls", day) }

func (f *fixture) only(tree, day string) string {
	f.t.Helper()
	names, err := filepath.Glob(filepath.Join(f.dir, tree, day, "*.jsonl"))
	if err != nil || len(names) != 1 {
		f.t.Fatalf("%d segments, %v", len(names), err)
	}
	return names[0]
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

// want fails unless there are exactly these numbers of findings.
func want(t *testing.T, s Summary, counts map[Kind]int) {
	t.Helper()
	if !maps.Equal(s.Counts, counts) {
		t.Errorf("found %v, want %v: %+v %+v", s.Counts, counts, s.Findings, s.UnknownFiles)
	}
}

// TestPasses: an archive with more keys than fit into memory gives the same answers.
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
	f.note(secondDay, "c", "one/8.mp3") // a key of another recording with other bytes and length
	for _, mode := range []Mode{Full, Quick} {
		for _, keys := range []int{0, 8} {
			t.Run(fmt.Sprint(mode, keys), func(t *testing.T) {
				s := f.verify(Config{Mode: mode, keysAtOnce: keys})
				want(t, s, map[Kind]int{Missing: 1, WrongSize: 1, Contradicted: 2, Unknown: 1})
				if s.Recordings != 121 || s.Checked != 121 || s.Damaged != 3 || s.Quarantined != 1 || s.UnknownBytes != int64(len(body("stranger"))) {
					t.Errorf("summary %+v", s)
				}
			})
		}
	}
	// A span covers only its days, but a key of another day is not an unknown file.
	want(t, f.verify(Config{From: firstDay, To: firstDay}), map[Kind]int{Missing: 1, Contradicted: 1, Unknown: 1})
	want(t, f.verify(Config{From: "2025-06-01"}), map[Kind]int{Unknown: 1})
}

// TestRepairAndAgain: a damaged recording has its old key noted, so its file is known, and may be damaged again.
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
		// It stays damage until it is downloaded again, and is noted once.
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

// TestNotReadable: unreadable recordings are distinguished from damaged ones, and do not stop the rest; if
// nothing is readable, the run ends.
func TestNotReadable(t *testing.T) {
	f := newFixture(t)
	for i := range 3 * maxTrouble {
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
	if s.Unreadable != 1 || s.Checked != 3*maxTrouble-1 || s.IsDamaged() || !s.IsIncomplete() {
		t.Errorf("summary %+v", s)
	}
	v = f.verifier(Config{})
	v.Store = brokenStore{f.disk, func(string) error { return fmt.Errorf("%w: no permission", store.ErrUnusable) }}
	if err := v.Run(t.Context()); !errors.Is(err, store.ErrUnusable) {
		t.Errorf("the run ended with %v", err)
	}
	v = f.verifier(Config{})
	v.Store = brokenStore{f.disk, func(string) error { return odd }} // the whole archive is in such a storage class
	if err := v.Run(t.Context()); err != nil || v.Summary().Unreadable != 3*maxTrouble {
		t.Errorf("the run ended with %v, %d not readable", err, v.Summary().Unreadable)
	}
}

// bucket is an in-memory bucket with some unreadable files.
type bucket struct {
	mu    sync.Mutex
	files map[string][]byte
	fail  map[string]error
}

func (b *bucket) GetFile(_ context.Context, name string) (io.ReadCloser, string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.fail[name]; err != nil {
		return nil, "", err
	}
	data, there := b.files[name]
	if !there {
		return nil, "", fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(data)), fmt.Sprintf("%x", sha256.Sum256(data)), nil
}

func (b *bucket) PutFile(_ context.Context, name string, body []byte, ifTag string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	old, there := b.files[name]
	if there && fmt.Sprintf("%x", sha256.Sum256(old)) != ifTag || !there && ifTag != "" {
		return fs.ErrExist
	}
	b.files[name] = bytes.Clone(body)
	return nil
}

type fileInfo struct {
	fs.FileInfo // unused: only the methods below are called
	name        string
	size        int64
}

func (i fileInfo) Name() string     { return i.name }
func (i fileInfo) Size() int64      { return i.size }
func (fileInfo) ModTime() time.Time { return time.Time{} }

func (b *bucket) ListFiles(_ context.Context, prefix string) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) {
		b.mu.Lock()
		names := slices.Sorted(maps.Keys(b.files))
		b.mu.Unlock()
		for _, name := range names {
			if strings.HasPrefix(name, prefix) && !yield(fileInfo{name: name, size: int64(len(b.files[name]))}, nil) {
				return
			}
		}
	}
}

// onBucket gives the archive a ledger in a bucket.
func (f *fixture) onBucket() *bucket {
	f.t.Helper()
	b := &bucket{files: map[string][]byte{}, fail: map[string]error{}}
	var err error
	if f.ledger, err = manifest.OpenBucket(b, manifest.Options{}); err != nil {
		f.t.Fatal(err)
	}
	return b
}

// TestUnreadableDay: for a day with an unreadable manifest everything is unknown, including its files.
func TestUnreadableDay(t *testing.T) {
	f := newFixture(t)
	b := f.onBucket()
	f.store(firstDay, "a", "a.mp3")
	f.store(secondDay, "b", "b.mp3")
	if err := f.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name := range b.files {
		if strings.HasPrefix(name, "manifest/"+firstDay) {
			b.fail[name] = errors.New("access denied")
		}
	}
	for _, c := range []Config{{Strict: true}, {Strict: true, Mode: Quick}, {Strict: true, From: secondDay}} {
		s := f.verify(c)
		want(t, s, map[Kind]int{NotReadable: 1})
		if s.UnknownChecked || s.IsDamaged() || !s.IsIncomplete() || s.Checked != 1 {
			t.Errorf("summary %+v", s)
		}
	}
}

// TestFaults: each fault of the manifest is a finding, which disappears after a repair.
func TestFaults(t *testing.T) {
	closed := filepath.Join("manifest", firstDay, "closed.json")
	for name, test := range map[string]struct {
		kind  Kind
		spoil func(f *fixture)
	}{
		"bad line": {BadLine, func(f *fixture) { f.edit(f.segment(firstDay), "{", "[") }},
		"cut, and not closed": {TornLine, func(f *fixture) {
			f.remove(closed)
			f.edit(f.segment(firstDay), "\"}\n", "\"}")
		}},
		"edited":         {ChangedSegment, func(f *fixture) { f.edit(f.segment(firstDay), `"attempts":0`, `"attempts":7`) }},
		"edited closing": {WrongDayLine, func(f *fixture) { f.edit(filepath.Join(f.dir, closed), `"lines":1`, `"lines":2`) }},
		"segment gone":   {LostSegments, func(f *fixture) { f.remove(f.segment(firstDay)) }},
		"bad call line":  {BadCallLine, func(f *fixture) { f.edit(f.rows(firstDay), `"row":{`, `"row":`) }},
		"call rows cut":  {BadCallLine, func(f *fixture) { f.edit(f.rows(firstDay), "\"}\n", "\"}") }},
		"closed with a bad call line": {BadCallLine, func(f *fixture) {
			f.edit(f.rows(firstDay), `"row":{`, `"row":`)
			if err := f.load(firstDay).Close(f.t.Context(), manifest.DayLine{Calls: 1}); err != nil {
				f.t.Fatal(err)
			}
			want(f.t, f.verify(Config{}), map[Kind]int{BadCallLine: 1}) // the hashes are right
		}},
		"call rows gone":  {LostSegments, func(f *fixture) { f.remove(filepath.Join("calls", firstDay)) }},
		"calls/ is alone": {NoManifest, func(f *fixture) { f.remove(filepath.Join("manifest", firstDay)); f.remove("a.mp3") }},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.store(firstDay, "a", "a.mp3")
			d := f.load(firstDay)
			if err := d.NoteCalls(t.Context(), []manifest.Call{{CallID: "ca", Row: []byte(`{"id":"ca"}`)}}); err != nil {
				t.Fatal(err)
			}
			if err := d.Close(t.Context(), manifest.DayLine{Calls: 1}); err != nil {
				t.Fatal(err)
			}
			want(t, f.verify(Config{}), map[Kind]int{})
			test.spoil(f)
			if err := f.ledger.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.open()
			past := time.Now().Add(-time.Hour) // otherwise the last lines would belong to an active run
			for _, name := range f.files() {
				if err := os.Chtimes(name, past, past); err != nil {
					t.Fatal(err)
				}
			}
			for _, repair := range []bool{false, true} {
				if s := f.verify(Config{Repair: repair, Mode: Quick}); s.Counts[test.kind] != 1 || !s.IsDamaged() {
					t.Fatalf("found %v: %+v", s.Counts, s.Findings)
				}
			}
			s := f.verify(Config{})
			delete(s.Counts, Unknown) // from the dropped line
			want(t, s, map[Kind]int{})
			status, err := f.ledger.Status(t.Context(), firstDay)
			if err != nil || !status.Known || len(status.Lines) > 0 {
				t.Errorf("mended: %+v, %v", status, err)
			}
		})
	}
}

func (f *fixture) edit(name, before, after string) {
	f.t.Helper()
	data, err := os.ReadFile(name)
	if err != nil || !bytes.Contains(data, []byte(before)) {
		f.t.Fatalf("%s lacks %q, %v", name, before, err)
	}
	if err := os.WriteFile(name, bytes.Replace(data, []byte(before), []byte(after), 1), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// remove removes a file or folder, by relative or absolute path.
func (f *fixture) remove(name string) {
	f.t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(f.dir, name)
	}
	if _, err := os.Stat(name); err != nil {
		f.t.Fatal(err)
	}
	if err := os.RemoveAll(name); err != nil {
		f.t.Fatal(err)
	}
}

// files returns all files of the archive.
func (f *fixture) files() (names []string) {
	f.t.Helper()
	err := filepath.WalkDir(f.dir, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return names
}

// TestRestored: bytes that are back under the key of a damaged recording are noted as archived, whether or not the
// damage was final, on disk and in a bucket.
func TestRestored(t *testing.T) {
	for name, test := range map[string]struct{ final, bucket bool }{
		"disk": {}, "final": {final: true}, "bucket": {bucket: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			if test.bucket {
				f.onBucket()
			}
			f.store(firstDay, "a", "a.mp3")
			f.store(firstDay, "b", "b.mp3")
			file := filepath.Join(f.dir, "a.mp3")
			whole, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			f.remove(file)
			want(t, f.verify(Config{Repair: true}), map[Kind]int{Missing: 1})
			if test.final {
				state, _ := f.load(firstDay).Recording("a")
				f.line(firstDay, manifest.Recording{
					RecordingID: "a", Outcome: manifest.Damaged, Key: "a.mp3", Size: state.Size, SHA256: fmt.Sprintf("%x", state.SHA256), Final: true,
				})
			}
			for _, wrong := range [][]byte{nil, whole[1:], bytes.ToUpper(whole)} {
				if err := os.WriteFile(file, wrong, 0o600); err != nil {
					t.Fatal(err)
				}
				s := f.verify(Config{Repair: true})
				want(t, s, map[Kind]int{KnownDamaged: 1})
				if s.Restored != 0 || s.Reopened != 0 || !s.IsDamaged() || strings.Contains(s.Findings[0].Detail, "the vendor no longer has it") != test.final {
					t.Errorf("summary %+v", s)
				}
			}
			if err := os.WriteFile(file, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, c := range []Config{{}, {Mode: Quick, Repair: true}} {
				s := f.verify(c)
				want(t, s, map[Kind]int{KnownDamaged: 1})
				if (s.Restored == 1) != c.Repair || s.Reopened != 0 || !strings.Contains(s.Findings[0].Detail, "again") {
					t.Errorf("summary %+v", s)
				}
			}
			for _, mode := range []Mode{Full, Quick} {
				s := f.verify(Config{Mode: mode, Strict: true})
				want(t, s, map[Kind]int{})
				if s.Recordings != 2 || s.Checked != 2 {
					t.Errorf("summary %+v", s)
				}
			}
			if state, _ := f.load(firstDay).Recording("a"); state.Outcome != manifest.Archived || !state.Restored || state.Key != "a.mp3" {
				t.Errorf("state %+v", state)
			}
		})
	}
}

// TestContradictionRepaired: of two recordings with one key, the one with the stored bytes keeps them, and the other
// is downloaded again.
func TestContradictionRepaired(t *testing.T) {
	for _, mode := range []Mode{Full, Quick} {
		f := newFixture(t)
		f.store(firstDay, "a", "a.mp3")
		f.note(secondDay, "other", "a.mp3")
		s := f.verify(Config{Mode: mode, Repair: true})
		want(t, s, map[Kind]int{Contradicted: 2, WrongSize: 1})
		if s.Damaged != 2 || s.Reopened != 1 || s.Restored != 1 {
			t.Errorf("%s: summary %+v", mode, s)
		}
		s = f.verify(Config{Mode: mode, Repair: true})
		want(t, s, map[Kind]int{KnownDamaged: 1})
		if s.Findings[0].RecordingID != "other" || s.Checked != 1 {
			t.Errorf("%s: summary %+v", mode, s)
		}
	}
}

// TestRemovedIsNotDamage: a recording removed on purpose is not damage, and its key is known while a line has it.
func TestRemovedIsNotDamage(t *testing.T) {
	f := newFixture(t)
	for i, outcome := range []manifest.Outcome{manifest.Erased, manifest.Expired, "of a later version"} {
		id, key := fmt.Sprint("r", i), fmt.Sprintf("%d.mp3", i)
		f.store(firstDay, id, key)
		f.line(firstDay, manifest.Recording{RecordingID: id, Outcome: outcome, Key: key})
		if i > 0 {
			f.remove(key)
		}
	}
	for _, mode := range []Mode{Full, Quick} {
		s := f.verify(Config{Mode: mode, Strict: true, Repair: true})
		want(t, s, map[Kind]int{})
		if s.Recordings != 0 || s.Reopened != 0 {
			t.Errorf("summary %+v", s)
		}
	}
}

// TestLinesFollowTheirAnswer: a damaged line is later than the archived line, even if that was written with a
// clock ahead of this one, so the recording can be repaired.
func TestLinesFollowTheirAnswer(t *testing.T) {
	f := newFixture(t)
	f.put("a", "a.mp3")
	ahead := time.Now().Add(time.Hour)
	line := manifest.Recording{
		RecordingID: "a", Outcome: manifest.Archived, Key: "a.mp3", Size: int64(len(body("a"))),
		SHA256: fmt.Sprintf("%x", sha256.Sum256(body("a"))), Time: ahead,
	}
	f.line(firstDay, line)
	f.remove("a.mp3")
	want(t, f.verify(Config{Repair: true}), map[Kind]int{Missing: 1})
	state, _ := f.load(firstDay).Recording("a")
	if state.Outcome != manifest.Damaged || !state.Time.After(ahead.Truncate(time.Second)) {
		t.Errorf("state %+v", state)
	}
	f.put("a", "a-a.mp3")
	line.Key, line.Time = "a-a.mp3", time.Time{}
	if state := f.line(firstDay, line); state.Outcome != manifest.Archived {
		t.Errorf("state %+v", state)
	}
	want(t, f.verify(Config{Strict: true}), map[Kind]int{})
}

// describedStore describes an object like S3.
type describedStore struct {
	*store.Disk
	etag string
	sum  [32]byte
}

func (d describedStore) Stat(ctx context.Context, key string) (store.Info, error) {
	info, err := d.Disk.Stat(ctx, key)
	info.ETag, info.SHA256 = d.etag, d.sum
	return info, err
}

func (d describedStore) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		for info, err := range d.Disk.List(ctx, prefix) {
			info.ETag = d.etag
			if !yield(info, err) {
				return
			}
		}
	}
}

// TestQuickByDescription: a quick check reads the bytes only if the description is inconclusive.
func TestQuickByDescription(t *testing.T) {
	f := newFixture(t)
	f.put("a", "a.mp3")
	sum := sha256.Sum256(body("a"))
	f.line(firstDay, manifest.Recording{
		RecordingID: "a", Outcome: manifest.Archived, Key: "a.mp3", Size: int64(len(body("a"))), SHA256: fmt.Sprintf("%x", sum), ETag: `"tag"`,
	})
	for name, test := range map[string]struct {
		etag string
		sum  [32]byte
		read bool
	}{
		"as noted":                    {"tag", sum, false},
		"the listing's tag is enough": {"tag", [32]byte{1}, false},
		"copied, without metadata":    {"other", [32]byte{}, false},
		"copied, or overwritten":      {"other", sum, true},
		"metadata of other bytes":     {"other", [32]byte{1}, true},
	} {
		v := f.verifier(Config{Mode: Quick})
		v.Store = describedStore{f.disk, test.etag, test.sum}
		if err := v.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := v.Summary()
		want(t, s, map[Kind]int{})
		if s.Checked != 1 || (s.BytesRead > 0) != test.read {
			t.Errorf("%s: %d checked, %d bytes read", name, s.Checked, s.BytesRead)
		}
	}
}

// TestTornLineBeingWritten: a line being written by another process is not a finding.
func TestTornLineBeingWritten(t *testing.T) {
	f := newFixture(t)
	f.store(firstDay, "a", "a.mp3")
	name := f.segment(firstDay)
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

// TestCancelled: a stopped run says so, with its findings so far.
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
	for i := range MaxListed + 100 {
		r.find(Finding{Kind: Missing, RecordingID: fmt.Sprint(i)})
		r.find(Finding{Kind: Unknown, Key: fmt.Sprint(i)})
	}
	s := v.Summary()
	if len(s.Findings) != MaxListed || len(s.UnknownFiles) != MaxListed || s.Counts[Missing] != MaxListed+100 || s.Unknown != MaxListed+100 || s.Damaged != MaxListed+100 {
		t.Errorf("%d and %d listed, counts %v", len(s.Findings), len(s.UnknownFiles), s.Counts)
	}
	if !slices.IsSortedFunc(s.Findings, func(a, b Finding) int { return bytes.Compare([]byte(a.RecordingID), []byte(b.RecordingID)) }) {
		t.Error("the findings are in no order")
	}
}
