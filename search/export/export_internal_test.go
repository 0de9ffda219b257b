package export

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"convoso-archiver/manifest"
	"convoso-archiver/search"
)

// TestColumns: text formats and views have the columns of Parquet, in its order.
func TestColumns(t *testing.T) {
	calls, recordings := &sqlColumns{}, &sqlColumns{}
	(&callRow{}).columns(calls)
	(&recordingRow{}).columns(recordings)
	for _, table := range []struct {
		columns *sqlColumns
		schema  *parquet.Schema
		bloom   []string
	}{{calls, parquet.SchemaOf(callRow{}), callBloom()}, {recordings, parquet.SchemaOf(recordingRow{}), recordingBloom()}} {
		var names []string
		for i, column := range table.schema.Fields() {
			names = append(names, column.Name())
			sqlType := map[string]string{
				"STRING": "VARCHAR", "JSON": "JSON", "TIMESTAMP(isAdjustedToUTC=true,unit=MILLIS)": "TIMESTAMP WITH TIME ZONE",
				"INT(32,true)": "INTEGER", "INT(64,true)": "BIGINT", "BOOLEAN": "BOOLEAN",
			}[column.Type().String()]
			if sqlType == "" || sqlType != table.columns.types[i] {
				t.Errorf("%s has type %s, and in views %s", column.Name(), column.Type(), table.columns.types[i])
			}
		}
		if !slices.Equal(names, table.columns.names) {
			t.Errorf("columns %v, in text %v", names, table.columns.names)
		}
		for _, name := range table.bloom {
			if !slices.Contains(names, name) {
				t.Errorf("a Bloom filter of %s, which is no column", name)
			}
		}
	}
}

func TestReadExtra(t *testing.T) {
	for row, want := range map[string]extra{
		``:           {other: "{}"},
		`{}`:         {other: "{}"},
		`[1]`:        {other: "[1]"},
		`{"id":"1"}`: {other: "{}"},
		`{"recording":[{"a":"]"}],"call_length":null}`: {other: "{}"},
		`{"call_date":"2025-05-01 10:00:00","queue_position":1,"queue_seconds":"0.00","term_reason":null,"session_id":"a\"b","originating_agent_id":{"x":1}}`: {
			date: "2025-05-01 10:00:00", queuePosition: "1", queueSeconds: "0.00", sessionID: `a"b`, other: "{}",
		},
		`{ "new" : { "a" : [ "}" , 1 ] } , "caller_id_displayed":"15", "b":-1.5e3,"c":"\\","d\"e":true}`: {
			callerID: "15", other: `{"new":{ "a" : [ "}" , 1 ] },"b":-1.5e3,"c":"\\","d\"e":true}`,
		},
	} {
		got := readExtra([]byte(row))
		if got != want {
			t.Errorf("%s: %+v, want %+v", row, got, want)
		}
		if !json.Valid([]byte(got.other)) {
			t.Errorf("%s: other is %s", row, got.other)
		}
	}
}

// FuzzReadExtra: for any JSON row, other is JSON with the fields that have no column.
func FuzzReadExtra(f *testing.F) {
	f.Add(`{"id":"1","new":{"a":[1,"}"]},"x":null}`)
	f.Add(`{"a\"":"\u0000",  "b" :[],"call_date":5}`)
	f.Fuzz(func(t *testing.T, row string) {
		var compact bytes.Buffer
		if json.Compact(&compact, []byte(row)) != nil { // like the ledger
			return
		}
		var fields map[string]json.RawMessage
		isObject := json.Unmarshal(compact.Bytes(), &fields) == nil && fields != nil
		got := readExtra(compact.Bytes())
		var others map[string]json.RawMessage
		if err := json.Unmarshal([]byte(got.other), &others); isObject && err != nil {
			t.Fatalf("%q: other is %q: %v", row, got.other, err)
		}
		for name, value := range others {
			if isObject && !reflect.DeepEqual(fields[name], value) {
				t.Errorf("%q: field %q is %s", row, name, value)
			}
		}
	})
}

