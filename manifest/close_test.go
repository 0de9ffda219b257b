package manifest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// closedDay makes an archive in which recordings 1 and 2 are archived, and the day is closed for a filter by runA.
func closedDay(t *testing.T, p place, filter string) {
	t.Helper()
	l := p.open(t, Options{Run: runA})
	d := loadDay(t, l, testDay)
	note(t, d, recording("1", Archived), recording("2", Archived))
	closeDay(t, d, DayLine{Filter: filter})
	closeLedger(t, l)
}

// linesOf encodes recordings as a segment.
func linesOf(t testing.TB, list ...Recording) (text []byte) {
	t.Helper()
	for _, r := range list {
		r.Run = runB
		line, err := r.line()
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, line...)
	}
	return text
}

const named, unnamed = "manifest/" + testDay + "/" + runA + "-000001.jsonl", "manifest/" + testDay + "/" + runB + "-000001.jsonl"

// A day line is valid while each of its segments exists with its size, and other segments leave no recording
// waiting and have no repair or damaged line.
func TestDayLineHolds(t *testing.T) {
	repair, err := encodeSalted(repairLine{header: header{1, kindRepair}, Day: testDay, Run: runB}, maxLine)
	if err != nil {
		t.Fatal(err)
	}
	add := func(list ...Recording) func(t *testing.T, p place) {
		return func(t *testing.T, p place) { p.write(t, unnamed, linesOf(t, list...)) }
	}
	for name, test := range map[string]struct {
		change func(t *testing.T, p place)
		holds  bool
		faults []FaultKind
	}{
		"nothing":                     {func(*testing.T, place) {}, true, nil},
		"an empty segment":            {add(), true, nil},
		"another archived":            {add(later("3", Archived, 1)), true, nil},
		"another final":               {add(final(later("3", Failed, 1))), true, nil},
		"another erased":              {add(later("1", Erased, 1)), true, nil},
		"another waits":               {add(later("3", Failed, 1)), false, nil},
		"another lost, not final":     {add(later("3", Lost, 1)), false, nil},
		"waited, then archived":       {add(later("3", Failed, 1), later("3", Archived, 2)), true, nil},
		"what is archived is no more": {add(later("1", Pending, 1)), true, nil},
		"damaged":                     {add(later("1", Damaged, 1)), false, nil},
		"damaged, and final":          {add(final(later("1", Damaged, 1))), false, nil},
		"a repair":                    {func(t *testing.T, p place) { p.write(t, unnamed, repair) }, false, nil},
		"a torn line":                 {func(t *testing.T, p place) { p.write(t, unnamed, linesOf(t, later("3", Failed, 1))[:99]) }, true, []FaultKind{FaultTornLine}},
		"a bad line":                  {func(t *testing.T, p place) { p.write(t, unnamed, []byte("{}\n")) }, false, []FaultKind{FaultBadLine}},
		"lines of a later version":    {func(t *testing.T, p place) { p.write(t, unnamed, []byte(`{"v":2,"kind":"new"}`+"\n")) }, true, nil},
		"a lost segment":              {func(t *testing.T, p place) { p.remove(t, named) }, false, []FaultKind{FaultLostSegments}},
		"a segment that was added to": {func(t *testing.T, p place) {
			p.write(t, named, append(p.files(t, named)[named], linesOf(t, later("3", Archived, 1))...))
		}, false, []FaultKind{FaultChangedSegment}},
		"a segment that was cut": {func(t *testing.T, p place) { p.write(t, named, p.files(t, named)[named][:99]) }, false, []FaultKind{FaultBadLine, FaultChangedSegment}},
		"a changed byte": {func(t *testing.T, p place) {
			p.write(t, named, bytes.Replace(p.files(t, named)[named], []byte(`"attempts":1`), []byte(`"attempts":2`), 1))
		}, true, []FaultKind{FaultChangedSegment}},
		"a wrong root":           {replaceIn(closedFile(testDay), `"root":"`, `"root":"0`), true, []FaultKind{FaultDayLine}},
		"wrong counts":           {replaceIn(closedFile(testDay), `"bytes":2000`, `"bytes":2001`), true, []FaultKind{FaultDayLine}},
		"wrong lines":            {replaceIn(closedFile(testDay), `"lines":2`, `"lines":3`), true, []FaultKind{FaultDayLine}},
		"counts that contradict": {replaceIn(closedFile(testDay), `"recordings":2`, `"recordings":3`), false, []FaultKind{FaultDayLine}},
		"another day":            {replaceIn(closedFile(testDay), `"day":"2025-05-01"`, `"day":"2025-05-02"`), false, []FaultKind{FaultDayLine}},
		"closed.json is gone":    {func(t *testing.T, p place) { p.remove(t, closedFile(testDay)) }, false, nil},
		"closed.json is nothing": {func(t *testing.T, p place) { p.write(t, closedFile(testDay), []byte("\n")) }, false, []FaultKind{FaultBadLine}},
		"a line of an unknown kind": {func(t *testing.T, p place) {
			p.write(t, closedFile(testDay), append([]byte(`{"v":1,"kind":"new"}`+"\n"), p.files(t, "")[closedFile(testDay)]...))
		}, true, nil},
		"moved aside": {func(t *testing.T, p place) {
			p.write(t, unnamed+".bad-"+runC, []byte("{}\n"))
			p.write(t, unnamed+".torn", []byte("{}\n"))
		}, true, nil},
	} {
		inPlaces(t, func(t *testing.T, p place) {
			t.Run(name, func(t *testing.T) {
				for _, filter := range []string{"", "campaign_id=1"} {
					if p.dir != "" {
						p.dir = t.TempDir()
					} else {
						p.objects = newObjects()
					}
					closedDay(t, p, filter)
					test.change(t, p)
					l := p.open(t, Options{ReadOnly: true})
					if _, ok := statusOf(t, l, testDay).Line(filter); ok != test.holds {
						t.Errorf("status of %q: closed %t", filter, ok)
					}
					d, err := l.Load(t.Context(), testDay)
					bad := (*BadLineError)(nil)
					switch {
					case errors.As(err, &bad):
						if bad.Day != testDay || bad.Line == 0 || !slices.Contains(test.faults, FaultBadLine) {
							t.Errorf("loaded: %v", err)
						}
					case err != nil:
						t.Error(err)
					default:
						if _, ok := lineFor(d.Lines(), filter); ok != test.holds {
							t.Errorf("loaded with %q: closed %t", filter, ok)
						}
					}
					wantFaults(t, l, testDay, test.faults...)
				}
			})
		})
	}
}

