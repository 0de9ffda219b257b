package manifest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestDay(t *testing.T) { inPlaces(t, testDayIn) }

func testDayIn(t *testing.T, p place) {
	l := p.open(t, Options{Run: runA})
	d := loadDay(t, l, testDay)
	if _, ok := d.Recording("1"); ok || len(collect(t, l.Days(t.Context()))) != 0 || statusOf(t, l, testDay).Known {
		t.Fatal("a new archive knows something")
	}
	pending := recording("1", Pending)
	pending.Cause, pending.Listing = CauseNotFound, "l1"
	note(t, d, pending, recording("2", Archived), recording("3", Archived))
	window := Window{From: "2025-05-01 00:00:00", To: "2025-05-01 23:59:59", Rows: 3, Doubts: []string{"total"}}
	if err := d.NoteWindows(t.Context(), window); err != nil {
		t.Fatal(err)
	}
	if s, ok := d.Recording("1"); !ok || s.Outcome != Pending || s.NotFoundListing != "l1" || s.CallID != "c1" || s.Final {
		t.Errorf("state %+v", s)
	}
	if len(d.Lines()) != 0 {
		t.Errorf("open day: %+v", d.Lines())
	}
	lost := final(later("1", Lost, 48*3600))
	lost.FirstSeen = time.Time{}
	note(t, d, lost)
	if s, _ := d.Recording("1"); !s.FirstSeen.Equal(noon) || !s.Final {
		t.Errorf("first seen %s is not carried on, or not final: %+v", s.FirstSeen, s)
	}
	closeDay(t, d, DayLine{Kept: []string{"recordings"}, ListedAt: noon, Calls: 4, Unlisted: 1, Time: noon})
	line, ok := lineFor(d.Lines(), "")
	want := DayLine{Day: testDay, Closed: true, Kept: []string{"recordings"}, ListedAt: noon, Calls: 4, Recordings: 3,
		ByOutcome: map[Outcome]int{Archived: 2, Lost: 1}, Bytes: 2000, Lines: 5, Unlisted: 1, Time: noon, Run: runA,
		Segments: line.Segments, Root: line.Root, CallsSegments: line.CallsSegments, CallsRoot: line.CallsRoot}
	if !ok || !reflect.DeepEqual(line, want) || len(line.Segments) != 1 || line.Segments[0].Name != runA+"-000001.jsonl" {
		t.Errorf("got  %+v\nwant %+v", line, want)
	}

	// A later read gives the same result, also by another run.
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{ReadOnly: true}, {Run: runB}} {
		l = p.open(t, o)
		s := statusOf(t, l, testDay)
		if got, ok := s.Line("campaign_id=1"); !ok || !s.Known || len(got.Segments) != 1 || got.Root != want.Root || got.Lines != 5 {
			t.Errorf("status %+v", s)
		}
		d = loadDay(t, l, testDay)
		if len(d.Lines()) != 1 || d.Count() != 3 || d.Name() != testDay || len(d.Windows()) != 1 || d.Windows()[0].Doubts[0] != "total" {
			t.Errorf("read back %+v, %d recordings, windows %+v", d.Lines(), d.Count(), d.Windows())
		}
		wantFaults(t, l, testDay)
		if o.ReadOnly {
			if err := d.Note(t.Context(), recording("9", Pending)); !errors.Is(err, ErrReadOnly) {
				t.Errorf("a ledger for reading takes a line: %v", err)
			}
			closeLedger(t, l)
		}
	}
	// One more line that waits opens it, until it is closed again.
	note(t, d, later("4", Failed, 1))
	if len(d.Lines()) != 0 {
		t.Error("closed with a recording that waits")
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := statusOf(t, l, testDay); len(s.Lines) != 0 {
		t.Errorf("status of an open day: %+v", s.Lines)
	}
	note(t, d, final(later("4", Failed, 2)))
	if len(d.Lines()) != 1 {
		t.Error("open although nothing waits")
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if line, ok := statusOf(t, l, testDay).Line(""); !ok || line.ByOutcome[Failed] != 1 || line.Recordings != 4 || line.Lines != 5 {
		t.Errorf("status after later lines: %+v", line)
	}
	closeDay(t, d, DayLine{})
	if line, ok := lineFor(d.Lines(), ""); !ok || line.Lines != 7 || line.ByOutcome[Failed] != 1 || len(line.Segments) < 2 {
		t.Errorf("closed again: %+v", line)
	}
	wantFaults(t, l, testDay)
}

func TestStatusLine(t *testing.T) {
	one, all := DayLine{Filter: "campaign_id=1"}, DayLine{}
	for _, test := range []struct {
		lines  []DayLine
		filter string
		want   bool
	}{
		{nil, "", false},
		{[]DayLine{all}, "", true},
		{[]DayLine{all}, "campaign_id=1", true},
		{[]DayLine{one}, "campaign_id=1", true},
		{[]DayLine{one}, "campaign_id=2", false},
		{[]DayLine{one}, "", false},
		{[]DayLine{one, all}, "campaign_id=1", true},
	} {
		got, ok := Status{Lines: test.lines}.Line(test.filter)
		if ok != test.want || ok && test.lines[0].Filter == test.filter && got.Filter != test.filter {
			t.Errorf("%+v for %q: %t", test.lines, test.filter, ok)
		}
	}
}

// A recording's next line is later than the one it replaces, even if the clock is behind.
func TestTimesGoOn(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		d := loadDay(t, p.open(t, Options{Run: runA}), testDay)
		note(t, d, later("1", Archived, 100))
		note(t, d, later("1", Damaged, -3600))
		if s, _ := d.Recording("1"); s.Outcome != Damaged || !s.Time.Equal(noon.Add(101*time.Second)) {
			t.Errorf("%+v", s)
		}
		repaired := later("1", Archived, -7200)
		repaired.Key = "other"
		note(t, d, repaired)
		if s, _ := d.Recording("1"); s.Outcome != Archived || s.Key != "other" {
			t.Errorf("not healed: %+v", s)
		}
		note(t, d, later("2", Pending, 0), later("2", Failed, 0), later("2", Rejected, 0))
		if s, _ := d.Recording("2"); s.Outcome != Rejected || !s.Time.Equal(noon.Add(2*time.Second)) {
			t.Errorf("three lines of one call: %+v", s)
		}
		waits := later("2", Failed, 3600)
		note(t, d, waits)
		if s, _ := d.Recording("2"); !s.Time.Equal(waits.Time) {
			t.Errorf("a later time was changed to %s", s.Time)
		}
	})
}

