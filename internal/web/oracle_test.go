package web

import (
	"strings"
	"testing"

	"convoso-archiver/search"
)

// TestNumbersCannotBeGuessed checks that no query reveals digits of a masked number.
func TestNumbersCannotBeGuessed(t *testing.T) {
	for _, test := range []struct {
		q       search.Query
		refused bool
	}{
		{search.Query{Number: "5309"}, false},
		{search.Query{Number: "55"}, true},
		{search.Query{Number: "867-5309"}, true},
		{search.Query{Number: "5508675309"}, false},
		{search.Query{PhoneNumbers: []string{"5508675309"}}, false},
		{search.Query{PhoneNumbers: []string{"5508675309", "5508675310"}}, true},
		{search.Query{PhoneNumbers: []string{"5508675309"}, NumbersDialed: []string{"5508675309"}}, true},
		{search.Query{Number: "5309", PhoneNumbers: []string{"5508675309"}}, true},
		{search.Query{Name: "mary"}, false},
		{search.Query{Name: "mary 55"}, true},
		{search.Query{Comment: "back ٥"}, true},
		{search.Query{FirstNames: []string{"ann", "5508675309"}}, true},
		{search.Query{LastNames: []string{"o2"}}, true},
	} {
		if err := (Rights{Listen: true}).check(test.q); (err != nil) != test.refused {
			t.Errorf("%+v: %v", test.q, err)
		}
		if err := (Rights{Listen: true, Numbers: true}).check(test.q); err != nil {
			t.Errorf("%+v, of one who may see numbers: %v", test.q, err)
		}
	}
}

// TestMaskFindsNumbers checks that numbers are hidden in every notation.
func TestMaskFindsNumbers(t *testing.T) {
	for _, between := range []string{"", " ", "-", ".", "\u00a0", "\u202f", "\u2009", "\u2212", "\u200b", ",", "*", ":", "'", "  -  "} {
		text := "call " + strings.Join([]string{"550", "867", "5309"}, between) + " soon"
		if got := maskText(text); got != "call •••5309 soon" {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	for _, text := range []string{"٥٥٠٨٦٧٥٣٠٩", "５５０８６７５３０９", "+1 (550) 867-5309"} {
		if got := maskText(text); len([]rune(got)) != len([]rune(dots))+shownDigits {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	for _, text := range []string{"", "suite 12, floor 3", "room 123456", "a1b2c3d4e5f6g7h8", "1 or 2 or 3 or 4 or 5 or 6 or 7"} {
		if got := maskText(text); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}
