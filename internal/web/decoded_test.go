package web

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"testing"

	"convoso-archiver/internal/wave"
	"convoso-archiver/internal/web/webtest"
)

// TestDecoded plays Sun audio as PCM WAV, whole and in ranges, and downloads the original file.
func TestDecoded(t *testing.T) {
	s := serve(t, nil)
	var r webtest.Recording
	for _, one := range shared.world.Recordings {
		if bytes.HasPrefix(one.Body, []byte(".snd")) {
			r = one
		}
	}
	decoder, err := wave.NewReader(bytes.NewReader(r.Body))
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(decoder)
	if err != nil || len(want) < 2*(len(r.Body)-24) {
		t.Fatalf("%d bytes are decoded: %v", len(want), err)
	}
	whole := s.get(audioPath(r))
	whole.want(t, 200)
	if whole.body != string(want) || whole.header.Get("Content-Type") != "audio/wav" || whole.header.Get("Content-Length") != strconv.Itoa(len(want)) {
		t.Errorf("%d bytes, %v", len(whole.body), whole.header)
	}
	tag := whole.header.Get("ETag")
	for _, test := range []struct {
		asked      string
		from, upTo int
	}{{"bytes=0-", 0, len(want)}, {"bytes=44-1043", 44, 1044}, {"bytes=7001-", 7001, len(want)}, {"bytes=-10", len(want) - 10, len(want)}} {
		got := s.get(audioPath(r), "Range", test.asked, "If-Range", tag)
		got.want(t, 206)
		if got.body != string(want[test.from:test.upTo]) || got.header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", test.from, test.upTo-1, len(want)) {
			t.Errorf("%s: %d bytes, %s", test.asked, len(got.body), got.header.Get("Content-Range"))
		}
	}
	s.get(audioPath(r), "Range", fmt.Sprintf("bytes=%d-", len(want))).want(t, 416)
	s.get(audioPath(r), "If-None-Match", tag).want(t, 304)
	file := s.get(audioPath(r) + "?download=1")
	file.want(t, 200)
	if file.body != string(r.Body) || file.header.Get("ETag") == tag {
		t.Errorf("the download has %d bytes, want %d as they are stored", len(file.body), len(r.Body))
	}
}
