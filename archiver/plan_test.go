package archiver

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

func wallTime(t *testing.T, s string) time.Time {
	t.Helper()
	wall, err := fetcher.ParseWall(s)
	if err != nil {
		t.Fatal(err)
	}
	return wall
}

func losAngeles(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestPlan(t *testing.T) {
	zone := losAngeles(t)
	now := time.Date(2025, 5, 10, 12, 0, 0, 0, zone)
	for name, test := range map[string]struct {
		from, to string
		order    Order
		purge    time.Duration
		earlier  []fetcher.Date
		want     string // days, partial days in parentheses
	}{
		"two days":              {"2025-05-01", "2025-05-02 23:59:59", Ascending, 0, nil, "2025-05-01 2025-05-02"},
		"newest first":          {"2025-05-01", "2025-05-02 23:59:59", Descending, 0, nil, "2025-05-02 2025-05-01"},
		"ends now":              {"2025-05-09", "2025-05-31", Ascending, 0, nil, "2025-05-09 2025-05-10"},
		"parts":                 {"2025-05-01 13:00:00", "2025-05-02 09:00:00", Ascending, 0, nil, "(2025-05-01) (2025-05-02)"},
		"midnight as end":       {"2025-05-01", "2025-05-02", Ascending, 0, nil, "2025-05-01 (2025-05-02)"},
		"all but a second":      {"2025-05-01 00:00:01", "2025-05-01 23:59:59", Ascending, 0, nil, "(2025-05-01)"},
		"in the future":         {"2025-06-01", "2025-06-02", Ascending, 0, nil, ""},
		"earlier days come too": {"2025-05-08", "2025-05-08 23:59:59", Ascending, 0, []fetcher.Date{"2025-05-01", "2025-05-08", "2025-05-09"}, "2025-05-01 2025-05-08"},
		"expiring, then purged": {"2025-05-01", "2025-05-06 23:59:59", Expiring, 6 * oneDay, nil, "2025-05-04 2025-05-05 2025-05-06 2025-05-03 2025-05-02 2025-05-01"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{Zone: zone, Span: Span{From: wallTime(t, test.from), To: wallTime(t, test.to)}, Order: test.order, PurgeAfter: test.purge}
			var got []string
			for _, day := range c.plan(now, test.earlier) {
				text := string(day.date)
				if !day.whole {
					text = "(" + text + ")"
				}
				got = append(got, text)
			}
			if joined := strings.Join(got, " "); joined != test.want {
				t.Errorf("%s, want %s", joined, test.want)
			}
		})
	}
}

func TestPlanWindows(t *testing.T) {
	zone := losAngeles(t)
	now := time.Date(2025, 5, 10, 12, 0, 0, 0, zone)
	c := Config{Zone: zone, Order: Ascending, Span: Span{From: wallTime(t, "2025-05-08 13:00:00"), To: wallTime(t, "2025-05-10 23:59:59")}}
	var got []string
	for _, day := range c.plan(now, nil) {
		got = append(got, day.span.String())
	}
	want := "2025-05-08 13:00:00 to 2025-05-09 00:00:00, 2025-05-08 23:59:59 to 2025-05-10 00:00:00, 2025-05-09 23:59:59 to 2025-05-11 00:00:00"
	if joined := strings.Join(got, ", "); joined != want {
		t.Errorf("got  %s\nwant %s", joined, want)
	}
}

func TestSettled(t *testing.T) {
	zone := losAngeles(t)
	c := Config{Zone: zone, Settle: 48 * time.Hour, PurgeAfter: 155 * oneDay}
	over := time.Date(2025, 5, 2, 0, 0, 0, 0, zone)
	for after, want := range map[time.Duration]bool{-time.Hour: false, 0: false, 48*time.Hour - 1: false, 48 * time.Hour: true} {
		if got := c.settled(over.Add(after), "2025-05-01"); got != want {
			t.Errorf("settled %v after its end: %v", after, got)
		}
	}
	for after, want := range map[time.Duration]bool{155 * oneDay: false, 155*oneDay + 1: true} {
		if got := c.expired(over.Add(after), "2025-05-01"); got != want {
			t.Errorf("expired %v after its end: %v", after, got)
		}
	}
}

