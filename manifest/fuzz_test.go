package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func sampleNames() []string {
	return []string{
		"closed.jsonl", "torn.jsonl", "torn-after-close.jsonl", "torn-only.jsonl", "nul-tail.jsonl", "nul-line.jsonl",
		"duplicate.jsonl", "future-version.jsonl", "bad-middle.jsonl", "unknown.jsonl",
	}
}

// viewValues is a view without its scratch, for comparing.
func viewValues(v *view) view {
	w := *v
	w.scratch, w.dates = nil, dateMemo{}
	for _, p := range []*[]byte{&w.id, &w.outcome, &w.key, &w.sha256, &w.run, &w.callID, &w.contentType, &w.etag, &w.reason} {
		*p = append([]byte{}, *p...)
	}
	return w
}

// FuzzParse holds that whatever the scan accepts, encoding/json reads in the same way;
// that a line that was read comes back from the line written of it; and that no error
// quotes the line.
func FuzzParse(f *testing.F) {
	for _, name := range sampleNames() {
		for line := range bytes.Lines(sample(f, name)) {
			f.Add(bytes.TrimSuffix(line, []byte("\n")))
		}
	}
	line, err := recording("101", Archived).line()
	if err != nil {
		f.Fatal(err)
	}
	line = line[:len(line)-1]
	for _, change := range [][2]string{
		{`"size":1000`, `"size":01000`}, {`"size":1000`, `"size":0`}, {`"size":1000`, `"size":-1`}, {`"size":1000`, `"size":1e3`},
		{`"size":1000`, `"size":999999999999999999`}, {`"size":1000`, `"size":9223372036854775808`},
		{`2025-05-02`, `2025-02-30`}, {`T12:`, `T24:`}, {`2025-05-02`, `0000-01-01`}, {`2025-05-02`, `2024-02-29`},
		{`.mp3`, `\/x\\y\".mp3`}, {`.mp3`, "\x01.mp3"}, {`.mp3`, "\xff.mp3"}, {`.mp3`, "\\\xff"}, {`.mp3`, `é.mp3`}, {`.mp3`, `\u00e9.mp3`},
		{`"reason":""}`, `"reason":""} `}, {`"reason":""}`, `"reason":"","key":"z"}`}, {`"reason":""}`, `"reason":"\`},
		{`"101"`, `""`}, {`"v":1`, `"v":1.0`}, {`"attempts":1`, `"attempts":1,"attempts":2`},
	} {
		f.Add([]byte(strings.Replace(string(line), change[0], change[1], 1)))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var fast, slow, v view
		if scanRecording(line, &fast) {
			h, err := parseHeader(line)
			if err != nil || h.Kind != kindRecording {
				t.Fatalf("scanned, but header is %+v, %v", h, err)
			}
			if err := decodeRecording(line, &slow); err != nil {
				t.Fatalf("scanned, but encoding/json says %v", err)
			}
			if a, b := viewValues(&fast), viewValues(&slow); !reflect.DeepEqual(a, b) {
				t.Fatalf("scan %+v, encoding/json %+v", a, b)
			}
		}
		kind, err := parseLine(line, &v)
		checkParseError(t, err)
		if kind == kindRecording {
			checkRecordingAgain(t, v.recording())
		}
		_, _, err = parseCall(line)
		checkParseError(t, err)
		checkCallAgain(t, strings.ToValidUTF8(string(v.callID), "?")+"c", line)
	})
}

func checkParseError(t *testing.T, err error) {
	t.Helper()
	later := laterVersion(0)
	if err == nil || errors.As(err, &later) {
		return
	}
	for _, known := range []error{errNotJSON, errFields, errNoKind, errNameless, errName} {
		if errors.Is(err, known) && err.Error() == known.Error() {
			return
		}
	}
	t.Fatalf("error %v", err)
}

// checkRecordingAgain writes what was read, where that is allowed, and reads it.
func checkRecordingAgain(t *testing.T, r Recording) {
	t.Helper()
	line, err := r.line()
	if err != nil {
		return
	}
	if line[len(line)-1] != '\n' || lineCount(line) != 1 || bytes.IndexByte(line, 0) >= 0 {
		t.Fatalf("%q is not one line", line)
	}
	var v view
	if kind, err := parseLine(line[:len(line)-1], &v); err != nil || kind != kindRecording || v.recording() != r {
		t.Fatalf("%+v came back as %q %+v, %v", r, kind, v.recording(), err)
	}
}

// checkCallAgain writes any JSON as the row of a call, and reads it by both ways.
func checkCallAgain(t *testing.T, id string, row []byte) {
	t.Helper()
	line, written, err := callLineOf(Call{CallID: id, Time: noon, Run: runA, Row: row})
	if err != nil {
		if json.Valid(row) {
			t.Fatalf("row %q: %v", row, err)
		}
		return
	}
	gotID, got, err := parseCall(line[:len(line)-1])
	if err != nil || gotID != id || !bytes.Equal(got, written) {
		t.Fatalf("call %q %q came back as %q %q, %v", id, written, gotID, got, err)
	}
	var slow callLine
	if err := json.Unmarshal(line, &slow); err != nil || slow.CallID != id || !bytes.Equal(slow.Row, written) || lineCount(line) != 1 {
		t.Fatalf("call %q %q is %q %q to encoding/json, %v", id, written, slow.CallID, slow.Row, err)
	}
}

// FuzzPrefix cuts a valid file at any place and puts behind it what a crash may leave
// there: it opens, read-only too, every line before the cut counts as it did, what is
// torn is kept beside, and the next line can be written and read.
func FuzzPrefix(f *testing.F) {
	f.Add(sample(f, "closed.jsonl"), uint16(0), []byte(nil))
	f.Add(sample(f, "closed.jsonl"), uint16(700), make([]byte, 100))
	f.Add(sample(f, "closed.jsonl"), uint16(2267), []byte(nil))
	f.Add(sample(f, "duplicate.jsonl"), uint16(2000), []byte("\n\n"))
	f.Add(sample(f, "unknown.jsonl"), uint16(1900), []byte(`"}`))
	f.Add(sample(f, "bad-middle.jsonl"), uint16(65535), []byte(`{"v":1,"kind":"day"}`))
	f.Fuzz(func(t *testing.T, data []byte, cut uint16, tail []byte) {
		if len(data) > 1<<14 || len(tail) > 1<<14 {
			t.Skip()
		}
		data = readableLines(data)
		data = data[:min(int(cut), len(data))]
		whole := data[:bytes.LastIndexByte(data, '\n')+1]
		// Lines that a file system leaves behind the end of a file are told by their NULs.
		torn := append(data[len(whole):len(data):len(data)], bytes.ReplaceAll(tail, []byte("\n"), []byte("\x00\n"))...)
		want := stateOf(t, openDir(t, archiveWith(t, whole), Options{ReadOnly: true}))

		dir := archiveWith(t, append(whole[:len(whole):len(whole)], torn...))
		if got := stateOf(t, openDir(t, dir, Options{ReadOnly: true})); !reflect.DeepEqual(got, want) {
			t.Fatalf("read-only %+v, want %+v", got, want)
		}
		l := openDir(t, dir, Options{Run: runC})
		if got := stateOf(t, l); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		name := filepath.Join(dir, "manifest", testDay+".jsonl")
		if got := readFile(t, name); !bytes.Equal(got, whole) {
			t.Fatalf("cut back to %q, want %q", got, whole)
		}
		if kept, err := os.ReadFile(name + ".torn"); (err == nil) != (len(torn) > 0) || err == nil && !bytes.Equal(kept, append(torn, '\n')) {
			t.Fatalf("kept %q, %v, want %q", kept, err, torn)
		}
		if want.has("new") {
			return
		}
		next := recording("new", Archived)
		note(t, loadDay(t, l, testDay), next)
		if got := readFile(t, name); !bytes.HasPrefix(got, whole) || lineCount(got) != lineCount(whole)+1 {
			t.Fatalf("%q does not follow %q", got, whole)
		}
		want.Closed, want.DayLine = false, DayLine{}
		want.Recordings = append(want.Recordings, stateOfNew(next))
		if got := stateOf(t, openDir(t, dir, Options{ReadOnly: true})); !reflect.DeepEqual(got, want) {
			t.Fatalf("after the next line %+v, want %+v", got, want)
		}
	})
}

// readableLines leaves out what is no line of a valid file.
func readableLines(data []byte) (valid []byte) {
	var v view
	for line := range bytes.Lines(data) {
		text, ended := bytes.CutSuffix(line, []byte("\n"))
		kind, err := parseLine(text, &v)
		if err == nil && kind == kindDay {
			var l dayLine
			err = decodeKind(text, &l, &l.header, kindDay)
		}
		if ended && err == nil && bytes.IndexByte(text, 0) < 0 {
			valid = append(valid, line...)
		}
	}
	return valid
}

// dayState is all that a day tells, for comparing.
type dayState struct {
	Closed     bool
	DayLine    DayLine
	Recordings []namedState
}

type namedState struct {
	ID string
	State
}

func (s dayState) has(id string) bool {
	for _, r := range s.Recordings {
		if r.ID == id {
			return true
		}
	}
	return false
}

// stateOf loads the day, and expects its cheap status to agree.
func stateOf(t *testing.T, l *Ledger) (s dayState) {
	t.Helper()
	status, err := l.Status(t.Context(), testDay)
	if err != nil {
		t.Fatal(err)
	}
	d := loadDay(t, l, testDay)
	defer d.Release()
	s.DayLine, s.Closed = d.Closed()
	// The cheap look trusts a last line whose counts only the whole day contradicts.
	if s.Closed && (!status.Closed || !reflect.DeepEqual(status.DayLine, s.DayLine)) {
		t.Fatalf("status %+v of a day closed by %+v", status, s.DayLine)
	}
	for id, state := range d.Recordings() {
		s.Recordings = append(s.Recordings, namedState{id, state})
	}
	return s
}

// stateOfNew is what one line alone comes to.
func stateOfNew(r Recording) namedState {
	return namedState{r.RecordingID, State{
		Outcome: r.Outcome, Key: r.Key, Size: r.Size, Time: r.Time, FirstSeen: r.FirstSeen, Attempts: r.Attempts,
		Reason: r.Reason, CallID: r.CallID,
	}}
}
