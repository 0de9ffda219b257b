package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/internal/web/webtest"
	"convoso-archiver/manifest"
)

func TestParseRange(t *testing.T) {
	const size = 100
	whole := byteRange{length: size}
	for header, want := range map[string]byteRange{
		"": whole, "bytes=0-": {0, 100, true, false}, "bytes=0-0": {0, 1, true, false}, "bytes=99-": {99, 1, true, false}, "bytes=10-19": {10, 10, true, false},
		"bytes=10-1000": {10, 90, true, false}, "bytes=-1": {99, 1, true, false}, "bytes=-1000": {0, 100, true, false}, "Bytes=5-6": {5, 2, true, false},
		"bytes= 5 - 6 ": {5, 2, true, false}, "bytes=100-": {unsatisfiable: true}, "bytes=-0": {unsatisfiable: true}, "bytes=9999999999999999999999-": {unsatisfiable: true},
		"bytes=20-10": whole, "bytes=a-b": whole, "bytes=--1": whole, "bytes=1": whole, "bytes": whole, "lines=1-2": whole, "bytes=0-1,5-6": whole, "bytes=-": whole,
		"bytes=+1-2": whole, "bytes=0x1-2": whole, "bytes=1-2-3": whole, "bytes=0-9999999999999999999999": {0, 100, true, false}, "bytes=٣-": whole,
	} {
		if got := parseRange(header, size); got != want {
			t.Errorf("%q: %+v, want %+v", header, got, want)
		}
	}
}

// FuzzRange compares with the standard library where it answers with one range. The range must always lie
// within the body.
func FuzzRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-", "bytes=-5", "bytes=3-2", "bytes=1-1,3-4", "bytes= 1-", "BYTES=1-2", "bytes=99999999999999999999-", "bytes=-0"} {
		f.Add(seed, uint16(100))
	}
	f.Fuzz(func(t *testing.T, header string, n uint16) {
		size := int64(n) + 1
		got := parseRange(header, size)
		if !got.unsatisfiable && (got.offset < 0 || got.length < 1 || got.offset+got.length > size || !got.partial && got.length != size) {
			t.Fatalf("%q of %d: %+v", header, size, got)
		}
		if strings.ContainsAny(header, "\r\n\x00") || !got.partial {
			return
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Range"] = []string{"bytes=" + strings.ReplaceAll(header[strings.IndexByte(header, '=')+1:], " ", "")}
		w := httptest.NewRecorder()
		http.ServeContent(w, r, "a.wav", time.Time{}, bytes.NewReader(make([]byte, size)))
		want := fmt.Sprintf("bytes %d-%d/%d", got.offset, got.offset+got.length-1, size)
		if w.Code == http.StatusPartialContent && w.Header().Get("Content-Range") != want {
			t.Fatalf("%q: %s, and net/http sends %s", header, want, w.Header().Get("Content-Range"))
		}
	})
}

func TestAudio(t *testing.T) {
	s := serve(t, nil)
	testAudio(t, s, shared.world)
}

