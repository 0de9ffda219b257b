package audio

import (
	"bytes"
	"io"
	"testing"
)

func BenchmarkInspector(b *testing.B) {
	const size = 16 << 20
	long := func(unit []byte) []byte { return bytes.Repeat(unit, size/len(unit)) }
	for _, bench := range []struct {
		name string
		body []byte
	}{
		{"mp3", long(frameOf(convosoHeader, 576))},
		{"mp3/smallest frames", long(frameOf("\xff\xf3\x14\xc4", 24))},
		{"aac", long(adtsFrames(200, 1))},
		{"wav", riff(chunk("fmt ", pcm8k), chunk("data", make([]byte, size)))},
		{"amr", append([]byte(amrNarrow), long(amrFile("", 0x3C, 32, 1))...)},
		{"ogg", append(oggPageOf(oggBegins, 0, 1, opusHead()), long(oggPageOf(0, 1, 1, quiet(4000)))...)},
		{"unknown", noise(1, size)},
		{"text", long([]byte("a line of text\n"))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			const piece = 64 << 10
			b.SetBytes(int64(len(bench.body)))
			b.ReportAllocs()
			for b.Loop() {
				i := NewInspector()
				_, _ = io.CopyBuffer(struct{ io.Writer }{i}, struct{ io.Reader }{bytes.NewReader(bench.body)}, make([]byte, piece))
				i.Finish()
			}
		})
	}
}

// TestFlat inspects a long body: allocations must not grow with it.
func TestFlat(t *testing.T) {
	piece := mpegFrames(convosoHeader, 576, 100)
	allocs := testing.AllocsPerRun(5, func() {
		i := NewInspector()
		for range 1000 {
			_, _ = i.Write(piece[:len(piece)-1])
			_, _ = i.Write(piece[len(piece)-1:])
		}
		i.Finish()
	})
	if allocs > 5 {
		t.Errorf("%v allocations for a body of %d MB", allocs, 1000*len(piece)>>20)
	}
}
