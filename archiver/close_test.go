package archiver

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// TestSettledAfterItWasListed lists a day ten minutes before it settles, and finishes its
// recordings half an hour later: the listing lacks the calls that were logged meanwhile.
func TestSettledAfterItWasListed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(2)
		w.recordedCalls(day, 2)
		for i := range 4 {
			w.recordedCalls(day.AddDays(-4+i), 1)
		}
		time.Sleep(time.Until(day.End(w.zone).Add(2*oneDay - 10*time.Minute)))
		late := w.call(string(day)+" 23:00:00", 1)
		late.visible = time.Now().Add(5 * time.Minute)
		n := w.try(trial{vendor: w.slowly(30 * time.Minute), config: all(spanOf(day.AddDays(-4), day), func(c *Config) { c.Order = Descending })})
		if n.err != nil || w.isClosed(day) || n.incomplete() {
			t.Errorf("%v: the day is closed, or a reason for another exit code: %+v", n.err, n.OpenDays)
		}
		w.mustClose(day.AddDays(-4), 1)
		w.try(trial{config: spanOf(day, day)})
		w.mustClose(day, 3)
	})
}

// TestAnotherRunWritesTheDay lets another run write to the day, or close it, after this run has
// read it: this run does not close the day, and accepts a day closed by the other run.
func TestAnotherRunWritesTheDay(t *testing.T) {
	for name, test := range map[string]struct {
		another func(ctx context.Context, d *manifest.Day) error
		done    bool
	}{
		"it notes a recording": {func(ctx context.Context, d *manifest.Day) error {
			if err := d.Note(ctx, manifest.Recording{RecordingID: "another", Outcome: manifest.Pending}); err != nil {
				return err
			}
			return d.Flush(ctx)
		}, false},
		"it closes the day": {func(ctx context.Context, d *manifest.Day) error {
			if err := d.Note(ctx, archivedLine("another", "another.mp3", frames(3))); err != nil {
				return err
			}
			return d.Close(ctx, manifest.DayLine{Kept: []string{"calls", "recordings"}})
		}, true},
		"it closes the day for another filter": {func(ctx context.Context, d *manifest.Day) error {
			if err := d.Note(ctx, archivedLine("another", "another.mp3", frames(3))); err != nil {
				return err
			}
			return d.Close(ctx, manifest.DayLine{Filter: "campaign_id=7", Kept: []string{"calls", "recordings"}})
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(5)
				w.recordedCalls(day, 4)
				w.recordedCalls(day.AddDays(1), 1)
				bucket := newBucket()
				done := false
				vendor := &hooked{world: w, audio: func(*http.Request, string) (*http.Response, error) {
					w.mu.Lock()
					defer w.mu.Unlock()
					if done {
						return nil, nil
					}
					done = true
					other, err := manifest.OpenBucket(bucket, manifest.Options{Run: manifest.NewRunID(time.Now())})
					if err != nil {
						t.Error(err)
					}
					d, err := other.Load(context.Background(), string(day))
					if err == nil {
						err = test.another(context.Background(), d)
					}
					if err != nil {
						t.Error(err)
					}
					return nil, nil
				}}
				n := w.try(trial{vendor: vendor, bucket: bucket, config: spanOf(day, day)})
				if n.err != nil || n.incomplete() == test.done || n.DaysClosed > 0 || (n.DaysWhole == 1) != test.done {
					t.Errorf("%v, incomplete %v, %d closed, open days %+v", n.err, n.incomplete(), n.DaysClosed, n.OpenDays)
				}
				n.mustTellAllDays(t)
				n = w.try(trial{bucket: bucket, config: spanOf(day, day)})
				if n.err != nil || n.asked > 0 {
					t.Errorf("then: %v, %d requests", n.err, n.asked)
				}
			})
		})
	}
}

// TestTwoRunsAtOnce lets two runs work on the same days of a bucket, started some seconds apart:
// all days are closed.
func TestTwoRunsAtOnce(t *testing.T) {
	for _, apart := range []time.Duration{0, time.Second, 7 * time.Second} {
		t.Run(fmt.Sprint(apart), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				const days, each = 4, 6
				first := w.ago(days + 2)
				for i := range days {
					w.recordedCalls(first.AddDays(i), each)
				}
				bucket := newBucket()
				span := spanOf(first, first.AddDays(days-1))
				other := newWorld(t)
				other.dir, other.calls = w.dir+"-other", w.calls // each has a folder; the store does not matter here
				nights := make(chan night, 2)
				go func() { nights <- w.try(trial{vendor: w.slowly(3 * time.Second), bucket: bucket, config: span}) }()
				time.Sleep(apart)
				go func() {
					nights <- other.try(trial{vendor: other.slowly(3 * time.Second), bucket: bucket, config: span})
				}()
				for range 2 {
					n := <-nights
					if n.err != nil || n.incomplete() {
						t.Errorf("%v, open days %+v", n.err, n.OpenDays)
					}
				}
				n := w.try(trial{bucket: bucket, config: span})
				if n.err != nil || n.DaysSkipped+n.DaysClosed != days || n.asked > 0 {
					t.Errorf("%v, %d requests, %d of %d days are closed: %+v", n.err, n.asked, n.DaysSkipped+n.DaysClosed, days, n.OpenDays)
				}
				ledger, err := manifest.OpenBucket(bucket, manifest.Options{ReadOnly: true})
				if err != nil {
					t.Fatal(err)
				}
				for i := range days {
					d, err := ledger.Load(context.Background(), string(first.AddDays(i)))
					if err != nil || d.Count() != each {
						t.Errorf("%d recordings: %v", d.Count(), err)
					}
				}
			})
		})
	}
}

