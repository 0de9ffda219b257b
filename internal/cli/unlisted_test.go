package cli

import "testing"

func TestUnlistedText(t *testing.T) {
	const end = ", so calls or recordings may be missing: run archive over these days"
	for days, want := range map[[2]int]string{
		{0, 0}:  "",
		{1, 0}:  "1 day is not listed completely" + end,
		{0, 1}:  "1 day was never listed" + end,
		{3, 1}:  "3 days are not listed completely, 1 was never listed" + end,
		{3, 26}: "3 days are not listed completely, 26 were never listed" + end,
	} {
		if got := unlistedText(days[0], days[1]); got != want {
			t.Errorf("%v: %q, want %q", days, got, want)
		}
	}
}
