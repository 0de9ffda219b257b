package manifest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

var errKilled = errors.New("killed")

// mortal is an archive that fails after a number of writes, as if its run was killed.
type mortal struct {
	Objects
	left int
}

func (m *mortal) PutFile(ctx context.Context, name string, body []byte, ifTag string) error {
	if m.left--; m.left >= 0 {
		return m.Objects.PutFile(ctx, name, body, ifTag)
	}
	return errKilled
}

// killed calls a function with an archive that fails after n writes, and reports whether it failed.
func killed(t *testing.T, p place, n int, do func(l *Ledger) error) bool {
	t.Helper()
	m := &mortal{p.store(t), n}
	l, err := OpenBucket(m, Options{Run: fmt.Sprintf("20260101T%02d%02d00Z-aaaaaaaa", n/60, n%60)})
	if err != nil {
		t.Fatal(err)
	}
	if p.dir != "" {
		l.scans = 1
	}
	err = do(l)
	if err != nil && !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	return err != nil
}

// intentOf returns the intent for everything that contains the canary.
func intentOf(day string) *ErasureRecord {
	r := NewErasureRecord(ErasureIntent, "E1")
	r.Recordings, r.Calls = []ErasedID{{Day: day, ID: "1"}}, []ErasedID{{Day: day, ID: "c1"}, {Day: day, ID: "c3"}}
	return r
}

