package archiver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

var errSignal = errors.New("a signal")

// stops returns a context that is cancelled after a time, like by a signal.
func stops(after time.Duration) context.Context {
	ctx, stop := context.WithCancelCause(context.Background())
	time.AfterFunc(after, func() { stop(errSignal) })
	return ctx
}

// mustTellAllDays fails unless each requested day is reported exactly once.
func (n *night) mustTellAllDays(t *testing.T) {
	t.Helper()
	told := n.DaysClosed + n.DaysSkipped + n.DaysWhole + len(n.OpenDays) + n.DaysNotBegun
	if told != n.DaysAsked {
		t.Errorf("%d days asked for: %d closed, %d skipped, %d whole, %d open, %d not begun", n.DaysAsked, n.DaysClosed,
			n.DaysSkipped, n.DaysWhole, len(n.OpenDays), n.DaysNotBegun)
	}
	seen := map[string]bool{}
	for _, open := range n.OpenDays {
		if seen[open.Day] || len(open.Reasons) == 0 {
			t.Errorf("told twice, or without a reason: %+v", open)
		}
		seen[open.Day] = true
	}
}

// slowly answers a request for audio after a delay, unless the request ends first.
func (w *world) slowly(after time.Duration) *hooked {
	return &hooked{world: w, audio: func(r *http.Request, _ string) (*http.Response, error) {
		select {
		case <-time.After(after):
			return nil, nil
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}}
}

// TestStop stops a run at various moments: it starts nothing new, gives downloads in flight their
// grace, writes no partial results, reports every day, and the next run does the rest.
func TestStop(t *testing.T) {
	busy := busyStore(t)
	for name, test := range map[string]struct {
		trial   trial
		vendor  func(w *world) http.RoundTripper
		trouble string
		after   time.Duration
		takes   time.Duration // maximum, from the stop on
		store   func(Store) Store
	}{
		"before it begins": {after: -1},
		"while days are listed": {after: 3 * time.Second, vendor: func(w *world) http.RoundTripper {
			return &hooked{world: w, page: func(*http.Request) *http.Response { time.Sleep(2 * time.Second); return nil }}
		}, takes: 2 * time.Second},
		"what is in flight ends within the grace": {after: 10 * time.Second, takes: 20 * time.Second,
			vendor: func(w *world) http.RoundTripper { return w.slowly(15 * time.Second) }},
		"what is in flight does not end": {after: 10 * time.Second, takes: 20 * time.Second,
			vendor: func(w *world) http.RoundTripper { return w.slowly(time.Hour) }},
		"in the middle of bodies": {after: 10 * time.Second, takes: 20 * time.Second, vendor: func(w *world) http.RoundTripper {
			return &hooked{world: w, audio: func(r *http.Request, _ string) (*http.Response, error) {
				answer := answered(http.StatusOK, frames(4))
				answer.Body = io.NopCloser(io.MultiReader(bytes.NewReader(frames(1)), waitFor{r}))
				return answer, nil
			}}
		}},
		"while bodies are stored": {after: 15 * time.Second, takes: 20 * time.Second, store: func(s Store) Store { return slowStore{s} }},
		"while the store is waited for": {after: 5 * time.Minute, takes: time.Second, store: func(s Store) Store {
			return failingStore{Store: s, err: busy}
		}},
		"while the media host is waited for": {after: 5 * time.Minute, takes: time.Second, trouble: "media down"},
		"while the API is waited for":        {after: 5 * time.Minute, takes: time.Second, trouble: "api down"},
		"while the media host asks to wait": {after: 5 * time.Minute, takes: time.Second, vendor: func(w *world) http.RoundTripper {
			return &hooked{world: w, audio: func(*http.Request, string) (*http.Response, error) {
				return answered(http.StatusTooManyRequests, nil, "Retry-After", "3000"), nil
			}}
		}},
		"while recordings wait for their next attempt": {after: 300 * time.Millisecond, takes: time.Second, trouble: "media 500"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				const days, each = 8, 12
				first := w.ago(days + 2)
				for i := range days {
					w.recordedCalls(first.AddDays(i), each)
				}
				if test.trouble != "" {
					w.trouble(test.trouble, 20*time.Minute, 0)
				}
				o := trial{config: all(spanOf(first, first.AddDays(days-1)), func(c *Config) { c.Order = Ascending })}
				rest := o
				o.store, o.ctx = test.store, stops(test.after)
				if test.vendor != nil {
					o.vendor = test.vendor(w)
				}
				began := time.Now()
				n := w.try(o)
				if took := time.Since(began) - max(test.after, 0); took > test.takes+100*time.Millisecond {
					t.Errorf("it ended %v after the stop", took)
				}
				if !errors.Is(n.err, errSignal) || !strings.Contains(n.Stopped, errSignal.Error()) || !n.incomplete() {
					t.Errorf("ended with %v, stopped by %q, incomplete %v", n.err, n.Stopped, n.incomplete())
				}
				n.mustTellAllDays(t)
				noted := 0
				for i := range days {
					d := w.day(first.AddDays(i))
					if len(d.Windows()) > 0 && d.Count() < each {
						t.Errorf("%s has a window line and %d recordings of %d", d.Name(), d.Count(), each)
					}
					for id, s := range d.Recordings() {
						if s.Outcome != manifest.Archived && s.Final {
							t.Errorf("recording %s: %s", id, told(s))
						}
						if s.Outcome == manifest.Archived {
							noted++
						}
					}
					w.mustBeWhole(first.AddDays(i))
				}
				if noted != n.Archived {
					t.Errorf("%d archived, %d noted", n.Archived, noted)
				}
				if strings.Contains(strings.Join(w.files(), " "), ".part") {
					t.Errorf("part files are left: %q", w.files())
				}
				time.Sleep(20 * time.Minute)
				n = w.try(rest)
				if n.err != nil || n.Archived != days*each-noted || len(n.OpenDays) > 0 {
					t.Errorf("the next run: %v, %d archived of %d, open days %+v", n.err, n.Archived, days*each-noted, n.OpenDays)
				}
			})
		})
	}
}