// readLinesOf is an independent implementation of the documented file format.
func readLinesOf(t *testing.T, name string, data []byte) []string {
	t.Helper()
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if data, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

// wantRoot recomputes the root of a day line.
func wantRoot(t *testing.T, p place, tree string, segments []Segment, root string) {
	t.Helper()
	stub := regexp.MustCompile(`,"digest":"([0-9a-f]{64})"}$`)
	all := ""
	for _, s := range segments {
		name := tree + "/" + testDay + "/" + s.Name
		if s.Name == testDay+".jsonl" {
			name = tree + "/" + s.Name
		}
		data := p.files(t, "")[name]
		if int64(len(data)) != s.Bytes || hexSum(data) != s.SHA256 {
			t.Errorf("%s: %d bytes, the day line says %d, or the sha256 differs", name, len(data), s.Bytes)
		}
		for _, line := range readLinesOf(t, name, data) {
			digest := hexSum([]byte(line))
			if m := stub.FindStringSubmatch(line); m != nil {
				digest = m[1]
			}
			all += digest + "\n"
		}
	}
	if got := hexSum([]byte(all)); got != root {
		t.Errorf("root of %s is %s, the day line says %s", tree, got, root)
	}
}

func TestSaltsAndRoots(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		for i, run := range []string{runA, runB} {
			l := p.open(t, Options{Run: run})
			d := loadDay(t, l, testDay)
			for j := range 3 {
				if err := d.NoteCalls(t.Context(), []Call{{CallID: numbered(10*i + j), Row: []byte(`{"a":1}`)}}); err != nil {
					t.Fatal(err)
				}
				note(t, d, recording(numbered(10*i+j), Archived))
				if err := d.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			closeDay(t, d, DayLine{Kept: []string{"calls", "recordings"}})
			closeLedger(t, l)
		}
		line, ok := statusOf(t, p.open(t, Options{ReadOnly: true}), testDay).Line("")
		if !ok || line.Lines != 7 { // one of them is the first line of the day
			t.Fatalf("%+v", line)
		}
		wantRoot(t, p, "manifest", line.Segments, line.Root)
		wantRoot(t, p, "calls", line.CallsSegments, line.CallsRoot)
		salts := map[string]bool{}
		salt := regexp.MustCompile(`,"salt":"([0-9a-f]{32})"}$`)
		for name, data := range p.files(t, "") {
			if path.Base(name) == "closed.json" {
				continue
			}
			for _, text := range readLinesOf(t, name, data) {
				m := salt.FindStringSubmatch(text)
				if m == nil || salts[m[1]] {
					t.Fatalf("%s: no salt, or one that was used before: %s", name, text)
				}
				salts[m[1]] = true
			}
		}
		if len(salts) != 13 {
			t.Errorf("%d lines", len(salts))
		}
	})
}