// wantHidden fails if a reader shows the canary.
func wantHidden(t *testing.T, l *Ledger, day string) {
	t.Helper()
	shown := func(what string, v any) {
		if strings.Contains(fmt.Sprintf("%+v %s", v, v), canary) {
			t.Errorf("%s shows %+v", what, v)
		}
	}
	visit := func(line Line) error {
		shown("a line", string(line.Raw))
		if line.Kind == kindRecording {
			r, err := line.Recording()
			shown("its recording", r)
			return err
		}
		return nil
	}
	d, err := l.Read(t.Context(), day, visit, nil)
	if err != nil {
		t.Fatal(err)
	}
	for id, s := range d.Recordings() {
		shown("a state", s)
		one, _ := d.Recording(id)
		shown("a recording", one)
	}
	row := func(c Call) error { shown("a row", string(c.Row)); return nil }
	if err := errors.Join(l.Calls(t.Context(), day, row), l.ReadCalls(t.Context(), day, row, nil)); err != nil {
		t.Fatal(err)
	}
	err = l.Scan(t.Context(), func(e Entry) error {
		if e.Outcome == Erased {
			e.Key = nil
		}
		shown("an entry", string(slices.Concat(e.Key, e.ETag, e.Host, e.SHA256)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// closedLines returns the roots and numbers of a day's lines, which no erasure changes.
func closedLines(t *testing.T, l *Ledger, day string) map[string]string {
	t.Helper()
	closed := map[string]string{}
	for _, line := range statusOf(t, l, day).Lines {
		closed[line.Filter] = fmt.Sprint(line.Root, line.CallsRoot, line.Lines, line.Recordings, line.Calls)
	}
	return closed
}

// A day with rows of calls, and lines in several segments.
func makeErasable(t *testing.T, p place) {
	t.Helper()
	for i, run := range []string{runA, runB} {
		l := p.open(t, Options{Run: run})
		d := loadDay(t, l, testDay)
		noteCalls(t, d, row("c1", canary+run), row("c2", "555"), row("c3", canary+run))
		note(t, d, told("1", Failed), recording("2", Archived), told("3", Archived))
		note(t, d, later("1", Archived, 9+i), later("2", Archived, 9+i))
		closeDay(t, d, DayLine{Filter: "f"})
		closeDay(t, d, DayLine{Calls: 3})
		closeLedger(t, l)
	}
}

// Killed between any two writes, no reader shows erased data or reports damage, the day stays
// closed, and the next call finishes.
func TestEraseLinesKilled(t *testing.T) {
	for n, done := 0, 0; done < len(places(t)); n++ {
		for _, p := range places(t) {
			t.Run(fmt.Sprintf("%s, after %d", p.name, n), func(t *testing.T) {
				makeErasable(t, p)
				before := closedLines(t, p.open(t, Options{ReadOnly: true}), testDay)
				other := p.open(t, Options{Run: runC})
				putIntent(t, other, "E0", "2025-04-01", []string{"another"}, nil)
				closeLedger(t, other)
				died := killed(t, p, n, func(l *Ledger) error {
					if err := l.PutRecords(t.Context(), ErasureStem, intentOf(testDay)); err != nil {
						return err
					}
					_, err := l.EraseLines(t.Context(), testDay)
					return err
				})
				if !died {
					done++
				}
				reader := p.open(t, Options{ReadOnly: true})
				if e, err := reader.Erasures(t.Context()); err != nil {
					t.Fatal(err)
				} else if _, ok := e.Call("c1"); ok {
					wantHidden(t, reader, testDay)
					wantFaults(t, reader, testDay)
					if after := closedLines(t, reader, testDay); !maps.Equal(after, before) {
						t.Errorf("closed %v, want %v", after, before)
					}
				}
				l := p.open(t, Options{Run: runNewer})
				done := NewErasureRecord(ErasureDone, "E1")
				if err := l.PutRecords(t.Context(), ErasureStem, intentOf(testDay)); err != nil {
					t.Fatal(err)
				}
				done.Digests = eraseLines(t, l, testDay)
				if err := l.PutRecords(t.Context(), ErasureStem, done); err != nil || len(done.Digests) != 10 {
					t.Errorf("%v, %d digests", err, len(done.Digests))
				}
				reader = p.open(t, Options{ReadOnly: true})
				wantNone(t, p, canary)
				wantHidden(t, reader, testDay)
				wantFaults(t, reader, testDay)
				if after := closedLines(t, reader, testDay); !maps.Equal(after, before) {
					t.Errorf("closed %v, want %v", after, before)
				}
				if line, _ := statusOf(t, reader, testDay).Line(""); line.ByOutcome[Erased] != 2 || line.ByOutcome[Archived] != 1 || line.Bytes != 1000 {
					t.Errorf("%+v", line)
				}
			})
		}
	}
}

// The same with the layouts of older versions: their lines get salts on the way.
func TestSaltDayKilled(t *testing.T) {
	for n, done := 0, 0; done < 4; n++ {
		inOldArchives(t, func(t *testing.T, p place) {
			filters := closedFor(t, p.open(t, Options{ReadOnly: true}))
			states := map[string]map[string]State{}
			for _, day := range oldDays {
				states[day] = statesOf(loadDay(t, p.open(t, Options{ReadOnly: true}), day))
			}
			died := killed(t, p, n, func(l *Ledger) error {
				for _, day := range oldDays {
					if err := l.SaltDay(t.Context(), day); err != nil {
						return err
					}
				}
				return nil
			})
			if !died {
				done++
			}
			check := func() {
				t.Helper()
				l := p.open(t, Options{ReadOnly: true})
				if got := closedFor(t, l); !slices.Equal(got, filters) {
					t.Errorf("closed %v, want %v", got, filters)
				}
				for _, day := range oldDays {
					wantFaults(t, l, day)
					if got := statesOf(loadDay(t, l, day)); !maps.EqualFunc(got, states[day], func(a, b State) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
						t.Errorf("%s: %+v, want %+v", day, got, states[day])
					}
				}
			}
			check()
			l := p.open(t, Options{Run: runNewer})
			for _, day := range oldDays {
				if err := l.SaltDay(t.Context(), day); err != nil {
					t.Fatal(err)
				}
			}
			check()
			wantSalts(t, p)
			for _, day := range oldDays {
				for _, line := range statusOf(t, l, day).Lines {
					if line.Root == "" || line.Segments == nil {
						t.Errorf("%s: %+v", day, line)
					}
				}
			}
		})
	}
}

// An erasure of a day of an older version, killed while lines get their salts or their stubs, can be
// finished.
func TestOldDayErasedKilled(t *testing.T) {
	for n, done := 0, 0; done < 4; n++ {
		inOldArchives(t, func(t *testing.T, p place) {
			filters := closedFor(t, p.open(t, Options{ReadOnly: true}))
			erase := func(l *Ledger) error {
				intent := NewErasureRecord(ErasureIntent, "E1")
				for _, day := range oldDays {
					intent.Recordings = append(intent.Recordings, ErasedID{Day: day, ID: "1"}, ErasedID{Day: day, ID: "4"})
				}
				err := l.PutRecords(t.Context(), ErasureStem, intent)
				for _, day := range oldDays {
					if err == nil {
						_, err = l.EraseLines(t.Context(), day)
					}
				}
				return err
			}
			if !killed(t, p, n, erase) {
				done++
			}
			check := func() {
				t.Helper()
				l := p.open(t, Options{ReadOnly: true})
				for _, day := range oldDays {
					wantFaults(t, l, day)
					d := loadDay(t, l, day)
					if d.Count() == 0 || day == "2025-05-01" && d.Count() != 3 {
						t.Errorf("%s: %d recordings", day, d.Count())
					}
					for _, line := range d.Lines() {
						filters = slices.DeleteFunc(filters, func(f string) bool { return f == day[8:]+line.Filter })
					}
				}
				if len(filters) > 0 {
					t.Errorf("no longer closed: %v", filters)
				}
			}
			filters = slices.Clone(filters)
			closed := slices.Clone(filters)
			check()
			l := p.open(t, Options{Run: runNewer})
			if err := erase(l); err != nil {
				t.Fatal(err)
			}
			closeLedger(t, l)
			filters = closed
			check()
			wantNone(t, p, "a/1.mp3")
			l = p.open(t, Options{Run: "20260103T090000Z-bbbbbbbb"})
			if err := l.PutRecords(t.Context(), ErasureStem, NewErasureRecord(ErasureDone, "E1")); err != nil {
				t.Fatal(err)
			}
			check()
			wantSalts(t, p)
		})
	}
}

// wantSalts fails if a line of a segment has neither salt nor digest.
func wantSalts(t *testing.T, p place) {
	t.Helper()
	for name, file := range p.files(t, "") {
		text, err := unpacked(name, file)
		if err != nil {
			t.Fatal(err)
		}
		if !isSegment(name) || strings.HasPrefix(name, "evidence/") {
			continue
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSuffix(line, "\n")
			if _, isStub := stubDigest([]byte(line)); !isStub && !endsInSalt([]byte(line)) {
				t.Errorf("%s has no salt: %s", name, line)
			}
		}
	}
}

// A day line of an older version in a bucket does not list the call rows: it covers the existing ones.
func TestSaltedRowsAreNamed(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		p.readTestdata(t, "old-bucket")
		more := "calls/2025-05-01/20250504T090000Z-00000000-000001.jsonl"
		p.write(t, more, []byte(`{"v":1,"kind":"call","call_id":"call-0","time":"2025-05-04T09:00:00Z","run":"r","row":{}}`+"\n"))
		p.write(t, "calls/2025-05-01/20260101T090000Z-00000000-000001.jsonl", []byte(`{"v":1,"kind":"call","call_id":"later","row":{}}`+"\n"))
		l := p.open(t, Options{Run: runNew})
		if err := l.SaltDay(t.Context(), "2025-05-01"); err != nil {
			t.Fatal(err)
		}
		if line, _ := statusOf(t, l, "2025-05-01").Line(""); len(line.CallsSegments) != 2 || line.CallsSegments[0].Name != "20250504T090000Z-00000000-000001.jsonl" {
			t.Errorf("%+v", line)
		}
	})
}

// A day that differs from its day line gets no salts and stays unchanged.
func TestSaltingRefuses(t *testing.T) {
	for _, p := range places(t) {
		p.readTestdata(t, "old-disk")
		name := "manifest/2025-05-04.jsonl"
		p.write(t, name, []byte(strings.Replace(string(p.files(t, name)[name]), `"attempts":1`, `"attempts":2`, 1)))
		before := p.files(t, name)
		l := p.open(t, Options{Run: runNew})
		if err := l.SaltDay(t.Context(), "2025-05-04"); !errors.Is(err, ErrNotAsClosed) {
			t.Errorf("%s: %v", p.name, err)
		}
		if after := p.files(t, "manifest/2025-05-04"); !maps.EqualFunc(after, before, func(a, b []byte) bool { return string(a) == string(b) }) {
			t.Errorf("%s: files changed", p.name)
		}
	}
}
