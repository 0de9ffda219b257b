package search

import (
	"strings"
	"testing"
)

func TestDaySpans(t *testing.T) {
	for days, want := range map[string]string{
		"":                                 "",
		"2025-05-01":                       "2025-05-01",
		"2025-04-30 2025-05-01 2025-05-03": "2025-04-30 to 2025-05-01, 2025-05-03",
	} {
		if got := strings.Join(DaySpans(strings.Fields(days)), ", "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
