package archiver

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// answers returns a vendor that answers matching requests for audio with a status; a nil fits
// matches all.
func (w *world) answers(code int, fits func(token string) bool, header ...string) *hooked {
	return &hooked{world: w, audio: func(_ *http.Request, token string) (*http.Response, error) {
		if fits != nil && !fits(token) {
			return nil, nil
		}
		return answered(code, []byte("no"), header...), nil
	}}
}

// TestSilentHost has an unreachable media host: the run probes it with one recording every 30
// seconds, and ends after --retry-for. Nothing is noted.
func TestSilentHost(t *testing.T) {
	for name, test := range map[string]struct {
		lasts, retryFor time.Duration
		ends            time.Duration // of the run, at most; 0: it does not fail
		requests        int           // while it is down, at most
	}{
		"for some minutes":      {8 * time.Minute, 10 * time.Minute, 0, 4 + 17},
		"for too long":          {time.Hour, 10 * time.Minute, 11 * time.Minute, 4 + 21},
		"for a moment, at once": {time.Hour, 0, time.Second, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(5)
				w.recordedCalls(day, 50)
				w.trouble("media down", test.lasts, 0)
				began := time.Now()
				down := 0
				vendor := &hooked{world: w, audio: func(*http.Request, string) (*http.Response, error) {
					w.mu.Lock()
					defer w.mu.Unlock()
					if w.has("media down") {
						down++
					}
					return nil, nil
				}}
				n := w.try(trial{vendor: vendor, config: all(spanOf(day, day), func(c *Config) { c.RetryFor = test.retryFor })})
				if failed := test.ends > 0; errors.Is(n.err, ErrSilent) != failed || !failed && n.err != nil {
					t.Errorf("the run ended with %v", n.err)
				}
				if down > test.requests {
					t.Errorf("%d requests while it is down", down)
				}
				n.mustTellAllDays(t)
				if test.ends == 0 {
					w.mustClose(day, 50)
					return
				}
				if took := time.Since(began); took > test.ends {
					t.Errorf("it ended after %v", took)
				}
				if d := w.day(day); d.Count() > 0 || len(d.Windows()) > 0 || n.Failed > 0 {
					t.Errorf("%d recordings noted, %d windows, %d failed", d.Count(), len(d.Windows()), n.Failed)
				}
			})
		})
	}
}

// TestOneHostOfTwoIsSilent continues with the other host.
func TestOneHostOfTwoIsSilent(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		w.recordedCalls(day, 40)
		var last atomic.Int64
		began := time.Now()
		vendor := &hooked{world: w, page: func(r *http.Request) *http.Response {
			answer, err := w.RoundTrip(r)
			if err != nil {
				return nil
			}
			body, _ := io.ReadAll(answer.Body)
			parts := strings.SplitAfter(string(body), "media.test") // every second link
			for i := 0; i < len(parts); i += 2 {
				parts[i] = strings.Replace(parts[i], "media.test", "other.test", 1)
			}
			return answered(http.StatusOK, []byte(strings.Join(parts, "")), "Date", answer.Header.Get("Date"))
		}, audio: func(r *http.Request, _ string) (*http.Response, error) {
			if r.URL.Host == "other.test" {
				return nil, errRefused()
			}
			last.Store(int64(time.Since(began)))
			return nil, nil
		}}
		n := w.try(trial{vendor: vendor, config: spanOf(day, day)})
		if !errors.Is(n.err, ErrSilent) || n.Archived != 20 {
			t.Errorf("%v, %d archived", n.err, n.Archived)
		}
		if took := time.Duration(last.Load()); took > 10*time.Second {
			t.Errorf("the other host's last recording came after %v", took)
		}
	})
}

