package fetcher

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestReadAnswer reads answers whose length is told right, wrong or not at all, one
// after the other by one client.
func TestReadAnswer(t *testing.T) {
	var c Client
	for _, test := range []struct {
		length int64 // as told
		size   int
	}{{-1, 0}, {0, 0}, {-1, 100_000}, {-1, 300_000}, {-1, 5}, {100_000, 100_000}, {5, 100_000}, {100_000, 5}, {1 << 62, 7}} {
		want := strings.Repeat("x", test.size)
		got, err := c.readAnswer(iotest.HalfReader(strings.NewReader(want)), test.length)
		if err != nil || string(got) != want {
			t.Errorf("told %d: %d bytes of %d, %v", test.length, len(got), test.size, err)
		}
		if test.length == int64(test.size) && cap(got) > test.size+2*bytes.MinRead+test.size/8 {
			t.Errorf("told %d: memory for %d", test.length, cap(got))
		}
	}
	if _, err := c.readAnswer(io.MultiReader(strings.NewReader("x"), iotest.ErrReader(io.ErrUnexpectedEOF)), -1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v of an answer that is cut off", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestReadAnswerEnds reads one byte more than the largest answer and no further.
func TestReadAnswerEnds(t *testing.T) {
	var c Client
	if got, err := c.readAnswer(zeros{}, largestPage); len(got) != largestPage+1 || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
