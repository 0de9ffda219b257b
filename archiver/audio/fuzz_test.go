package audio

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzInspector checks for any body that the result is independent of the pieces, is consistent, is
// never audio for text, and is never whole for a stream of frames without its last byte.
func FuzzInspector(f *testing.F) {
	for _, test := range allBodies() {
		if len(test.body) <= 20_000 {
			f.Add(test.body, uint16(13))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, size uint16) {
		got := inspect(body, 0)
		for _, size := range []int{1, 1 + int(size), HeadSize} {
			if again := inspect(body, size); !reflect.DeepEqual(again, got) {
				t.Fatalf("in pieces of %d: %+v, whole: %+v", size, again, got)
			}
		}
		checkResult(t, body, got)
		if endsInFrame(body, got) {
			if cut := inspect(body[:len(body)-1], 0); cut.Whole {
				t.Errorf("without its last byte: %+v, whole: %+v", cut, got)
			}
		}
	})
}

// endsInFrame reports whether a body is a whole stream of frames without a tag. It excludes AMR,
// where a missing frame of one byte is undetectable.
func endsInFrame(body []byte, got Result) bool {
	isFrames := got.Format == MP3 || got.Format == AAC
	return isFrames && got.Whole && !bytes.Contains(body, []byte("TAG")) && !bytes.Contains(body, []byte("ID3"))
}

func checkResult(t *testing.T, body []byte, got Result) {
	t.Helper()
	isText := got.Verdict == HTML || got.Verdict == JSON || got.Verdict == Text
	switch {
	case (got.Verdict == Empty) != (len(body) == 0):
		t.Errorf("%d bytes: %+v", len(body), got)
	case (got.Verdict == Audio) != (got.Format != ""):
		t.Errorf("format without audio or the reverse: %+v", got)
	case got.Verdict != Audio && (got.Duration != 0 || got.Oddities != nil || got.Cut || got.Whole):
		t.Errorf("what only audio has: %+v", got)
	case got.Duration < 0 || got.Cut && (got.Whole || len(got.Oddities) == 0):
		t.Errorf("it contradicts itself: %+v", got)
	case got.NotFound && !isText:
		t.Errorf("not found without text: %+v", got)
	case got.Verdict == Audio && isPlainText(body):
		t.Errorf("text taken for audio: %+v", got)
	}
}

// isPlainText independently checks that a whole body is readable.
func isPlainText(body []byte) bool {
	return utf8.Valid(body) && !bytes.ContainsFunc(body, func(r rune) bool {
		return unicode.IsControl(r) && !unicode.IsSpace(r)
	})
}

// FuzzText checks that no readable text is audio, nor JSON with any content, nor any bytes after
// the start of a page or an API answer; and that this is known as soon as the head has arrived.
func FuzzText(f *testing.F) {
	for _, test := range textBodies() {
		f.Add(string(test.body))
	}
	f.Add(amrNarrow + "<" + page)
	f.Add(string(mpegFrames(convosoHeader, 576, 4)))
	heads := map[string]Verdict{
		"<!DOCTYPE html>": HTML, "\r\n <html>": HTML, "\xEF\xBB\xBF<?xml version='1.0'?>": HTML, "<!-- -->": HTML,
		`{"success":false,`: JSON, " { } ": JSON, "[{": JSON, `["`: JSON,
	}
	f.Fuzz(func(t *testing.T, text string) {
		body := []byte(text)
		object := bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) && json.Valid(body)
		if len(body) > 0 && (object || isPlainText(body)) {
			checkText(t, body)
		}
		for head, want := range heads {
			if got := checkText(t, append([]byte(head), body...)); got.Verdict != want {
				t.Errorf("behind %q: %+v", head, got)
			}
		}
	})
}

func checkText(t *testing.T, body []byte) Result {
	t.Helper()
	i := NewInspector()
	_, _ = i.Write(body[:min(len(body), HeadSize)])
	known := i.IsText()
	_, _ = i.Write(body[min(len(body), HeadSize):])
	got := i.Finish()
	isText := got.Verdict == HTML || got.Verdict == JSON || got.Verdict == Text
	if !isText || !i.IsText() || len(body) >= HeadSize && !known {
		t.Errorf("%+v, text %t, known by its head %t: %q", got, i.IsText(), known, body)
	}
	return got
}

