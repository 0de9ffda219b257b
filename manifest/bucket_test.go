package manifest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func segmentIn(tree, run string, n int) string {
	if tree == treeCalls {
		return segmentFile(tree, testDay, run, n, extGzip)
	}
	return segmentFile(tree, testDay, run, n, extPlain)
}

// Lines stay in memory until they are flushed, call rows are stored first, and each segment is written
// once.
func TestFlush(t *testing.T) {
	p := place{objects: newObjects()}
	l := p.open(t, Options{Run: runA})
	d := loadDay(t, l, testDay)
	note(t, d, recording("1", Archived))
	if err := d.NoteCalls(t.Context(), []Call{{CallID: "c1", Row: []byte(`{"a":1}`)}}); err != nil {
		t.Fatal(err)
	}
	if len(p.objects.puts) > 0 {
		t.Errorf("stored before a flush: %v", p.objects.puts)
	}
	for range 2 {
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	note(t, d, later("1", Damaged, 1))
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{segmentIn(treeCalls, runA, 1), segmentIn(treeManifest, runA, 1), segmentIn(treeManifest, runA, 2)}
	if !slices.Equal(p.objects.puts, want) {
		t.Errorf("stored %v, want %v", p.objects.puts, want)
	}
	// A second load of the day includes the lines in memory.
	note(t, d, recording("2", Archived))
	if d := loadDay(t, l, testDay); d.Count() != 2 {
		t.Errorf("%d recordings", d.Count())
	}
	// At 1 MiB, a day's lines are stored without a flush.
	long := recording("3", Pending)
	long.Reason = strings.Repeat("x", 600<<10)
	before := len(p.objects.puts)
	note(t, d, long)
	if len(p.objects.puts) != before {
		t.Errorf("stored %v", p.objects.puts[before:])
	}
	long.Time = noon.AddDate(0, 0, 1)
	note(t, d, long)
	if len(p.objects.puts) != before+1 {
		t.Errorf("stored %v", p.objects.puts[before:])
	}
}

// Lines that could not be stored stay in memory, count, and are stored by the next flush, once.
func TestFlushFails(t *testing.T) {
	for name, test := range map[string]struct {
		broken string // the segment whose put fails
		lost   bool   // it is stored, but the reply is lost
	}{
		"calls":             {segmentIn(treeCalls, runA, 1), false},
		"recordings":        {segmentIn(treeManifest, runA, 1), false},
		"calls, reply":      {segmentIn(treeCalls, runA, 1), true},
		"recordings, reply": {segmentIn(treeManifest, runA, 1), true},
	} {
		t.Run(name, func(t *testing.T) {
			p := place{objects: newObjects()}
			l := p.open(t, Options{Run: runA})
			d := loadDay(t, l, testDay)
			fail := func(name string) error {
				if name == test.broken {
					return errServer
				}
				return nil
			}
			p.objects.locked(func() {
				if test.lost {
					p.objects.got = fail
				} else {
					p.objects.put = fail
				}
			})
			if err := d.NoteCalls(t.Context(), []Call{{CallID: "c1", Row: []byte(`{"a":1}`)}}); err != nil {
				t.Fatal(err)
			}
			long := recording("1", Pending)
			long.Reason = strings.Repeat("x", 900<<10)
			note(t, d, long)
			err := d.Note(t.Context(), later("1", Archived, 1), later("2", Pending, 1), func() Recording { r := long; r.RecordingID = "3"; return r }())
			if !errors.Is(err, ErrUnflushed) || !errors.Is(err, errServer) {
				t.Errorf("note: %v", err)
			}
			if s, _ := d.Recording("1"); s.Outcome != Archived || d.Count() != 3 {
				t.Errorf("lines that were taken do not count: %+v", s)
			}
			if stored := p.objects.names("manifest/"); strings.HasPrefix(name, "calls") && len(stored) > 0 {
				t.Errorf("recordings are stored before their call rows: %v", stored)
			}
			if err := d.Close(t.Context(), DayLine{}); !errors.Is(err, errServer) && !test.lost {
				t.Errorf("closed: %v", err)
			}
			if err := l.Flush(t.Context()); !errors.Is(err, errServer) && !test.lost {
				t.Errorf("flush: %v", err)
			}
			// More lines arrive meanwhile.
			if err := d.NoteCalls(t.Context(), []Call{{CallID: "c4", Row: []byte(`{"a":1}`)}}); err != nil && !errors.Is(err, ErrUnflushed) {
				t.Fatal(err)
			}
			if err := d.Note(t.Context(), recording("4", Archived)); err != nil && !errors.Is(err, ErrUnflushed) {
				t.Fatal(err)
			}
			p.objects.locked(func() { p.objects.put, p.objects.got = nil, nil })
			note(t, d, final(later("2", Failed, 2)), final(later("3", Failed, 2)))
			closeDay(t, d, DayLine{})
			if line, _ := lineFor(d.Lines(), ""); line.Lines != 8 || line.Recordings != 4 || len(line.CallsSegments) != 2 {
				t.Errorf("%+v", line)
			}
			wantFaults(t, l, testDay)
		})
	}
}

// If a segment of ours has other bytes than we stored, the next number is used.
func TestSegmentNumberIsTaken(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		p.write(t, segmentIn(treeManifest, runA, 1), linesOf(t, recording("1", Archived)))
		l := p.open(t, Options{Run: runA})
		d := loadDay(t, l, testDay)
		note(t, d, recording("2", Archived))
		closeDay(t, d, DayLine{})
		if line, _ := lineFor(d.Lines(), ""); line.Lines != 2 || len(line.Segments) != 2 || line.Segments[1].Name != runA+"-000002.jsonl" {
			t.Errorf("%+v", line)
		}
	})
}

