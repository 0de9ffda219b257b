package archiver

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// TestPendingDaysAreBounded checks when the days that wait for further facts are judged together:
// after many recordings, or rows of other days, and after an hour.
func TestPendingDaysAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger, err := manifest.OpenBucket(newBucket(), manifest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		dayOf := func(date fetcher.Date, recordings, strays int) *day {
			d, err := ledger.Load(t.Context(), string(date))
			if err != nil {
				t.Fatal(err)
			}
			var lines []manifest.Recording
			for i := range recordings {
				lines = append(lines, manifest.Recording{RecordingID: fmt.Sprint(i), Outcome: manifest.Pending})
			}
			if err := d.Note(t.Context(), lines...); err != nil {
				t.Fatal(err)
			}
			return &day{date: date, ledger: d, strays: strays}
		}
		var p pendingDays
		if p.due(maxPendingTime) {
			t.Error("nothing waits, and it is due")
		}
		p.add(dayOf("2025-05-01", 9000, 0))
		if p.due(maxPendingTime) {
			t.Error("due too early")
		}
		p.add(dayOf("2025-05-02", 2000, 0))
		if !p.due(maxPendingTime) {
			t.Error("11,000 recordings wait, and it is not due")
		}
		p = pendingDays{}
		p.add(dayOf("2025-05-03", 0, 11_000))
		if !p.due(maxPendingTime) {
			t.Error("11,000 rows of other days wait, and it is not due")
		}
		p = pendingDays{}
		for i := range maxPendingDays {
			if p.due(maxPendingTime) {
				t.Errorf("due after %d empty days", i)
			}
			p.add(dayOf(fetcher.Date("2025-06-01").AddDays(i), 0, 0))
		}
		if !p.due(maxPendingTime) {
			t.Errorf("%d empty days wait, and it is not due", maxPendingDays)
		}
		p = pendingDays{}
		p.add(dayOf("2025-05-04", 1, 0))
		time.Sleep(maxPendingTime)
		if p.due(maxPendingTime) {
			t.Error("due after an hour, not later")
		}
		time.Sleep(time.Second)
		if !p.due(maxPendingTime) {
			t.Error("not due after an hour")
		}
		p = pendingDays{}
		p.add(dayOf("2025-05-04", 1, 0))
		time.Sleep(time.Minute)
		if p.due(time.Minute) || !p.due(time.Minute-1) {
			t.Error("not due when a day has waited for longer than the run will last")
		}
		if p.of("2025-05-04") == nil || p.of("2025-05-05") != nil {
			t.Error("a day that waits is not found, or another one is")
		}
	})
}

// TestShortRuns makes a run of a minute each night over more days without calls than a minute can list. Each
// run proves some days empty. It does not leave all of them to the end of the run, which it never reaches.
func TestShortRuns(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		const days, nights = 250, 8
		first, last := w.ago(days+5), w.ago(6)
		w.recordedCalls(last, 3)
		vendor := &hooked{world: w, page: func(*http.Request) *http.Response {
			time.Sleep(time.Second)
			return nil
		}}
		var closed []int
		for range nights {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			n := w.try(trial{ctx: ctx, vendor: vendor, config: spanOf(first, last)})
			cancel()
			closed = append(closed, n.DaysClosed)
			time.Sleep(oneDay)
		}
		if n := w.try(trial{config: spanOf(first, last)}); n.err != nil || n.DaysSkipped != days {
			t.Errorf("%v: %d of %d days are closed, by night: %v", n.err, n.DaysSkipped, days, closed)
		}
	})
}

// TestTotalServesManyDays: the days without calls between two days with calls close by the total of one request.
func TestTotalServesManyDays(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const days = 60
		first, last := w.ago(days+5), w.ago(6)
		w.recordedCalls(first, 3)
		w.recordedCalls(last, 3)
		n := w.try(trial{config: spanOf(first, last)})
		if n.err != nil || n.DaysClosed != days {
			t.Errorf("%v: %d of %d days are closed", n.err, n.DaysClosed, days)
		}
		if pages := 2 + days + 1; n.listings > pages { // a second page of the days with calls, and the total
			t.Errorf("%d requests for pages, want at most %d", n.listings, pages)
		}
	})
}

