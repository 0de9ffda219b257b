package manifest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// closedDay is the file of a day with three recordings, one of them fetched again after damage, and a day line.
func closedDay(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	l := openDir(t, dir, Options{Run: runA})
	d := loadDay(t, l, testDay)
	again := recording("b", Archived)
	again.Key, again.Time = "audio/b-b.mp3", noon.AddDate(0, 0, 2)
	damaged := recording("b", Damaged)
	damaged.Time = noon.AddDate(0, 0, 1)
	note(t, d, recording("a", Archived), recording("b", Archived), recording("c", Lost), damaged, again)
	closeDay(t, d, DayLine{Kept: []string{"recordings"}, ListedAt: noon, Calls: 3})
	d.Release()
	closeLedger(t, l)
	return readFile(t, filepath.Join(dir, "manifest", testDay+".jsonl"))
}

// auditFile audits a day whose file is given.
func auditFile(t *testing.T, data []byte) (*Audit, []Fault) {
	t.Helper()
	l := openDir(t, archiveWith(t, data), Options{ReadOnly: true})
	return auditLedger(t, l)
}

func auditLedger(t *testing.T, l *Ledger) (*Audit, []Fault) {
	t.Helper()
	var faults []Fault
	a, err := l.Audit(t.Context(), testDay, func(f Fault) { faults = append(faults, f) })
	if err != nil {
		t.Fatal(err)
	}
	return a, faults
}

func TestAuditOfGoodDay(t *testing.T) {
	a, faults := auditFile(t, closedDay(t))
	if len(faults) > 0 || a.Faults() > 0 {
		t.Errorf("faults %+v", faults)
	}
	got := map[string]Audited{}
	for r := range a.Recordings() {
		got[r.ID] = r
	}
	if len(got) != 2 || got["b"].State.Key != "audio/b-b.mp3" || got["b"].Unproved || got["b"].Contradicted {
		t.Errorf("recordings %+v", got)
	}
	if want := recording("a", Archived); hexOf(got["a"].SHA256) != want.SHA256 || got["a"].ETag != want.ETag {
		t.Errorf("proof of a is %x, %q", got["a"].SHA256, got["a"].ETag)
	}
	var keys []string
	for k := range a.Keys() {
		name := k.ID + " " + k.Key
		if k.Current {
			name += " current"
		}
		keys = append(keys, name)
	}
	slices.Sort(keys)
	if want := []string{"a audio/a.mp3 current", "b audio/b-b.mp3 current", "b audio/b.mp3"}; !slices.Equal(keys, want) {
		t.Errorf("keys %q, want %q", keys, want)
	}
}

func hexOf(sum [32]byte) string { return hex.EncodeToString(sum[:]) }

// TestMend damages a day in every way that Audit knows, and mends it: nothing is lost but the bad line, what was there
// is kept, the day is open, and once it was closed again there is no fault left.
func TestMend(t *testing.T) {
	replace := func(old, new string) func([]byte) []byte {
		return func(data []byte) []byte { return bytes.Replace(data, []byte(old), []byte(new), 1) }
	}
	for name, test := range map[string]struct {
		damage  func([]byte) []byte
		kind    FaultKind
		line    int
		dropped int
	}{
		"a line is no JSON": {replace(`{"v":1,"kind":"recording","recording_id":"a"`, `{"v":1,"kind":"recording","recording_id":"a`), FaultBadLine, 1, 1},
		"a line is cut in half": {func(data []byte) []byte {
			first, rest, _ := bytes.Cut(data, []byte("\n"))
			return append(first[:len(first)/2:len(first)/2], rest...)
		}, FaultBadLine, 1, 1},
		"a line is edited":      {replace(`"size":1000`, `"size":1001`), FaultDayLine, 6, 0},
		"a line is gone":        {func(data []byte) []byte { return data[bytes.IndexByte(data, '\n')+1:] }, FaultDayLine, 5, 0},
		"a count is edited":     {replace(`"recordings":3`, `"recordings":4`), FaultDayLine, 6, 0},
		"the bytes are edited":  {replace(`"bytes":2000`, `"bytes":2001`), FaultDayLine, 6, 0},
		"the sha256 is edited":  {replace(`"sha256":"`, `"sha256":"0`), FaultDayLine, 6, 0},
		"counts are swapped":    {replace(`"by_outcome":{"archived":2,"lost":1}`, `"by_outcome":{"archived":1,"lost":2}`), FaultDayLine, 6, 0},
		"it is of another day":  {replace(`"day":"2025-05-01"`, `"day":"2025-05-02"`), FaultDayLine, 6, 0},
		"the last line is torn": {func(data []byte) []byte { return data[:len(data)-20] }, FaultTornLine, 6, 0},
		"a key is gone":         {replace(`"key":"audio/a.mp3"`, `"key":""`), FaultBadLine, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			good := closedDay(t)
			bad := test.damage(bytes.Clone(good))
			if bytes.Equal(good, bad) {
				t.Fatal("nothing was damaged")
			}
			dir := archiveWith(t, bad)
			l := openDir(t, dir, Options{Run: runB})
			_, faults := auditLedger(t, l)
			if len(faults) != 1 || faults[0].Kind != test.kind || test.line != 6 && test.line != faults[0].Line {
				t.Fatalf("faults %+v", faults)
			}
			if data := readFile(t, filepath.Join(dir, "manifest", testDay+".jsonl")); !bytes.Equal(data, bad) {
				t.Error("the audit changed the file")
			}
			mended, err := l.Mend(t.Context(), testDay, "a test")
			if err != nil {
				t.Fatal(err)
			}
			if mended.Dropped != test.dropped || len(mended.Aside) != min(test.dropped, 1) {
				t.Errorf("mended %+v", mended)
			}
			for _, aside := range mended.Aside {
				if !bytes.Equal(readFile(t, filepath.Join(dir, aside)), bad) {
					t.Error("the copy differs from what was there")
				}
			}
			if _, faults := auditLedger(t, l); len(faults) > 0 {
				t.Errorf("after mending: %+v", faults)
			}
			status, err := l.Status(t.Context(), testDay)
			if err != nil || status.Closed {
				t.Errorf("status %+v, %v", status, err)
			}
			d := loadDay(t, l, testDay)
			note(t, d, recording("a", Archived))
			closeDay(t, d, DayLine{Kept: []string{"recordings"}, ListedAt: noon, Calls: 3})
			d.Release()
			if _, faults := auditLedger(t, l); len(faults) > 0 {
				t.Errorf("after closing again: %+v", faults)
			}
		})
	}
}