// TestCatchUp checks which earlier days are caught up: those that a listing with the same filter
// left open, and those after the first listed one that were never listed with it.
func TestCatchUp(t *testing.T) {
	window := func(filter string) manifest.Window {
		return manifest.Window{Filter: filter, Listing: "1", Doubts: []string{}}
	}
	for name, test := range map[string]struct {
		filter string
		days   map[int]string // content of the ledger by age in days
		want   []int          // ages in days, beyond the seven days of the span
	}{
		"a new archive":                     {"", nil, nil},
		"all closed":                        {"", map[int]string{10: "closed", 9: "closed", 8: "closed"}, nil},
		"one left open":                     {"", map[int]string{10: "listed", 9: "closed", 8: "closed"}, []int{10}},
		"a gap":                             {"", map[int]string{12: "closed", 10: "closed", 8: "closed"}, []int{11, 9}},
		"a gap before the span":             {"", map[int]string{11: "closed"}, []int{10, 9, 8}},
		"listed by another filter alone":    {"", map[int]string{12: "filtered", 10: "listed", 9: "filtered", 8: "closed"}, []int{10, 9}},
		"closed for another filter":         {"campaign_id=7", map[int]string{12: "closed", 11: "closed", 10: "filtered", 8: "closed"}, []int{10, 9}},
		"never listed with this filter":     {"campaign_id=7", map[int]string{12: "closed", 9: "listed"}, nil},
		"recordings of an older version":    {"", map[int]string{10: "noted", 9: "closed", 8: "closed"}, []int{10}},
		"a day that cannot be read":         {"", map[int]string{10: "closed", 9: "spoilt", 8: "closed"}, []int{9}},
		"the first one cannot be read":      {"", map[int]string{9: "spoilt", 8: "closed"}, []int{9}},
		"a day that cannot be looked at":    {"", map[int]string{10: "closed", 9: "blocked", 8: "closed"}, []int{9}},
		"known by its call rows alone":      {"", map[int]string{10: "closed", 9: "rows", 8: "closed"}, []int{9}},
		"nothing but call rows, never more": {"", map[int]string{9: "rows"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				for ago, has := range test.days {
					date := w.ago(ago)
					file := func(name string) string { return "manifest/" + string(date) + "/" + name }
					switch has {
					case "spoilt":
						w.put(file("20000101T000000Z-00000000-000001.jsonl"), []byte("{\"v\":1,\"kind\":\"recording\",\n{}\n"))
					case "blocked":
						w.put(file("closed.json/file"), nil)
					case "rows":
						w.writeDay(date, func(ctx context.Context, d *manifest.Day) error {
							return d.NoteCalls(ctx, []manifest.Call{{CallID: "1", Row: []byte("{}")}})
						})
					case "noted":
						w.note(date, manifest.Recording{RecordingID: "1", Outcome: manifest.Pending})
					default:
						filter := map[string]string{"filtered": "campaign_id=7"}[has]
						w.writeDay(date, func(ctx context.Context, d *manifest.Day) error {
							if err := d.NoteWindows(ctx, window(filter)); err != nil || has != "closed" {
								return err
							}
							return d.Close(ctx, manifest.DayLine{Kept: []string{"calls", "recordings"}})
						})
					}
				}
				asked := w.listedDays()
				w.call(string(w.ago(20))+" 09:00:00", 1) // proves that the API works
				n := w.try(trial{vendor: asked, config: func(c *Config) {
					c.Span.CatchUp, c.Order = true, Ascending
					if test.filter != "" {
						c.Filter.CampaignID = "7"
					}
				}})
				for _, open := range n.OpenDays {
					asked.days[fetcher.Date(open.Day)] = asked.days[fetcher.Date(open.Day)] || open.Unreadable
				}
				for ago := 14; ago > 7; ago-- {
					if got, want := asked.days[w.ago(ago)], slices.Contains(test.want, ago); got != want {
						t.Errorf("%d days ago: asked for %v", ago, got)
					}
				}
			})
		})
	}
}

// listedDays is a world that records for which whole days a first page was requested.
type listedDays struct {
	*world
	days map[fetcher.Date]bool
}

func (w *world) listedDays() *listedDays { return &listedDays{w, map[fetcher.Date]bool{}} }

func (l *listedDays) RoundTrip(r *http.Request) (*http.Response, error) {
	q := r.URL.Query()
	from, err := fetcher.ParseWall(q.Get("start_time"))
	date := fetcher.DateOf(from.Add(time.Second))
	if err == nil && q.Get("offset") == "0" && q.Get("id") == "" && q.Get("end_time") == date.Window().To.Format(fetcher.WallLayout) {
		l.mu.Lock()
		l.days[date] = true
		l.mu.Unlock()
	}
	return l.world.RoundTrip(r)
}

// writeDay changes the ledger of a day before a run.
func (w *world) writeDay(date fetcher.Date, change func(context.Context, *manifest.Day) error) {
	w.t.Helper()
	opened, err := Open(context.Background(), Location{Folder: w.dir}, Archive, "", w.log())
	if err != nil {
		w.t.Fatal(err)
	}
	defer opened.Close(context.Background())
	d, err := opened.Ledger.Load(context.Background(), string(date))
	if err == nil {
		err = change(context.Background(), d)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestManyClosedDays plans over a thousand closed days in a bucket with a latency of 20 ms.
func TestManyClosedDays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const days = 1000
		time.Sleep((days + 10) * oneDay)
		w := newWorld(t)
		bucket := newBucket()
		ledger, err := manifest.OpenBucket(bucket, manifest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		for ago := days + 5; ago > 5; ago-- {
			d, err := ledger.Load(ctx, string(w.ago(ago)))
			if err == nil {
				err = d.Close(ctx, manifest.DayLine{Kept: []string{"calls", "recordings"}})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		bucket.delay = 20 * time.Millisecond
		began := time.Now()
		n := w.try(trial{bucket: bucket, config: spanOf(w.ago(days+5), w.ago(6))})
		if n.err != nil || n.DaysSkipped != days || n.listings > 0 {
			t.Errorf("%v, %d days skipped, %d requests", n.err, n.DaysSkipped, n.listings)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestStatusesComeInOrder checks days that take different times.
func TestStatusesComeInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bucket := newBucket()
		var looks atomic.Int64
		bucket.get = func(string) error {
			time.Sleep(time.Duration(looksAtOnce*3-looks.Add(1)) * time.Millisecond) // the last ones come first
			return nil
		}
		defer time.Sleep(time.Second) // for checks that nobody waits for
		ledger, err := manifest.OpenBucket(bucket, manifest.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		r := &run{ledger: ledger, soft: t.Context()}
		var days []plannedDay
		for i := range 2 * looksAtOnce {
			days = append(days, plannedDay{date: fetcher.Date("2025-05-01").AddDays(i)})
		}
		i := 0
		for p, status := range r.statuses(days) {
			if p.date != days[i].date || status.Day != string(p.date) || status.err != nil {
				t.Fatalf("day %d: %s, %s, %v", i, p.date, status.Day, status.err)
			}
			if i++; i == looksAtOnce+3 {
				break // checks in progress end by themselves
			}
			if n := int(looks.Load()); n > i+looksAtOnce {
				t.Fatalf("%d looks when %d were asked for", n, i)
			}
		}
	})
}