// replaceIn replaces a text in a file once.
func replaceIn(name, old, new string) func(t *testing.T, p place) {
	return func(t *testing.T, p place) {
		t.Helper()
		data := p.files(t, name)[name]
		if !bytes.Contains(data, []byte(old)) {
			t.Fatalf("%s does not hold %s", name, old)
		}
		p.write(t, name, bytes.Replace(data, []byte(old), []byte(new), 1))
	}
}

// A recording that waits by one filter does not reopen a day closed later for another filter.
func TestFiltersAreClosedApart(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		l := p.open(t, Options{Run: runA})
		d := loadDay(t, l, testDay)
		note(t, d, recording("1", Archived), recording("2", Pending))
		closeDay(t, d, DayLine{Filter: "a"})
		closeDay(t, d, DayLine{Filter: "b"})
		closeDay(t, d, DayLine{Filter: "a", Calls: 5})
		closeLedger(t, l)
		l = p.open(t, Options{Run: runB})
		s := statusOf(t, l, testDay)
		a, okA := s.Line("a")
		_, okB := s.Line("b")
		if _, all := s.Line(""); all || !okA || !okB || a.Calls != 5 || len(s.Lines) != 2 {
			t.Errorf("%+v", s.Lines)
		}
		// The waiting recording is refused again by the other filter's run: the day is no longer closed.
		d = loadDay(t, l, testDay)
		note(t, d, later("2", Pending, 1))
		if len(d.Lines()) != 0 {
			t.Errorf("%+v", d.Lines())
		}
		note(t, d, later("2", Archived, 2))
		closeDay(t, d, DayLine{})
		if len(d.Lines()) != 3 || len(statusOf(t, l, testDay).Lines) != 1 {
			t.Errorf("%+v, status %+v", d.Lines(), statusOf(t, l, testDay).Lines)
		}
		wantFaults(t, l, testDay)
	})
}