// Concurrent runs in one bucket are safe: all of their lines exist in the end, and the day can be closed.
func TestConcurrentRunsInBucket(t *testing.T) {
	p := place{objects: newObjects()}
	var group sync.WaitGroup
	for r := range 4 {
		group.Go(func() {
			if err := workInBucket(p.objects, r); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	l := p.open(t, Options{Run: runC})
	d := loadDay(t, l, testDay)
	if d.Count() != 100 {
		t.Errorf("%d recordings, want 100", d.Count())
	}
	if lines := statusOf(t, l, testDay).Lines; len(lines) != 4 {
		t.Errorf("closed for %d filters: all that was noted is final", len(lines))
	}
	closeDay(t, d, DayLine{})
	wantFaults(t, l, testDay)
}

// A broken connection is an error, never a torn tail or a shorter day.
func TestBrokenConnection(t *testing.T) {
	for name, broken := range map[string]func(body io.Reader) io.Reader{
		"with an error": func(body io.Reader) io.Reader {
			return io.MultiReader(io.LimitReader(body, 500), iotest.ErrReader(errServer))
		},
		"without an error":  func(body io.Reader) io.Reader { return io.LimitReader(body, 500) },
		"at the first byte": func(io.Reader) io.Reader { return strings.NewReader("") },
	} {
		t.Run(name, func(t *testing.T) {
			p := place{objects: newObjects()}
			l := p.open(t, Options{Run: runA})
			d := loadDay(t, l, testDay)
			note(t, d, recording("1", Archived), recording("2", Archived))
			if err := d.NoteCalls(t.Context(), []Call{{CallID: "c1", Row: bytes.Repeat([]byte("1"), 9999)}}); err != nil {
				t.Fatal(err)
			}
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.objects.locked(func() {
				p.objects.get = func(_ string, body io.ReadCloser) io.ReadCloser {
					data, _ := io.ReadAll(body)
					return io.NopCloser(broken(bytes.NewReader(data[:len(data)*2/3])))
				}
			})
			other := p.open(t, Options{Run: runB})
			_, loadErr := other.Load(t.Context(), testDay)
			callsErr := other.Calls(t.Context(), testDay, func(Call) error { return nil })
			scanErr := other.Scan(t.Context(), func(Entry) error { return nil })
			closeErr := d.Close(t.Context(), DayLine{})
			for what, err := range map[string]error{"load": loadErr, "calls": callsErr, "scan": scanErr, "close": closeErr} {
				if bad := (*BadLineError)(nil); err == nil || errors.As(err, &bad) {
					t.Errorf("%s: %v", what, err)
				}
			}
			p.objects.locked(func() { p.objects.get = nil })
			if loadDay(t, other, testDay).Count() != 2 {
				t.Error("the day was changed")
			}
		})
	}
}

func TestContextEnds(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		l := p.open(t, Options{Run: runA})
		d := loadDay(t, l, testDay)
		note(t, d, recording("1", Archived))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, loadErr := l.Load(ctx, testDay)
		for what, err := range map[string]error{
			"note": d.Note(ctx, recording("2", Archived)), "close": d.Close(ctx, DayLine{}), "load": loadErr,
			"scan": l.Scan(ctx, func(Entry) error { return nil }),
		} {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if d.Count() != 1 {
			t.Error("a line was taken")
		}
	})
}

// After a close, writes fail; a second close does nothing.
func TestAfterClose(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		l := p.open(t, Options{Run: runA})
		d := loadDay(t, l, testDay)
		note(t, d, recording("1", Archived))
		closeLedger(t, l)
		closeLedger(t, l)
		_, loadErr := l.Load(t.Context(), testDay)
		_, mendErr := l.Mend(t.Context(), testDay, "a test")
		for what, err := range map[string]error{
			"note": d.Note(t.Context(), recording("2", Archived)), "windows": d.NoteWindows(t.Context(), Window{}),
			"calls": d.NoteCalls(t.Context(), []Call{{CallID: "1", Row: []byte("{}")}}), "flush": l.Flush(t.Context()),
			"close": d.Close(t.Context(), DayLine{}), "load": loadErr, "mend": mendErr, "archive": l.SaveArchive(t.Context(), Archive{}),
		} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if d := loadDay(t, p.open(t, Options{ReadOnly: true}), testDay); d.Count() != 1 {
			t.Errorf("%d recordings", d.Count())
		}
	})
}

