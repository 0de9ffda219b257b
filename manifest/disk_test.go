package manifest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestDayOnDisk(t *testing.T) {
	dir := t.TempDir()
	l := openDir(t, dir, Options{Run: runA})
	d := loadDay(t, l, testDay)
	if _, ok := d.Recording("1"); ok || len(allDays(t, l)) != 0 {
		t.Fatal("a new archive knows something")
	}
	pending := recording("1", Pending)
	pending.Reason = NotFoundReason("l1")
	note(t, d, pending, recording("2", Archived), recording("3", Archived))
	if err := d.NoteWindow(t.Context(), Window{From: "2025-05-01 00:00:00", To: "2025-05-01 23:59:59", Rows: 3}); err != nil {
		t.Fatal(err)
	}
	if s, ok := d.Recording("1"); !ok || s.Outcome != Pending || s.NotFoundListing != "l1" || s.CallID != "c1" {
		t.Errorf("state %+v", s)
	}
	if s, err := l.Status(t.Context(), testDay); err != nil || s.Closed {
		t.Errorf("open day: %+v, %v", s, err)
	}
	later := recording("1", Lost)
	later.Time, later.FirstSeen = noon.Add(48*time.Hour), time.Time{}
	note(t, d, later)
	if s, _ := d.Recording("1"); !s.FirstSeen.Equal(noon) {
		t.Errorf("first seen %s is not carried on", s.FirstSeen)
	}

	before := readFile(t, filepath.Join(dir, "manifest", testDay+".jsonl"))
	closeDay(t, d, DayLine{Kept: []string{"recordings"}, ListedAt: noon, Calls: 4, Time: noon})
	want := DayLine{Day: testDay, Closed: true, Kept: []string{"recordings"}, ListedAt: noon, Calls: 4, Recordings: 3,
		ByOutcome: map[Outcome]int{Archived: 2, Lost: 1}, Bytes: 2000, Lines: 5, SHA256: hexSum(before), Time: noon, Run: runA}
	if got, ok := d.Closed(); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if s, err := l.Status(t.Context(), testDay); err != nil || !s.Closed || !reflect.DeepEqual(s.DayLine, want) {
		t.Errorf("closed day: %+v, %v", s, err)
	}
	d.Release()

	// Whoever reads it later sees the same; one more line opens it.
	d = loadDay(t, l, testDay)
	if got, ok := d.Closed(); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("read back %+v", got)
	}
	damaged := recording("2", Damaged)
	damaged.Time = noon.Add(time.Hour)
	note(t, d, damaged)
	if _, ok := d.Closed(); ok {
		t.Error("closed after a repair")
	}
	if s, err := l.Status(t.Context(), testDay); err != nil || s.Closed {
		t.Errorf("after a repair: %+v, %v", s, err)
	}
	closeDay(t, d, DayLine{})
	if got, ok := d.Closed(); !ok || got.Lines != 7 || got.ByOutcome[Damaged] != 1 || got.Bytes != 1000 {
		t.Errorf("closed again: %+v", got)
	}
	d.Release()
	if len(l.days) != 0 {
		t.Error("a released day stays in memory")
	}
}

func TestClosedFor(t *testing.T) {
	for _, test := range []struct {
		status DayStatus
		filter string
		want   bool
	}{
		{DayStatus{}, "", false},
		{DayStatus{Closed: true}, "", true},
		{DayStatus{Closed: true}, "campaign_id=1", true},
		{DayStatus{Closed: true, DayLine: DayLine{Filter: "campaign_id=1"}}, "campaign_id=1", true},
		{DayStatus{Closed: true, DayLine: DayLine{Filter: "campaign_id=1"}}, "campaign_id=2", false},
		{DayStatus{Closed: true, DayLine: DayLine{Filter: "campaign_id=1"}}, "", false},
	} {
		if got := test.status.ClosedFor(test.filter); got != test.want {
			t.Errorf("%+v for %q: %t", test.status, test.filter, got)
		}
	}
}