// A status check costs one list and one get, even with many segments.
func TestStatusIsCheap(t *testing.T) {
	p := place{objects: newObjects()}
	l := p.open(t, Options{Run: runA})
	d := loadDay(t, l, testDay)
	for i := range 20 {
		note(t, d, recording(numbered(i), Archived))
		if err := d.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	closeDay(t, d, DayLine{})
	p.objects.locked(func() { p.objects.gets, p.objects.lists = 0, 0 })
	if s := statusOf(t, l, testDay); len(s.Lines) != 1 || len(s.Lines[0].Segments) != 20 {
		t.Errorf("%+v", s)
	}
	if p.objects.gets != 1 || p.objects.lists != 1 {
		t.Errorf("%d gets and %d lists", p.objects.gets, p.objects.lists)
	}
}

// A run that has not read another run's lines must not close the day.
func TestCloseRefusesWhatWasNotRead(t *testing.T) {
	p := place{objects: newObjects()}
	a, b := p.open(t, Options{Run: runA}), p.open(t, Options{Run: runB})
	dayA, dayB := loadDay(t, a, testDay), loadDay(t, b, testDay)
	note(t, dayA, recording("1", Archived))
	note(t, dayB, recording("2", Archived))
	if err := dayB.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := dayA.Close(t.Context(), DayLine{}); !errors.Is(err, ErrChanged) {
		t.Errorf("another run's line was not read: %v", err)
	}
	dayA = loadDay(t, a, testDay)
	closeDay(t, dayA, DayLine{})
	if err := dayB.Close(t.Context(), DayLine{}); !errors.Is(err, ErrChanged) {
		t.Errorf("another run's line was not read: %v", err)
	}
	// A segment that was changed or removed after it was read.
	dayB = loadDay(t, b, testDay)
	data := p.files(t, named)[named]
	p.write(t, named, append(bytes.Clone(data), linesOf(t, recording("3", Archived))...))
	if err := dayB.Close(t.Context(), DayLine{}); !errors.Is(err, ErrChanged) {
		t.Errorf("a changed segment: %v", err)
	}
	p.remove(t, named)
	if err := dayB.Close(t.Context(), DayLine{}); !errors.Is(err, ErrChanged) {
		t.Errorf("a lost segment: %v", err)
	}
	p.write(t, named, data)
	closeDay(t, dayB, DayLine{})
	wantFaults(t, b, testDay)
}

// A day loaded twice in one run must not be closed by the outdated copy.
func TestCloseCountsLines(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		l := p.open(t, Options{Run: runA})
		first, second := loadDay(t, l, testDay), loadDay(t, l, testDay)
		note(t, first, recording("1", Archived))
		note(t, second, recording("2", Archived))
		if err := second.Close(t.Context(), DayLine{}); !errors.Is(err, ErrChanged) {
			t.Errorf("closed with %d recordings: %v", second.Count(), err)
		}
		d := loadDay(t, l, testDay)
		closeDay(t, d, DayLine{})
		wantFaults(t, l, testDay)
	})
}

// Two runs that close the day for two filters at the same moment keep each other's line.
func TestClosedFileConflict(t *testing.T) {
	for _, firstTime := range []bool{true, false} {
		t.Run(fmt.Sprint("made anew ", firstTime), func(t *testing.T) {
			p := place{objects: newObjects()}
			if !firstTime {
				closedDay(t, p, "old")
			}
			a, b := p.open(t, Options{Run: runB}), p.open(t, Options{Run: runC})
			dayA := loadDay(t, a, testDay)
			note(t, dayA, recording("1", Archived))
			if err := dayA.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			dayB := loadDay(t, b, testDay)
			conflicts := 0
			p.objects.locked(func() {
				p.objects.put = func(name string) error {
					if name != closedFile(testDay) || conflicts > 0 {
						return nil
					}
					conflicts++
					p.objects.mu.Unlock()
					defer p.objects.mu.Lock()
					return dayB.Close(context.Background(), DayLine{Filter: "b"})
				}
			})
			closeDay(t, dayA, DayLine{Filter: "a"})
			var filters []string
			for _, line := range statusOf(t, a, testDay).Lines {
				filters = append(filters, line.Filter)
			}
			slices.Sort(filters)
			want := []string{"a", "b"}
			if !firstTime {
				want = append(want, "old")
			}
			if conflicts != 1 || !slices.Equal(filters, want) {
				t.Errorf("%d conflicts, closed for %v, want %v", conflicts, filters, want)
			}
			wantFaults(t, a, testDay)
		})
	}
}

