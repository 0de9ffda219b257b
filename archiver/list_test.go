package archiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// TestOneDayIsPoison makes the API answer for one day with nonsense, or ignore the requested times:
// that day stays open, and the others are archived.
func TestOneDayIsPoison(t *testing.T) {
	ignored := func(w *world) []byte {
		rows := []string{}
		for i := range 30 {
			rows = append(rows, fmt.Sprintf(`{"id":"9%d","call_date":"1999-01-01 00:00:00","recording":[]}`, i))
		}
		return []byte(`{"success":true,"data":{"offset":0,"limit":500,"total_found":"30","entries":30,"results":[` + strings.Join(rows, ",") + `]}}`)
	}
	for name, test := range map[string]struct {
		code  int
		body  func(w *world) []byte
		first bool // the day comes first
		fails bool
	}{
		"an unknown error":             {code: 200, body: func(*world) []byte { return []byte(`{"success":false,"code":9999,"text":"Database error"}`) }, first: true},
		"500":                          {code: 500, body: func(*world) []byte { return []byte("x") }, first: true},
		"a gateway's page":             {code: 403, body: func(*world) []byte { return []byte("<html>blocked</html>") }, first: true},
		"no JSON":                      {code: 200, body: func(*world) []byte { return []byte("hello") }, first: true},
		"dates ignored":                {code: 200, body: ignored},
		"dates ignored from the first": {code: 200, body: ignored, first: true, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				const days = 7
				first := w.ago(days + 2)
				for i := range days {
					w.recordedCalls(first.AddDays(i), 3)
				}
				poison := first
				if !test.first {
					poison = first.AddDays(days - 1)
				}
				vendor := &hooked{world: w, page: func(r *http.Request) *http.Response {
					if r.URL.Query().Get("start_time") == poison.Window().From.Format(fetcher.WallLayout) {
						return answered(test.code, test.body(w))
					}
					if test.fails { // concurrent requests are answered later
						time.Sleep(time.Second)
					}
					return nil
				}}
				n := w.try(trial{vendor: vendor, config: all(spanOf(first, first.AddDays(days-1)), func(c *Config) { c.Order = Ascending })})
				n.mustTellAllDays(t)
				if test.fails {
					if _, is := errors.AsType[*fetcher.IgnoredParameterError](n.err); !is {
						t.Errorf("the run ended with %v", n.err)
					}
					return
				}
				if n.err != nil || n.Archived != 3*(days-1) || len(n.OpenDays) != 1 || n.OpenDays[0].Day != string(poison) || !n.incomplete() {
					t.Errorf("%v, %d archived, open days %+v", n.err, n.Archived, n.OpenDays)
				}
				if d := w.day(poison); len(d.Windows()) > 0 {
					t.Errorf("%d window lines", len(d.Windows()))
				}
				w.try(trial{config: spanOf(first, first.AddDays(days-1))})
				w.mustClose(poison, 3)
			})
		})
	}
}

// TestSharedIDs archives each of several recordings that share an id.
func TestSharedIDs(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		w.recordedCalls(w.ago(4), 1)
		zero := w.recordedCalls(day, 2) // on two calls
		zero[0].id, zero[1].id = "0", "0"
		twice := w.call(string(day)+" 12:00:00", 2) // two links in one call
		twice.recorded[1].id, twice.recorded[1].file = twice.recorded[0].id, twice.recorded[0].file
		config := all(spanOf(day, w.ago(4)), func(c *Config) { c.Relist = true })
		n := w.try(trial{config: config})
		if n.err != nil || n.Archived != 5 || n.DaysClosed != 2 {
			t.Errorf("%v, %d archived, open days %+v", n.err, n.Archived, n.OpenDays)
		}
		if d := w.day(day); d.Count() != 4 {
			t.Errorf("%d recordings", d.Count())
		}
		w.mustBeWhole(w.ago(4))
		keys := map[string]bool{}
		for _, s := range w.day(day).Recordings() {
			keys[s.Key] = true
		}
		if len(keys) != 4 {
			t.Errorf("%d keys", len(keys))
		}
		if n = w.try(trial{config: config}); n.asked > 0 || n.Known != 5 {
			t.Errorf("again: %d requests, %d known", n.asked, n.Known)
		}
	})
}

// TestCallsInProgress skips a call in progress while its day may change, and waits for its
// recording when the day has settled.
func TestCallsInProgress(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		for _, day := range []fetcher.Date{w.ago(5), w.ago(1)} {
			w.recordedCalls(day, 1)
			c := w.call(string(day)+" 12:00:00", 1)
			c.cutLength, c.recorded[0].link = true, time.Now().Add(oneDay)
		}
		n := w.try(trial{config: spanOf(w.ago(5), w.ago(5))})
		if n.Recordings != 2 || n.Pending != 1 || n.Archived != 1 || len(n.OpenDays) != 1 || n.OpenDays[0].Waiting != 1 {
			t.Errorf("settled: %d recordings, %d pending, open days %+v", n.Recordings, n.Pending, n.OpenDays)
		}
		n = w.try(trial{config: spanOf(w.ago(1), w.ago(1))})
		if n.Recordings != 1 || n.Pending != 0 || n.Archived != 1 || n.OpenDays[0].Waiting != 0 || n.Incomplete(true) {
			t.Errorf("not settled: %d recordings, %d pending, open days %+v", n.Recordings, n.Pending, n.OpenDays)
		}
	})
}

