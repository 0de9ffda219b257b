package key

import (
	"slices"
	"strings"
	"testing"
)

// TestLater parses the keys of For, for plain ids and others, short names and long ones.
func TestLater(t *testing.T) {
	const run = "20261128T090003Z-1f0c9a3e"
	for _, name := range []string{"x.mp3", "2025/a-b-1795335907.mp3", strings.Repeat("x", 250) + ".mp3", "noext"} {
		for _, id := range []string{"400100000001", "7", "call-3-abc", "400100000001#7a9fc4d8c57bdce1"} {
			names := NamesOf(name)
			own, replaced := names.For(id, sum), names.For(id+" "+run, sum)
			if l, ok := ParseLater(own[2]); !ok || !l.IsOf(id) || replaces(l, id) != "no" || l.Sum == "" {
				t.Errorf("%q: %+v, %v", own[2], l, ok)
			}
			for i, name := range replaced[1:] {
				l, ok := ParseLater(name)
				want := "yes"
				if len(id) >= maxIDStart {
					want = "perhaps"
				}
				if !ok || l.IsOf(id) || replaces(l, id) != want || (l.Sum != "") != (i == 1) {
					t.Errorf("%q: %+v, %v", name, l, ok)
				}
				if replaces(l, "40010000000")+replaces(l, "4001000000012")+replaces(l, "") != "nonono" {
					t.Errorf("%q is taken for another recording's", name)
				}
				if !slices.Contains(Fronts(names.Wanted()), l.Front) {
					t.Errorf("%q is not among the fronts of %q", l.Front, names.Wanted())
				}
			}
		}
	}
	for _, name := range []string{"x.mp3", "x-400100000001.mp3", "a_b_1795335907_5849-in-1795335907.mp3", "x-1_1234567.mp3", "-"} {
		if l, ok := ParseLater(name); ok {
			t.Errorf("%q: %+v", name, l)
		}
	}
}

func replaces(l Later, id string) string {
	switch may, sure := l.Replaces(id); {
	case may && sure:
		return "yes"
	case may:
		return "perhaps"
	}
	return "no"
}