// After a lost reply, closed.json may have been written: it is written again, and the caller gets the true result.
func TestCloseAfterALostReply(t *testing.T) {
	p := place{objects: newObjects()}
	l := p.open(t, Options{Run: runA})
	d := loadDay(t, l, testDay)
	note(t, d, recording("1", Archived))
	p.objects.locked(func() {
		p.objects.got = func(name string) error {
			if name != closedFile(testDay) {
				return nil
			}
			p.objects.got = nil
			return errServer
		}
	})
	if err := d.Close(t.Context(), DayLine{}); !errors.Is(err, errServer) {
		t.Fatalf("a lost reply: %v", err)
	}
	closeDay(t, d, DayLine{})
	if got := p.files(t, closedFile(testDay)); lineCount(got[closedFile(testDay)]) != 1 || len(d.Lines()) != 1 {
		t.Errorf("%s", got[closedFile(testDay)])
	}
	// An endless conflict ends with an error.
	p.objects.locked(func() {
		p.objects.put = func(name string) error {
			p.objects.set(closedFile(testDay), p.objects.objects[closedFile(testDay)].data)
			return nil
		}
	})
	if err := d.Close(t.Context(), DayLine{}); err == nil || !strings.Contains(err.Error(), closedName) {
		t.Errorf("an endless conflict: %v", err)
	}
	p.objects.locked(func() { p.objects.put = nil })
}

// Bytes of a killed run after the last complete line are ignored by readers, and moved aside by the next run that
// works on the day. In a segment of a day line, or beyond what a crash can leave, they are a bad line.
func TestTornTails(t *testing.T) {
	whole := linesOf(t, later("3", Archived, 1))
	next := linesOf(t, later("4", Archived, 1))
	hole := append(make([]byte, 4096), '\n')
	for name, test := range map[string]struct {
		data []byte
		size int // remaining size
	}{
		"nothing":                 {whole, len(whole)},
		"half a line":             {append(bytes.Clone(whole), next[:50]...), len(whole)},
		"only half a line":        {next[:50], 0},
		"a line without its end":  {append(bytes.Clone(whole), next[:len(next)-1]...), len(whole)},
		"NUL bytes":               {append(bytes.Clone(whole), make([]byte, 1000)...), len(whole)},
		"a hole and whole lines":  {slices.Concat(whole, hole, next), len(whole)},
		"a hole within a line":    {slices.Concat(whole, next[:100], make([]byte, 100), next[200:], next), len(whole)},
		"a hole longer than 1 MB": {slices.Concat(whole, make([]byte, 2<<20), []byte("\n"), next), len(whole)},
	} {
		t.Run(name, func(t *testing.T) {
			inPlaces(t, func(t *testing.T, p place) {
				closedDay(t, p, "")
				p.write(t, unnamed, test.data)
				before := p.files(t, "")
				l := p.open(t, Options{ReadOnly: true})
				want := map[string]Outcome{"1": Archived, "2": Archived}
				if test.size > 0 {
					want["3"] = Archived
				}
				check := func(l *Ledger) *Day {
					t.Helper()
					d := loadDay(t, l, testDay)
					if fmt.Sprint(outcomes(d)) != fmt.Sprint(want) || len(d.Lines()) != 1 || len(statusOf(t, l, testDay).Lines) != 1 {
						t.Errorf("%v, closed %d times", outcomes(d), len(d.Lines()))
					}
					return d
				}
				check(l)
				isTorn := test.size < len(test.data)
				faults, _ := faultsOf(t, l, testDay)
				if (len(faults) == 1 && faults[0].Kind == FaultTornLine && !faults[0].Written.IsZero()) != isTorn {
					t.Errorf("%+v", faults)
				}
				scanned := 0
				if err := l.Scan(t.Context(), func(Entry) error { scanned++; return nil }); err != nil || scanned != len(want) {
					t.Errorf("%d lines scanned, %v", scanned, err)
				}
				if fmt.Sprint(p.files(t, "")) != fmt.Sprint(before) {
					t.Error("reading changed the archive")
				}
				closeLedger(t, l)

				l = p.open(t, Options{Run: runC})
				d := check(l)
				after := p.files(t, "")
				if !bytes.Equal(after[unnamed], test.data[:test.size]) {
					t.Errorf("%d bytes are left, want %d", len(after[unnamed]), test.size)
				}
				if torn, ok := after[unnamed+".torn"]; ok != isTorn || ok && !bytes.Equal(torn, append(bytes.Clone(test.data[test.size:]), '\n')) {
					t.Errorf("moved aside: %q", torn)
				}
				closeDay(t, d, DayLine{})
				wantFaults(t, l, testDay)
			})
		})
	}
}