// badDays adds days with 60 unavailable recordings each, and good days with five around them. It
// returns the first day and the bad days.
func (w *world) badDays(n int) (first fetcher.Date, bad []fetcher.Date, broken map[string]bool) {
	broken = map[string]bool{}
	first = w.ago(4*n + 3)
	for i := range 4 * n {
		day := first.AddDays(i)
		if i%4 != 0 {
			w.recordedCalls(day, 5)
			continue
		}
		bad = append(bad, day)
		for _, r := range w.recordedCalls(day, 60) {
			broken[r.token] = true
		}
	}
	return first, bad, broken
}

// TestOutageOfADay has days with only refused recordings among good days: they are set aside and
// the others continue. The run does not end, because they are not consecutive.
func TestOutageOfADay(t *testing.T) {
	for name, code := range map[string]int{"not found": 404, "denied": 403, "denied as well": 401} {
		for _, count := range []int{1, 5} {
			t.Run(fmt.Sprint(name, ", ", count), func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, w *world) {
					first, bad, broken := w.badDays(count)
					// Nothing is available a second time, nor the newest recording, so no witness helps.
					for _, r := range w.recordedCalls(w.ago(1), 9) {
						broken[r.token] = true
					}
					asked := map[string]bool{}
					vendor := &hooked{world: w, audio: func(_ *http.Request, token string) (*http.Response, error) {
						if !broken[token] {
							time.Sleep(5 * time.Second) // so that the days in work are listed first
						}
						w.mu.Lock()
						defer w.mu.Unlock()
						if again := asked[token]; again || broken[token] {
							return answered(code, []byte("no")), nil
						}
						asked[token] = true
						return nil, nil
					}}
					span := spanOf(first, bad[count-1].AddDays(3))
					n := w.try(trial{vendor: vendor, config: all(span, func(c *Config) { c.Order, c.GiveUp, c.Workers = Ascending, 0, 1 })})
					if n.err != nil || n.Archived != 15*count || n.Lost+n.GivenUp > 0 {
						t.Errorf("%v, %d archived, %d lost, %d given up", n.err, n.Archived, n.Lost, n.GivenUp)
					}
					n.mustTellAllDays(t)
					if len(n.OpenDays) != count {
						t.Errorf("open days %+v", n.OpenDays)
					}
					aside := 0
					for _, day := range bad {
						if !strings.Contains(fmt.Sprint(reasonsOf(n, day)), "skipped in this run") {
							continue // good audio of another day arrived at that moment
						}
						aside++
						if d := w.day(day); len(d.Windows()) > 0 || d.Count() >= 60 {
							t.Errorf("%s has %d window lines and %d recordings", day, len(d.Windows()), d.Count())
						}
					}
					if aside < (count+1)/2 {
						t.Errorf("%d days of %d were set aside", aside, count)
					}
					time.Sleep(time.Hour)
					if n = w.try(trial{config: span}); n.err != nil || n.Archived != 60*count || len(n.OpenDays) > 0 {
						t.Errorf("then: %v, %d archived, open days %+v", n.err, n.Archived, n.OpenDays)
					}
				})
			})
		}
	}
}

// TestOutageOfAHost has a host that refuses everything: the run ends after three days, with few
// requests and without writing anything off.
func TestOutageOfAHost(t *testing.T) {
	for name, answer := range map[string]sent{
		"not found":              {status: 404, body: []byte("x")},
		"not found by its words": {body: []byte(`{"error":"Recording not found!"}`)},
		"denied":                 {status: 403, body: []byte("x")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				const days, each = 10, 110
				first := w.ago(days + 3)
				for i := range days {
					w.recordedCalls(first.AddDays(i), each)
				}
				vendor := &hooked{world: w}
				requests := 0
				vendor.audio = func(*http.Request, string) (*http.Response, error) {
					w.mu.Lock()
					defer w.mu.Unlock()
					requests++
					return answer.answer()
				}
				span := spanOf(first, first.AddDays(days-1))
				for range 3 { // nights
					requests = 0
					n := w.try(trial{vendor: vendor, config: all(span, func(c *Config) { c.GiveUp = 0 })})
					if !errors.Is(n.err, ErrOutage) || n.Lost+n.GivenUp > 0 || n.DaysClosed > 0 {
						t.Errorf("%v, %d lost, %d given up, %d days closed", n.err, n.Lost, n.GivenUp, n.DaysClosed)
					}
					if requests > 5*2*maxRefused+maxWitnesses { // two more days are in work, and some requests in flight
						t.Errorf("%d requests", requests)
					}
					n.mustTellAllDays(t)
					time.Sleep(25 * time.Hour)
				}
				if n := w.try(trial{config: span}); n.err != nil || n.Archived != days*each || len(n.OpenDays) > 0 {
					t.Errorf("then: %v, %d archived, open days %+v", n.err, n.Archived, n.OpenDays)
				}
			})
		})
	}
}

