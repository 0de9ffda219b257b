package cli

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// FuzzParseDuration checks that the result equals that of time.ParseDuration with days as hours,
// that days never make it negative, and that it parses its own output.
func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"36h", "7d", "1d12h", "1h30m", "-5d", "-36h", "65535d2562047h", "1d-1h", "+7d", "0d", "7d ", "1d1d"} {
		f.Add(seed, uint16(len(seed)))
	}
	f.Fuzz(func(t *testing.T, text string, days uint16) {
		const day = 24 * time.Hour
		got, err := parseDuration(text)
		plain, plainErr := time.ParseDuration(text)
		if hasDays := strings.Contains(text, "d"); !hasDays && (got != plain || (err == nil) != (plainErr == nil)) {
			t.Errorf("parseDuration(%q) = %v, %v; want %v, %v", text, got, err, plain, plainErr)
		} else if hasDays && err == nil && got < 0 {
			t.Errorf("parseDuration(%q) = %v", text, got)
		}
		if err != nil {
			return
		}
		if again, err := parseDuration(got.String()); again != got || err != nil {
			t.Errorf("parseDuration(%q) = %v, %v; want %v", got.String(), again, err, got)
		}
		// The part after the days is valid alone, up to a length that still fits.
		if strings.Contains(text, "d") || got > 40_000*day {
			return
		}
		both := strconv.Itoa(int(days)) + "d" + text
		if got < 0 {
			if sum, err := parseDuration(both); err == nil {
				t.Errorf("parseDuration(%q) = %v", both, sum)
			}
			return
		}
		if sum, err := parseDuration(both); err != nil || sum != time.Duration(days)*day+got {
			t.Errorf("parseDuration(%q) = %v, %v", both, sum, err)
		}
	})
}
