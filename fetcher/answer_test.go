package fetcher

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// zipped returns a text as gzip.
func zipped(t testing.TB, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadAnswer(t *testing.T) {
	plain := strings.Repeat("0123456789", 1000)
	for name, body := range map[string]io.Reader{
		"plain": strings.NewReader(plain), "in pieces": iotest.HalfReader(strings.NewReader(plain)),
		"gzip": bytes.NewReader(zipped(t, plain)),
	} {
		if got, err := readAnswer(body); err != nil || string(got) != plain {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(plain), err)
		}
	}
	for name, body := range map[string]io.Reader{
		"cut off":         io.MultiReader(strings.NewReader("x"), iotest.ErrReader(io.ErrUnexpectedEOF)),
		"gzip cut off":    bytes.NewReader(zipped(t, plain)[:30]),
		"too long":        io.LimitReader(zeros{}, maxPage+1),
		"too long zipped": bytes.NewReader(zipped(t, strings.Repeat("0", maxPage+1))),
	} {
		_, err := readAnswer(body)
		if err == nil || errors.Is(err, errBroken) != strings.HasPrefix(name, "too long") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
