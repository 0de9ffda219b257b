package verify

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// TestSampleCoversEverything: daily runs cover each recording once in 100 days of 1%, and each day's part has
// the requested size, starting on any day.
func TestSampleCoversEverything(t *testing.T) {
	const recordings = 500
	for _, test := range []struct {
		percent float64
		days    int
	}{{1, 100}, {0.5, 200}, {0.3, 334}, {7, 15}, {60, 2}, {100, 1}} {
		for _, first := range []string{"2026-02-20", "2024-12-31"} {
			t.Run(fmt.Sprintf("%g%% from %s", test.percent, first), func(t *testing.T) {
				date, err := time.Parse(time.DateOnly, first)
				if err != nil {
					t.Fatal(err)
				}
				seen := make([]int, recordings)
				for range test.days {
					sample, size := NewSample(test.percent, date), 0
					for i := range seen {
						if sample.Has(fmt.Sprintf("recording-%d", i)) {
							seen[i]++
							size++
						}
					}
					if want := recordings * test.percent / 100; math.Abs(float64(size)-want) > 6*math.Sqrt(want) {
						t.Errorf("%s: %d recordings, want about %g", date.Format(time.DateOnly), size, want)
					}
					date = date.AddDate(0, 0, 1)
				}
				for i, n := range seen {
					if n == 0 || n > 2 {
						t.Fatalf("recording %d was seen %d times in %d days", i, n, test.days)
					}
				}
			})
		}
	}
}

// The hour does not count: two runs on one date read the same part.
func TestSampleOfOneDate(t *testing.T) {
	day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	if NewSample(1, day) != NewSample(1, day.Add(23*time.Hour)) {
		t.Error("two parts on one date")
	}
	if NewSample(1, day) == NewSample(1, day.Add(24*time.Hour)) {
		t.Error("one part on two dates")
	}
}

func TestParseSample(t *testing.T) {
	for text, want := range map[string]float64{"1%": 1, " 0.5 %": 0.5, "100%": 100, "0.0001%": 0.0001} {
		if got, err := ParseSample(text); err != nil || got != want {
			t.Errorf("%q: %g, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1", "%", "0%", "-1%", "101%", "NaN%", "one%", "0.00001%", "Inf%"} {
		if got, err := ParseSample(text); err == nil {
			t.Errorf("%q: %g", text, got)
		}
	}
}
