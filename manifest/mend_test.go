package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestMend damages a day in every way that Read detects, and repairs it: only the bad line is lost, the original is
// kept, the day is open, and after closing it again no fault is left.
func TestMend(t *testing.T) {
	edit := func(old, new string) func([]byte) []byte {
		return func(data []byte) []byte { return bytes.Replace(data, []byte(old), []byte(new), 1) }
	}
	for name, test := range map[string]struct {
		damage  func([]byte) []byte
		file    string
		kinds   []FaultKind
		dropped int
	}{
		"a line is no JSON": {edit(`"recording_id":"1"`, `"recording_id":"1`), named, []FaultKind{FaultBadLine, FaultChangedSegment}, 1},
		"a line is cut in half": {func(data []byte) []byte {
			first, rest, _ := bytes.Cut(data, []byte("\n"))
			return append(first[:len(first)/2:len(first)/2], rest...)
		}, named, []FaultKind{FaultBadLine, FaultChangedSegment}, 1},
		"a key is gone":             {edit(`"key":"audio/1.mp3"`, `"key":""`), named, []FaultKind{FaultBadLine, FaultChangedSegment}, 1},
		"a line is edited":          {edit(`"size":1000`, `"size":1001`), named, []FaultKind{FaultChangedSegment}, 0},
		"a line is gone":            {func(data []byte) []byte { return data[bytes.IndexByte(data, '\n')+1:] }, named, []FaultKind{FaultChangedSegment}, 0},
		"the segment is torn":       {func(data []byte) []byte { return data[:len(data)-20] }, named, []FaultKind{FaultBadLine, FaultChangedSegment}, 1},
		"another one is torn":       {func([]byte) []byte { return []byte(`{"v":1,"ki`) }, unnamed, []FaultKind{FaultTornLine}, 0},
		"another has a bad one":     {func([]byte) []byte { return []byte("nonsense\n" + `{"v":1,"ki`) }, unnamed, []FaultKind{FaultBadLine, FaultTornLine}, 1},
		"counts are edited":         {edit(`"bytes":2000`, `"bytes":2001`), closedFile(testDay), []FaultKind{FaultDayLine}, 0},
		"a count is edited":         {edit(`"recordings":2`, `"recordings":4`), closedFile(testDay), []FaultKind{FaultDayLine}, 0},
		"the root is edited":        {edit(`"root":"`, `"root":"0`), closedFile(testDay), []FaultKind{FaultDayLine}, 0},
		"it belongs to another day": {edit(`"day":"2025-05-01"`, `"day":"2025-05-02"`), closedFile(testDay), []FaultKind{FaultDayLine}, 0},
		"closed.json is none":       {func([]byte) []byte { return []byte("no\nthing") }, closedFile(testDay), []FaultKind{FaultBadLine, FaultBadLine}, 2},
	} {
		inPlaces(t, func(t *testing.T, p place) {
			t.Run(name, func(t *testing.T) {
				closedDay(t, p, "")
				bad := test.damage(bytes.Clone(p.files(t, "")[test.file]))
				p.write(t, test.file, bad)
				before := p.files(t, "")
				l := p.open(t, Options{Run: runC})
				wantFaults(t, l, testDay, test.kinds...)
				if !maps.EqualFunc(p.files(t, ""), before, bytes.Equal) {
					t.Error("reading changed the archive")
				}
				mended, err := l.Mend(t.Context(), testDay, "a test")
				if err != nil {
					t.Fatal(err)
				}
				if mended.Dropped != test.dropped || len(mended.Aside) != min(test.dropped, 1) {
					t.Errorf("mended %+v", mended)
				}
				for _, aside := range mended.Aside {
					if aside != test.file+".bad-"+runC || !bytes.Equal(p.files(t, "")[aside], bad) {
						t.Errorf("the copy %s differs from what was there", aside)
					}
				}
				wantFaults(t, l, testDay)
				if s := statusOf(t, l, testDay); len(s.Lines) > 0 {
					t.Errorf("still closed: %+v", s.Lines)
				}
				if got := collect(t, l.Days(t.Context())); len(got) != 1 {
					t.Errorf("a copy is taken for a day: %v", got)
				}
				d := loadDay(t, l, testDay)
				note(t, d, recording("1", Archived))
				closeDay(t, d, DayLine{Kept: []string{"recordings"}, ListedAt: noon, Calls: 3})
				wantFaults(t, l, testDay)
				if s := statusOf(t, l, testDay); len(s.Lines) != 1 {
					t.Errorf("not closed: %+v", s)
				}
			})
		})
	}
}

func TestMendRefuses(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		closedDay(t, p, "")
		reader := p.open(t, Options{ReadOnly: true})
		if _, err := reader.Mend(t.Context(), testDay, "a test"); !errors.Is(err, ErrReadOnly) {
			t.Errorf("read-only: %v", err)
		}
		data := bytes.Replace(p.files(t, "")[named], []byte(`{"v":1,`), []byte(`{"v":3,`), 1)
		p.write(t, named, data)
		l := p.open(t, Options{Run: runB})
		isLater := func(err error) bool { _, ok := errors.AsType[*VersionError](err); return ok }
		if _, err := l.Mend(t.Context(), testDay, "a test"); !isLater(err) {
			t.Errorf("later version: %v", err)
		}
		if _, err := l.Read(t.Context(), testDay, nil, func(Fault) error { return nil }); !isLater(err) {
			t.Errorf("later version: %v", err)
		}
		if len(p.files(t, "manifest/"+testDay)) != 2 {
			t.Error("something was written")
		}
	})
}

