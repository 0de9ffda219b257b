package manifest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestMendCalls damages the rows of a closed day, and repairs it: readable rows stay, the original file is
// kept aside, the day is open and says how many lines are missing, and the next listing notes the rows again.
func TestMendCalls(t *testing.T) {
	var rows []Call
	for i := range 9 {
		id := fmt.Sprint(i)
		rows = append(rows, Call{CallID: id, Row: fmt.Appendf(nil, `{"id":"%s","name":"%s"}`, id, strings.Repeat(id, 40))})
	}
	line := func(change func(line []byte) []byte) func([]byte) []byte {
		return func(text []byte) []byte {
			lines := bytes.SplitAfter(text, []byte("\n"))
			lines[4] = change(lines[4])
			return bytes.Join(lines, nil)
		}
	}
	for name, test := range map[string]struct {
		damage  func(text []byte) []byte               // of the lines
		packed  func(t *testing.T, file []byte) []byte // of the compressed file, nil on disk
		dropped int
		named   []int // lines that readers and checks name
		left    int   // rows after the repair
	}{
		"cut":             {damage: line(func(l []byte) []byte { return append(l[:len(l)/2:len(l)/2], '\n') }), dropped: 1, named: []int{5}, left: 8},
		"without its end": {damage: line(func(l []byte) []byte { return l[:len(l)/2] }), dropped: 1, named: []int{5}, left: 7},
		"no JSON":         {damage: line(func(l []byte) []byte { return append([]byte("x"), l...) }), dropped: 1, named: []int{5}, left: 8},
		"a line feed":     {damage: line(func(l []byte) []byte { return append(append(slices.Clone(l[:20]), '\n'), l[21:]...) }), dropped: 2, named: []int{5, 6}, left: 8},
		"NUL bytes":       {damage: line(func(l []byte) []byte { return append(bytes.Repeat([]byte{0}, len(l)-1), '\n') }), dropped: 1, named: []int{5}, left: 8},
		"the end is gone": {damage: func(text []byte) []byte { return text[:len(text)-20] }, dropped: 1, named: []int{9}, left: 8},
		"all is rubbish":  {damage: func([]byte) []byte { return []byte("rubbish\n") }, dropped: 1, named: []int{1}},

		"packed, cut":      {packed: func(_ *testing.T, file []byte) []byte { return file[:12] }, dropped: 1, named: []int{1}, left: 0},
		"packed, no gzip":  {packed: func(*testing.T, []byte) []byte { return []byte("rubbish\n") }, dropped: 1, named: []int{1}},
		"packed, a block":  {packed: badBlock, dropped: 1, named: []int{5}, left: 4},
		"packed, checksum": {packed: func(_ *testing.T, file []byte) []byte { file[len(file)-8] ^= 1; return file }, dropped: 1, named: []int{10}, left: 9},
	} {
		inPlaces(t, func(t *testing.T, p place) {
			if test.damage == nil && p.dir != "" {
				return // rows on disk are not compressed
			}
			t.Run(name, func(t *testing.T) {
				l := p.open(t, Options{Run: runA})
				d := loadDay(t, l, testDay)
				if err := d.NoteCalls(t.Context(), rows); err != nil {
					t.Fatal(err)
				}
				note(t, d, recording("1", Archived))
				closeDay(t, d, DayLine{})
				closeLedger(t, l)
				var file string
				for name := range p.files(t, "calls/") {
					file = name
				}
				whole := p.files(t, "")[file]
				text, err := unpacked(file, whole)
				if err != nil {
					t.Fatal(err)
				}
				var bad []byte
				if test.damage != nil {
					bad = packed(file, test.damage(text))
				} else {
					bad = test.packed(t, bytes.Clone(whole))
				}
				p.write(t, file, bad)

				l = p.open(t, Options{Run: runC})
				if got := badRows(t, l); !slices.Equal(got, test.named) {
					t.Errorf("bad lines %v, want %v", got, test.named)
				}
				mended, err := l.Mend(t.Context(), testDay, "a test")
				if err != nil {
					t.Fatal(err)
				}
				aside := file + ".bad-" + runC
				if mended.Dropped != 0 || mended.CallsDropped != test.dropped || !slices.Equal(mended.Aside, []string{aside}) || !bytes.Equal(p.files(t, "")[aside], bad) {
					t.Errorf("mended %+v", mended)
				}
				wantFaults(t, l, testDay)
				if got := badRows(t, l); len(got) > 0 {
					t.Errorf("bad lines afterwards: %v", got)
				}
				if s := statusOf(t, l, testDay); len(s.Lines) > 0 {
					t.Errorf("still closed: %+v", s.Lines)
				}
				left := rowsOf(t, l)
				for id, row := range left {
					if want := string(rows[id[0]-'0'].Row); row != want {
						t.Errorf("row %s is %s", id, row)
					}
				}
				if len(left) != test.left {
					t.Errorf("%d rows are left, want %d", len(left), test.left)
				}

				d = loadDay(t, l, testDay)
				if d.CallsDropped() != test.dropped {
					t.Errorf("%d lines are said to be gone", d.CallsDropped())
				}
				if err := d.NoteCalls(t.Context(), rows); err != nil {
					t.Fatal(err)
				}
				closeDay(t, d, DayLine{})
				if left = rowsOf(t, l); len(left) != len(rows) {
					t.Errorf("%d rows after the listing", len(left))
				}
				wantFaults(t, l, testDay)
				if d = loadDay(t, l, testDay); d.CallsDropped() != test.dropped {
					t.Error("the loss is forgotten")
				}
			})
		})
	}
}

// badBlock packs the rows in two blocks, the second of which is damaged from its beginning and far from the end of the file.
func badBlock(t *testing.T, file []byte) []byte {
	t.Helper()
	text, err := unpacked(extGzip, file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, some := range [][][]byte{lines[:4], append(lines[4:], make([]byte, 16<<10))} {
		at = out.Len()
		if _, err := w.Write(bytes.Join(some, nil)); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	bad := out.Bytes()
	bad[at+1] ^= 0xff // the length of the block
	return bad
}

// badRows returns the numbers of the lines of calls/ that a reader of rows or a check of the day names.
func badRows(t *testing.T, l *Ledger) (numbers []int) {
	t.Helper()
	take := func(f Fault) {
		if f.Kind == FaultBadLine && strings.HasPrefix(f.File, "calls/") {
			numbers = append(numbers, f.Line)
		}
		if strings.Contains(f.Reason, "name") {
			t.Errorf("%q quotes the line", f.Reason)
		}
	}
	if err := l.ReadCalls(t.Context(), testDay, func(Call) error { return nil }, take); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Read(t.Context(), testDay, nil, func(f Fault) error { take(f); return nil }); err != nil {
		t.Fatal(err)
	}
	return numbers
}

func rowsOf(t *testing.T, l *Ledger) map[string]string {
	t.Helper()
	rows := map[string]string{}
	if err := l.Calls(t.Context(), testDay, func(c Call) error {
		rows[c.CallID] = string(c.Row)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return rows
}