// A day line that does not agree with what stands before it closes nothing.
func TestDayLineMustAgree(t *testing.T) {
	closed := string(sample(t, "closed.jsonl"))
	for name, test := range map[string]struct {
		old, new string
		cheap    bool // the last line alone tells
	}{
		"counts":      {`"recordings":3,"by_outcome"`, `"recordings":4,"by_outcome"`, true},
		"not closed":  {`"closed":true`, `"closed":false`, true},
		"another day": {`"day":"2025-05-01"`, `"day":"2025-05-02"`, true},
		"lines":       {`"lines":6`, `"lines":7`, false},
		"bytes":       {`"attempts":4`, `"attempts":5`, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := openDir(t, archiveWith(t, []byte(strings.Replace(closed, test.old, test.new, 1))), Options{ReadOnly: true})
			if s, err := l.Status(t.Context(), testDay); err != nil || s.Closed == test.cheap {
				t.Errorf("status %+v, %v", s, err)
			}
			if _, ok := loadDay(t, l, testDay).Closed(); ok {
				t.Error("loaded as closed")
			}
		})
	}
}

func TestDaysOnDisk(t *testing.T) {
	dir := archiveWith(t, sample(t, "closed.jsonl"))
	for _, name := range []string{"manifest/2025-04-30.jsonl", "calls/2025-04-29.jsonl", "manifest/2025-05-01.jsonl.torn",
		"manifest/2025-13-01.jsonl", "manifest/notes.txt"} {
		writeFile(t, filepath.Join(dir, filepath.FromSlash(name)), nil)
	}
	l := openDir(t, dir, Options{ReadOnly: true})
	var got []string
	for _, s := range allDays(t, l) {
		got = append(got, fmt.Sprint(s.Day, " ", s.Closed))
	}
	if want := []string{"2025-04-29 false", "2025-04-30 false", "2025-05-01 true"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for range l.Days(t.Context()) {
		break // and no more is read
	}
	for _, day := range []string{"", "2025-5-1", "2025-02-30", "../2025-05-01"} {
		if _, err := l.Day(t.Context(), day); err == nil {
			t.Errorf("day %q was opened", day)
		}
		if _, err := l.Status(t.Context(), day); err == nil {
			t.Errorf("day %q was looked at", day)
		}
	}
}

func TestArchiveFile(t *testing.T) {
	dir := t.TempDir()
	l := openDir(t, dir, Options{})
	if _, err := l.Archive(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a new archive: %v", err)
	}
	testArchiveFile(t, l)
	if runtime.GOOS == "windows" {
		return
	}
	for name, mode := range map[string]fs.FileMode{"manifest": 0o700, "manifest/archive.json": 0o600, "manifest/lock": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// testArchiveFile is for both media.
func testArchiveFile(t *testing.T, l *Ledger) {
	t.Helper()
	ctx := t.Context()
	a := Archive{APIURL: "https://api.convoso.com/v1", TimeZone: "America/Los_Angeles", Created: noon}
	if err := l.SaveArchive(ctx, a); err != nil {
		t.Fatal(err)
	}
	saved, err := l.Archive(ctx)
	if err != nil || saved.ID == "" || saved.V != 1 || saved.AccountID != "" || saved.TimeZone != a.TimeZone || !saved.Created.Equal(noon) {
		t.Fatalf("%+v, %v", saved, err)
	}
	if err := l.SaveArchive(ctx, a); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second creation: %v", err)
	}
	filled := saved
	filled.AccountID = "77"
	if err := l.SaveArchive(ctx, filled); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Archive(ctx); err != nil || got != filled {
		t.Errorf("%+v, %v", got, err)
	}
	for name, change := range map[string]func(*Archive){
		"same":    func(*Archive) {},
		"account": func(a *Archive) { a.AccountID = "78" },
		"zone":    func(a *Archive) { a.TimeZone = "UTC" },
	} {
		other := filled
		change(&other)
		if err := l.SaveArchive(ctx, other); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestArchiveFileKeepsUnknownFields(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "manifest", "archive.json")
	writeFile(t, name, sample(t, "archive.json"))
	l := openDir(t, dir, Options{})
	a, err := l.Archive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.AccountID = "77"
	if err := l.SaveArchive(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(string(sample(t, "archive.json")), `"account_id":""`, `"account_id":"77"`, 1)
	if got := string(readFile(t, name)); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	writeFile(t, name, []byte(`{"v":3,"kind":"archive"}`))
	var later *VersionError
	if _, err := l.Archive(t.Context()); !errors.As(err, &later) || later.V != 3 {
		t.Errorf("version 3: %v", err)
	}
	if err := loadDay(t, l, testDay).Note(t.Context(), recording("1", Pending)); !errors.As(err, &later) {
		t.Errorf("note: %v", err)
	}
}

func TestCallRows(t *testing.T) {
	dir := t.TempDir()
	l := openDir(t, dir, Options{Run: runA})
	testCallRows(t, l)
	if got := lineCount(readFile(t, filepath.Join(dir, "calls", testDay+".jsonl"))); got != 4 {
		t.Errorf("%d rows noted, want 4", got)
	}
}

// testCallRows notes rows of which four are new or changed; it is for both media.
func testCallRows(t *testing.T, l *Ledger) {
	t.Helper()
	d := loadDay(t, l, testDay)
	calls := func(rows ...string) (list []Call) {
		for _, row := range rows {
			list = append(list, Call{CallID: row[7:8], Row: []byte(row)})
		}
		return list
	}
	pages := [][]Call{
		calls(`{"id":"1","x":1}`, `{"id":"2"}`, `{"id":"1","x":1}`), // two are new
		calls(`{"id":"1", "x": 1}`),                                 // white space is no change
		calls(`{"id":"1","x":2}`),                                   // a change
		nil,
		calls(`{"id":"2"}`, `{"id":"1","x":1}`), // changed back
	}
	for i, page := range pages {
		if i == 3 { // what was noted is read back
			d.Release()
			d = loadDay(t, l, testDay)
			continue
		}
		if err := d.NoteCalls(t.Context(), page); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.NoteCall(t.Context(), Call{CallID: "3", Row: []byte(`{"phone":"5550100"`)}); err == nil || strings.Contains(err.Error(), "555") {
		t.Errorf("a row that is not JSON: %v", err)
	}
	d.Release()
}

func TestOwner(t *testing.T) {
	dir := t.TempDir()
	l := openDir(t, dir, Options{})
	for i, day := range []string{"2025-04-30", testDay, "2025-05-02"} {
		d := loadDay(t, l, day)
		for j := range 50 {
			note(t, d, recording(numbered(100*i+j), Archived))
		}
		if i == 1 {
			odd := recording("odd", Archived)
			odd.Key = `a"\<é>.mp3`
			remark := recording("remark", Pending)
			remark.Reason = `"key":"taken.mp3"`
			note(t, d, odd, remark)
		}
		d.Release()
	}
	writeFile(t, filepath.Join(dir, "manifest", "2025-05-03.jsonl"), sample(t, "unknown.jsonl"))
	for key, want := range map[string]string{
		"audio/r000107.mp3": "r000107", `a"\<é>.mp3`: "odd", "café.mp3": "108", "audio/r0001": "", "taken.mp3": "",
	} {
		if got, err := l.Owner(t.Context(), key); err != nil || got != want {
			t.Errorf("owner of %q: %q, %v, want %q", key, got, err, want)
		}
	}
}

func TestRecords(t *testing.T) {
	l := openDir(t, archiveWith(t, sample(t, "closed.jsonl")), Options{ReadOnly: true})
	var kinds []string
	for _, line := range collect(t, l.Records(t.Context(), testDay)) {
		kinds = append(kinds, line.Kind)
	}
	if want := strings.Fields("recording recording recording window recording recording day"); !reflect.DeepEqual(kinds, want) {
		t.Errorf("kinds %v", kinds)
	}
	for line := range l.Records(t.Context(), testDay) {
		r, recordingErr := line.Recording()
		w, windowErr := line.Window()
		c, dayErr := line.DayLine()
		for kind, err := range map[string]error{kindRecording: recordingErr, kindWindow: windowErr, kindDay: dayErr} {
			if (err == nil) != (kind == line.Kind) {
				t.Errorf("line %d of kind %s read as %s: %v", line.Number, line.Kind, kind, err)
			}
		}
		if line.Number == 1 && r.ETag != `"d41d8cd98f00b204e9800998ecf8427e"` || line.Number == 4 && w.Total != 3 || line.Number == 7 && c.Lines != 6 {
			t.Errorf("line %d: %+v %+v %+v", line.Number, r, w, c)
		}
	}
	// A bad line does not end the reading.
	l = openDir(t, archiveWith(t, sample(t, "bad-middle.jsonl")), Options{ReadOnly: true})
	good, bad := 0, 0
	for _, err := range l.Records(t.Context(), testDay) {
		if badLine := (*BadLineError)(nil); errors.As(err, &badLine) {
			bad++
		} else {
			good++
		}
	}
	if good != 4 || bad != 1 {
		t.Errorf("%d good lines, %d bad", good, bad)
	}
}

func TestConcurrentNotes(t *testing.T) {
	const workers, each = 16, 40
	dir := t.TempDir()
	l := openDir(t, dir, Options{})
	days := []*Day{loadDay(t, l, testDay), loadDay(t, l, "2025-05-02"), loadDay(t, l, testDay)}
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range each {
				d := days[i%len(days)]
				id := numbered(w*each + i)
				if err := d.Note(t.Context(), recording(id, Archived)); err != nil {
					t.Error(err)
				}
				if s, ok := d.Recording(id); !ok || s.Outcome != Archived {
					t.Errorf("%s is not there after it was noted", id)
				}
				for range d.Recordings() {
					break
				}
			}
		})
	}
	group.Wait()
	closeLedger(t, l)

	l = openDir(t, dir, Options{ReadOnly: true})
	total := 0
	for _, s := range allDays(t, l) {
		total += len(outcomes(loadDay(t, l, s.Day)))
	}
	if total != workers*each {
		t.Errorf("%d recordings, want %d", total, workers*each)
	}
}

func TestAfterClose(t *testing.T) {
	testAfterClose(t, openDir(t, t.TempDir(), Options{}))
}

// testAfterClose is for both media.
func testAfterClose(t *testing.T, l *Ledger) {
	t.Helper()
	d := loadDay(t, l, testDay)
	closeLedger(t, l)
	_, loadErr := l.Day(t.Context(), "2025-05-02")
	for name, err := range map[string]error{
		"load":    loadErr,
		"note":    d.Note(t.Context(), recording("1", Pending)),
		"window":  d.NoteWindow(t.Context(), Window{}),
		"call":    d.NoteCall(t.Context(), Call{CallID: "1", Row: []byte(`{}`)}),
		"close":   d.Close(t.Context(), DayLine{}),
		"archive": l.SaveArchive(t.Context(), Archive{}),
		"flush":   l.Flush(t.Context()),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCancelledContextNotesNothing(t *testing.T) {
	dir := t.TempDir()
	d := loadDay(t, openDir(t, dir, Options{}), testDay)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Note(ctx, recording("1", Pending)); !errors.Is(err, context.Canceled) {
		t.Errorf("note: %v", err)
	}
	if _, ok := d.Recording("1"); ok {
		t.Error("noted all the same")
	}
}

func TestRunID(t *testing.T) {
	id := NewRunID(time.Date(2025, 5, 2, 11, 0, 3, 0, time.FixedZone("", 2*3600)))
	if !strings.HasPrefix(id, "20250502T090003Z-") || !runPattern.MatchString(id) || id == NewRunID(noon) {
		t.Errorf("run id %s", id)
	}
	if _, err := OpenDir(openRoot(t, t.TempDir()), Options{Run: "../x"}); err == nil {
		t.Error("a run id with a path was accepted")
	}
}

// Links below the archive lead nowhere else.
func TestNothingOutsideTheRoot(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("making symbolic links needs a privilege on Windows")
	}
	outside, dir := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "manifest")); err != nil {
		t.Fatal(err)
	}
	if l, err := OpenDir(openRoot(t, dir), Options{}); err == nil {
		_ = l.Close(t.Context())
		t.Error("opened through a link that leads out")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("outside: %v, %v", entries, err)
	}
}
