package manifest

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// The archives in testdata were written by the version before this layout: the one in a folder, the other in a
// bucket. Both have the same days. 2025-05-01 is closed, with a recording that is lost and one that was given up; on
// 2025-05-02 one waits; 2025-05-03 is closed for a filter; 2025-05-04 was closed for the filter and then for all.
func inOldArchives(t *testing.T, test func(t *testing.T, p place)) {
	for _, fixture := range []string{"old-disk", "old-bucket"} {
		for _, p := range places(t) {
			t.Run(fixture+" on "+p.name, func(t *testing.T) {
				p.readTestdata(t, fixture)
				test(t, p)
			})
		}
	}
}

const (
	runNew   = "20260101T090000Z-aaaaaaaa"
	runNewer = "20260102T090000Z-bbbbbbbb"
)

var oldDays = []string{"2025-05-01", "2025-05-02", "2025-05-03", "2025-05-04"}

// closedFor lists days with the filters for which they are closed.
func closedFor(t *testing.T, l *Ledger) []string {
	t.Helper()
	var closed []string
	for _, day := range oldDays {
		d, err := l.Read(t.Context(), day, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := statusOf(t, l, day)
		byFilter := func(a, b DayLine) int { return strings.Compare(a.Filter, b.Filter) }
		lines := d.Lines()
		for i := range lines {
			d.count(&lines[i]) // a status also counts later lines
		}
		slices.SortFunc(s.Lines, byFilter)
		slices.SortFunc(lines, byFilter)
		if !reflect.DeepEqual(s.Lines, lines) && (len(s.Lines) == 0 || s.Lines[0].Filter != "") {
			t.Errorf("%s: status %+v, read whole %+v", day, s.Lines, lines)
		}
		for _, line := range lines {
			closed = append(closed, day[8:]+line.Filter)
		}
	}
	return closed
}

func TestOldArchiveIsRead(t *testing.T) {
	inOldArchives(t, func(t *testing.T, p place) {
		before := p.files(t, "")
		l := p.open(t, Options{ReadOnly: true})
		if got := collect(t, l.Days(t.Context())); !slices.Equal(got, oldDays) {
			t.Errorf("days %v", got)
		}
		if a, err := l.Archive(t.Context()); err != nil || a.V != 1 || a.ID != "oldarchive" || a.AccountID != "1234" {
			t.Errorf("archive.json %+v, %v", a, err)
		}
		if got, want := closedFor(t, l), []string{"01", "03campaign_id=7", "04"}; !slices.Equal(got, want) {
			t.Errorf("closed %v, want %v", got, want)
		}
		for _, day := range oldDays {
			wantFaults(t, l, day)
		}
		d := loadDay(t, l, "2025-05-01")
		states := statesOf(d)
		lost, failed := states["2"], states["3"]
		if len(states) != 3 || states["1"].Outcome != Archived || states["1"].Key != "a/1.mp3" || states["1"].ETag != `"e1"` {
			t.Errorf("%+v", states)
		}
		if !lost.Final || !lost.Old || lost.NotFounds != 2 || lost.NotFoundListing != "L1" || lost.Cause != CauseNotFound {
			t.Errorf("lost: %+v", lost)
		}
		if failed.Final || !failed.Old {
			t.Errorf("given up: %+v", failed)
		}
		if line := d.Lines()[0]; line.Calls != 3 || line.Recordings != 3 || line.Segments != nil || line.Root != "" {
			t.Errorf("%+v", line)
		}
		if windows := d.Windows(); len(windows) != 1 || windows[0].Listing != "L2" || windows[0].Whole {
			t.Errorf("%+v", windows)
		}
		rows := 0
		if err := l.Calls(t.Context(), "2025-05-01", func(c Call) error {
			rows++
			if c.CallID != fmt.Sprint("call-", rows) || string(c.Row) != fmt.Sprintf(`{"id":"call-%d","lead":{"x":1}}`, rows) {
				t.Errorf("%+v %s", c, c.Row)
			}
			return nil
		}); err != nil || rows != 3 {
			t.Errorf("%d rows, %v", rows, err)
		}
		old := 0
		if err := l.Scan(t.Context(), func(e Entry) error {
			if e.Old {
				old++
			}
			return nil
		}); err != nil || old != 9 {
			t.Errorf("%d lines scanned, %v", old, err)
		}
		if !reflect.DeepEqual(p.files(t, ""), before) {
			t.Error("reading changed the archive")
		}
	})
}

func TestOldArchiveIsContinued(t *testing.T) {
	inOldArchives(t, func(t *testing.T, p place) {
		before := p.files(t, "")
		l := p.open(t, Options{Run: runNew})
		d := loadDay(t, l, "2025-05-02")
		calls := []Call{{CallID: "call-4", Row: []byte(`{"id":"call-4","lead":{"x":1}}`)}, {CallID: "call-9", Row: []byte(`{}`)}}
		if err := d.NoteCalls(t.Context(), calls); err != nil {
			t.Fatal(err)
		}
		r := recording("5", Archived)
		r.Time = time.Date(2025, 5, 6, 0, 0, 0, 0, time.UTC)
		note(t, d, r)
		closeDay(t, d, DayLine{Filter: "f", Kept: []string{"calls", "recordings"}})
		closeDay(t, d, DayLine{Kept: []string{"calls", "recordings"}})
		line, _ := lineFor(d.Lines(), "")
		if d.Count() != 2 || line.Lines != 3 || line.ByOutcome[Archived] != 2 || len(line.Segments) != 2 || len(line.CallsSegments) != 2 {
			t.Errorf("%+v", line)
		}
		closeLedger(t, l)

		l = p.open(t, Options{Run: runNewer})
		if a, err := l.Archive(t.Context()); err != nil || a.V != 2 || a.ID != "oldarchive" || a.AccountID != "1234" || a.TimeZone != "America/Los_Angeles" {
			t.Errorf("archive.json %+v, %v", a, err)
		}
		wantFaults(t, l, "2025-05-02")
		rows := 0
		if err := l.Calls(t.Context(), "2025-05-02", func(Call) error { rows++; return nil }); err != nil || rows != 3 {
			t.Errorf("%d rows, %v", rows, err)
		}
		if got, want := closedFor(t, l), []string{"01", "02", "02f", "03campaign_id=7", "04"}; !slices.Equal(got, want) {
			t.Errorf("closed %v, want %v", got, want)
		}
		for name, data := range p.files(t, "") {
			if old, ok := before[name]; ok && name != archiveFile && string(old) != string(data) {
				t.Errorf("%s was changed", name)
			}
		}
	})
}

// The day line of an older version counts until closed.json exists, and is kept in it for its filter.
func TestOldDayLineCounts(t *testing.T) {
	inOldArchives(t, func(t *testing.T, p place) {
		l := p.open(t, Options{Run: runNew})
		waits, done := loadDay(t, l, "2025-05-03"), loadDay(t, l, "2025-05-04")
		r := recording("new", Archived)
		note(t, done, r)
		note(t, waits, recording("waits", Failed))
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(waits.Lines()) != 0 || len(done.Lines()) != 1 {
			t.Errorf("lines %+v and %+v", waits.Lines(), done.Lines())
		}
		if got, want := closedFor(t, l), []string{"01", "04"}; !slices.Equal(got, want) {
			t.Errorf("closed %v, want %v", got, want)
		}
		note(t, waits, final(later("waits", Failed, 10)))
		closeDay(t, waits, DayLine{Filter: "other"})
		closeDay(t, done, DayLine{Filter: "other"})
		closeLedger(t, l)
		l = p.open(t, Options{ReadOnly: true})
		if got, want := closedFor(t, l), []string{"01", "03campaign_id=7", "03other", "04", "04other"}; !slices.Equal(got, want) {
			t.Errorf("closed %v, want %v", got, want)
		}
		for _, day := range oldDays {
			wantFaults(t, l, day)
		}
		if got := lineCount(p.files(t, closedFile("2025-05-03"))[closedFile("2025-05-03")]); got != 2 {
			t.Errorf("closed.json has %d lines", got)
		}
	})
}

// Faults in the files of older versions are found too.
func TestOldArchiveFaults(t *testing.T) {
	change := func(name, old, new string) func(t *testing.T, p place) {
		return func(t *testing.T, p place) {
			data := string(p.files(t, name)[name])
			if !strings.Contains(data, old) {
				t.Fatalf("%s does not hold %s", name, old)
			}
			p.write(t, name, []byte(strings.Replace(data, old, new, 1)))
		}
	}
	const segment = "manifest/2025-05-04/20250504T090000Z-0000aaaa-00000"
	for name, test := range map[string]struct {
		fixture string
		break_  func(t *testing.T, p place)
		want    []FaultKind
	}{
		"disk: a changed line":        {"old-disk", change("manifest/2025-05-04.jsonl", `"attempts":1`, `"attempts":2`), []FaultKind{FaultDayLine}},
		"disk: counted lines":         {"old-disk", change("manifest/2025-05-04.jsonl", `"lines":3`, `"lines":4`), []FaultKind{FaultDayLine}},
		"disk: counted bytes":         {"old-disk", change("manifest/2025-05-04.jsonl", `"bytes":2014`, `"bytes":2015`), []FaultKind{FaultDayLine}},
		"disk: a bad line":            {"old-disk", change("manifest/2025-05-04.jsonl", `"recording_id"`, `"recording_id"x`), []FaultKind{FaultBadLine}},
		"bucket: a changed line":      {"old-bucket", change(segment+"1.jsonl", `"attempts":1`, `"attempts":2`), []FaultKind{FaultDayLine}},
		"bucket: a bad line":          {"old-bucket", change(segment+"1.jsonl", `"recording_id"`, `"recording_id"x`), []FaultKind{FaultBadLine}},
		"bucket: a lost segment":      {"old-bucket", func(t *testing.T, p place) { p.remove(t, segment+"1.jsonl") }, []FaultKind{FaultLostSegments}},
		"bucket: the last one lost":   {"old-bucket", func(t *testing.T, p place) { p.remove(t, segment+"2.jsonl") }, []FaultKind{FaultLostSegments}},
		"bucket: counted recordings":  {"old-bucket", change("manifest/2025-05-04/closed.json", `"recordings":2,"by_outcome":{"archived":2}`, `"recordings":3,"by_outcome":{"archived":3}`), []FaultKind{FaultDayLine}},
		"bucket: counts that differ":  {"old-bucket", change("manifest/2025-05-04/closed.json", `"recordings":2`, `"recordings":3`), []FaultKind{FaultDayLine}},
		"bucket: closed.json is none": {"old-bucket", change("manifest/2025-05-04/closed.json", `{"v"`, `{v`), []FaultKind{FaultBadLine}},
	} {
		for _, p := range places(t) {
			t.Run(name+" on "+p.name, func(t *testing.T) {
				p.readTestdata(t, test.fixture)
				test.break_(t, p)
				l := p.open(t, Options{Run: runNew})
				wantFaults(t, l, "2025-05-04", test.want...)
				if _, err := l.Mend(t.Context(), "2025-05-04", "a test"); err != nil {
					t.Fatal(err)
				}
				if closed := statusOf(t, l, "2025-05-04").Lines; len(closed) != 0 {
					t.Errorf("still closed: %+v", closed)
				}
				d := loadDay(t, l, "2025-05-04")
				wantFaults(t, l, "2025-05-04")
				closeDay(t, d, DayLine{})
				wantFaults(t, l, "2025-05-04")
			})
		}
	}
}

// The first writing run notes the new layout before any line of it, so that older versions refuse
// the archive.
func TestArchiveIsUpgradedFirst(t *testing.T) {
	p := place{objects: newObjects()}
	p.readTestdata(t, "old-bucket")
	stop := errors.New("stop")
	p.objects.put = func(string) error { return stop }
	l := p.open(t, Options{Run: runNew})
	d := loadDay(t, l, testDay)
	if err := d.Note(t.Context(), recording("1", Archived)); !errors.Is(err, stop) || errors.Is(err, ErrUnflushed) {
		t.Errorf("a line before the upgrade: %v", err)
	}
	p.objects.locked(func() { p.objects.put = nil })
	note(t, d, recording("1", Archived))
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{archiveFile, "manifest/" + testDay + "/" + runNew + "-000001.jsonl"}; !slices.Equal(p.objects.puts, want) {
		t.Errorf("written %v, want %v", p.objects.puts, want)
	}
	// Two runs may do it concurrently.
	q := place{objects: newObjects()}
	q.readTestdata(t, "old-bucket")
	upgraded := maps.Clone(p.objects.objects)[archiveFile]
	l = q.open(t, Options{Run: runNew})
	q.objects.put = func(name string) error {
		q.objects.put = nil
		q.objects.set(name, upgraded.data)
		return nil
	}
	note(t, loadDay(t, l, testDay), recording("1", Archived))
	if len(q.objects.puts) != 0 {
		t.Errorf("written %v", q.objects.puts)
	}
}