// TestPendingDaysInALongRun has a missing recording on the oldest day, and a run that continues for
// hours: the verdict does not wait for the end of the run.
func TestPendingDaysInALongRun(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		const days = 12
		first := w.ago(days + 5)
		w.recordedCalls(first, 2)[0].broken = true
		w.try(trial{config: spanOf(first, first)})
		time.Sleep(25 * time.Hour)
		for i := range days {
			w.recordedCalls(first.AddDays(1+i), 4)
		}
		closed := time.Duration(0)
		began := time.Now()
		vendor := &hooked{world: w, page: func(*http.Request) *http.Response {
			w.mu.Lock()
			defer w.mu.Unlock()
			if closed == 0 && w.isClosedNow(first) {
				closed = time.Since(began)
			}
			return nil
		}, audio: w.slowly(30 * time.Minute).audio}
		n := w.try(trial{vendor: vendor, config: all(spanOf(first, first.AddDays(days)), func(c *Config) { c.Order = Ascending })})
		if n.err != nil || n.Lost != 1 || n.DaysClosed != days+1 {
			t.Errorf("%v, %d lost, %d closed, open days %+v", n.err, n.Lost, n.DaysClosed, n.OpenDays)
		}
		if took := time.Since(began); closed == 0 || closed > 5*time.Hour || took < 6*time.Hour {
			t.Errorf("judged after %v of %v", closed, took)
		}
		n.mustTellAllDays(t)
	})
}

// isClosedNow checks for a day line during a run.
func (w *world) isClosedNow(date fetcher.Date) bool {
	return slices.ContainsFunc(w.files(), func(name string) bool {
		return strings.Contains(name, string(date)) && strings.HasSuffix(name, "closed.json")
	})
}

// TestIncomplete: exit code 0 means that nothing is left to do, so exactly the unfinished work must
// show here.
func TestIncomplete(t *testing.T) {
	settled, unsettled := OpenDay{Settled: true}, OpenDay{Waiting: 3}
	for name, test := range map[string]struct {
		summary         Summary
		plain, strictly bool
	}{
		"all is well":                        {Summary{Archived: 5, DaysClosed: 1, Known: 2}, false, false},
		"a settled day is open":              {Summary{OpenDays: []OpenDay{settled}}, true, true},
		"a settled day of an empty account":  {Summary{OpenDays: []OpenDay{{Settled: true, Excused: true}}}, false, false},
		"waits in a day not settled":         {Summary{OpenDays: []OpenDay{unsettled}, Pending: 3}, false, true},
		"a day not settled":                  {Summary{OpenDays: []OpenDay{{}}}, false, false},
		"the last of several days":           {Summary{OpenDays: []OpenDay{{}, unsettled, settled}}, true, true},
		"a manifest that cannot be read":     {Summary{OpenDays: []OpenDay{{Unreadable: true}}}, true, true},
		"one lost":                           {Summary{Archived: 5, Lost: 1, DaysClosed: 1}, true, true},
		"one given up":                       {Summary{Archived: 5, GivenUp: 1, DaysClosed: 1}, true, true},
		"closed against the API's own total": {Summary{DaysClosed: 1, DaysUncounted: 1}, true, true},
		"stopped by a limit":                 {Summary{Archived: 5, Stopped: "max-recordings"}, true, true},
		"clocks apart, a day open":           {Summary{ClocksApart: true, OpenDays: []OpenDay{{}}}, true, true},
		"clocks apart, nothing to close":     {Summary{ClocksApart: true}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.summary.Incomplete(false); got != test.plain {
				t.Errorf("incomplete: %v", got)
			}
			if got := test.summary.Incomplete(true); got != test.strictly {
				t.Errorf("strictly incomplete: %v", got)
			}
		})
	}
}

// TestProgress polls Progress before, during and after a run.
func TestProgress(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		first := w.ago(7)
		for i := range 3 {
			w.recordedCalls(first.AddDays(i), 20)
		}
		var a *Archiver
		seen := map[string]bool{}
		most := 0
		vendor := w.slowly(10 * time.Second)
		slow := vendor.audio
		vendor.audio = func(r *http.Request, token string) (*http.Response, error) {
			p := a.Progress()
			w.mu.Lock()
			seen[p.Day] = true
			most = max(most, p.InFlight)
			w.mu.Unlock()
			if p.InFlight < 1 || p.DaysAsked != 3 || p.DaysLeft < 1 || p.InFlight+p.Queued > 60 {
				t.Errorf("%+v", p)
			}
			return slow(r, token)
		}
		n := w.try(trial{vendor: vendor, config: all(spanOf(first, first.AddDays(2)), func(c *Config) { c.Order = Ascending }), begin: func(begun *Archiver) {
			a = begun
			if p := a.Progress(); p.DaysAsked != 0 || p.InFlight != 0 {
				t.Errorf("before it: %+v", p)
			}
			if s := a.Summary(); s.OpenDays == nil || s.Warnings == nil {
				t.Error("before it, a list is no list in JSON")
			}
		}})
		p := a.Progress()
		if p.InFlight != 0 || p.Queued != 0 || p.DaysLeft != 0 || p.Day != "" || p.Received != n.Bytes || p.Archived != 60 {
			t.Errorf("after it: %+v", p)
		}
		if most != 4 || !seen[string(first)] {
			t.Errorf("up to %d in flight, days %v", most, seen)
		}
		if text, err := json.Marshal(n.Summary); err != nil || !strings.Contains(string(text), `"open_days":[]`) || !strings.Contains(string(text), `"warnings":[]`) {
			t.Errorf("%s: %v", text, err)
		}
	})
}