// The lines of erased recordings keep the digests of the original lines, so that roots stay valid.
func TestStubsKeepTheRoot(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		l := p.open(t, Options{Run: runA})
		d := loadDay(t, l, testDay)
		note(t, d, recording("1", Archived), recording("2", Archived))
		if err := d.NoteCalls(t.Context(), []Call{{CallID: "c1", Row: []byte(`{"phone":"1"}`)}}); err != nil {
			t.Fatal(err)
		}
		closeDay(t, d, DayLine{})
		line, _ := lineFor(d.Lines(), "")
		closeLedger(t, l)

		name := "manifest/" + testDay + "/" + line.Segments[0].Name
		lines := readLinesOf(t, name, p.files(t, "")[name])
		stub := `{"v":1,"kind":"recording","recording_id":"1","outcome":"erased","key":"","size":0,"sha256":"","time":"2025-06-02T12:00:00Z",` +
			`"run":"","call_id":"","first_seen":"0001-01-01T00:00:00Z","attempts":0,"content_type":"","etag":"","host":"","reason":"E1","digest":"` + hexSum([]byte(lines[0])) + `"}`
		data := []byte(stub + "\n" + lines[1] + "\n")
		p.write(t, name, data)
		line.Segments[0].Bytes, line.Segments[0].SHA256 = int64(len(data)), hexSum(data)
		line.ByOutcome, line.Bytes = map[Outcome]int{Archived: 1, Erased: 1}, 1000
		text, err := line.line()
		if err != nil {
			t.Fatal(err)
		}
		p.write(t, closedFile(testDay), text)
		wantRoot(t, p, "manifest", line.Segments, line.Root)
		l = p.open(t, Options{ReadOnly: true})
		wantFaults(t, l, testDay)
		if d = loadDay(t, l, testDay); len(d.Lines()) != 1 || outcomes(d)["1"] != Erased {
			t.Errorf("%+v %v", d.Lines(), outcomes(d))
		}
		// A different digest breaks the root.
		data = bytes.Replace(data, []byte(hexSum([]byte(lines[0]))), []byte(hexSum(nil)), 1)
		p.write(t, name, data)
		line.Segments[0].SHA256 = hexSum(data)
		if text, err = line.line(); err != nil {
			t.Fatal(err)
		}
		p.write(t, closedFile(testDay), text)
		wantFaults(t, l, testDay, FaultDayLine)
	})
}

