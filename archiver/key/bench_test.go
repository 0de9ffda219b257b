package key

import (
	"strings"
	"testing"
)

// BenchmarkCleanPart cleans a typical vendor name, a completely different one, and one that must be
// truncated.
func BenchmarkCleanPart(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"clean", "106387_11_5555550100_50_5051_1748469536_8636-in-1748.mp3"},
		{"dirty", "Medicare / East: \"A\" <Zoë O'Neil>\t?.mp3"},
		{"long", strings.Repeat("a long name ", 40) + ".mp3"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			b.ReportAllocs()
			for b.Loop() {
				CleanPart(c.text)
			}
		})
	}
}