// TestToday ends the listing of today five minutes before now, and sends no request for a day that
// began a moment ago.
func TestToday(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) { // at 02:00
		today := w.ago(0)
		w.call(string(today)+" 01:00:00", 1)
		w.call(string(today)+" 01:57:00", 1)
		n := w.try(trial{config: spanOf(today, today)})
		if n.Archived != 1 || len(n.OpenDays) != 1 || n.OpenDays[0].Settled || n.incomplete() {
			t.Errorf("%d archived, open days %+v", n.Archived, n.OpenDays)
		}
		if end := w.day(today).Windows()[0].To; end != string(today)+" 01:55:00" {
			t.Errorf("asked for until %s", end)
		}
		time.Sleep(22*time.Hour + 3*time.Minute)
		today = w.ago(0)
		n = w.try(trial{config: spanOf(today, today)})
		if n.listings > 0 || len(n.OpenDays) != 1 || n.OpenDays[0].Settled || n.incomplete() {
			t.Errorf("%d requests, open days %+v", n.listings, n.OpenDays)
		}
	})
}

// TestNoRoomForAMoment retries a recording for whose body there was no space.
func TestNoRoomForAMoment(t *testing.T) {
	busy := busyStore(t)
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		w.recordedCalls(day, 2)
		w.recordedCalls(w.ago(4), 1)
		large := frames(1000)
		n := w.try(trial{vendor: w.deliversSame(large), config: all(spanOf(day, w.ago(4)), func(c *Config) { c.Order = Ascending }), store: func(s Store) Store {
			cramped := &crampedStore{Store: s, err: busy}
			cramped.times.Store(4)
			return cramped
		}})
		if n.err != nil || n.Archived != 3 || len(n.OpenDays) > 0 {
			t.Errorf("%v, %d archived, open days %+v", n.err, n.Archived, n.OpenDays)
		}
	})
}

// crampedStore has no space for parts, for the given number of times.
type crampedStore struct {
	Store
	err   error
	times atomic.Int64
}

func (s *crampedStore) NewPart() (*store.Part, error) {
	if s.times.Add(-1) >= 0 {
		return nil, s.err
	}
	return s.Store.NewPart()
}

// prepare makes a run over the vendor that does not start by itself; end stops it and closes
// everything.
func (w *world) prepare(t *testing.T, vendor *hooked) (r *run, end func()) {
	t.Helper()
	client := w.client(vendor, time.Minute)
	opened, err := Open(t.Context(), Location{Folder: w.dir}, Archive, "", w.log())
	if err != nil {
		t.Fatal(err)
	}
	a := &Archiver{Source: client, Store: opened.Store, Ledger: opened.Ledger, Keys: w.keys(""), Logger: w.log()}
	a.Config = Config{Run: opened.Ledger.Run(), Zone: w.zone, Settle: 2 * oneDay, PurgeAfter: 155 * oneDay, Calls: RecordedCalls, RetryFor: time.Minute}
	r = a.prepare(t.Context())
	return r, func() {
		r.kill()
		_ = opened.Close(context.Background())
		client.Close()
	}
}

// TestQueuedJobsHoldNoPage queues one recording of each of many large pages.
func TestQueuedJobsHoldNoPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pages, rows, pad = 20, 500, 800 // 8 MB
		w := newWorld(t)
		time.Sleep(200 * oneDay)
		day := w.ago(5)
		for i := range pages * rows {
			w.call(fmt.Sprintf("%s %02d:%02d:%02d", day, i/3600, i/60%60, i%60), map[bool]int{true: 1}[i%rows == 7])
		}
		padding := strings.Repeat("x", pad)
		vendor := &hooked{world: w, page: func(r *http.Request) *http.Response {
			answer, err := w.RoundTrip(r)
			if err != nil {
				return nil
			}
			var page struct {
				Success bool           `json:"success"`
				Data    map[string]any `json:"data"`
			}
			_ = json.NewDecoder(answer.Body).Decode(&page)
			for _, row := range page.Data["results"].([]any) {
				row.(map[string]any)["agent_comment"] = padding
			}
			body, _ := json.Marshal(page)
			return answered(http.StatusOK, body)
		}}
		r, end := w.prepare(t, vendor)
		defer end()
		ended := make(chan error, 1)
		before := heapInUse()
		go func() {
			ended <- r.workDay(plannedDay{date: day, span: day.Window(), whole: true}, dayStatus{Status: manifest.Status{Day: string(day)}})
		}()
		synctest.Wait()
		if n := r.queue.waiting(); n != pages {
			t.Fatalf("%d recordings are queued", n)
		}
		var jobs []*job
		for range pages {
			j, _ := r.queue.take()
			jobs = append(jobs, j)
		}
		if held := heapInUse() - before; held > 4<<20 {
			t.Errorf("%d queued recordings hold %d KB", pages, held>>10)
		}
		for _, j := range jobs {
			j.day.repay(true)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // the first collection may not have finished sweeping
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