func TestDigest(t *testing.T) {
	digest := strings.Repeat("0f", 32)
	for line, want := range map[string]string{
		`{"a":1}`:                                   hexSum([]byte(`{"a":1}`)),
		`{"a":1,"digest":"` + digest + `"}`:         digest,
		`{"row":{"a":1,"digest":"` + digest + `"}}`: hexSum([]byte(`{"row":{"a":1,"digest":"` + digest + `"}}`)),
		`{"a":"\",\"digest\":\"` + digest + `"}`:    hexSum([]byte(`{"a":"\",\"digest\":\"` + digest + `"}`)),
		`{"a":1,"digest":"x` + digest[1:] + `"}`:    hexSum([]byte(`{"a":1,"digest":"x` + digest[1:] + `"}`)),
		``:                                          hexSum(nil),
	} {
		if got := string(appendDigest(nil, []byte(line))); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

// An archive copied file by file reads the same, and can be continued.
func TestCopiedArchive(t *testing.T) {
	for i := range 4 {
		from, to := places(t)[i/2], places(t)[i%2]
		t.Run(from.name+" to "+to.name, func(t *testing.T) { testCopy(t, from, to) })
	}
}

func testCopy(t *testing.T, from, to place) {
	t.Helper()
	l := from.open(t, Options{Run: runA})
	if err := l.SaveArchive(t.Context(), Archive{TimeZone: "UTC"}); err != nil {
		t.Fatal(err)
	}
	closed, open := loadDay(t, l, testDay), loadDay(t, l, "2025-05-02")
	if err := closed.NoteCalls(t.Context(), []Call{{CallID: "c1", Row: []byte(`{"a":1}`)}}); err != nil {
		t.Fatal(err)
	}
	note(t, closed, recording("1", Archived))
	note(t, open, recording("2", Pending))
	closeDay(t, closed, DayLine{Filter: "f"})
	closeLedger(t, l)
	from.copyTo(t, to)

	was, is := from.open(t, Options{ReadOnly: true}), to.open(t, Options{Run: runB})
	for _, day := range []string{testDay, "2025-05-02"} {
		a, b := loadDay(t, was, day), loadDay(t, is, day)
		if !reflect.DeepEqual(statesOf(a), statesOf(b)) || !reflect.DeepEqual(a.Lines(), b.Lines()) {
			t.Errorf("%s: %+v, copied %+v", day, statesOf(a), statesOf(b))
		}
		if s := statusOf(t, is, day); !reflect.DeepEqual(s.Lines, a.Lines()) {
			t.Errorf("%s: status %+v", day, s)
		}
		wantFaults(t, is, day)
	}
	if got, err := is.Archive(t.Context()); err != nil || got.TimeZone != "UTC" || got.V != 2 {
		t.Errorf("archive.json: %+v, %v", got, err)
	}
	d := loadDay(t, is, testDay)
	if err := d.NoteCalls(t.Context(), []Call{{CallID: "c1", Row: []byte(`{"a":1}`)}, {CallID: "c2", Row: []byte(`{"a":1}`)}}); err != nil {
		t.Fatal(err)
	}
	note(t, d, later("3", Archived, 5))
	closeDay(t, d, DayLine{})
	line, _ := lineFor(d.Lines(), "")
	wantRoot(t, to, "manifest", line.Segments, line.Root)
	wantRoot(t, to, "calls", line.CallsSegments, line.CallsRoot)
	if len(line.Segments) != 2 || len(line.CallsSegments) != 2 || len(d.Lines()) != 2 {
		t.Errorf("continued: %+v", d.Lines())
	}
	wantFaults(t, is, testDay)
}

func statesOf(d *Day) map[string]State {
	m := map[string]State{}
	for id, s := range d.Recordings() {
		m[id] = s
	}
	return m
}

// A run never appends to a segment of a day line, and starts a new one at 64 MiB.
func TestSegments(t *testing.T) {
	p := place{dir: t.TempDir()}
	l := p.open(t, Options{Run: runA})
	d := loadDay(t, l, testDay)
	note(t, d, recording("1", Archived))
	note(t, d, recording("2", Archived))
	closeDay(t, d, DayLine{})
	named := p.files(t, "manifest/"+testDay+"/"+runA)
	note(t, d, later("3", Archived, 1))
	for name, data := range named {
		if !bytes.Equal(p.files(t, name)[name], data) {
			t.Errorf("%s was appended to after it was named", name)
		}
	}
	long := later("4", Pending, 0)
	long.Reason = strings.Repeat("x", 900<<10)
	for i := range 100 {
		long.RecordingID = numbered(i)
		note(t, d, long)
	}
	var sizes []int
	files := p.files(t, "manifest/"+testDay+"/"+runA)
	for i := range len(files) {
		sizes = append(sizes, len(files[fmt.Sprintf("manifest/%s/%s-%06d.jsonl", testDay, runA, i+1)]))
	}
	if len(sizes) != 3 || slices.Max(sizes) > maxSegment || sizes[1] < maxSegment-2<<20 {
		t.Errorf("segments of %v bytes", sizes)
	}
	closeLedger(t, l)
	if d := loadDay(t, p.open(t, Options{ReadOnly: true}), testDay); d.Count() != 103 {
		t.Errorf("%d recordings", d.Count())
	}
}

func TestConcurrentNotes(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		const workers, each = 16, 40
		l := p.open(t, Options{Run: runA})
		days := []*Day{loadDay(t, l, testDay), loadDay(t, l, "2025-05-02"), loadDay(t, l, "2025-05-03")}
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
					if i%10 == 0 {
						if err := l.Flush(t.Context()); err != nil {
							t.Error(err)
						}
					}
					for range d.Recordings() {
						break
					}
				}
			})
		}
		group.Wait()
		for _, d := range days {
			closeDay(t, d, DayLine{})
		}
		closeLedger(t, l)
		l = p.open(t, Options{ReadOnly: true})
		total := 0
		for _, d := range days {
			total += loadDay(t, l, d.Name()).Count()
			wantFaults(t, l, d.Name())
		}
		if total != workers*each {
			t.Errorf("%d recordings, want %d", total, workers*each)
		}
	})
}

