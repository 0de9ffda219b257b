package evidence

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"convoso-archiver/manifest"
)

// eraser is a world whose calls are erased. Everything about a call contains a text that is unique to it.
type eraser struct {
	*world
	asBucket bool // runs write as they do in a bucket
	random   *rand.Rand
	calls    map[string]int // listed so far, by day
	gone     map[string]bool
	erasures int
}

// mark is the text in everything about a call.
func mark(call string) string {
	sum := sha256.Sum256([]byte(call))
	return "person" + hex.EncodeToString(sum[:8])
}

var errKilled = errors.New("killed")

// mortal is an archive that accepts a number of writes and then fails, as if its run was killed; -1 for no
// limit.
type mortal struct {
	manifest.Objects
	left int
}

func (m *mortal) PutFile(ctx context.Context, name string, body []byte, ifTag string) error {
	if m.left == 0 {
		return errKilled
	}
	m.left--
	return m.Objects.PutFile(ctx, name, body, ifTag)
}

// in calls a function with a ledger, of a folder or of a bucket, which fails after a number of writes; -1 for no
// limit.
func (w *eraser) in(writes int, change func(l *manifest.Ledger) error) {
	w.t.Helper()
	isWrapped := w.asBucket || writes >= 0
	l, end := w.open(isWrapped)
	defer end()
	if !isWrapped {
		w.must(change(l))
		return
	}
	bucket, err := manifest.OpenBucket(&mortal{l.Objects(), writes}, manifest.Options{Run: manifest.NewRunID(w.now)})
	w.must(err)
	if err = change(bucket); err == nil {
		err = bucket.Close(context.WithoutCancel(w.t.Context()))
	}
	if !errors.Is(err, errKilled) {
		w.must(err)
	}
}

func callOf(day string, i int) string { return fmt.Sprintf("call-%s-%d", day, i) }

// archive lists a day, perhaps with more calls or changed rows, and closes it.
func (w *eraser) archive(day string) {
	w.t.Helper()
	w.calls[day] += w.random.IntN(4)
	w.in(-1, func(l *manifest.Ledger) error {
		ctx := w.t.Context()
		d, err := l.Load(ctx, day)
		if err != nil {
			return err
		}
		var rows []manifest.Call
		var lines []manifest.Recording
		for i := range w.calls[day] {
			call := callOf(day, i)
			id, body := "recording-of-"+call, []byte("audio of "+mark(call))
			rows = append(rows, manifest.Call{CallID: call, Time: w.now, Row: fmt.Appendf(nil, `{"id":%q,"number":%q,"listed":%d}`, call, mark(call), w.random.IntN(3))})
			if _, noted := d.Recording(id); noted || d.IsErased(id, call) || i%3 == 2 {
				continue
			}
			key := day + "/" + mark(call) + ".mp3"
			w.must(os.MkdirAll(filepath.Join(w.dir, day), 0o700))
			w.must(os.WriteFile(filepath.Join(w.dir, key), body, 0o600))
			sum := sha256.Sum256(body)
			lines = append(lines, manifest.Recording{
				RecordingID: id, Outcome: manifest.Archived, Key: key, Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:]), Time: w.now, CallID: call, Source: mark(call),
			})
		}
		window := manifest.Window{From: day + " 00:00:00", To: day + " 23:59:59", Rows: len(rows), Total: len(rows), Calls: len(rows), Whole: true, ListedAt: w.now, Time: w.now}
		err = errors.Join(d.NoteCalls(ctx, rows), d.Note(ctx, lines...), d.NoteWindows(ctx, window))
		if err == nil {
			err = d.Close(ctx, manifest.DayLine{Kept: []string{"calls", "recordings"}, ListedAt: w.now, Calls: len(rows), Time: w.now})
		}
		return err
	})
}

// intend notes the intent to erase calls, and returns the erasure.
func (w *eraser) intend() {
	w.t.Helper()
	w.erasures++
	r := manifest.NewErasureRecord(manifest.ErasureIntent, fmt.Sprintf("erasure-%d", w.erasures))
	for day, n := range w.calls {
		for range min(n, w.random.IntN(3)) {
			call := callOf(day, w.random.IntN(n))
			w.gone[call] = true
			r.Calls = append(r.Calls, manifest.ErasedID{Day: day, ID: call})
		}
	}
	w.in(-1, func(l *manifest.Ledger) error { return l.PutRecords(w.t.Context(), manifest.ErasureStem, r) })
}

