package archiver

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

func TestEstimate(t *testing.T) {
	c := counted{pastPurgeDays: 3}
	*c.month("2025-05-01") = MonthCount{Month: "2025-05", Days: 31, Calls: 900_000, Recordings: 300_000, ToFetch: 250_000, Bytes: 13e9}
	*c.month("2024-12-31") = MonthCount{Month: "2024-12", Days: 9, Calls: 100_000, Recordings: 60_000, ToFetch: 50_000, Bytes: 2e9, PastPurge: 40_000}
	if c.month("2025-05-31").Days != 31 || len(c.months) != 2 {
		t.Errorf("%+v", c.months)
	}
	e := c.estimate(true)
	if len(e.Months) != 2 || e.Months[0].Month != "2024-12" || e.PastPurgeDays != 3 {
		t.Errorf("%+v", e)
	}
	if got, want := e.Total(), (MonthCount{Days: 40, Calls: 1_000_000, Recordings: 360_000, ToFetch: 300_000, Bytes: 15e9, PastPurge: 40_000}); got != want {
		t.Errorf("total %+v", got)
	}
	// 300,000 recordings take 100,000 s at 3 per second, with a segment stored every 15 s.
	if e.MediaRequests != 300_000 || fmt.Sprintf("%.2f %.2f", e.HoursAt3, e.HoursAt10) != "27.78 8.33" {
		t.Errorf("%d requests, %v and %v hours", e.MediaRequests, e.HoursAt3, e.HoursAt10)
	}
	const segments, inTime = 1000 + 144, 6666
	if want := (S3Requests{Puts: 300_000 + 3*40 + segments + inTime, Lists: 5 * 40, Gets: 5*40 + segments + inTime}); *e.S3 != want {
		t.Errorf("got %+v, want %+v", *e.S3, want)
	}
	// The pages take 10 hours at 5 per second: longer than the recordings at 10 per second, shorter
	// than at 3.
	if e.CountPages(180_000, 5); e.APIRequests != 180_000 || fmt.Sprintf("%.2f %.2f %.2f", e.HoursListing, e.HoursAt10, e.HoursAt3) != "10.00 10.00 27.78" {
		t.Errorf("%d requests, %v, %v and %v hours", e.APIRequests, e.HoursListing, e.HoursAt10, e.HoursAt3)
	}
	if e := c.estimate(false); e.HoursListing != 0 {
		t.Errorf("%+v", e)
	}
	if e := (&counted{}).estimate(false); e.Months == nil || e.S3 != nil || e.Total() != (MonthCount{}) {
		t.Errorf("%+v", e)
	}
}

// TestDryRunEstimates: the months, losses and requests of a dry run match those of the next run.
func TestDryRunEstimates(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.keeps = 155 * oneDay
		first := w.ago(40)
		w.recordedCalls(first, 4)
		w.recordedCalls(w.ago(10), 3)
		w.call(string(w.ago(9))+" 12:00:00", 0)
		old := w.ago(160)
		w.recordedCalls(old, 2)
		w.recordedCalls(old.AddDays(1), 1)
		w.recordedCalls(w.ago(3), 1)[0].link = time.Now().Add(time.Hour)

		span := spanOf(old, w.ago(3))
		n := w.try(trial{access: DryRun, config: all(span, func(c *Config) { c.DryRun = true })})
		e := n.Estimate
		if n.err != nil || e == nil {
			t.Fatalf("%v, %+v", n.err, e)
		}
		total := e.Total()
		if total != (MonthCount{Days: 158, Calls: 12, Recordings: 11, ToFetch: 10, Bytes: n.EstimatedBytes, PastPurge: 3}) || e.PastPurgeDays != 2 || e.S3 != nil {
			t.Errorf("%+v, %d days", total, e.PastPurgeDays)
		}
		byMonth := map[string]int{}
		for _, m := range e.Months {
			byMonth[m.Month] += m.ToFetch
		}
		want := map[string]int{}
		for date := old; date <= w.ago(3); date = date.AddDays(1) {
			want[string(date)[:7]] += map[bool]int{date == old: 2, date == old.AddDays(1): 1, date == first: 4, date == w.ago(10): 3}[true]
		}
		if !reflect.DeepEqual(byMonth, want) {
			t.Errorf("got %v, want %v", byMonth, want)
		}
		listings := n.listings
		n = w.try(trial{config: span})
		if n.err != nil || n.Archived != total.ToFetch-total.PastPurge || n.Lost != total.PastPurge || n.Estimate != nil {
			t.Errorf("%v: %d archived, %d lost", n.err, n.Archived, n.Lost)
		}
		if n.asked < total.ToFetch || n.listings < listings*9/10 || n.listings > 2*listings {
			t.Errorf("%d requests for recordings and %d for pages, as against %d", n.asked, n.listings, listings)
		}
	})
}