// TestManyNotFoundAndTheHostIsWell continues with a day with many recordings that are not found,
// once known good audio arrived, and warns about a possible cause.
func TestManyNotFoundAndTheHostIsWell(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(6)
		broken := map[string]bool{}
		for _, r := range w.recordedCalls(day, 3*maxRefused) {
			broken[r.token] = true
		}
		w.recordedCalls(w.ago(1), 1)
		w.recordedCalls(day.AddDays(1), 2)
		span := spanOf(day, day.AddDays(1))
		vendor := w.answers(404, func(token string) bool { return broken[token] })
		n := w.try(trial{vendor: vendor, config: span})
		if n.err != nil || n.Pending != 3*maxRefused || n.Lost > 0 || !strings.Contains(strings.Join(n.Warnings, " "), "--purge-after") {
			t.Errorf("%v, %d pending, %d lost, %q", n.err, n.Pending, n.Lost, n.Warnings)
		}
		if d := w.day(day); len(d.Windows()) != 1 || d.Count() != 3*maxRefused {
			t.Errorf("%d windows, %d recordings", len(d.Windows()), d.Count())
		}
		time.Sleep(25 * time.Hour)
		w.recordedCalls(w.ago(1), 1)
		n = w.try(trial{vendor: vendor, config: span})
		if n.err != nil || n.Lost != 3*maxRefused {
			t.Errorf("%v, %d lost; %+v", n.err, n.Lost, n.OpenDays)
		}
		w.mustClose(day, 0)
	})
}

// TestWitnesses counts the requests for known good audio: one if it serves several days, and at
// most three, each for another recording.
func TestWitnesses(t *testing.T) {
	for name, test := range map[string]struct{ well, days, want int }{
		"one serves several days": {3, 5, 1},
		"the first one is gone":   {2, 5, 2},
		"all are gone":            {0, 5, maxWitnesses},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				// Three archived recordings on separate days; the newest ones are gone first.
				known := map[string]int{}
				gone := map[string]bool{}
				for i := range 3 {
					r := w.recordedCalls(w.ago(4+i), 1)[0]
					known[r.token] = 0
					gone[r.token] = i < 3-test.well
				}
				w.try(trial{config: all(spanOf(w.ago(6), w.ago(4)), func(c *Config) { c.Order, c.Workers = Descending, 1 })})
				for i := range test.days {
					w.recordedCalls(w.ago(20+i), 1)[0].broken = true
				}
				vendor := &hooked{world: w, audio: func(_ *http.Request, token string) (*http.Response, error) {
					w.mu.Lock()
					defer w.mu.Unlock()
					if _, is := known[token]; is {
						known[token]++
					}
					if gone[token] {
						return answered(http.StatusInternalServerError, nil), nil
					}
					return nil, nil
				}}
				span := spanOf(w.ago(20+test.days), w.ago(20))
				w.try(trial{vendor: vendor, config: span})
				time.Sleep(25 * time.Hour)
				for token := range known {
					known[token] = 0
				}
				n := w.try(trial{vendor: vendor, config: span})
				asked := 0
				for token, times := range known {
					if asked += times; times > 1 {
						t.Errorf("%s was asked for %d times", token, times)
					}
				}
				if asked != test.want {
					t.Errorf("%d requests for known good audio", asked)
				}
				if lost := map[bool]int{true: test.days}[test.well > 0]; n.Lost != lost {
					t.Errorf("%d lost, open days %+v", n.Lost, n.OpenDays)
				}
			})
		})
	}
}

