package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Every corruption, opened for work and opened read-only.
func TestRecovery(t *testing.T) {
	base := map[string]Outcome{"101": Archived, "102": Pending, "103": Failed}
	closed := map[string]Outcome{"101": Archived, "102": Archived, "103": Lost}
	for _, test := range []struct {
		file   string
		want   map[string]Outcome
		closed bool
		torn   bool // the tail is cut off and kept
		bad    int  // line of a *BadLineError
		later  int  // version of a *VersionError
	}{
		{file: "closed.jsonl", want: closed, closed: true},
		{file: "torn.jsonl", want: base, torn: true},
		{file: "torn-after-close.jsonl", want: closed, closed: true, torn: true},
		{file: "torn-only.jsonl", want: map[string]Outcome{}, torn: true},
		{file: "nul-tail.jsonl", want: base, torn: true},
		{file: "nul-line.jsonl", want: base, torn: true},
		{file: "duplicate.jsonl", want: map[string]Outcome{"101": Archived, "102": Damaged, "103": Archived}},
		{file: "unknown.jsonl", want: map[string]Outcome{"101": Archived, "102": Pending, "103": Failed, "106": "erased", "107": Failed, "108": Archived}},
		{file: "bad-middle.jsonl", bad: 3},
		{file: "future-version.jsonl", later: 2},
	} {
		for _, readOnly := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s read-only=%t", test.file, readOnly), func(t *testing.T) {
				data := sample(t, test.file)
				whole := data[:bytes.LastIndexByte(data, '\n')+1]
				if test.file == "nul-line.jsonl" {
					whole = data[:bytes.IndexByte(data, 0)]
				}
				dir := archiveWith(t, data)
				name := filepath.Join(dir, "manifest", testDay+".jsonl")
				l := openDir(t, dir, Options{Run: runC, ReadOnly: readOnly})

				status, err := l.Status(t.Context(), testDay)
				if test.later == 0 && err != nil || status.Closed != test.closed {
					t.Errorf("status %+v, %v", status, err)
				}
				d, err := l.Day(t.Context(), testDay)
				if badLine := (*BadLineError)(nil); test.bad > 0 {
					want := "read manifest of 2025-05-01: manifest/2025-05-01.jsonl line 3: not one JSON object"
					if !errors.As(err, &badLine) || badLine.Line != test.bad || err.Error() != want {
						t.Fatalf("got %v, want a bad line %d", err, test.bad)
					}
					return
				}
				if later := (*VersionError)(nil); test.later > 0 {
					if !errors.As(err, &later) || later.V != test.later || !strings.Contains(err.Error(), "use a newer version of the program") {
						t.Fatalf("got %v, want version %d", err, test.later)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				defer d.Release()
				if got := outcomes(d); !reflect.DeepEqual(got, test.want) {
					t.Errorf("got %v, want %v", got, test.want)
				}
				if _, ok := d.Closed(); ok != test.closed {
					t.Errorf("closed %t", ok)
				}

				if readOnly {
					if !bytes.Equal(readFile(t, name), data) {
						t.Error("reading changed the file")
					}
					if err := d.Note(t.Context(), recording("9", Pending)); !errors.Is(err, ErrReadOnly) {
						t.Errorf("note: %v", err)
					}
					if _, err := os.Stat(filepath.Join(dir, "manifest", "lock")); err == nil {
						t.Error("reading took the lock")
					}
					return
				}
				if !bytes.Equal(readFile(t, name), whole) {
					t.Error("the file is not cut back to its last whole line")
				}
				if test.torn {
					if got, want := readFile(t, name+".torn"), append(data[len(whole):], '\n'); !bytes.Equal(got, want) {
						t.Errorf("kept %q, want %q", got, want)
					}
				}
				note(t, d, recording("9", Pending))
				if got := readFile(t, name); !bytes.HasPrefix(got, whole) || lineCount(got) != lineCount(whole)+1 {
					t.Error("the next line does not follow the last whole one")
				}
			})
		}
	}
}

// Nothing may be written to an archive that a later version wrote to.
func TestLaterVersionStopsEveryAppend(t *testing.T) {
	dir := archiveWith(t, sample(t, "future-version.jsonl"))
	l := openDir(t, dir, Options{})
	other := loadDay(t, l, "2025-05-02")
	if _, err := l.Day(t.Context(), testDay); err == nil {
		t.Fatal("no error")
	}
	var later *VersionError
	if err := other.Note(t.Context(), recording("1", Pending)); !errors.As(err, &later) {
		t.Errorf("note on another day: %v", err)
	}
	if err := l.SaveArchive(t.Context(), Archive{}); !errors.As(err, &later) {
		t.Errorf("save archive: %v", err)
	}
}

func TestTornCallRows(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "calls", testDay+".jsonl")
	writeFile(t, name, append(sample(t, "calls.jsonl"), `{"v":1,"kind":"call","call_`...))
	l := openDir(t, dir, Options{})
	d := loadDay(t, l, testDay)
	same := `{"id":"9101","campaign_id":"55","phone_number":"5550100","call_date":"2025-05-01 10:00:00"}`
	if err := d.NoteCalls(t.Context(), []Call{{CallID: "9101", Row: []byte(same)}, {CallID: "9102", Row: []byte(same)}}); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, name); lineCount(got) != 2 || !bytes.HasPrefix(got, sample(t, "calls.jsonl")) {
		t.Errorf("got %s", got)
	}
	if got := readFile(t, name+".torn"); !strings.HasPrefix(string(got), `{"v":1,"kind":"call","call_`) {
		t.Errorf("kept %s", got)
	}
}

func TestGoodEndAcrossBlocks(t *testing.T) {
	for _, size := range []int{0, 1, tailBlock - 2, tailBlock - 1, tailBlock, tailBlock + 1, 3 * tailBlock} {
		for _, tail := range []int{0, 1, tailBlock - 1, tailBlock, tailBlock + 1} {
			for _, fill := range []string{"x", "\x00"} {
				data := []byte("{}\n" + strings.Repeat("y", size) + "\n" + strings.Repeat(fill, tail))
				end, err := goodEnd(bytes.NewReader(data), int64(len(data)))
				if err != nil || end != int64(4+size) {
					t.Errorf("line of %d, tail of %d %q: end %d, %v", size, tail, fill, end, err)
				}
				line, err := lastLine(bytes.NewReader(data), int64(len(data)))
				if err != nil || len(line) != size {
					t.Errorf("line of %d, tail of %d %q: last line of %d, %v", size, tail, fill, len(line), err)
				}
			}
		}
	}
}