// failingStore fails every write.
type failingStore struct {
	Store
	err error
}

func (s failingStore) Put(context.Context, store.Object) (store.Info, error) {
	return store.Info{}, s.err
}

// TestStopKeepsWhatIsDone archives downloads that end within the grace.
func TestStopKeepsWhatIsDone(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		w.recordedCalls(day, 10)
		began := time.Now()
		n := w.try(trial{vendor: w.slowly(15 * time.Second), ctx: stops(10 * time.Second), config: spanOf(day, day)})
		if n.Archived != 4 || time.Since(began) != 15*time.Second { // one per worker
			t.Errorf("%d archived after %v", n.Archived, time.Since(began))
		}
		if n.asked != 4 {
			t.Errorf("%d requests", n.asked)
		}
	})
}

// TestMaxRecordings stops a run within a day and between days.
func TestMaxRecordings(t *testing.T) {
	for name, test := range map[string]struct{ limit, workers, archived int }{
		"one worker":       {3, 1, 3},
		"many workers":     {3, 16, 3},
		"as many as exist": {48, 4, 48},
		"more than exist":  {49, 4, 48},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				const days = 12
				first := w.ago(days + 2)
				for i := range days {
					w.recordedCalls(first.AddDays(i), 4)
				}
				span := spanOf(first, first.AddDays(days-1))
				n := w.try(trial{config: all(span, func(c *Config) { c.MaxRecordings, c.Workers = test.limit, test.workers })})
				isStopped := test.archived < 4*days
				if n.err != nil || n.Archived != test.archived || (n.Stopped == "max-recordings") != isStopped || n.incomplete() != isStopped {
					t.Errorf("%v: %d archived, stopped by %q, incomplete %v", n.err, n.Archived, n.Stopped, n.incomplete())
				}
				n.mustTellAllDays(t)
				if n.asked != test.archived {
					t.Errorf("%d requests", n.asked)
				}
				for i := range days {
					if d := w.day(first.AddDays(i)); d.Count() < 4 && (len(d.Windows()) > 0 || len(d.Lines()) > 0) {
						t.Errorf("%s has a window or a day line, and recordings without a line", d.Name())
					}
				}
				n = w.try(trial{config: span})
				if n.err != nil || n.Archived != 4*days-test.archived || len(n.OpenDays) > 0 {
					t.Errorf("the next run archived %d: %v, open days %+v", n.Archived, n.err, n.OpenDays)
				}
			})
		})
	}
}