// A hole far before the end of a segment cannot come from a crash.
func TestHoleFarBack(t *testing.T) {
	p := place{objects: newObjects()}
	long := later("4", Pending, 1)
	long.Reason = strings.Repeat("x", 900<<10)
	text := append(linesOf(t, later("3", Archived, 1)), 0, '\n')
	for range maxTorn/(900<<10) + 1 {
		text = append(text, linesOf(t, long)...)
	}
	p.write(t, unnamed, text)
	l := p.open(t, Options{Run: runC})
	bad := (*BadLineError)(nil)
	if _, err := l.Load(t.Context(), testDay); !errors.As(err, &bad) || bad.Line != 2 {
		t.Errorf("%v", err)
	}
	wantFaults(t, l, testDay, FaultBadLine)
}

// The file of an older version may have a torn tail too.
func TestTornOldFile(t *testing.T) {
	for _, name := range []string{"closed.jsonl", "torn.jsonl", "torn-after-close.jsonl", "torn-only.jsonl", "nul-tail.jsonl", "nul-line.jsonl"} {
		inPlaces(t, func(t *testing.T, p place) {
			t.Run(name, func(t *testing.T) {
				old := oldFile(treeManifest, testDay)
				data := sample(t, name)
				p.write(t, old, data)
				reader := p.open(t, Options{ReadOnly: true})
				before, closed := loadDay(t, reader, testDay), statusOf(t, reader, testDay).Lines
				l := p.open(t, Options{Run: runC})
				d := loadDay(t, l, testDay)
				if fmt.Sprint(statesOf(d)) != fmt.Sprint(statesOf(before)) || len(closed) != len(d.Lines()) || strings.Contains(name, "close") != (len(closed) == 1) {
					t.Errorf("%v, closed by %+v", outcomes(d), closed)
				}
				if got := p.files(t, "")[old]; !bytes.HasPrefix(data, got) || len(got) > 0 && got[len(got)-1] != '\n' || bytes.IndexByte(got, 0) >= 0 {
					t.Errorf("%q is left", got)
				}
				wantFaults(t, l, testDay)
			})
		})
	}
}