// If a run in a bucket dies at any point, the next one continues: each stored object is complete, no line
// refers to later objects, and the day can be closed.
func TestCrashInBucket(t *testing.T) {
	work := func(l *Ledger) error {
		ctx := context.Background()
		d, err := l.Load(ctx, testDay)
		if err != nil {
			return err
		}
		for i := range 4 {
			id := numbered(i)
			err = errors.Join(d.NoteCalls(ctx, []Call{{CallID: "c" + id, Row: []byte(`{"a":1}`)}}), d.Note(ctx, recording(id, Archived)), d.Flush(ctx))
			if err != nil {
				return err
			}
		}
		return d.Close(ctx, DayLine{})
	}
	for dies := 1; ; dies++ {
		p := place{objects: newObjects()}
		p.readTestdata(t, "old-bucket")
		dead := errors.New("dead")
		left := dies
		p.objects.put = func(string) error {
			if left--; left < 0 {
				return dead
			}
			return nil
		}
		first, err := OpenBucket(p.objects, Options{Run: runNew})
		if err != nil {
			t.Fatal(err)
		}
		err = work(first)
		if err != nil && !errors.Is(err, dead) {
			t.Fatal(err)
		}
		finished := err == nil
		p.objects.put = nil
		l := p.open(t, Options{Run: runNewer})
		wantFaults(t, l, testDay)
		d := loadDay(t, l, testDay)
		rows := map[string]bool{}
		if err := l.Calls(t.Context(), testDay, func(c Call) error { rows[c.CallID] = true; return nil }); err != nil {
			t.Fatal(err)
		}
		for id, s := range d.Recordings() {
			if !rows[s.CallID] {
				t.Errorf("after %d puts recording %s has no call row", dies, id)
			}
		}
		if err := work(l); err != nil {
			t.Errorf("after %d puts: %v", dies, err)
		}
		if lines := statusOf(t, l, testDay).Lines; len(lines) != 1 || lines[0].Recordings != 7 {
			t.Errorf("after %d puts: %+v", dies, lines)
		}
		wantFaults(t, l, testDay)
		if finished {
			if dies < 9 {
				t.Errorf("only %d puts", dies)
			}
			return
		}
	}
}