func TestMendRefuses(t *testing.T) {
	dir := archiveWith(t, closedDay(t))
	reader := openDir(t, dir, Options{ReadOnly: true})
	if _, err := reader.Mend(t.Context(), testDay, "a test"); !errors.Is(err, ErrReadOnly) {
		t.Errorf("read-only: %v", err)
	}
	l := openDir(t, dir, Options{Run: runB})
	if _, err := l.Mend(t.Context(), "2025-05-02", "a test"); err == nil {
		t.Error("a day that is not there was mended")
	}
	d := loadDay(t, l, testDay)
	if _, err := l.Mend(t.Context(), testDay, "a test"); err == nil {
		t.Error("a day in work was mended")
	}
	d.Release()
	later := bytes.Replace(closedDay(t), []byte(`{"v":1,"kind":"recording"`), []byte(`{"v":2,"kind":"recording"`), 1)
	l = openDir(t, archiveWith(t, later), Options{Run: runB})
	if _, err := l.Mend(t.Context(), testDay, "a test"); !isLater(err) {
		t.Errorf("later version: %v", err)
	}
	if _, err := l.Audit(t.Context(), testDay, nil); !isLater(err) {
		t.Errorf("audit of a later version: %v", err)
	}
}

func isLater(err error) bool {
	_, ok := errors.AsType[*VersionError](err)
	return ok
}

// TestMendInterrupted leaves what a mending leaves that was killed before it replaced the file.
func TestMendInterrupted(t *testing.T) {
	bad := bytes.Replace(closedDay(t), []byte(`"kind":"recording"`), []byte(`"kind":recording`), 1)
	dir := archiveWith(t, bad)
	writeFile(t, filepath.Join(dir, "manifest", testDay+".jsonl.mending"), []byte("half of a li"))
	writeFile(t, filepath.Join(dir, "manifest", testDay+".jsonl.bad-"+runA), bad)
	l := openDir(t, dir, Options{Run: runB})
	if _, err := l.Mend(t.Context(), testDay, "a test"); err != nil {
		t.Fatal(err)
	}
	if _, faults := auditLedger(t, l); len(faults) > 0 {
		t.Errorf("after mending: %+v", faults)
	}
	if len(allDays(t, l)) != 1 {
		t.Error("a copy is taken for a day")
	}
	entries, err := os.ReadDir(filepath.Join(dir, "manifest"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".mending") {
			t.Error("a part is left")
		}
	}
}

// TestAuditContradictions: lines of one recording and key with other bytes, and lines without proof.
func TestAuditContradictions(t *testing.T) {
	var data []byte
	add := func(r Recording) {
		if r.SHA256 == "" { // Note would refuse it
			data = append(data, bytes.Replace(lineOf(t, recording(r.RecordingID, Archived)), []byte(recording(r.RecordingID, Archived).SHA256), nil, 1)...)
			return
		}
		data = append(data, lineOf(t, r)...)
	}
	other := recording("b", Archived)
	other.SHA256 = recording("a", Archived).SHA256
	nothing := recording("c", Archived)
	nothing.SHA256 = ""
	empty := recording("d", Archived)
	empty.Size = 0
	healed := recording("e", Archived)
	healed.SHA256 = other.SHA256
	damaged, again := recording("e", Damaged), recording("e", Archived)
	damaged.Time, again.Time, again.Key = noon.AddDate(0, 0, 1), noon.AddDate(0, 0, 2), "audio/e-e.mp3"
	for _, r := range []Recording{recording("a", Archived), recording("a", Archived), recording("b", Archived), other, nothing, empty, recording("e", Archived), healed, damaged, again} {
		add(r)
	}
	a, faults := auditFile(t, data)
	if len(faults) > 0 {
		t.Errorf("faults %+v", faults)
	}
	for r := range a.Recordings() {
		if r.Contradicted != (r.ID == "b") || r.Unproved != (r.ID == "c" || r.ID == "d") {
			t.Errorf("%s: contradicted %t, unproved %t", r.ID, r.Contradicted, r.Unproved)
		}
	}
}

