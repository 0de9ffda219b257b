package bag

import "testing"

// TestManifest writes paths as in RFC 8493, in order.
func TestManifest(t *testing.T) {
	var p payloadFiles
	p.add("data/b", "00", 1)
	p.add("data/a b%\r\n", "ff", 2)
	p.add("data/%0A", "0f", 3)
	want := "0f  data/%250A\nff  data/a b%25%0D%0A\n00  data/b\n"
	if got := p.manifest(); got != want || p.bytes != 6 {
		t.Errorf("%q, %d bytes; want %q", got, p.bytes, want)
	}
}