// TestHostIsBackAfterRefusals has a host that refuses the requests of many workers for a minute,
// like a rate limit per minute: this run still archives everything.
func TestHostIsBackAfterRefusals(t *testing.T) {
	for name, answer := range map[string]sent{
		"429":                   {status: 429, body: []byte("x")},
		"429 with a time":       {status: 429, body: []byte("x"), header: []string{"Retry-After", "30"}},
		"503":                   {status: 503, body: []byte("x")},
		"500 of some":           {status: 500, body: []byte("x")},
		"a reset, after purged": {broken: syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				count, workers := 120, 64
				day := w.ago(5)
				r := w.recordedCalls(day, count)
				lost := 0
				if name == "a reset, after purged" {
					for i := range count / 2 {
						r[i].broken = true
						lost++
					}
					workers = 1
				}
				failed := map[string]bool{}
				began := time.Now()
				vendor := &hooked{world: w, audio: func(request *http.Request, token string) (*http.Response, error) {
					time.Sleep(2 * time.Second) // all workers have sent their requests
					w.mu.Lock()
					defer w.mu.Unlock()
					i := slices.IndexFunc(r, func(r *worldRecording) bool { return r.token == token })
					refuse := time.Since(began) < time.Minute
					if answer.status == 503 && answer.header == nil {
						refuse = time.Since(began) < 4*time.Second // the recordings themselves may be the cause
					}
					if answer.status == 500 || answer.broken != nil {
						refuse = !failed[token] && i >= count/2 && i%10 == 0
					}
					if failed[token] = true; refuse && !r[i].broken {
						return answer.answer()
					}
					return nil, nil
				}}
				n := w.try(trial{vendor: vendor, config: all(spanOf(day, day), func(c *Config) {
					c.Workers, c.PurgeAfter = workers, time.Duration(1+lost)*155*oneDay
				})})
				if n.err != nil || n.Archived != count-lost || n.Failed > 0 {
					t.Errorf("%v, %d archived, %d failed, %d pending", n.err, n.Archived, n.Failed, n.Pending)
				}
			})
		})
	}
}

// TestHostThatFailsForLong checks that a failing host does not make a run last for days, recording
// by recording.
func TestHostThatFailsForLong(t *testing.T) {
	for name, answer := range map[string]sent{
		"500":                    {status: 500, body: []byte("x")},
		"503":                    {status: 503, body: []byte("x")},
		"429":                    {status: 429, body: []byte("x")},
		"a connection that ends": {broken: syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(5)
				w.recordedCalls(day, 200)
				began := time.Now()
				requests := 0
				vendor := &hooked{world: w, audio: func(*http.Request, string) (*http.Response, error) {
					w.mu.Lock()
					defer w.mu.Unlock()
					requests++
					return answer.answer()
				}}
				n := w.try(trial{vendor: vendor, config: all(spanOf(day, day), func(c *Config) { c.GiveUp = 0 })})
				if took := time.Since(began); took > 2*time.Hour || requests > 300 {
					t.Errorf("it took %v and %d requests: %v, %d failed", took, requests, n.err, n.Failed)
				}
				if n.GivenUp+n.Lost > 0 || w.isClosed(day) {
					t.Errorf("%d given up, %d lost", n.GivenUp, n.Lost)
				}
				for _, s := range w.day(day).Recordings() {
					if s.Final || s.Outcome != manifest.Failed {
						t.Fatal(told(s))
					}
				}
			})
		})
	}
}