func TestCSV(t *testing.T) {
	cells := []string{"", "plain", `say "hi"`, "a,b", "a\r\nb", "a\nb", " padded", "=1+1", "+1555", "-5", "@x", "\tx", "\rx", "nul\x00l", "é"}
	for _, excel := range []bool{false, true} {
		line := &csvLine{excel: excel}
		for _, cell := range cells {
			line.text("", cell)
		}
		line.whole("", -5, 32)
		read, err := csv.NewReader(bytes.NewReader(append(line.record, '\r', '\n'))).Read()
		if err != nil || len(read) != len(cells)+1 {
			t.Fatalf("%v: %q", err, line.record)
		}
		for i, cell := range cells {
			want := strings.ReplaceAll(cell, "\x00", "\uFFFD")
			if excel && cell != "" && strings.Contains("=+-@\t\r", cell[:1]) {
				want = "'" + want
			}
			want = strings.ReplaceAll(want, "\r\n", "\n") // like Go's reader
			if read[i] != want {
				t.Errorf("excel %v: cell %q is read as %q", excel, cell, read[i])
			}
		}
		if read[len(cells)] != "-5" {
			t.Errorf("a number is guarded: %q", read[len(cells)])
		}
		if excel && strings.Count(string(line.record), `"`) < 2*len(cells) {
			t.Errorf("not all is quoted: %s", line.record)
		}
	}
	line := &csvLine{excel: true}
	line.text("", "\x00=1")
	if string(line.record) != "\"'\uFFFD=1\"" {
		t.Errorf("a cell that begins with NUL: %q", line.record)
	}
	file := &csvFile[recordingRow, *recordingRow]{excel: true}
	var out bytes.Buffer
	if err := file.begin(&out); err != nil || !strings.HasPrefix(out.String(), "\uFEFF\"recording_id\",\"call_id\",") || !strings.HasSuffix(out.String(), "\"noted\"\r\n") {
		t.Errorf("the header is %q, %v", out.String(), err)
	}
}

func TestJSONLine(t *testing.T) {
	for _, text := range []string{"", "plain", "a\"b\\c", "a\r\nb\x00", "é\u2028", "\x7f<&>"} {
		var back string
		if err := json.Unmarshal(appendJSON(nil, text), &back); err != nil || back != text {
			t.Errorf("%q is read as %q: %v", text, back, err)
		}
	}
}

func TestNames(t *testing.T) {
	for _, table := range []string{tableCalls, tableRecordings} {
		for _, format := range Formats() {
			name := nameOf(table, "2025-05-01", format)
			gotTable, day, gotFormat, ok := parseName(name)
			if !ok || gotTable != table || day != "2025-05-01" || gotFormat != format {
				t.Errorf("%s is read as %s, %s, %s, %v", name, gotTable, day, gotFormat, ok)
			}
		}
	}
	for _, name := range []string{
		"", "views.sql", "calls/day=2025-05-01/part-1.csv", "calls/day=2025-05-0x/part-0.csv", "calls/day=2025-05-01/part-0.txt",
		"other/day=2025-05-01/part-0.csv", "calls/day=2025-05-01/x/part-0.csv", "calls/day=202505/01-/part-0.csv",
	} {
		if _, _, _, ok := parseName(name); ok {
			t.Errorf("%q is taken for a file of an export", name)
		}
	}
}

// days is an archive of made-up days.
type days map[string][]search.Call

func (d days) Days(context.Context, search.Query) ([]string, error) {
	var names []string
	for day := range d {
		names = append(names, day)
	}
	slices.Sort(names)
	return names, nil
}

func (d days) Day(_ context.Context, day string) ([]search.Call, error) {
	return slices.Clone(d[day]), nil
}

func (d days) Zone() *time.Location { return time.UTC }

// prints counts requests for days.
type prints struct {
	of     map[string]string
	asked  int
	source days
	read   int
}

func (p *prints) Fingerprint(_ context.Context, day string) (string, error) {
	p.asked++
	return p.of[day], nil
}

func (p *prints) Days(ctx context.Context, q search.Query) ([]string, error) {
	return p.source.Days(ctx, q)
}
func (p *prints) Zone() *time.Location { return time.UTC }
func (p *prints) Day(ctx context.Context, day string) ([]search.Call, error) {
	p.read++
	return p.source.Day(ctx, day)
}

