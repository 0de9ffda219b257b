package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
)

// viewValues is a comparable view, without its scratch.
func viewValues(v *view) view {
	w := *v
	w.scratch = nil
	for _, p := range []*[]byte{
		&w.id, &w.outcome, &w.key, &w.sha256, &w.run, &w.callID, &w.contentType, &w.etag, &w.host, &w.reason,
		&w.cause, &w.listing, &w.source,
	} {
		*p = append([]byte{}, *p...)
	}
	return w
}

// FuzzParse checks that encoding/json agrees with every line that the scan accepts, that lines
// survive a round trip, and that no error quotes the line.
func FuzzParse(f *testing.F) {
	for _, name := range []string{
		"closed.jsonl", "torn.jsonl", "torn-after-close.jsonl", "nul-tail.jsonl", "nul-line.jsonl",
		"duplicate.jsonl", "future-version.jsonl", "bad-middle.jsonl", "unknown.jsonl",
	} {
		for line := range bytes.Lines(sample(f, name)) {
			f.Add(bytes.TrimSuffix(line, []byte("\n")))
		}
	}
	r := recording("101", Archived)
	r.Cause, r.Listing, r.Again, r.Restored, r.Final = "c", "l", true, true, true
	line, err := r.line()
	if err != nil {
		f.Fatal(err)
	}
	line = line[:len(line)-1]
	for _, change := range [][2]string{
		{"x", "x"}, {`"size":1000`, `"size":01000`}, {`"size":1000`, `"size":0`}, {`"size":1000`, `"size":-1`}, {`"size":1000`, `"size":1e3`},
		{`"size":1000`, `"size":999999999999999999`}, {`"size":1000`, `"size":9223372036854775808`},
		{`2025-05-02`, `2025-02-30`}, {`T12:`, `T24:`}, {`2025-05-02`, `0000-01-01`}, {`2025-05-02`, `2024-02-29`},
		{`.mp3`, `\/x\\y\".mp3`}, {`.mp3`, "\x01.mp3"}, {`.mp3`, "\xff.mp3"}, {`.mp3`, "\\\xff"}, {`.mp3`, `é.mp3`}, {`.mp3`, `\u00e9.mp3`},
		{`"reason":""`, `"reason":"","key":"z"`}, {`"reason":""`, `"reason":"\`}, {`"salt":`, `"salt":"","salt":`}, {`"salt":`, `"digest":`},
		{`"101"`, `""`}, {`"v":1`, `"v":1.0`}, {`"attempts":1`, `"attempts":1,"attempts":2`}, {`"host":`, `"Host":`},
		{`"cause":"c",`, ``}, {`"listing":"l",`, ``}, {`"again":true,`, ``}, {`"again":true`, `"again":false`}, {`"restored":true,`, ``},
		{`"final":true,`, ``}, {`"final":true`, `"final":1`}, {`"cause":"c"`, `"cause":""`}, {`"again":true`, `"restored":true`},
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
		_, err = parseCall(line)
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
	for _, known := range []error{errNotJSON, errFields, errNoKind, errNameless, errKeyless, errName} {
		if errors.Is(err, known) && err.Error() == known.Error() {
			return
		}
	}
	t.Fatalf("error %v", err)
}

// checkRecordingAgain writes the parsed recording again, if allowed, and parses it.
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

// checkCallAgain writes any JSON as the row of a call, and parses it in both ways.
func checkCallAgain(t *testing.T, id string, row []byte) {
	t.Helper()
	line, written, err := Call{CallID: id, Time: noon, Run: runA, Row: row}.line()
	if err != nil {
		if json.Valid(row) {
			t.Fatalf("row %q: %v", row, err)
		}
		return
	}
	c, err := parseCall(line[:len(line)-1])
	if err != nil || c.CallID != id || !bytes.Equal(c.Row, written) || lineCount(line) != 1 {
		t.Fatalf("call %q %q came back as %q %q, %v", id, written, c.CallID, c.Row, err)
	}
}

// FuzzPrefix truncates a segment, and the file of an older version, at any place and appends what a crash may leave:
// the day is readable, every line before the cut counts, the torn tail is moved aside, and the day can be continued
// and closed.
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
		// Lines that a file system leaves after the end of a file are recognised by their NULs.
		torn := append(data[len(whole):len(data):len(data)], bytes.ReplaceAll(tail, []byte("\n"), []byte("\x00\n"))...)
		for _, file := range []string{oldFile(treeManifest, testDay), segmentFile(treeManifest, testDay, runB, 1, extPlain)} {
			checkPrefix(t, file, whole, torn)
		}
	})
}

func checkPrefix(t *testing.T, file string, whole, torn []byte) {
	t.Helper()
	before, p := place{objects: newObjects()}, place{objects: newObjects()} // without waiting for a disk
	before.write(t, file, whole)
	p.write(t, file, append(whole[:len(whole):len(whole)], torn...))
	reader := before.open(t, Options{ReadOnly: true})
	want := loadDay(t, reader, testDay)
	closed := statusOf(t, reader, testDay).Lines
	l := p.open(t, Options{Run: runC})
	for _, d := range []*Day{loadDay(t, p.open(t, Options{ReadOnly: true}), testDay), loadDay(t, l, testDay)} {
		if !maps.Equal(statesOf(d), statesOf(want)) || !reflect.DeepEqual(d.Lines(), want.Lines()) || !reflect.DeepEqual(d.Windows(), want.Windows()) {
			t.Fatalf("%s: %+v, want %+v", file, statesOf(d), statesOf(want))
		}
	}
	if got := p.files(t, file)[file]; !bytes.Equal(got, whole) {
		t.Fatalf("cut back to %q, want %q", got, whole)
	}
	if kept, ok := p.files(t, file)[file+".torn"]; ok != (len(torn) > 0) || ok && !bytes.Equal(kept, append(torn, '\n')) {
		t.Fatalf("moved aside %q, want %q", kept, torn)
	}
	if s := statusOf(t, l, testDay); !reflect.DeepEqual(s.Lines, closed) {
		t.Fatalf("status %+v, before %+v", s.Lines, closed)
	}
	d := loadDay(t, l, testDay)
	if _, ok := d.Recording("new"); ok {
		return
	}
	note(t, d, recording("new", Archived))
	closeDay(t, d, DayLine{})
	if line, ok := lineFor(statusOf(t, l, testDay).Lines, ""); !ok || line.Recordings != want.Count()+1 || line.Lines != int64(lineCount(whole)+1) {
		t.Fatalf("closed by %+v", line)
	}
}

// readableLines drops lines that cannot be in a valid file.
func readableLines(data []byte) (valid []byte) {
	var v view
	for line := range bytes.Lines(data) {
		text, ended := bytes.CutSuffix(line, []byte("\n"))
		if _, err := parseLine(text, &v); ended && err == nil && bytes.IndexByte(text, 0) < 0 {
			valid = append(valid, line...)
		}
	}
	return valid
}
