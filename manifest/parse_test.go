package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"regexp"
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
		"unknown":        func(r *Recording) { r.Outcome = "mislaid" },
		"every fact": func(r *Recording) {
			r.Cause, r.Listing, r.Source, r.Again, r.Restored, r.Final = "http_500", "l", "s", true, true, true
		},
		"few facts": func(r *Recording) { r.Host, r.Source, r.Final = "", "", true },
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
			if got := v.recording(); got != r || !v.salted {
				t.Errorf("got  %+v\nwant %+v", got, r)
			}
		})
	}
}

// unsalted replaces the random salt of a line.
func unsalted(line []byte) string {
	return regexp.MustCompile(`"salt":"[0-9a-f]{32}"`).ReplaceAllString(string(line), `"salt":"SALT"`)
}

// The documented line, byte for byte.
func TestFormat(t *testing.T) {
	r := recording("101", Archived)
	r.Run, r.Time, r.Source, r.Final = runA, seconds(time.Date(2025, 5, 2, 9, 0, 3, 999, time.FixedZone("", -7*3600))), "", true
	line, err := r.line()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"v":1,"kind":"recording","recording_id":"101","outcome":"archived","key":"audio/101.mp3","size":1000,` +
		`"sha256":"` + r.SHA256 + `","time":"2025-05-02T16:00:03Z","run":"20250502T090000Z-aaaaaaaa","call_id":"c101",` +
		`"first_seen":"2025-05-02T12:00:00Z","attempts":1,"content_type":"audio/mpeg","etag":"\"101\"",` +
		`"host":"media.convoso.com","reason":"","final":true,"salt":"SALT"}` + "\n"
	if got := unsalted(line); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	r.Cause, r.Listing, r.Source, r.Again, r.Restored = "c", "l", "s", true, true
	if line, err = r.line(); err != nil {
		t.Fatal(err)
	}
	want = strings.Replace(want, `"final"`, `"cause":"c","listing":"l","source":"s","again":true,"restored":true,"final"`, 1)
	if got := unsalted(line); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	if again, err := r.line(); err != nil || bytes.Equal(line, again) {
		t.Errorf("two lines have the same salt: %s, %v", again, err)
	}
	window, err := Window{From: "2025-05-01 00:00:00", To: "2025-05-01 23:59:59", Filter: "f", Listing: "l", Rows: 1, Total: 2,
		Calls: 3, Recordings: 4, Whole: true, Missing: 5, MissingSHA256: "m", ListedAt: noon, Time: noon, Run: runA}.line()
	if err != nil {
		t.Fatal(err)
	}
	want = `{"v":1,"kind":"window","from":"2025-05-01 00:00:00","to":"2025-05-01 23:59:59","filter":"f","listing":"l","rows":1,` +
		`"total":2,"calls":3,"recordings":4,"whole":true,"doubts":[],"missing":5,"missing_sha256":"m",` +
		`"listed_at":"2025-05-02T12:00:00Z","time":"2025-05-02T12:00:00Z","run":"20250502T090000Z-aaaaaaaa","salt":"SALT"}` + "\n"
	if got := unsalted(window); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	day, err := DayLine{Day: testDay, Closed: true, Kept: []string{"recordings"}, ListedAt: noon, Calls: 5, Recordings: 3,
		ByOutcome: map[Outcome]int{Lost: 1, Archived: 2}, Bytes: 9, Lines: 7, Segments: []Segment{{"a", 1, "s"}}, Root: "ab", CallsSegments: []Segment{},
		CallsRoot: "cd", Stray: 1, Unwitnessed: true, Unlisted: 2, Uncounted: -3, Unlistable: true, Time: noon, Run: runA}.line()
	if err != nil {
		t.Fatal(err)
	}
	want = `{"v":1,"kind":"day","day":"2025-05-01","closed":true,"filter":"","kept":["recordings"],"listed_at":"2025-05-02T12:00:00Z",` +
		`"calls":5,"recordings":3,"by_outcome":{"archived":2,"lost":1},"bytes":9,"lines":7,` +
		`"segments":[{"name":"a","bytes":1,"sha256":"s"}],"root":"ab","calls_segments":[],"calls_root":"cd",` +
		`"stray":1,"unwitnessed":true,"unlisted":2,"uncounted":-3,"unlistable":true,` +
		`"time":"2025-05-02T12:00:00Z","run":"20250502T090000Z-aaaaaaaa"}` + "\n"
	if string(day) != want {
		t.Errorf("got  %swant %s", day, want)
	}
	call, row, err := Call{CallID: "9", Time: noon, Run: runA, Row: json.RawMessage("{ \"a\" : \"<\\u0041>\",\n\"row\":{}}")}.line()
	if err != nil {
		t.Fatal(err)
	}
	want = `{"v":1,"kind":"call","call_id":"9","time":"2025-05-02T12:00:00Z","run":"20250502T090000Z-aaaaaaaa",` +
		`"row":{"a":"<\u0041>","row":{}},"salt":"SALT"}` + "\n"
	if unsalted(call) != want || string(row) != `{"a":"<\u0041>","row":{}}` {
		t.Errorf("got  %s %s want %s", call, row, want)
	}
	old := regexp.MustCompile(`,"salt":"[0-9a-f]*"}\n$`).ReplaceAll(call, []byte("}\n"))
	for name, line := range map[string][]byte{"our own": call, "an older version's": old} {
		if c, err := parseCall(line[:len(line)-1]); err != nil || c.CallID != "9" || string(c.Row) != string(row) {
			t.Errorf("parseCall of %s line: %+v %v", name, c, err)
		}
	}
}

// Lines of older versions have no host and no salt. They are scanned too, and their lost recordings are
// final.
func TestOldRecordingLine(t *testing.T) {
	line := `{"v":1,"kind":"recording","recording_id":"1","outcome":"lost","key":"","size":0,"sha256":"","time":"2025-05-04T09:00:01Z",` +
		`"run":"20250504T090000Z-0000aaaa","call_id":"c","first_seen":"2025-05-04T09:00:01Z","attempts":2,"content_type":"","etag":"","reason":"x"}`
	var v view
	if !scanRecording([]byte(line), &v) || v.salted || !v.isFinal() {
		t.Errorf("old line: %+v", v)
	}
	salted := strings.Replace(line, `"x"}`, `"x","salt":"00"}`, 1)
	if !scanRecording([]byte(salted), &v) || !v.salted || v.isFinal() {
		t.Errorf("line with a salt: %+v", v)
	}
}

func TestDecodeDayLine(t *testing.T) {
	const head, tail = `{"v":1,"kind":"day","day":"2025-05-01","closed":true,"recordings":0,"by_outcome":{},`, `"run":"r"}`
	for text, want := range map[string]struct {
		segments []Segment
		old      *oldDayLine
		bad      bool
	}{
		`"segments":[{"name":"a","bytes":1,"sha256":"s"}],"root":"r",`: {segments: []Segment{{"a", 1, "s"}}},
		`"segments":[],"root":"r",`:                                    {segments: []Segment{}},
		`"sha256":"s",`:                                                {old: &oldDayLine{sha256: "s"}},
		`"sha256":"s","segments":3,"last_segment":"l",`:                {old: &oldDayLine{sha256: "s", segments: 3, last: "l"}},
		`"segments":"three",`:                                          {bad: true},
		`"segments":null,"sha256":"s",`:                                {old: &oldDayLine{sha256: "s"}},
		`"segments":[{"name":7}],`:                                     {bad: true},
	} {
		line, old, err := decodeAnyDayLine([]byte(head + text + tail))
		if (err != nil) != want.bad || err == nil && (!reflect.DeepEqual(line.Segments, want.segments) || !reflect.DeepEqual(old, want.old)) {
			t.Errorf("%s: %+v %+v %v", text, line.Segments, old, err)
		}
	}
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
		"long source":     func(r *Recording) { r.Source = strings.Repeat("k", 1<<16) },
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
		`{"v":1,"kind":"recording","recording_id":"1","outcome":"archived"}`:             errKeyless,
		`{"v":1,"kind":"window","rows":"secret"}`:                                        errFields,
		`{"v":1,"kind":"day","lines":"secret"}`:                                          errFields,
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

func TestReader(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	huge := strings.Repeat("y", maxLine)
	text := "a\n\n" + long + "\n" + huge + "\nb\x00\nc\nend"
	read := func(sound int64) *reader {
		return newReader(t.Context(), segment{size: int64(len(text))}, io.NopCloser(iotest.HalfReader(strings.NewReader(text))), maxLine, sound)
	}
	r := read(allSound)
	for i, want := range []struct {
		text string
		bad  error
	}{{"a", nil}, {"", nil}, {long, nil}, {"", errTooLong}, {"", errNotJSON}, {"c", nil}, {"", errNoEnd}} {
		if !r.next() || !errors.Is(r.bad, want.bad) || r.bad == nil && string(r.line) != want.text || r.n != i+1 {
			t.Errorf("line %d: %d bytes, %v, want %d bytes, %v", r.n, len(r.line), r.bad, len(want.text), want.bad)
		}
	}
	if r.next() || r.err != nil || r.torn || r.off != int64(len(text)) {
		t.Errorf("%d bytes read, %v, torn %t", r.off, r.err, r.torn)
	}
	for sound, want := range map[int64]int64{0: int64(strings.Index(text, "b\x00")), int64(len(text) - 4): int64(len(text) - 3)} {
		for r = read(sound); r.next(); {
		}
		if r.err != nil || !r.torn || r.size != want {
			t.Errorf("%d bytes before a torn tail, %v, torn %t, want %d", r.size, r.err, r.torn, want)
		}
	}
	boom := errors.New("boom")
	r = newReader(t.Context(), segment{}, io.NopCloser(iotest.ErrReader(boom)), maxLine, 0)
	if r.next() || !errors.Is(r.err, boom) {
		t.Errorf("reader's error: %v", r.err)
	}
	r = newReader(t.Context(), segment{size: 9}, io.NopCloser(strings.NewReader("a\n")), maxLine, 0)
	if !r.next() || r.next() || !errors.Is(r.err, io.ErrUnexpectedEOF) {
		t.Errorf("shorter than it was listed: %v", r.err)
	}
}
