package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestRecordingRoundTrip(t *testing.T) {
	for name, change := range map[string]func(*Recording){
		"plain":          func(*Recording) {},
		"s3 entity tag":  func(r *Recording) { r.ETag = `"9bb58f26192e4ba00f01e2e7b136bbd8"` },
		"html in key":    func(r *Recording) { r.Key = "a&b<c>.mp3" },
		"unicode":        func(r *Recording) { r.Key = "café/録音.mp3" },
		"line separator": func(r *Recording) { r.Reason = "a\u2028b\tc" },
		"no key":         func(r *Recording) { r.Outcome, r.Key, r.SHA256, r.Size = Pending, "", "", 0 },
		"unknown":        func(r *Recording) { r.Outcome = "erased" },
	} {
		t.Run(name, func(t *testing.T) {
			r := recording("101", Archived)
			r.Run = runA
			change(&r)
			line, err := r.line()
			if err != nil {
				t.Fatal(err)
			}
			var v view
			if kind, err := parseLine(line[:len(line)-1], &v); err != nil || kind != kindRecording {
				t.Fatal(kind, err)
			}
			if got := v.recording(); got != r {
				t.Errorf("got  %+v\nwant %+v", got, r)
			}
		})
	}
}

// The documented line, byte for byte.
func TestFormat(t *testing.T) {
	r := recording("101", Archived)
	r.Run, r.Time = runA, time.Date(2025, 5, 2, 9, 0, 3, 999, time.FixedZone("", -7*3600))
	line, err := r.line()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"v":1,"kind":"recording","recording_id":"101","outcome":"archived","key":"audio/101.mp3","size":1000,` +
		`"sha256":"` + r.SHA256 + `","time":"2025-05-02T16:00:03Z","run":"20250502T090000Z-aaaaaaaa","call_id":"c101",` +
		`"first_seen":"2025-05-02T12:00:00Z","attempts":1,"content_type":"audio/mpeg","etag":"\"101\"","reason":""}` + "\n"
	if string(line) != want {
		t.Errorf("got  %swant %s", line, want)
	}
	window, err := Window{From: "2025-05-01 00:00:00", To: "2025-05-01 23:59:59", Filter: "f", Listing: "l", Rows: 1, Total: 2, Calls: 3, Recordings: 4, ListedAt: noon, Time: noon, Run: runA}.line()
	if err != nil {
		t.Fatal(err)
	}
	want = `{"v":1,"kind":"window","from":"2025-05-01 00:00:00","to":"2025-05-01 23:59:59","filter":"f","listing":"l","rows":1,` +
		`"total":2,"calls":3,"recordings":4,"listed_at":"2025-05-02T12:00:00Z","time":"2025-05-02T12:00:00Z","run":"20250502T090000Z-aaaaaaaa"}` + "\n"
	if string(window) != want {
		t.Errorf("got  %swant %s", window, want)
	}
	day, err := DayLine{Day: testDay, Closed: true, Kept: []string{"recordings"}, ListedAt: noon, Calls: 5, Recordings: 3,
		ByOutcome: map[Outcome]int{Lost: 1, Archived: 2}, Bytes: 9, Lines: 7, SHA256: "ab", Time: noon, Run: runA}.line()
	if err != nil {
		t.Fatal(err)
	}
	want = `{"v":1,"kind":"day","day":"2025-05-01","closed":true,"filter":"","kept":["recordings"],"listed_at":"2025-05-02T12:00:00Z",` +
		`"calls":5,"recordings":3,"by_outcome":{"archived":2,"lost":1},"bytes":9,"lines":7,"sha256":"ab","time":"2025-05-02T12:00:00Z","run":"20250502T090000Z-aaaaaaaa"}` + "\n"
	if string(day) != want {
		t.Errorf("got  %swant %s", day, want)
	}
	call, row, err := callLineOf(Call{CallID: "9", Time: noon, Run: runA, Row: json.RawMessage("{ \"a\" : \"<\\u0041>\",\n\"row\":{}}")})
	if err != nil {
		t.Fatal(err)
	}
	want = `{"v":1,"kind":"call","call_id":"9","time":"2025-05-02T12:00:00Z","run":"20250502T090000Z-aaaaaaaa","row":{"a":"<\u0041>","row":{}}}` + "\n"
	if string(call) != want || string(row) != `{"a":"<\u0041>","row":{}}` {
		t.Errorf("got  %s %s want %s", call, row, want)
	}
	if id, got, err := parseCall(call[:len(call)-1]); err != nil || id != "9" || string(got) != string(row) {
		t.Errorf("parseCall: %q %s %v", id, got, err)
	}
	spaced := bytes.ReplaceAll(call[:len(call)-1], []byte(`,"row":`), []byte(`, "row": `))
	if id, got, err := parseCall(spaced); err != nil || id != "9" || string(got) != string(row) {
		t.Errorf("parseCall of another writer's line: %q %s %v", id, got, err)
	}
}

// callLineOf returns a call's line behind another one, and the row in it.
func callLineOf(c Call) (line, row []byte, err error) {
	lines := bytes.NewBufferString("another line\n")
	before := lines.Len()
	row, err = c.appendTo(lines)
	return lines.Bytes()[before:], row, err
}

func TestNoteRefusesWhatCannotBeReadBack(t *testing.T) {
	for name, change := range map[string]func(*Recording){
		"no id":           func(r *Recording) { r.RecordingID = "" },
		"no outcome":      func(r *Recording) { r.Outcome = "" },
		"key not UTF-8":   func(r *Recording) { r.Key = "a\xff" },
		"archived no key": func(r *Recording) { r.Key = "" },
		"archived no sum": func(r *Recording) { r.SHA256 = "" },
		"negative size":   func(r *Recording) { r.Size = -1 },
		"long key":        func(r *Recording) { r.Key = strings.Repeat("k", 1<<16) },
		"long reason":     func(r *Recording) { r.Reason = strings.Repeat("k", maxLine) },
	} {
		r := recording("101", Archived)
		change(&r)
		if _, err := r.line(); err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "audio/") {
			t.Errorf("%s: the error names the key: %v", name, err)
		}
	}
}

func TestParseErrorsQuoteNothing(t *testing.T) {
	for line, want := range map[string]error{
		`{"v":1,"kind":"recording","recording_id":"secret`: errNotJSON,
		`[]`:                         errFields,
		`{"v":1}`:                    errNoKind,
		`{"kind":"recording"}`:       errNoKind,
		`{"v":1,"kind":"recording"}`: errNameless,
		`{"v":1,"kind":"recording","size":"secret","recording_id":"1","outcome":"lost"}`: errFields,
		`{"v":1,"kind":"recording","time":"secret","recording_id":"1","outcome":"lost"}`: errFields,
	} {
		var v view
		if _, err := parseLine([]byte(line), &v); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", line, err, want)
		}
	}
	var v view
	_, err := parseLine([]byte(`{"v":7,"kind":[]}`), &v)
	if later := laterVersion(0); !errors.As(err, &later) || later != 7 {
		t.Errorf("later version: %v", err)
	}
}

func TestLineReader(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	huge := strings.Repeat("y", maxLine)
	r := newLineReader(iotest.HalfReader(strings.NewReader("a\n\n"+long+"\n"+huge+"\nb\nend")), maxLine)
	for i, want := range []struct {
		text string
		err  error
	}{{"a\n", nil}, {"\n", nil}, {long + "\n", nil}, {"", errTooLong}, {"b\n", nil}, {"", errNoEnd}} {
		text, err := r.next()
		if string(text) != want.text || !errors.Is(err, want.err) || r.n != i+1 {
			t.Errorf("line %d: %d bytes, %v, want %d bytes, %v", r.n, len(text), err, len(want.text), want.err)
		}
	}
	boom := errors.New("boom")
	r = newLineReader(iotest.ErrReader(boom), maxLine)
	if _, err := r.next(); !errors.Is(err, boom) {
		t.Errorf("reader's error: %v", err)
	}
}
