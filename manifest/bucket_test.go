package manifest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

// openBucket opens a ledger whose clock does not tick within a test.
func openBucket(t testing.TB, objects Objects, spool string, o Options) *Ledger {
	t.Helper()
	o.SpoolDir, o.UploadEvery = spool, time.Hour
	l, err := OpenObjects(t.Context(), objects, o)
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

func segment(tree, run string, n int) string {
	return fmt.Sprintf("%s/%s/%s-%06d.jsonl", tree, testDay, run, n)
}

func TestDayInBucket(t *testing.T) {
	objects, spool := newObjects(), t.TempDir()
	l := openBucket(t, objects, spool, Options{Run: runA})
	testArchiveFile(t, l)
	d := loadDay(t, l, testDay)
	if err := d.NoteCall(t.Context(), Call{CallID: "c1", Row: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	note(t, d, recording("1", Pending))
	if got := objects.keys("manifest/2"); len(got) != 0 {
		t.Fatalf("uploaded at once: %v", got)
	}
	if days := allDays(t, l); len(days) != 1 || days[0].Day != testDay || days[0].Closed {
		t.Errorf("days %+v", days)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	later := recording("1", Archived)
	later.Time = noon.Add(time.Hour)
	note(t, d, later, recording("2", Lost))
	closeDay(t, d, DayLine{Kept: []string{"recordings"}, ListedAt: noon, Calls: 1, Time: noon})

	want := []string{segment("calls", runA, 1), segment("manifest", runA, 1), segment("manifest", runA, 2), "manifest/2025-05-01/closed.json"}
	if got := objects.puts[2:]; !reflect.DeepEqual(got, want) { // after archive.json twice
		t.Errorf("stored %v, want %v", got, want)
	}
	// The segments and closed.json, end to end, are a file for a disk.
	var file []byte
	for _, key := range objects.keys("manifest/" + testDay) {
		file = append(file, objects.objects[key]...)
	}
	closing, ok := d.Closed()
	if !ok || closing.Lines != 3 || closing.Segments != 2 || closing.LastSegment != path.Base(want[2]) || closing.Run != runA {
		t.Errorf("closing %+v", closing)
	}
	onDisk := openDir(t, archiveWith(t, file), Options{ReadOnly: true})
	if got, ok := loadDay(t, onDisk, testDay).Closed(); !ok || !reflect.DeepEqual(got, closing) {
		t.Errorf("as a file: %+v, want %+v", got, closing)
	}
	d.Release()
	closeLedger(t, l)
	if left := spoolEntries(t, spool); len(left) != 0 {
		t.Errorf("left in the spool: %v", left)
	}

	// A run without any local state sees the same with one LIST and one GET.
	l = openBucket(t, objects, t.TempDir(), Options{Run: runB})
	objects.set(func() { objects.lists, objects.gets = 0, 0 })
	if s, err := l.Status(t.Context(), testDay); err != nil || !s.Closed || !reflect.DeepEqual(s.DayLine, closing) {
		t.Errorf("status %+v, %v", s, err)
	}
	if objects.lists != 1 || objects.gets != 1 {
		t.Errorf("%d LIST, %d GET", objects.lists, objects.gets)
	}
	d = loadDay(t, l, testDay)
	if got, ok := d.Closed(); !ok || !reflect.DeepEqual(got, closing) {
		t.Errorf("loaded %+v", got)
	}
	if got := outcomes(d); !reflect.DeepEqual(got, map[string]Outcome{"1": Archived, "2": Lost}) {
		t.Errorf("outcomes %v", got)
	}
	if lines := collect(t, l.Records(t.Context(), testDay)); len(lines) != 4 || lines[3].Kind != kindDay {
		t.Errorf("%d lines", len(lines))
	}
	if id, err := l.Owner(t.Context(), "audio/1.mp3"); err != nil || id != "1" {
		t.Errorf("owner %q, %v", id, err)
	}

	// A repair opens it, at once for this run, after the upload for all; closing again closes it.
	damaged := recording("1", Damaged)
	damaged.Time = noon.Add(2 * time.Hour)
	note(t, d, damaged)
	for _, flush := range []bool{false, true} {
		if flush {
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if s, err := l.Status(t.Context(), testDay); err != nil || s.Closed {
			t.Errorf("after a repair: %+v, %v", s, err)
		}
		if _, ok := d.Closed(); ok {
			t.Error("closed after a repair")
		}
	}
	closeDay(t, d, DayLine{})
	if days := allDays(t, l); len(days) != 1 || !days[0].Closed || days[0].DayLine.Segments != 3 {
		t.Errorf("closed again: %+v", days)
	}
}

// spoolEntries lists what runs left in a spool folder.
func spoolEntries(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != "lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestCallRowsInBucket(t *testing.T) {
	objects := newObjects()
	l := openBucket(t, objects, t.TempDir(), Options{Run: runA})
	testCallRows(t, l)
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, key := range objects.keys("calls/") {
		rows += lineCount(objects.objects[key])
	}
	if rows != 4 {
		t.Errorf("%d rows, want 4", rows)
	}
}

// Two runs at once: neither closes a day over what it did not read.
func TestAnotherRunWrote(t *testing.T) {
	objects := newObjects()
	a := openBucket(t, objects, t.TempDir(), Options{Run: runA})
	b := openBucket(t, objects, t.TempDir(), Options{Run: runB})
	dayA, dayB := loadDay(t, a, testDay), loadDay(t, b, testDay)
	note(t, dayA, recording("1", Archived))
	note(t, dayB, recording("1", Archived), recording("2", Archived))
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := dayA.Close(t.Context(), DayLine{}); !errors.Is(err, ErrChanged) {
		t.Fatalf("close: %v", err)
	}
	if _, ok := dayA.Closed(); ok {
		t.Error("closed all the same")
	}
	dayA.Release()
	dayA = loadDay(t, a, testDay)
	if got := outcomes(dayA); len(got) != 2 {
		t.Errorf("loaded again: %v", got)
	}
	closeDay(t, dayA, DayLine{Time: noon})
	if s, err := b.Status(t.Context(), testDay); err != nil || !s.Closed || s.DayLine.LastSegment != path.Base(segment("", runB, 1)) {
		t.Errorf("status %+v, %v", s, err)
	}
	// A line of a run with an earlier id, uploaded late, opens the day too.
	note(t, dayA, recording("3", Pending))
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := b.Status(t.Context(), testDay); err != nil || s.Closed {
		t.Errorf("status %+v, %v", s, err)
	}
	dayB.Release()
	if _, ok := loadDay(t, b, testDay).Closed(); ok {
		t.Error("loaded as closed")
	}
}

func TestDaysInBucket(t *testing.T) {
	objects := newObjects()
	l := openBucket(t, objects, t.TempDir(), Options{Run: runA})
	want := map[string]bool{}
	for i := range 150 {
		day := time.Date(2025, 1, 1+i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
		d := loadDay(t, l, day)
		note(t, d, recording("1", Archived))
		if want[day] = i%3 > 0; want[day] {
			closeDay(t, d, DayLine{})
		}
		d.Release()
	}
	objects.objects["calls/2024-12-31/"+runA+"-000001.jsonl"] = sample(t, "calls.jsonl")
	want["2024-12-31"] = false
	objects.objects["manifest/2025-02-02/closed.json"] = []byte("{broken")
	want["2025-02-02"] = false
	got, last := map[string]bool{}, ""
	for _, s := range allDays(t, l) {
		if got[s.Day] = s.Closed; s.Day <= last {
			t.Errorf("%s after %s", s.Day, last)
		}
		last = s.Day
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	d := loadDay(t, l, "2025-02-02") // a broken closing only opens the day
	closeDay(t, d, DayLine{})
	objects.objects["manifest/2025-02-04/closed.json"] = []byte(`{"v":2,"kind":"day"}` + "\n")
	laters := 0
	for s, err := range l.Days(t.Context()) {
		var later *VersionError
		if errors.As(err, &later) && s.Day == "2025-02-04" {
			laters++
		} else if err != nil {
			t.Errorf("%s: %v", s.Day, err)
		}
	}
	if laters != 1 {
		t.Errorf("%d days of a later version", laters)
	}
	if _, err := l.Day(t.Context(), "2025-02-04"); err == nil {
		t.Error("loaded a day of a later version")
	}
}

func TestReadOnlyBucket(t *testing.T) {
	objects, spool := newObjects(), t.TempDir()
	objects.objects[segment("manifest", runA, 1)] = lineOf(t, recording("1", Archived))
	objects.objects[segment("calls", runA, 1)] = sample(t, "calls.jsonl")
	l, err := OpenObjects(t.Context(), objects, Options{ReadOnly: true, SpoolDir: spool})
	if err != nil {
		t.Fatal(err)
	}
	d := loadDay(t, l, testDay)
	for name, err := range map[string]error{
		"note":    d.Note(t.Context(), recording("2", Pending)),
		"window":  d.NoteWindow(t.Context(), Window{}),
		"call":    d.NoteCall(t.Context(), Call{CallID: "1", Row: []byte(`{}`)}),
		"close":   d.Close(t.Context(), DayLine{}),
		"archive": l.SaveArchive(t.Context(), Archive{}),
	} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := errors.Join(l.Flush(t.Context()), l.Close(t.Context())); err != nil {
		t.Error(err)
	}
	if len(objects.puts) != 0 || len(spoolEntries(t, spool)) != 0 {
		t.Errorf("stored %v, spooled %v", objects.puts, spoolEntries(t, spool))
	}
}

// A connection that breaks while a segment is read costs a second, not the day.
func TestReadThroughBrokenConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects := newObjects()
		for n := range 9 {
			objects.objects[segment("manifest", runA, n+1)] = lineOf(t, recording(fmt.Sprint(n), Archived))
		}
		breaks := 2
		objects.get = func(key string, body io.ReadCloser) io.ReadCloser {
			if key != segment("manifest", runA, 3) || breaks == 0 {
				return body
			}
			breaks--
			return &brokenBody{body, 100}
		}
		l, err := OpenObjects(t.Context(), objects, Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := outcomes(loadDay(t, l, testDay)); len(got) != 9 {
			t.Errorf("got %v", got)
		}
		breaks = 9
		if _, err := l.Day(t.Context(), testDay); err != nil {
			t.Errorf("the loaded day was read again: %v", err)
		}
		if _, err := l.Owner(t.Context(), "no such key"); !errors.Is(err, errServer) {
			t.Errorf("broken for good: %v", err)
		}
	})
}

// A segment that ends in half a line was not written by this program.
func TestTornSegment(t *testing.T) {
	objects := newObjects()
	objects.objects[segment("manifest", runA, 1)] = sample(t, "torn.jsonl")
	l := openBucket(t, objects, t.TempDir(), Options{Run: runB})
	var badLine *BadLineError
	if _, err := l.Day(t.Context(), testDay); !errors.As(err, &badLine) || badLine.Line != 5 {
		t.Errorf("got %v", err)
	}
}

// Closing reads back what is stored, so that a day line never vouches for a segment that is not there.
func TestCloseReadsBack(t *testing.T) {
	objects := newObjects()
	l := openBucket(t, objects, t.TempDir(), Options{Run: runA})
	d := loadDay(t, l, testDay)
	note(t, d, recording("1", Archived))
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	objects.set(func() { delete(objects.objects, segment("manifest", runA, 1)) })
	note(t, d, recording("2", Archived))
	if err := d.Close(t.Context(), DayLine{}); !errors.Is(err, ErrChanged) {
		t.Errorf("got %v", err)
	}
}

func TestAfterCloseOfBucket(t *testing.T) {
	testAfterClose(t, openBucket(t, newObjects(), t.TempDir(), Options{}))
}

// archive.json is created once, whoever is first, also when the reply is lost.
func TestCreationOfArchiveInBucket(t *testing.T) {
	for name, test := range map[string]struct {
		fault func(m *memoryObjects)
		lost  bool // to another run
	}{
		"reply lost": {func(m *memoryObjects) {
			m.got = func(string) error { m.got = nil; return fs.ErrExist }
		}, false},
		"another run is first": {func(m *memoryObjects) {
			m.put = func(key string) error { m.put = nil; m.objects[key] = sample(t, "archive.json"); return nil }
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			objects := newObjects()
			l := openBucket(t, objects, t.TempDir(), Options{})
			test.fault(objects)
			if err := l.SaveArchive(t.Context(), Archive{TimeZone: "UTC"}); errors.Is(err, fs.ErrExist) != test.lost || !test.lost && err != nil {
				t.Errorf("save: %v", err)
			}
			if a, err := l.Archive(t.Context()); err != nil || (a.TimeZone == "UTC") == test.lost {
				t.Errorf("read: %+v, %v", a, err)
			}
		})
	}
}

// After a line that could not be written, no day is closed.
func TestNoClosingAfterAFailedNote(t *testing.T) {
	l := openBucket(t, newObjects(), t.TempDir(), Options{})
	d := loadDay(t, l, testDay)
	note(t, d, recording("1", Archived))
	l.files.refuse(errServer)
	if err := d.Close(t.Context(), DayLine{}); !errors.Is(err, errServer) {
		t.Errorf("close: %v", err)
	}
}