// If a Mend is killed at any point, the next one completes it.
func TestMendInterrupted(t *testing.T) {
	for dies := 0; ; dies++ {
		p := place{objects: newObjects()}
		closedDay(t, p, "")
		p.write(t, named, bytes.Replace(p.files(t, "")[named], []byte(`"recording_id":"1"`), []byte(`"recording_id":"1`), 1))
		p.write(t, unnamed, []byte("{}\n"))
		rows := segmentIn(treeCalls, runB, 1)
		p.write(t, rows, gzipped([]byte("{}\n")))
		dead, left := errors.New("dead"), dies
		p.objects.put = func(string) error {
			if left--; left < 0 {
				return dead
			}
			return nil
		}
		first, err := OpenBucket(p.objects, Options{Run: runB})
		if err != nil {
			t.Fatal(err)
		}
		_, err = first.Mend(t.Context(), testDay, "a test")
		if err != nil && !errors.Is(err, dead) {
			t.Fatal(err)
		}
		finished := err == nil
		p.objects.put = nil
		l := p.open(t, Options{Run: runC})
		if s := statusOf(t, l, testDay); len(s.Lines) > 0 {
			t.Errorf("after %d puts: closed", dies)
		}
		if _, err := l.Mend(t.Context(), testDay, "again"); err != nil {
			t.Fatal(err)
		}
		wantFaults(t, l, testDay)
		if got := badRows(t, l); len(got) > 0 {
			t.Errorf("after %d puts: bad rows %v", dies, got)
		}
		if finished {
			want := []string{
				named + ".bad-" + runB, unnamed + ".bad-" + runB, rows + ".bad-" + runB, segmentIn(treeManifest, runB, 2), named, unnamed, rows,
			}
			if !slices.Equal(p.objects.puts[2:9], want) {
				t.Errorf("stored %q, want %q", p.objects.puts[2:], want)
			}
			return
		}
	}
}

// Every kind of tail and line, in the file of an older version, opened for writing and for reading.
func TestRecovery(t *testing.T) {
	base := map[string]Outcome{"101": Archived, "102": Pending, "103": Failed}
	closed := map[string]Outcome{"101": Archived, "102": Archived, "103": Lost}
	for _, test := range []struct {
		file   string
		want   map[string]Outcome
		closed bool
		bad    int // line of a *BadLineError
	}{
		{file: "closed.jsonl", want: closed, closed: true},
		{file: "torn.jsonl", want: base},
		{file: "torn-after-close.jsonl", want: closed, closed: true},
		{file: "torn-only.jsonl", want: map[string]Outcome{}},
		{file: "nul-tail.jsonl", want: base},
		{file: "nul-line.jsonl", want: base},
		{file: "duplicate.jsonl", want: map[string]Outcome{"101": Archived, "102": Damaged, "103": Archived}},
		{file: "unknown.jsonl", want: map[string]Outcome{"101": Archived, "102": Pending, "103": Failed, "106": "erased", "107": Failed, "108": Archived}},
		{file: "bad-middle.jsonl", bad: 3},
	} {
		for _, readOnly := range []bool{false, true} {
			inPlaces(t, func(t *testing.T, p place) {
				t.Run(fmt.Sprintf("%s read-only=%t", test.file, readOnly), func(t *testing.T) {
					p.write(t, oldFile(treeManifest, testDay), sample(t, test.file))
					l := p.open(t, Options{Run: runC, ReadOnly: readOnly})
					if s := statusOf(t, l, testDay); !s.Known || (len(s.Lines) == 1) != test.closed {
						t.Errorf("status %+v", s)
					}
					d, err := l.Load(t.Context(), testDay)
					if test.bad > 0 {
						want := "read manifest of 2025-05-01: manifest/2025-05-01.jsonl line 3: not one JSON object"
						if badLine := (*BadLineError)(nil); !errors.As(err, &badLine) || badLine.Line != test.bad || err.Error() != want {
							t.Fatalf("got %v, want a bad line %d", err, test.bad)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					if got := outcomes(d); !maps.Equal(got, test.want) || (len(d.Lines()) == 1) != test.closed {
						t.Errorf("got %v, want %v; %d day lines hold", got, test.want, len(d.Lines()))
					}
				})
			})
		}
	}
}

// An archive with data of a later version must not be written.
func TestLaterVersionStopsEveryLine(t *testing.T) {
	for file, text := range map[string]string{
		unnamed: `{"v":3,"kind":"recording"}`, closedFile(testDay): `{"v":3,"kind":[]}`, oldFile(treeManifest, testDay): `{"v":7}`,
		"calls/" + testDay + "/" + runB + "-000001.jsonl": `{"v":3}`,
	} {
		inPlaces(t, func(t *testing.T, p place) {
			p.write(t, file, []byte(text+"\n"))
			l := p.open(t, Options{Run: runC})
			other := loadDay(t, l, "2025-05-02")
			d, err := l.Load(t.Context(), testDay)
			if err == nil {
				err = d.NoteCalls(t.Context(), nil)
			}
			var later *VersionError
			if !errors.As(err, &later) || later.File != file || !strings.Contains(err.Error(), "use a newer version of the program") {
				t.Fatalf("%s: %v", file, err)
			}
			if err := other.Note(t.Context(), recording("1", Pending)); !errors.As(err, &later) {
				t.Errorf("note on another day: %v", err)
			}
			if err := l.SaveArchive(t.Context(), Archive{}); !errors.As(err, &later) {
				t.Errorf("save archive: %v", err)
			}
		})
	}
}
