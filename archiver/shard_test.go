package archiver

import (
	"fmt"
	"net/http"
	"testing"

	"convoso-archiver/fetcher"
)

// TestShardsShareDays checks that each day belongs to exactly one shard, independent of the span.
func TestShardsShareDays(t *testing.T) {
	for _, count := range []int{1, 2, 5, 17, 257} {
		date := fetcher.Date("2019-12-30")
		for range 800 {
			owners := 0
			for index := range count {
				if (Shard{index, count}).Owns(date) {
					owners++
				}
			}
			if owners != 1 || !(Shard{}).Owns(date) {
				t.Fatalf("%s is worked by %d of %d shards", date, owners, count)
			}
			date = date.AddDays(1)
		}
	}
	for _, c := range []struct {
		date  fetcher.Date
		shard Shard
	}{ // pinned: a new version must not divide the days differently
		{"1970-01-01", Shard{0, 17}},
		{"2000-02-29", Shard{0, 17}},
		{"2025-05-01", Shard{13, 17}},
		{"2025-05-02", Shard{14, 17}},
	} {
		if !c.shard.Owns(c.date) {
			t.Errorf("%s is not of shard %s", c.date, c.shard)
		}
	}
}

// TestShardsPlanAndCatchUp runs all shards with --last: together they list the same days as a
// single run, each once, including days that an earlier run left open or missed.
func TestShardsPlanAndCatchUp(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.recordedCalls(w.ago(12), 2)
		w.recordedCalls(w.ago(9), 2)
		w.recordedCalls(w.ago(4), 2)
		first := spanOf(w.ago(12), w.ago(12)) // the days from 11 to 8 days ago were missed
		w.try(trial{config: first})
		const count = 3
		listed := map[fetcher.Date]int{}
		for index := range count {
			asked := w.listedDays()
			shard := Shard{index, count}
			n := w.try(trial{vendor: asked, config: func(c *Config) {
				c.Span.CatchUp, c.Shard, c.Order = true, shard, Ascending
			}})
			if n.err != nil || n.Shard != shard.String() {
				t.Fatalf("shard %s: %v, %q", shard, n.err, n.Shard)
			}
			for date := range asked.days {
				if shard.Owns(date) {
					listed[date]++
				}
			}
			if n.DaysAsked < 3 || n.DaysAsked > 5 {
				t.Errorf("shard %s worked %d days", shard, n.DaysAsked)
			}
		}
		for ago := 11; ago > 0; ago-- {
			if n := listed[w.ago(ago)]; n == 0 {
				t.Errorf("%d days ago: no shard listed it", ago)
			}
		}
	})
}

// TestShardClosesEmptyDays runs one shard of a new archive alone. The neighbours of its empty days
// belong to other shards and are not listed yet: it must ask the API about them, or each empty day
// would end the first run with exit code 3.
func TestShardClosesEmptyDays(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const count = 7 // so that each shard has one day per week
		for ago := 60; ago > 5; ago-- {
			if date := w.ago(ago); date.Ordinal()%count > 2 { // three days of each week are empty
				w.recordedCalls(date, 1)
			}
		}
		for index := range count {
			n := w.try(trial{config: func(c *Config) {
				spanOf(w.ago(90), w.ago(10))(c)
				c.Shard = Shard{index, count}
			}})
			if n.err != nil || n.incomplete() {
				t.Errorf("shard %d: %v, %+v", index, n.err, n.OpenDays)
			}
			if perDay := float64(n.listings) / float64(n.DaysListed); perDay > 9 {
				t.Errorf("shard %d: %.1f requests a day", index, perDay)
			}
			if index > 0 {
				continue
			}
			for ago := 10; ago <= 90; ago++ { // the next shard must not know this one's days
				if date := w.ago(ago); date.Ordinal()%count == 0 {
					w.mustClose(date, 0)
				}
			}
		}
	})
}

// TestShardDoubtsEmptyDays has an API that shows calls of some days and hides the shard's: the
// totals around its days do not agree, so they stay open.
func TestShardDoubtsEmptyDays(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		hidden := w.ago(10)
		for ago := 20; ago > 5; ago-- {
			w.recordedCalls(w.ago(ago), 1)
		}
		vendor := &hooked{world: w, page: func(r *http.Request) *http.Response {
			if r.URL.Query().Get("end_time") != hidden.Window().To.Format(fetcher.WallLayout) {
				return nil
			}
			return answered(http.StatusOK, []byte(`{"success":true,"data":{"offset":0,"limit":500,"total_found":0,"entries":0,"results":[]}}`))
		}}
		n := w.try(trial{vendor: vendor, config: func(c *Config) {
			spanOf(hidden, hidden)(c)
			c.Shard = Shard{hidden.Ordinal() % 5, 5}
		}})
		if n.err != nil || !n.incomplete() {
			t.Errorf("%v, %s", n.err, fmt.Sprint(n.OpenDays))
		}
		w.mustStayOpen(hidden)
	})
}