func testAudio(t *testing.T, s *site, world *webtest.World) {
	t.Helper()
	r := stored(world, "12")
	size := len(r.Body)
	sum := sha256.Sum256(r.Body)
	tag := `"` + hex.EncodeToString(sum[:]) + `"`
	whole := s.get(audioPath(r))
	whole.want(t, 200)
	if whole.body != string(r.Body) {
		t.Errorf("%d bytes, not those that are stored", len(whole.body))
	}
	for name, want := range map[string]string{
		"Content-Type": "audio/wav", "ETag": tag, "Accept-Ranges": "bytes", "Cache-Control": "no-store", "Content-Length": strconv.Itoa(size),
		"Content-Disposition": `inline; filename="2025-05-27_090000_` + r.ID + `.wav"`,
	} {
		if got := whole.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, test := range []struct {
		headers    []string
		status     int
		from, upTo int
	}{
		{[]string{"Range", "bytes=0-"}, 206, 0, size},
		{[]string{"Range", "bytes=1000-1999"}, 206, 1000, 2000},
		{[]string{"Range", "bytes=5000-"}, 206, 5000, size},
		{[]string{"Range", "bytes=-10"}, 206, size - 10, size},
		{[]string{"Range", "bytes=0-0"}, 206, 0, 1},
		{[]string{"Range", "bytes=0-1,4-5"}, 200, 0, size},
		{[]string{"Range", "bytes=zero-"}, 200, 0, size},
		{[]string{"Range", "bytes=5-", "If-Range", tag}, 206, 5, size},
		{[]string{"Range", "bytes=5-", "If-Range", `"another"`}, 200, 0, size},
		{[]string{"Range", "bytes=5-", "If-Range", "W/" + tag}, 200, 0, size},
	} {
		got := s.get(audioPath(r), test.headers...)
		got.want(t, test.status)
		if got.body != string(r.Body[test.from:test.upTo]) {
			t.Errorf("%v: %d bytes, not those from %d to %d", test.headers, len(got.body), test.from, test.upTo)
		}
		want := fmt.Sprintf("bytes %d-%d/%d", test.from, test.upTo-1, size)
		if test.status == 206 && got.header.Get("Content-Range") != want {
			t.Errorf("%v: Content-Range is %q, want %q", test.headers, got.header.Get("Content-Range"), want)
		}
	}
	got := s.get(audioPath(r), "Range", fmt.Sprintf("bytes=%d-", size))
	got.want(t, 416)
	if want := fmt.Sprintf("bytes */%d", size); got.header.Get("Content-Range") != want {
		t.Errorf("Content-Range is %q", got.header.Get("Content-Range"))
	}
	s.get(audioPath(r), "If-None-Match", tag).want(t, 304)
	s.get(audioPath(r), "If-None-Match", `"a", W/`+tag).want(t, 304)
	s.get(audioPath(r), "If-None-Match", `"a"`).want(t, 200)
	head := s.ask("HEAD", audioPath(r), nil)
	head.want(t, 200)
	if head.body != "" || head.header.Get("Content-Length") != strconv.Itoa(size) {
		t.Errorf("HEAD: %d bytes, length %s", len(head.body), head.header.Get("Content-Length"))
	}
	if disposition := s.get(audioPath(r) + "?download=1").header.Get("Content-Disposition"); !strings.HasPrefix(disposition, "attachment; ") {
		t.Errorf("a download has %q", disposition)
	}
	gsm := world.Recordings[world.Calls["90527003"].Recordings[0]]
	s.get(audioPath(gsm)).want(t, 415, "Browsers do not play recordings of this kind.")
	s.get(audioPath(gsm), "Range", "bytes=100-").want(t, 415)
	if got := s.get(audioPath(gsm) + "?download=1"); got.status != 200 || got.body != string(gsm.Body) {
		t.Errorf("a download of GSM: status %d, %d bytes", got.status, len(got.body))
	}
	waiting := world.Recordings[world.Calls["90527002"].Recordings[0]]
	s.get(audioPath(waiting)).want(t, 404, "The recording is not in the archive.", "the next run tries again")
	s.get("/audio/"+webtest.ClosedDay+"/"+r.ID).want(t, 404, "There is no such recording.")
}

// TestAudioThatIsGone serves an archive with missing and truncated files.
func TestAudioThatIsGone(t *testing.T) {
	folder, world := own(t)
	r := stored(world, "12")
	path := filepath.Join(folder, filepath.FromSlash(r.Key))
	s := serveAt(t, archiver.Location{Folder: folder}, nil)
	if err := os.WriteFile(path, r.Body[:len(r.Body)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	cut := func(what, path string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), "GET", s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.client.Do(request)
		var body []byte
		if err == nil { // otherwise it was cut before the first byte
			body, err = io.ReadAll(got.Body)
			_ = got.Body.Close()
		}
		if err == nil || len(body) >= len(r.Body) {
			t.Errorf("%s is taken for a whole one: %d bytes, %v", what, len(body), err)
		}
	}
	cut("a file that was cut", audioPath(r))
	cut("the download of a file that was cut", audioPath(r)+"?download=1")
	spoilt := bytes.Clone(r.Body)
	spoilt[len(spoilt)/2] ^= 1
	if err := os.WriteFile(path, spoilt, 0o600); err != nil {
		t.Fatal(err)
	}
	cut("the download of other bytes", audioPath(r)+"?download=1")
	if !strings.Contains(s.log.String(), "its download was stopped: run verify") {
		t.Errorf("the log: %s", s.log)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.get(audioPath(r)).want(t, 404, "The recording is archived, but its file is missing.")
	if log := s.log.String(); !strings.Contains(log, "run verify") || !strings.Contains(log, r.ID) {
		t.Errorf("the log: %s", log)
	}
	wantNoNumbers(t, "the log", s.log.String())
}

func TestPlayable(t *testing.T) {
	for _, test := range []struct {
		name, mediaType string
		head            []byte
		plays           bool
	}{
		{"mu-law", "audio/wav", webtest.Tone(440, true)[:headBytes], true},
		{"PCM", "audio/wav", webtest.Tone(440, false)[:headBytes], true},
		{"text", "application/octet-stream", []byte("<html>not found</html>"), false},
		{"empty", "application/octet-stream", nil, false},
	} {
		if mediaType, plays := playable(test.head); mediaType != test.mediaType || plays != test.plays {
			t.Errorf("%s: %s, plays %v", test.name, mediaType, plays)
		}
	}
	header := webtest.Tone(440, true)[:headBytes]
	for codec, plays := range map[byte]bool{1: true, 2: false, 3: true, 6: true, 7: true, 17: false, 49: false} {
		header[20] = codec
		if isPlainWAV(header) != plays {
			t.Errorf("codec %d plays: %v", codec, !plays)
		}
	}
	for i := range 60 {
		isPlainWAV(header[:i]) // it must not read beyond the end
	}
}

// TestAudioErasedMeanwhile erases a recording that the page has looked up: its file is missing, and that is no damage.
func TestAudioErasedMeanwhile(t *testing.T) {
	folder, world := own(t)
	r := stored(world, "12")
	s := serveAt(t, archiver.Location{Folder: folder}, nil)
	s.get(audioPath(r)).want(t, 200)
	opened, err := archiver.Open(t.Context(), archiver.Location{Folder: folder}, archiver.Erase, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close(t.Context())
	intent := manifest.NewErasureRecord(manifest.ErasureIntent, "E")
	intent.Recordings = []manifest.ErasedID{{Day: r.Day, ID: r.ID}}
	if err := errors.Join(opened.Ledger.PutRecords(t.Context(), manifest.ErasureStem, intent), opened.Store.Remove(t.Context(), r.Key)); err != nil {
		t.Fatal(err)
	}
	form := url.Values{"call": {r.Day + "/" + r.CallID}}
	if got := s.ask("POST", "/zip", form); got.status == 200 && !strings.Contains(unzip(t, got.body)["errors.txt"], zipRemoved) {
		t.Errorf("a ZIP: %q", unzip(t, got.body))
	}
	s.get(audioPath(r)).want(t, 404, "The recording is not in the archive.")
	if log := s.log.String(); strings.Contains(log, "run verify") {
		t.Errorf("the log: %s", log)
	}
}