// TestMendInBucket: a segment is replaced after its copy and after the line that opens the day.
func TestMendInBucket(t *testing.T) {
	objects := newObjects()
	l := openBucket(t, objects, t.TempDir(), Options{Run: runA})
	d := loadDay(t, l, testDay)
	note(t, d, recording("a", Archived), recording("b", Archived))
	closeDay(t, d, DayLine{Kept: []string{"recordings"}, ListedAt: noon, Calls: 2})
	d.Release()
	closeLedger(t, l)
	key := segment(treeManifest, runA, 1)
	bad := bytes.Replace(objects.objects[key], []byte(`"kind":"recording"`), []byte(`"kind":recording`), 1)
	objects.objects[key] = bad
	objects.puts = nil

	l = openBucket(t, objects, t.TempDir(), Options{Run: runB})
	if _, faults := auditLedger(t, l); len(faults) != 1 || faults[0].Kind != FaultBadLine || faults[0].File != key {
		t.Fatalf("faults %+v", faults)
	}
	mended, err := l.Mend(t.Context(), testDay, "a test")
	if err != nil || mended.Dropped != 1 || !slices.Equal(mended.Aside, []string{key + ".bad-" + runB}) {
		t.Fatalf("mended %+v, %v", mended, err)
	}
	if want := []string{key + ".bad-" + runB, segment(treeManifest, runB, 1), key}; !slices.Equal(objects.puts, want) {
		t.Errorf("stored %q, want %q", objects.puts, want)
	}
	if !bytes.Equal(objects.objects[key+".bad-"+runB], bad) {
		t.Error("the copy differs from what was there")
	}
	if _, faults := auditLedger(t, l); len(faults) > 0 {
		t.Errorf("after mending: %+v", faults)
	}
	if status, err := l.Status(t.Context(), testDay); err != nil || status.Closed {
		t.Errorf("status %+v, %v", status, err)
	}
	d = loadDay(t, l, testDay)
	note(t, d, recording("a", Archived))
	closeDay(t, d, DayLine{Kept: []string{"recordings"}, ListedAt: noon, Calls: 2})
	d.Release()
	if _, faults := auditLedger(t, l); len(faults) > 0 {
		t.Errorf("after closing again: %+v", faults)
	}
}

// TestAuditOfClosing: what can be wrong with closed.json.
func TestAuditOfClosing(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(objects map[string][]byte)
		kind   FaultKind
	}{
		"count": {func(o map[string][]byte) {
			o[closedKey(testDay)] = bytes.Replace(o[closedKey(testDay)], []byte(`"recordings":2`), []byte(`"recordings":1`), 1)
		}, FaultDayLine},
		"a line edited": {func(o map[string][]byte) {
			key := segment(treeManifest, runA, 1)
			o[key] = bytes.Replace(o[key], []byte(`"size":1000`), []byte(`"size":1001`), 1)
		}, FaultDayLine},
		"no JSON":        {func(o map[string][]byte) { o[closedKey(testDay)] = []byte("nonsense\n") }, FaultBadLine},
		"a segment lost": {func(o map[string][]byte) { delete(o, segment(treeManifest, runA, 1)) }, FaultLostSegments},
	} {
		t.Run(name, func(t *testing.T) {
			objects := newObjects()
			l := openBucket(t, objects, t.TempDir(), Options{Run: runA})
			d := loadDay(t, l, testDay)
			note(t, d, recording("a", Archived), recording("b", Archived))
			closeDay(t, d, DayLine{Kept: []string{"recordings"}, ListedAt: noon, Calls: 2})
			d.Release()
			if _, faults := auditLedger(t, l); len(faults) > 0 {
				t.Errorf("before: %+v", faults)
			}
			closeLedger(t, l)
			test.damage(objects.objects)

			l = openBucket(t, objects, t.TempDir(), Options{Run: runB})
			if _, faults := auditLedger(t, l); len(faults) != 1 || faults[0].Kind != test.kind {
				t.Fatalf("faults %+v", faults)
			}
			if _, err := l.Mend(t.Context(), testDay, "a test"); err != nil {
				t.Fatal(err)
			}
			d = loadDay(t, l, testDay)
			note(t, d, recording("a", Archived), recording("b", Archived))
			closeDay(t, d, DayLine{Kept: []string{"recordings"}, ListedAt: noon, Calls: 2})
			d.Release()
			if _, faults := auditLedger(t, l); len(faults) > 0 {
				t.Errorf("after closing again: %+v", faults)
			}
		})
	}
}