func TestDays(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		for _, name := range []string{
			"manifest/2025-04-30.jsonl", "calls/2025-04-29.jsonl", "calls/2025-05-03/" + runA + "-000001.jsonl.gz",
			"manifest/2025-05-01/" + runA + "-000001.jsonl", "manifest/2025-05-02/closed.json", "manifest/2025-05-04.jsonl.torn",
			"manifest/2025-13-01.jsonl", "manifest/notes.txt", "manifest/2025-05-05/" + runA + "-000001.jsonl.bad-" + runB, "manifest/archive.json",
		} {
			p.write(t, name, nil)
		}
		l := p.open(t, Options{ReadOnly: true})
		want := []string{"2025-04-29", "2025-04-30", "2025-05-01", "2025-05-02", "2025-05-03"}
		if got := collect(t, l.Days(t.Context())); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		for day, known := range map[string]bool{"2025-04-29": false, "2025-04-30": true, "2025-05-02": true, "2025-05-05": false} {
			if s := statusOf(t, l, day); s.Known != known || s.Newest.IsZero() == known {
				t.Errorf("%s: %+v", day, s)
			}
		}
		for range l.Days(t.Context()) {
			break
		}
		for _, day := range []string{"", "2025-5-1", "2025-02-30", "../2025-05-01"} {
			_, loadErr := l.Load(t.Context(), day)
			_, statusErr := l.Status(t.Context(), day)
			_, readErr := l.Read(t.Context(), day, nil, nil)
			if loadErr == nil || statusErr == nil || readErr == nil || l.Calls(t.Context(), day, nil) == nil {
				t.Errorf("day %q was read", day)
			}
		}
	})
}