// TestCallRows keeps every row without links, or only rows with recordings; no row is noted twice.
func TestCallRows(t *testing.T) {
	for kept, want := range map[CallRows]int{AllCalls: 5, RecordedCalls: 3} {
		t.Run(string(kept), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(5)
				w.recordedCalls(day, 3)
				w.call(string(day)+" 12:00:00", 0)
				w.call(string(day)+" 13:00:00", 0)
				o := trial{config: all(spanOf(day, day), func(c *Config) { c.Calls, c.Relist = kept, true })}
				for range 2 {
					w.try(o)
					rows := w.callsOf(day)
					if got := strings.Count(rows, `"kind":"call"`); got != want {
						t.Errorf("%d rows", got)
					}
					if strings.Contains(rows, "media.test") || strings.Contains(rows, "rlt=") || strings.Contains(rows, "JTdC") {
						t.Errorf("a link is kept: %s", rows)
					}
					time.Sleep(25 * time.Hour) // and the links change
				}
				line := w.day(day).Lines()[0]
				if slices.Contains(line.Kept, "calls") != (kept == AllCalls) || line.Calls != 5 {
					t.Errorf("%+v", line)
				}
			})
		})
	}
}

// TestNothingWithoutAnID archives calls and recordings whose rows have no id, or an id that is not
// valid in a line, and one with valid ids; another listing, with other links, finds nothing new.
func TestNothingWithoutAnID(t *testing.T) {
	for name, id := range map[string]string{
		"empty": `""`, "null": `null`, "not UTF-8": "{\"a\":\"\xff\"}", "too long": `"` + strings.Repeat("9", 70_000) + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(5)
				r := w.recordedCalls(day, 3)
				r[2].id = "BADID"
				w.calls[0].id, w.calls[2].id = "BADID", "BADID"
				w.recordedCalls(w.ago(4), 1)
				vendor := &hooked{world: w, page: func(request *http.Request) *http.Response {
					answer, err := w.RoundTrip(request)
					if err != nil {
						return nil
					}
					var body strings.Builder
					_ = answer.Write(&body)
					_, text, _ := strings.Cut(body.String(), "\r\n\r\n")
					return answered(http.StatusOK, []byte(strings.ReplaceAll(text, `"BADID"`, id)), "Date", answer.Header.Get("Date"))
				}}
				o := trial{vendor: vendor, config: all(spanOf(day, w.ago(4)), func(c *Config) { c.Relist = true })}
				n := w.try(o)
				if n.err != nil || n.Archived != 4 || n.DaysClosed != 2 {
					t.Errorf("%v, %d archived, open days %+v", n.err, n.Archived, n.OpenDays)
				}
				rows := strings.Count(w.callsOf(day), `"kind":"call"`)
				time.Sleep(25 * time.Hour)
				n = w.try(o)
				if n.err != nil || n.Archived != 0 || n.Known != 4 || n.asked > 0 || n.DaysClosed != 2 {
					t.Errorf("then: %v, %d archived, %d known, open days %+v", n.err, n.Archived, n.Known, n.OpenDays)
				}
				if again := strings.Count(w.callsOf(day), `"kind":"call"`); rows != 3 || again != rows {
					t.Errorf("%d rows, then %d", rows, again)
				}
				if d := w.day(day); d.Count() != 3 {
					t.Errorf("%d recordings", d.Count())
				}
			})
		})
	}
}

// TestRunIsSafeInARace runs with many workers over many days in parallel, for the race detector.
func TestRunIsSafeInARace(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		const days, each = 8, 20
		first := w.ago(days + 2)
		for i := range days {
			w.recordedCalls(first.AddDays(i), each)
		}
		ctx, cancel := context.WithCancel(context.Background())
		n := w.try(trial{vendor: w.slowly(5 * time.Millisecond), config: all(spanOf(first, first.AddDays(days-1)), func(c *Config) { c.Workers = 32 }), begin: func(a *Archiver) {
			go func() {
				for ctx.Err() == nil {
					_, _ = a.Progress(), a.Summary()
					time.Sleep(time.Millisecond)
				}
			}()
		}})
		cancel()
		time.Sleep(time.Second)
		if n.err != nil || n.Archived != days*each || len(n.OpenDays) > 0 {
			t.Errorf("%v, %d archived, open days %+v", n.err, n.Archived, n.OpenDays)
		}
	})
}
