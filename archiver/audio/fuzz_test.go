package audio

import (
	"bytes"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzInspector checks on any body that the result does not depend on how it is cut,
// is consistent in itself, and is never audio for text.
func FuzzInspector(f *testing.F) {
	for _, test := range allBodies() {
		if len(test.body) <= 20_000 {
			f.Add(test.body, uint16(13))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, size uint16) {
		got := inspect(body, 0)
		for _, size := range []int{1, 1 + int(size), HeadSize} {
			if again := inspect(body, size); again != got {
				t.Fatalf("in pieces of %d: %+v, whole: %+v", size, again, got)
			}
		}
		checkResult(t, body, got)
	})
}

func checkResult(t *testing.T, body []byte, got Result) {
	t.Helper()
	isText := got.Verdict == HTML || got.Verdict == JSON || got.Verdict == Text
	switch {
	case (got.Verdict == Empty) != (len(body) == 0):
		t.Errorf("%d bytes: %+v", len(body), got)
	case (got.Verdict == Audio) != (got.Format != ""):
		t.Errorf("format without audio or the reverse: %+v", got)
	case got.Verdict != Audio && (got.Duration != 0 || got.Garbage != 0):
		t.Errorf("duration or garbage without audio: %+v", got)
	case got.Duration < 0 || got.Garbage < 0 || got.Garbage > int64(len(body)):
		t.Errorf("impossible numbers: %+v", got)
	case isText && (got.LastFrameBroken || got.ContainerMismatch != ""):
		t.Errorf("text with the marks of audio: %+v", got)
	case got.NotFound && !isText:
		t.Errorf("not found without text: %+v", got)
	case got.Verdict == Audio && isPlainText(body):
		t.Errorf("text taken for audio: %+v", got)
	}
}

// isPlainText is a judgement of its own: all of a body is readable.
func isPlainText(body []byte) bool {
	return utf8.Valid(body) && !bytes.ContainsFunc(body, func(r rune) bool {
		return unicode.IsControl(r) && !unicode.IsSpace(r)
	})
}

// FuzzText checks that no readable text is audio, whatever stands before it.
func FuzzText(f *testing.F) {
	for _, test := range textBodies() {
		f.Add(string(test.body))
	}
	f.Add(amrNarrow + "<" + page)
	f.Fuzz(func(t *testing.T, text string) {
		if body := []byte(text); isPlainText(body) && len(body) > 0 {
			switch got := inspect(body, 0); got.Verdict {
			case HTML, JSON, Text:
			default:
				t.Errorf("%+v", got)
			}
		}
	})
}