// A truncated gzip file is read as far as possible.
func TestTornCalls(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		row := func(id string) []byte {
			line, _, err := Call{CallID: id, Time: noon, Run: runA, Row: []byte(`{"a":"` + strings.Repeat(id, 50) + `"}`)}.line()
			if err != nil {
				t.Fatal(err)
			}
			return line
		}
		plain, zipped := "calls/"+testDay+"/"+runA+"-000001.jsonl", "calls/"+testDay+"/"+runB+"-000001.jsonl.gz"
		p.write(t, plain, append(row("1"), row("2")[:40]...))
		packed := gzipped(slices.Concat(row("3"), row("4")))
		p.write(t, zipped, packed[:len(packed)-9])
		l := p.open(t, Options{Run: runC})
		var ids []string
		if err := l.Calls(t.Context(), testDay, func(c Call) error { ids = append(ids, c.CallID); return nil }); err != nil || len(ids) < 2 || ids[0] != "1" {
			t.Errorf("calls %v, %v", ids, err)
		}
		d := loadDay(t, l, testDay)
		note(t, d, recording("1", Archived))
		closeDay(t, d, DayLine{})
		line, _ := lineFor(d.Lines(), "")
		if len(line.CallsSegments) != 1 || line.CallsSegments[0].Name != path.Base(plain) {
			t.Errorf("%+v", line.CallsSegments)
		}
		wantRoot(t, p, "calls", line.CallsSegments, line.CallsRoot)
		if got := p.files(t, "")[plain]; !bytes.Equal(got, row("1")[:0]) && lineCount(got) != 1 {
			t.Errorf("%q is left", got)
		}
		if _, ok := p.files(t, "")[plain+".torn"]; !ok {
			t.Error("nothing was moved aside")
		}
		wantFaults(t, l, testDay)
	})
}

// The entries of day lines for calls/ are checked, and a day that is only in calls/ is found.
func TestCallsFaults(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		l := p.open(t, Options{Run: runA})
		d := loadDay(t, l, testDay)
		if err := d.NoteCalls(t.Context(), []Call{{CallID: "c1", Row: []byte(`{"a":1}`)}}); err != nil {
			t.Fatal(err)
		}
		note(t, d, recording("1", Archived))
		closeDay(t, d, DayLine{})
		line, _ := lineFor(d.Lines(), "")
		closeLedger(t, l)
		l = p.open(t, Options{Run: runB})
		wantFaults(t, l, testDay)
		name := "calls/" + testDay + "/" + line.CallsSegments[0].Name
		data := p.files(t, "")[name]
		text, err := unpacked(name, data)
		if err != nil {
			t.Fatal(err)
		}
		p.write(t, name, packed(name, bytes.Replace(text, []byte(`"a":1`), []byte(`"a":2`), 1)))
		wantFaults(t, l, testDay, FaultChangedSegment)
		p.remove(t, name)
		wantFaults(t, l, testDay, FaultLostSegments)
		p.write(t, name, data)
		replaceIn(closedFile(testDay), `"calls_root":"`, `"calls_root":"0`)(t, p)
		wantFaults(t, l, testDay, FaultDayLine)

		for file := range p.files(t, "manifest/"+testDay) {
			p.remove(t, file)
		}
		wantFaults(t, l, testDay, FaultNoManifest)
		if _, err := l.Mend(t.Context(), testDay, "no manifest"); err != nil {
			t.Fatal(err)
		}
		wantFaults(t, l, testDay)
		if s := statusOf(t, l, testDay); !s.Known || len(s.Lines) != 0 {
			t.Errorf("%+v", s)
		}
		wantFaults(t, l, "2025-05-09")
	})
}

func TestPutFileOnDisk(t *testing.T) {
	p := place{dir: t.TempDir()}
	d := disk{openRoot(t, p.dir)}
	ctx := t.Context()
	put := func(body, tag string) error {
		return d.PutFile(ctx, "manifest/2025-05-01/closed.json", []byte(body), tag)
	}
	if err := put("one", "x"); !errors.Is(err, os.ErrExist) {
		t.Errorf("replaced what is not there: %v", err)
	}
	if err := put("one", ""); err != nil {
		t.Fatal(err)
	}
	if err := put("two", ""); !errors.Is(err, os.ErrExist) {
		t.Errorf("created what is there: %v", err)
	}
	body, tag, err := d.GetFile(ctx, "manifest/2025-05-01/closed.json")
	if err != nil {
		t.Fatal(err)
	}
	_ = body.Close()
	if err := put("three", tag); err != nil {
		t.Fatal(err)
	}
	if err := put("four", tag); !errors.Is(err, os.ErrExist) {
		t.Errorf("replaced with an old tag: %v", err)
	}
	if got := fileBytes(t, filepath.Join(p.dir, "manifest/2025-05-01/closed.json")); string(got) != "three" {
		t.Errorf("%s", got)
	}
	if names, err := os.ReadDir(filepath.Join(p.dir, "manifest/2025-05-01")); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
}