func call(id string, wall time.Time, recordings ...search.Recording) search.Call {
	return search.Call{
		Position: search.Position(wall.Unix() << 20), Day: wall.Format(time.DateOnly), Wall: wall, Fields: search.Fields{ID: id, Length: 7}, Recordings: recordings,
		Row: json.RawMessage(`{"id":"` + id + `","call_date":"` + wall.Format(time.DateTime) + `"}`),
	}
}

// TestFingerprints: a day whose fingerprint is known is not read, and a lost file of it is written again.
func TestFingerprints(t *testing.T) {
	wall := time.Date(2025, 5, 1, 10, 0, 0, 0, time.UTC)
	erased := search.Recording{ID: "r", Outcome: manifest.Erased, State: &manifest.State{Outcome: manifest.Erased, Reason: "ERASURE-1"}}
	source := &prints{of: map[string]string{"2025-05-01": "a", "2025-05-02": "b"}, source: days{
		"2025-05-01": {call("1", wall), call("2", wall.Add(time.Second), erased)}, "2025-05-02": {call("3", wall.AddDate(0, 0, 1))},
	}}
	name := t.TempDir()
	folder, err := OpenFolder(name)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	run := func(written, read int) {
		t.Helper()
		source.read = 0
		e := &Export{Source: source, ArchiveID: "x", Format: JSONL, Target: folder, Fingerprints: source}
		s, err := e.Run(t.Context())
		if err != nil || s.Written != written || source.read != read || s.Calls != 3 || s.Recordings != 1 {
			t.Errorf("%+v, %v, %d days read; want %d written, %d read", s, err, source.read, written, read)
		}
	}
	run(2, 2)
	run(0, 0)
	source.of["2025-05-02"] = "c"
	run(1, 1)
	if err := os.Remove(filepath.Join(name, "recordings", "day=2025-05-01", "part-0.jsonl")); err != nil {
		t.Fatal(err)
	}
	run(1, 1)
	if err := os.WriteFile(filepath.Join(name, "calls", "day=2025-05-01", "part-0.jsonl"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(1, 1)
	left := filepath.Join(name, "calls", "day=2025-05-01", tempPrefix+"abc"+tempSuffix)
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(0, 0)
	if _, err := os.Stat(left); err == nil {
		t.Error("what a killed run has left stays")
	}
	note, err := os.ReadFile(filepath.Join(name, NoteName))
	if err != nil || !strings.Contains(string(note), `"erasures": [`+"\n  \"ERASURE-1\"") {
		t.Errorf("the note does not tell of the erasure: %s, %v", note, err)
	}
}

// TestReplaceFails: if a write fails, the old file stays, and nothing else is left.
func TestReplaceFails(t *testing.T) {
	name := t.TempDir()
	folder, err := OpenFolder(name)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	text := func(s string, fail error) func(io.Writer) error {
		return func(w io.Writer) error {
			_, err := io.WriteString(w, s)
			if fail != nil {
				return fail
			}
			return err
		}
	}
	if size, err := folder.Replace(t.Context(), "a/b/c", text("one", nil)); err != nil || size != 3 {
		t.Fatal(size, err)
	}
	if _, err := folder.Replace(t.Context(), "a/b/c", text("two", os.ErrInvalid)); err == nil {
		t.Error("no error")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := folder.Replace(ended, "a/b/c", text("three", nil)); err == nil {
		t.Error("no error after the end")
	}
	entries, err := os.ReadDir(filepath.Join(name, "a", "b"))
	if got, readErr := os.ReadFile(filepath.Join(name, "a", "b", "c")); string(got) != "one" || readErr != nil || len(entries) != 1 {
		t.Errorf("%q, %v, %v, %v", got, readErr, entries, err)
	}
}

func TestInside(t *testing.T) {
	root := t.TempDir()
	archive := filepath.Join(root, "archive")
	if err := os.MkdirAll(filepath.Join(archive, "calls"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		archive: true, filepath.Join(archive, "x", "y"): true, filepath.Join(archive, "..", "archive", "x"): true,
		archive + "2": false, root: false, filepath.Join(archive, "..x"): true, filepath.Join(root, "..archive"): false,
	} {
		if got, err := Inside(name, archive); got != want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