// FuzzCut builds whole bodies of every format around any payload, expects each to be whole, and
// truncates it anywhere, at its last byte, and between its parts: it must not be whole then, except
// at the end of a frame.
func FuzzCut(f *testing.F) {
	for choice := range uint8(24) {
		f.Add(quiet(400), choice, uint16(97*int(choice)+1))
	}
	f.Add(mpegFrames(convosoHeader, 576, 2), uint8(0), uint16(700))
	f.Add(riff(chunk("fmt ", pcm8k), chunk("data", quiet(50))), uint8(2), uint16(60))
	f.Add(oggOpus(1)[:300], uint8(5), uint16(1))
	f.Add([]byte(page), uint8(7), uint16(1))
	f.Fuzz(func(t *testing.T, payload []byte, choice uint8, at uint16) {
		if len(payload) > 1<<13 {
			return
		}
		format, body, frame := bodyAround(payload, choice)
		got := inspect(body, 1+int(at)%600)
		if got.Format != format || !got.Whole {
			t.Fatalf("%s of %d bytes: %+v", format, len(body), got)
		}
		checkResult(t, body, got)
		cuts := []int{int(at) % len(body), len(body) - 1}
		for _, mark := range []string{"OggS", "LIST", "mdat", "moov"} { // start of a part
			cuts = append(cuts, max(0, bytes.LastIndex(body, []byte(mark))), max(0, bytes.LastIndex(body, []byte(mark))-4))
		}
		for _, cut := range cuts {
			if frame > 0 && (len(body)-cut)%frame == 0 {
				continue // between two frames, where it is undetectable
			}
			got := inspect(body[:cut], 0)
			if got.Whole {
				t.Errorf("%s cut at %d of %d: %+v", format, cut, len(body), got)
			}
			if again := inspect(body[:cut], 1+int(choice)); !reflect.DeepEqual(again, got) {
				t.Errorf("%s cut at %d of %d: %+v, in pieces %+v", format, cut, len(body), got, again)
			}
		}
	})
}

// bodyAround returns a whole body with the payload in it, and the size of its frames
// where it has nothing else.
func bodyAround(payload []byte, choice uint8) (format Format, body []byte, frame int) {
	few, more := int(choice)/8%5, append([]byte{1}, payload...)
	// fill returns the content of a frame: the repeated payload.
	fill := func(size int) []byte { return bytes.Repeat(more, size/len(more)+1)[:size] }
	switch choice % 8 {
	case 0:
		return MP3, bytes.Repeat(append([]byte(convosoHeader), fill(572)...), 2+few), 576
	case 1:
		size := 7 + 1 + len(payload)%1000
		head := adtsFrames(size, 1)[:7]
		return AAC, bytes.Repeat(append(head, fill(size-7)...), 2+few), size
	case 2:
		return WAV, riff(chunk("JUNK", fill(few)), chunk("fmt ", pcm8k), chunk("data", evenly(more))), 0
	case 3:
		return WAV, riff(chunk("fmt ", pcm8k), chunk("data", evenly(more)), chunk("LIST", fill(2*(few+5)))), 0
	case 4:
		return WAV, riff(chunk("LIST", fill(1+2*few))[:9+2*few], chunk("fmt ", pcm8k), chunk("data", evenly(more))), 0
	case 5:
		pages := [][]byte{oggPageOf(oggBegins, 0, 9, opusHead())}
		for n := range few {
			pages = append(pages, oggPageOf(0, int64(n+1)*960, 9, fill(min(len(more), 255*254))))
		}
		return Ogg, join(append(pages, oggPageOf(oggEnds, 48000, 9, fill(20)))...), 0
	case 6:
		if few%2 == 0 {
			return MP4, join(ftyp, moov("soun"), box("mdat", more)), 0
		}
		return MP4, join(ftyp, box("mdat", more), moov("soun")), 0
	}
	if few%2 == 0 {
		return AU, join(auFile(27, 8000, len(more))[:28], more), 0
	}
	return AMR, append([]byte(amrNarrow), bytes.Repeat(append([]byte{0x3C}, fill(31)...), 1+few)...), 32
}

// evenly returns samples of a length that needs no padding.
func evenly(b []byte) []byte { return append(b[:len(b):len(b)], make([]byte, len(b)%2)...) }