// TestPersonalFilter lists by a phone number: no day is closed, no line contains the filter, and
// the run ends with 0 when everything is archived.
func TestPersonalFilter(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		r := w.recordedCalls(day, 3)
		o := trial{config: all(spanOf(day, day), func(c *Config) { c.Filter.PhoneNumber = "4155559999" })}
		r[1].broken = true
		if n := w.try(o); n.err != nil || !n.incomplete() || n.Archived != 2 {
			t.Errorf("%v, %d archived, open days %+v", n.err, n.Archived, n.OpenDays)
		}
		r[1].broken = false
		n := w.try(o)
		if n.err != nil || n.incomplete() || n.Archived != 1 || n.asked != 1 || n.DaysClosed > 0 {
			t.Errorf("%v, %d archived, %d days closed, open days %+v", n.err, n.Archived, n.DaysClosed, n.OpenDays)
		}
		n.mustTellAllDays(t)
		if d := w.day(day); len(d.Windows()) > 0 || len(d.Lines()) > 0 {
			t.Errorf("%d windows, day lines %+v", len(d.Windows()), d.Lines())
		}
		for _, name := range w.files() {
			if strings.Contains(w.read(name), "4155559999") {
				t.Errorf("%s holds the number", name)
			}
		}
		w.try(trial{config: spanOf(day, day)})
		w.mustClose(day, 3)
	})
}

// TestPartOfADay requests some hours: they are archived completely, the day stays open without
// affecting the exit code, and a later run over the whole day fetches only the rest.
func TestPartOfADay(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		for hour := 8; hour < 20; hour++ {
			w.call(fmt.Sprintf("%s %02d:30:00", day, hour), 1)
		}
		part := func(c *Config) {
			c.Span.From, _ = fetcher.ParseWall(string(day) + " 10:00:00")
			c.Span.To, _ = fetcher.ParseWall(string(day) + " 12:59:59")
		}
		n := w.try(trial{config: part})
		if n.err != nil || n.Archived != 3 || n.incomplete() || n.DaysWhole != 1 || w.isClosed(day) {
			t.Errorf("%v, %d archived, %d whole, open days %+v", n.err, n.Archived, n.DaysWhole, n.OpenDays)
		}
		n.mustTellAllDays(t)
		if n = w.try(trial{config: spanOf(day, day)}); n.Archived != 9 || n.asked != 9 {
			t.Errorf("then %d archived, %d requests", n.Archived, n.asked)
		}
		w.mustClose(day, 12)
		if n = w.try(trial{config: part}); n.DaysSkipped != 1 || n.listings > 0 {
			t.Errorf("%d days skipped, %d requests", n.DaysSkipped, n.listings)
		}
	})
}

// TestRelist lists closed days again, and with a filter leaves them closed for the whole listing.
func TestRelist(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		w.recordedCalls(day, 3)
		w.try(trial{config: spanOf(day, day)})
		late := w.call(string(day)+" 20:00:00", 1)
		if n := w.try(trial{config: spanOf(day, day)}); n.listings > 0 || n.DaysSkipped != 1 {
			t.Errorf("a closed day cost %d requests", n.listings)
		}
		filtered := func(c *Config) { c.Relist, c.Filter.CampaignID = true, "8" }
		if n := w.try(trial{config: all(spanOf(day, day), filtered)}); n.err != nil {
			t.Error(n.err)
		}
		w.mustClose(day, 3)
		n := w.try(trial{config: all(spanOf(day, day), func(c *Config) { c.Relist = true })})
		if n.Archived != 1 || n.asked != 1 {
			t.Errorf("%d archived, %d requests", n.Archived, n.asked)
		}
		if s := w.state(day, late.recorded[0]); s.Outcome != manifest.Archived {
			t.Error(told(s))
		}
		w.mustClose(day, 4)
	})
}

// TestFilteredListingWritesNothingOff lists a part of the calls: recordings outside of it are not
// considered missing.
func TestFilteredListingWritesNothingOff(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		w.recordedCalls(day, 3)
		next := w.ago(4)
		w.recordedCalls(next, 1)
		w.note(day, manifest.Recording{RecordingID: "222", Outcome: manifest.Pending, CallID: "999"})
		for range 3 {
			n := w.try(trial{config: all(spanOf(day, next), func(c *Config) { c.Filter.CampaignID = "7" })})
			if n.Lost > 0 || n.incomplete() {
				t.Errorf("%d lost, open days %+v", n.Lost, n.OpenDays)
			}
			time.Sleep(25 * time.Hour)
		}
	})
}

func TestOpenDayCountsOnce(t *testing.T) {
	t.Parallel()
	var days []OpenDay
	for _, day := range []OpenDay{
		{Day: "2025-05-01", Waiting: 60, Settled: true, Reasons: []string{"waiting"}}, {Day: "2025-05-02", Reasons: []string{"new"}},
		{Day: "2025-05-01", Waiting: 50, Settled: true, Reasons: []string{"strays"}},
		{Day: "2025-05-02", Waiting: 2, Reasons: []string{"strays"}},
	} {
		days = withOpenDay(days, day)
	}
	want := []OpenDay{
		{Day: "2025-05-01", Waiting: 60, Settled: true, Reasons: []string{"waiting"}}, {Day: "2025-05-02", Waiting: 2, Reasons: []string{"strays"}},
	}
	if !reflect.DeepEqual(days, want) {
		t.Errorf("%+v, want %+v", days, want)
	}
}
