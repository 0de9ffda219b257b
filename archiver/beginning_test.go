package archiver

import (
	"fmt"
	"testing"

	"convoso-archiver/fetcher"
)

func TestFirstOf(t *testing.T) {
	daysFrom := func(first fetcher.Date, n int) []plannedDay {
		days := make([]plannedDay, n)
		for i := range days {
			days[i].date = first.AddDays(i)
		}
		return days
	}
	for _, length := range []int{1, 2, 30, 365, 366, 367, 368, 732, 733, 4000} {
		days := daysFrom("2014-02-27", length)
		for _, want := range []int{0, 1, 2, 29, 364, 365, 366, 367, 731, 732, 1463, 1464, 3999, length - 1, length} {
			if want > length {
				continue
			}
			t.Run(fmt.Sprintf("day %d of %d", want, length), func(t *testing.T) {
				asked := 0
				got := firstOf(days, func(from, to plannedDay) bool {
					asked++
					if to.date < from.date || to.date >= from.date.AddDays(maxLookBack) {
						t.Errorf("asked for %s to %s", from.date, to.date)
					}
					return want < length && from.date <= days[want].date && days[want].date <= to.date
				})
				if got != want || asked > length/maxLookBack+1+9 {
					t.Errorf("got %d after %d requests", got, asked)
				}
			})
		}
	}
	// Shards own some of the days.
	sparse := []plannedDay{{date: "2020-01-01"}, {date: "2021-06-01"}, {date: "2021-06-03"}, {date: "2024-01-01"}}
	for want := range sparse {
		got := firstOf(sparse, func(from, to plannedDay) bool { return from.date <= sparse[want].date && sparse[want].date <= to.date })
		if got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
}

// TestDryRunBeforeFirstCall: a dry run does not list the years before the first call, and counts them.
func TestDryRunBeforeFirstCall(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		first := w.ago(20)
		w.recordedCalls(first, 4)
		w.recordedCalls(w.ago(5), 3)
		span := spanOf(w.ago(2000), w.ago(3))
		dryRun := trial{access: DryRun, config: all(span, func(c *Config) { c.DryRun = true })}
		n := w.try(dryRun)
		if n.err != nil || n.Estimate == nil {
			t.Fatalf("%v, %+v", n.err, n.Estimate)
		}
		e := n.Estimate
		if e.FirstCall != first || e.DaysBefore != 1980 || e.Total().Days != 1998 || n.DaysListed != 1998 || n.DaysNotBegun != 0 || n.ToFetch != 7 {
			t.Errorf("first call %s, %d days before of %d, %d listed, %d not begun, %d to fetch", e.FirstCall, e.DaysBefore, e.Total().Days, n.DaysListed, n.DaysNotBegun, n.ToFetch)
		}
		if n.listings > 18+6+9+1 {
			t.Errorf("%d requests", n.listings)
		}

		// A call of a day that the manifest knows, and that the API no longer lists, stays in the count of days.
		if n := w.try(trial{config: spanOf(first, w.ago(3))}); n.err != nil {
			t.Fatal(n.err)
		}
		w.calls = nil
		n = w.try(dryRun)
		if n.err != nil || n.Estimate.DaysBefore != 0 || n.DaysSkipped == 0 {
			t.Errorf("%v: %+v", n.err, n.Summary)
		}
	})
}