// TestDryRun lists and counts without writing, for an existing and a missing archive.
func TestDryRun(t *testing.T) {
	for name, prepare := range map[string]func(*world, fetcher.Date){
		"a new archive": func(*world, fetcher.Date) {},
		"an archive": func(w *world, day fetcher.Date) {
			w.try(trial{config: all(spanOf(day, day.AddDays(1)), func(c *Config) { c.MaxRecordings = 2 })})
		},
		"an archive with a torn line": func(w *world, day fetcher.Date) {
			w.try(trial{config: all(spanOf(day, day.AddDays(1)), func(c *Config) { c.MaxRecordings = 2 })})
			w.put("manifest/"+string(day)+"/19990101T000000Z-00000000-000001.jsonl", []byte("{\"v\":1,"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(6)
				w.recordedCalls(day, 5)
				w.recordedCalls(day.AddDays(1), 3)[0].link = time.Now().Add(time.Hour)
				prepare(w, day)
				before := w.contents()
				n := w.try(trial{access: DryRun, config: all(spanOf(day, day.AddDays(1)), func(c *Config) { c.DryRun = true })})
				after := w.contents()
				if n.err != nil || n.incomplete() || n.Recordings != 8 || n.ToFetch+n.Known+n.Pending != 8 || n.Pending != 1 || n.Archived > 0 || n.asked > 0 {
					t.Errorf("%v: %d recordings, %d to fetch, %d known, %d pending, %d archived, %d requests, open days %+v",
						n.err, n.Recordings, n.ToFetch, n.Known, n.Pending, n.Archived, n.asked, n.OpenDays)
				}
				if n.EstimatedBytes != int64(n.ToFetch)*bytesPerSecond {
					t.Errorf("%d bytes estimated", n.EstimatedBytes)
				}
				if !slices.Equal(before, after) {
					t.Errorf("there were %q, there are %q", before, after)
				}
			})
		})
	}
}

// contents returns the files of the archive with their contents.
func (w *world) contents() (all []string) {
	for _, name := range w.files() {
		all = append(all, name+": "+w.read(name))
	}
	return all
}

// TestDryRunTellsOfTrouble reports days that could not be counted; calls of other days do not
// change the exit code.
func TestDryRunTellsOfTrouble(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(w *world, day fetcher.Date) http.RoundTripper
		open  int
	}{
		"calls of other days": {func(w *world, day fetcher.Date) http.RoundTripper {
			w.call(string(day)+" 23:58:00", 1)
			w.call(string(day.AddDays(2))+" 00:01:00", 1)
			w.trouble("strays", time.Hour, 5)
			return w
		}, 0},
		"a manifest that cannot be read": {func(w *world, day fetcher.Date) http.RoundTripper {
			w.put("manifest/"+string(day)+"/19990101T000000Z-00000000-000001.jsonl", []byte("{\n{}\n"))
			return w
		}, 1},
		"an answer that cannot be understood": {func(w *world, day fetcher.Date) http.RoundTripper {
			return &hooked{world: w, page: func(r *http.Request) *http.Response {
				if r.URL.Query().Get("end_time") == day.Window().To.Format(fetcher.WallLayout) {
					return answered(http.StatusOK, []byte(`{"success":false,"text":"Database error"}`))
				}
				return nil
			}}
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(6)
				w.recordedCalls(day, 5)
				w.recordedCalls(day.AddDays(1), 3)
				n := w.try(trial{vendor: test.spoil(w, day), access: DryRun, config: all(spanOf(day, day.AddDays(1)), func(c *Config) { c.DryRun = true })})
				if n.err != nil || len(n.OpenDays) != test.open || n.incomplete() != (test.open > 0) {
					t.Errorf("%v, open days %+v", n.err, n.OpenDays)
				}
			})
		})
	}
}
