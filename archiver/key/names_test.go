package key

import (
	"slices"
	"strings"
	"testing"
)

var sum = [32]byte{0x1a, 0x2b, 0x3c, 0x4d, 0x5e}

func TestFor(t *testing.T) {
	names := split("5051/2025-05-28/x.mp3")
	got := names.For("123456789012", sum)
	want := []string{
		"5051/2025-05-28/x.mp3",
		"5051/2025-05-28/x-123456789012.mp3",
		"5051/2025-05-28/x-123456789012_1a2b3c4d.mp3",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Again(want[0], "123456789012"); !slices.Equal(got, want[:2]) {
		t.Errorf("again: got %q, want %q", got, want[:2])
	}
	if got := Again("", "1"); got != nil {
		t.Errorf("again without a key: got %q", got)
	}
}

// TestAlternativesAreInjective gives recordings file names and ids that look alike when combined.
func TestAlternativesAreInjective(t *testing.T) {
	ids := []string{
		"1", "2", "1-2", "2-1", "12", "A", "a", "a#1", "a_1", "1_1a2b3c4d", "1a2b3c4d", "12345678", "", "é", "e\u0301", " 1", "1 ",
		"call-9-0a1b2c", "call-9-0A1B2C", "1.mp3", strings.Repeat("1", 40), strings.Repeat("1", 41), strings.Repeat("1", 300),
	}
	stems := []string{"x", "x-1", "x-2", "x-1-2", "x-1_1a2b3c4d", "-", "x-12345678", "x-1.mp3", "x."}
	owner := map[string]string{}
	for _, id := range ids {
		for _, stem := range stems {
			for _, ext := range []string{".mp3", ".wav", ""} {
				for _, key := range split(stem+ext).For(id, sum)[1:] {
					key = strings.ToLower(key)
					if other, taken := owner[key]; taken && other != id {
						t.Fatalf("%q is of %q and of %q", key, id, other)
					}
					owner[key] = id
				}
			}
		}
	}
}

func TestQuarantine(t *testing.T) {
	for _, test := range []struct {
		day, id string
		want    []string
	}{
		{"2025-05-28", "123", []string{"quarantine/2025-05-28/123.bin", "quarantine/2025-05-28/123_1a2b3c4d.bin"}},
		{"../x", "con", []string{"quarantine/.._x/con_" + hashOf("con", 32) + ".bin", "quarantine/.._x/con_" + hashOf("con", 32) + "_1a2b3c4d.bin"}},
	} {
		if got := Quarantine(test.day, test.id, sum); !slices.Equal(got, test.want) {
			t.Errorf("%q, %q: got %q, want %q", test.day, test.id, got, test.want)
		}
	}
	got := Quarantine("", "../"+strings.Repeat("x", 300), sum)[0]
	if !strings.HasPrefix(got, "quarantine/_/___xxx") || strings.Count(got, "/") != 2 || len(got) > 100 {
		t.Errorf("got %q", got)
	}
}