func TestScan(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		l := p.open(t, Options{Run: runA})
		want := map[string]Outcome{}
		for i, day := range []string{"2025-04-30", testDay, "2025-05-02"} {
			d := loadDay(t, l, day)
			for j := range 50 {
				id := numbered(100*i + j)
				note(t, d, recording(id, Archived))
				want[day+" audio/"+id+".mp3 "+id] = Archived
			}
			if err := d.NoteWindows(t.Context(), Window{}); err != nil {
				t.Fatal(err)
			}
		}
		bad := "manifest/" + testDay + "/" + runB + "-000001.jsonl"
		p.write(t, bad, []byte("{}\n{"))
		got := map[string]Outcome{}
		faults := 0
		err := l.Scan(t.Context(), func(e Entry) error {
			if e.Bad != nil {
				faults++
				return nil
			}
			got[e.Day+" "+string(e.Key)+" "+string(e.ID)] = e.Outcome
			if !e.Final || e.Old || e.Time != noon.Unix() || e.FirstSeen != noon.Unix() || string(e.Host) != "media.convoso.com" || len(e.SHA256) != 64 || e.Size != 1000 {
				t.Errorf("%+v", e)
			}
			return nil
		})
		if err != nil || !reflect.DeepEqual(got, want) || faults != 1 {
			t.Errorf("%d entries of %d, %d bad lines, %v", len(got), len(want), faults, err)
		}
		stop := errors.New("enough")
		if err := l.Scan(t.Context(), func(Entry) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("a visit that ends the scan: %v", err)
		}
		badLine := (*BadLineError)(nil)
		err = l.Scan(t.Context(), func(e Entry) error {
			if e.Bad != nil {
				return e.Bad
			}
			return nil
		})
		if !errors.As(err, &badLine) || badLine.File != bad || badLine.Line != 1 {
			t.Errorf("a bad line: %v", err)
		}
	})
}

func TestReadTellsEveryLine(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		l := p.open(t, Options{Run: runA})
		d := loadDay(t, l, testDay)
		note(t, d, recording("1", Pending))
		if err := d.NoteWindows(t.Context(), Window{Total: 3}); err != nil {
			t.Fatal(err)
		}
		note(t, d, later("1", Archived, 1))
		closeDay(t, d, DayLine{Calls: 7})
		var kinds []string
		_, err := l.Read(t.Context(), testDay, func(line Line) error {
			kinds = append(kinds, fmt.Sprint(line.Kind, line.Number))
			r, recordingErr := line.Recording()
			w, windowErr := line.Window()
			c, dayErr := line.DayLine()
			for kind, err := range map[string]error{kindRecording: recordingErr, kindWindow: windowErr, kindDay: dayErr} {
				if (err == nil) != (kind == line.Kind) {
					t.Errorf("line of kind %s read as %s: %v", line.Kind, kind, err)
				}
			}
			if recordingErr == nil && r.RecordingID != "1" || windowErr == nil && w.Total != 3 || dayErr == nil && c.Calls != 7 || !json.Valid(line.Raw) {
				t.Errorf("line %+v: %+v %+v %+v", line, r, w, c)
			}
			return nil
		}, nil)
		if want := "[day1 recording1 window2 recording3]"; err != nil || fmt.Sprint(kinds) != want {
			t.Errorf("kinds %v, %v, want %s", kinds, err, want)
		}
		stop := errors.New("enough")
		if _, err := l.Read(t.Context(), testDay, func(Line) error { return stop }, nil); !errors.Is(err, stop) {
			t.Errorf("a visit that ends the reading: %v", err)
		}
	})
}