// withdraw notes and withdraws an erasure of all calls, as after a hold.
func (w *eraser) withdraw() {
	w.t.Helper()
	w.erasures++
	erasure := fmt.Sprintf("erasure-%d", w.erasures)
	intent := manifest.NewErasureRecord(manifest.ErasureIntent, erasure)
	for day, n := range w.calls {
		for i := range n {
			intent.Calls = append(intent.Calls, manifest.ErasedID{Day: day, ID: callOf(day, i)})
		}
	}
	records := []manifest.Record{intent, manifest.NewErasureRecord(manifest.ErasureWithdrawn, erasure)}
	w.random.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] }) // files are read in any order
	w.in(-1, func(l *manifest.Ledger) error {
		for _, r := range records {
			if err := l.PutRecords(w.t.Context(), manifest.ErasureStem, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// finish carries out the intended erasure, or is killed after some writes.
func (w *eraser) finish(writes int) {
	w.t.Helper()
	w.in(writes, func(l *manifest.Ledger) error {
		ctx := w.t.Context()
		erasures, err := l.Erasures(ctx)
		if err != nil {
			return err
		}
		for _, r := range erasures.Unfinished() {
			done := manifest.NewErasureRecord(manifest.ErasureDone, r.Erasure)
			days := map[string]bool{}
			for _, call := range r.Calls {
				days[call.Day] = true
				_ = os.Remove(filepath.Join(w.dir, call.Day, mark(call.ID)+".mp3"))
			}
			for day := range days {
				digests, err := l.EraseLines(ctx, day)
				if err != nil {
					return err
				}
				done.Digests = append(done.Digests, digests...)
			}
			if err := l.PutRecords(ctx, manifest.ErasureStem, done); err != nil {
				return err
			}
		}
		return nil
	})
}

// seals seals the archive, in a folder or in a bucket.
func (w *eraser) seals() {
	w.t.Helper()
	w.in(-1, func(l *manifest.Ledger) error {
		made, err := (&Sealing{Ledger: l, Signer: w.signer, Now: w.now}).Run(w.t.Context())
		if err == nil && made.Head != "" {
			w.head, err = ParseHead(made.Head)
		}
		if len(made.Changed) > 0 {
			w.t.Errorf("not sealed: %v", made.Changed)
		}
		return err
	})
}

// wantGone fails if a byte of an erased call is left, or a day is not closed or differs from closed.json.
func (w *eraser) wantGone() {
	w.t.Helper()
	w.must(filepath.WalkDir(w.dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		if strings.HasSuffix(name, ".gz") {
			text = unzipped(w.t, text)
		}
		for call := range w.gone {
			if strings.Contains(name, mark(call)) || bytes.Contains(text, []byte(mark(call))) {
				w.t.Errorf("%s tells of an erased call", name)
			}
		}
		return err
	}))
	l, end := w.open(true)
	defer end()
	for day, n := range w.calls {
		status, err := l.Status(w.t.Context(), day)
		w.must(err)
		line, closed := status.Line("")
		erased := 0
		for i := range n {
			if w.gone[callOf(day, i)] {
				erased++
			}
		}
		if !closed || line.ByOutcome[manifest.Erased] > erased {
			w.t.Errorf("%s: closed %v, %+v", day, closed, line)
		}
		w.must(l.ReadCalls(w.t.Context(), day, func(c manifest.Call) error {
			if shown := string(c.Row) != "{}"; shown == w.gone[c.CallID] {
				w.t.Errorf("call %s is shown: %v", c.CallID, shown)
			}
			return nil
		}, nil))
		_, err = l.Read(w.t.Context(), day, nil, func(f manifest.Fault) error {
			w.t.Errorf("%s: %+v", day, f)
			return nil
		})
		w.must(err)
	}
}

func unzipped(t *testing.T, file []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// For any order of operations, including killed erasures: once they are finished and sealed, the audit finds nothing,
// no byte of the erased data is left, and every day is closed.
func TestErasuresInAnyOrder(t *testing.T) {
	days := []string{"2026-03-01", "2026-03-02", "2026-03-03"}
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := &eraser{
				world: newWorld(t), asBucket: seed%2 == 1, random: rand.New(rand.NewPCG(seed, 1)), calls: map[string]int{}, gone: map[string]bool{},
			}
			steps := []func(){
				func() { w.archive(days[w.random.IntN(len(days))]) },
				func() { w.seals() },
				func() { w.intend() },
				func() { w.withdraw() },
				func() { w.finish(-1) },
				func() { w.finish(w.random.IntN(8)) },
			}
			for _, day := range days {
				w.archive(day)
			}
			for range 12 {
				w.now = w.now.Add(1000 * 1000 * 1000)
				steps[w.random.IntN(len(steps))]()
			}
			w.now = w.now.Add(1000 * 1000 * 1000)
			w.finish(-1)
			w.wantGone()
			w.seals()
			if got := w.audit(w.dir); got.Found != 0 || got.Seals == 0 {
				t.Errorf("the audit: %+v", got)
			}
			w.wantGone()
		})
	}
}

// An audit accepts a sealed erasure, and reports what an unsealed one hides.
func TestAuditOfErasures(t *testing.T) {
	const day = "2026-03-01"
	w := &eraser{world: newWorld(t), random: rand.New(rand.NewPCG(1, 1)), calls: map[string]int{day: 4}, gone: map[string]bool{}}
	w.archive(day)
	w.seals()
	kinds := func() (kinds []FindingKind) {
		t.Helper()
		for _, f := range w.audit(w.dir).Findings {
			kinds = append(kinds, f.Kind)
		}
		return kinds
	}
	want := func(want ...FindingKind) {
		t.Helper()
		if got := kinds(); !slices.Equal(got, want) {
			t.Errorf("findings %v, want %v", got, want)
		}
	}
	want()
	r := manifest.NewErasureRecord(manifest.ErasureIntent, "E")
	r.Reason, r.Calls = "asked for", []manifest.ErasedID{{Day: day, ID: callOf(day, 0)}, {Day: "2026-03-09", ID: "another"}}
	w.in(-1, func(l *manifest.Ledger) error { return l.PutRecords(t.Context(), manifest.ErasureStem, r) })
	want(ErasureUnsealed)
	w.seals()
	want()
	w.must(os.Remove(filepath.Join(w.dir, day, mark(callOf(day, 0))+".mp3")))
	want() // the intent is sealed
	w.gone[callOf(day, 0)] = true
	w.finish(-1)
	want(StubUnexplained, StubUnexplained) // a row and a line
	w.seals()
	want()
	w.wantGone()

	broken := filepath.Join(w.dir, "evidence", "erase-20260401T090000Z-00000000-000001.jsonl")
	w.must(os.WriteFile(broken, []byte("{}\n"), 0o600))
	want(LinesChanged)
	w.must(os.Remove(broken))
	files, err := filepath.Glob(filepath.Join(w.dir, "evidence", "erase-*"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	done := files[0]
	if text, err := os.ReadFile(files[1]); err != nil || bytes.Contains(text, []byte(`"done"`)) {
		done = files[1]
	}
	w.must(os.Rename(done, done+".away"))
	if got := kinds(); !slices.Contains(got, LinesMissing) || !slices.Contains(got, StubUnexplained) {
		t.Errorf("findings %v", got)
	}
	w.must(os.Rename(done+".away", done))
	want()

	l, end := w.open(true)
	defer end()
	h, err := HistoryOf(t.Context(), l, "recording-of-"+callOf(day, 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for _, e := range h.Events {
		if events = append(events, e.What); e.What == "erased" && (e.Time.IsZero() || e.File == "") {
			t.Errorf("%+v", e)
		}
	}
	if !slices.Equal(slices.Sorted(slices.Values(events)), []string{"closed", "erased", "erased", "sealed", "sealed"}) || h.Lines != 1 || len(h.NotSealed) > 0 || h.Sealed != 1 || h.CallID != callOf(day, 0) {
		t.Errorf("%v: %+v", events, h.Events)
	}
	if !strings.Contains(fmt.Sprint(h.Events), "asked for") {
		t.Errorf("no reason in %v", h.Events)
	}
}

// Days that an older version closed are sealed with salts, also if sealing was killed and repeated, and later
// erasures keep the seal valid. A filter with the hash of a number is not sealed.
func TestOldArchiveIsSealed(t *testing.T) {
	for _, fixture := range []string{"old-disk", "old-bucket"} {
		for writes := 0; ; writes++ {
			w := &eraser{world: newWorld(t), random: rand.New(rand.NewPCG(1, 1)), calls: map[string]int{}, gone: map[string]bool{}}
			w.must(os.RemoveAll(w.dir))
			w.must(os.CopyFS(w.dir, os.DirFS(filepath.Join("..", "manifest", "testdata", fixture))))
			killed := true
			w.in(writes, func(l *manifest.Ledger) error {
				_, err := (&Sealing{Ledger: l, Signer: w.signer, Now: w.now}).Run(t.Context())
				killed = err != nil
				return err
			})
			w.seals()
			if got := w.audit(w.dir); got.Days != 3 || got.Recordings < 5 || slices.ContainsFunc(got.Findings, func(f Finding) bool { return f.Kind != AudioMissing }) {
				t.Errorf("%s, killed after %d: %+v", fixture, writes, got)
			}
			before := w.audit(w.dir).Found
			r := manifest.NewErasureRecord(manifest.ErasureIntent, "E")
			r.Recordings = []manifest.ErasedID{{Day: "2025-05-01", ID: "1"}}
			w.in(-1, func(l *manifest.Ledger) error { return l.PutRecords(t.Context(), manifest.ErasureStem, r) })
			w.in(-1, func(l *manifest.Ledger) error {
				done := manifest.NewErasureRecord(manifest.ErasureDone, "E")
				var err error
				if done.Digests, err = l.EraseLines(t.Context(), "2025-05-01"); err == nil {
					err = l.PutRecords(t.Context(), manifest.ErasureStem, done)
				}
				return err
			})
			w.seals()
			if after := w.audit(w.dir); after.Found != before-1 || after.Erased != 1 {
				t.Errorf("%s, killed after %d, erased: %+v", fixture, writes, after)
			}
			if !killed {
				break
			}
		}
	}
}

// A day of an older version that this one has closed again has a root over lines without salts: they still get salts.
func TestOldDayClosedAgainIsSealed(t *testing.T) {
	const day = "2025-05-01"
	for _, fixture := range []string{"old-disk", "old-bucket"} {
		w := newWorld(t)
		w.must(os.RemoveAll(w.dir))
		w.must(os.CopyFS(w.dir, os.DirFS(filepath.Join("..", "manifest", "testdata", fixture))))
		w.write(func(l *manifest.Ledger) {
			d, err := l.Load(t.Context(), day)
			w.must(err)
			w.must(d.Close(t.Context(), manifest.DayLine{Kept: []string{"calls", "recordings"}, ListedAt: w.now, Time: w.now}))
		})
		w.write(func(l *manifest.Ledger) {
			status, err := l.Status(t.Context(), day)
			w.must(err)
			if line, closed := status.Line(""); !closed || line.Root == "" {
				t.Fatalf("%s: the day was not closed again: %+v", fixture, status)
			}
		})
		if made := w.seal(); !slices.Contains(made.Salted, day) || len(made.Changed) > 0 {
			t.Errorf("%s: %+v", fixture, made)
		}
		w.write(func(l *manifest.Ledger) {
			for _, tree := range []manifest.Tree{manifest.TreeManifest, manifest.TreeCalls} {
				segments, err := l.Segments(t.Context(), tree, day)
				w.must(err)
				for _, s := range segments {
					_, err := l.ReadSegment(t.Context(), s, func(line manifest.SegmentLine) error {
						if !line.Salted {
							t.Errorf("%s: %s, line %d has no salt", fixture, s.File(), line.Number)
						}
						return nil
					})
					w.must(err)
				}
			}
		})
	}
}

// A filter that hashes a number is not sealed: a seal would keep it for ever.
func TestHashesOfPersonsAreNotSealed(t *testing.T) {
	w := newWorld(t)
	w.keepDay("2026-03-01", 1)
	w.write(func(l *manifest.Ledger) {
		d, err := l.Load(t.Context(), "2026-03-01")
		w.must(err)
		w.must(d.Close(t.Context(), manifest.DayLine{Filter: "phone_number=sha256:0123456789abcdef"}))
	})
	if made := w.seal(); made.Days != 1 {
		t.Errorf("%+v", made)
	}
	if text, err := os.ReadFile(filepath.Join(w.dir, "seals", "000001.json")); err != nil || bytes.Contains(text, []byte("0123456789abcdef")) {
		t.Errorf("%s, %v", text, err)
	}
}

// An unreadable row has no salt, but does not prevent the sealing of its day.
func TestUnreadableRowIsSealed(t *testing.T) {
	const day = "2026-03-01"
	w := newWorld(t)
	w.keepDay(day, 1)
	w.must(os.WriteFile(filepath.Join(w.dir, "calls", day, "20260101T090000Z-00000000-000001.jsonl"), []byte("nonsense\n"), 0o600))
	w.write(func(l *manifest.Ledger) {
		d, err := l.Load(t.Context(), day)
		w.must(err)
		w.must(d.Close(t.Context(), manifest.DayLine{}))
	})
	if made := w.seal(); made.Days != 1 || len(made.Changed)+len(made.Salted) > 0 {
		t.Errorf("%+v", made)
	}
}
