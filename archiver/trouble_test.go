package archiver

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// troubledStore fails from one time to another.
type troubledStore struct {
	Store
	err      error
	from, to time.Time
	tries    atomic.Int64
}

func (s *troubledStore) Put(ctx context.Context, o store.Object) (store.Info, error) {
	if now := time.Now(); !now.Before(s.from) && now.Before(s.to) {
		s.tries.Add(1)
		return store.Info{}, s.err
	}
	return s.Store.Put(ctx, o)
}

// TestStoreInTrouble has a store that is busy, refuses, or rejects one recording. None of this may
// give up a recording.
func TestStoreInTrouble(t *testing.T) {
	busy := busyStore(t)
	for name, test := range map[string]struct {
		err      error
		lasts    time.Duration
		failed   bool // the run
		archived int
		tries    int64 // at most
	}{
		"busy for a while":                 {err: busy, lasts: 5 * time.Minute, archived: 12, tries: 4 * 25},
		"busy for longer than --retry-for": {err: busy, lasts: time.Hour, failed: true, tries: 4 * 45},
		"it refuses everything":            {err: store.ErrUnusable, lasts: time.Hour, failed: true, tries: 4},
		"it does not take these":           {err: errors.New("a name too long"), lasts: time.Hour, tries: 13},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(5)
				w.recordedCalls(day, 12)
				w.recordedCalls(w.ago(4), 1)
				o := trial{config: all(spanOf(day, w.ago(4)), func(c *Config) { c.GiveUp, c.Order = 0, Ascending })}
				rest := o
				var s *troubledStore
				o.store = func(inner Store) Store {
					s = &troubledStore{Store: inner, err: test.err, from: time.Now(), to: time.Now().Add(test.lasts)}
					return s
				}
				began := time.Now()
				n := w.try(o)
				if (n.err != nil) != test.failed || n.err != nil && !errors.Is(n.err, test.err) {
					t.Errorf("the run ended with %v", n.err)
				}
				if errors.Is(test.err, busy) && test.failed && time.Since(began) > 11*time.Minute {
					t.Errorf("after %v", time.Since(began))
				}
				if n.Archived < test.archived || n.GivenUp+n.Lost+n.Failed > 0 || s.tries.Load() > test.tries {
					t.Errorf("%d archived, %d given up, %d failed, %d tries", n.Archived, n.GivenUp, n.Failed, s.tries.Load())
				}
				n.mustTellAllDays(t)
				if test.archived == 0 {
					if w.isClosed(day) || len(w.day(day).Windows()) > 0 || !n.incomplete() {
						t.Errorf("closed, or with a window line, without its recordings: %+v", n.OpenDays)
					}
					time.Sleep(2 * time.Hour)
					if n = w.try(rest); n.err != nil || len(n.OpenDays) > 0 {
						t.Errorf("the next run: %v, open days %+v", n.err, n.OpenDays)
					}
				}
				w.mustClose(day, 12)
				w.mustBeWhole(day, w.ago(4))
			})
		})
	}
}

// TestNoRoomForABody has no space for bodies larger than a worker's buffer, for one body or for
// all.
func TestNoRoomForABody(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		failed bool
	}{
		"the disk is full":  {store.ErrUnusable, true},
		"this one does not": {errors.New("cannot"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(5)
				r := w.recordedCalls(day, 5)
				vendor := &hooked{world: w, audio: func(_ *http.Request, token string) (*http.Response, error) {
					if token == r[2].token {
						return answered(http.StatusOK, frames(1000)), nil
					}
					return nil, nil
				}}
				n := w.try(trial{vendor: vendor, config: spanOf(day, day), store: func(s Store) Store { return roomless{s, test.err} }})
				if (n.err != nil) != test.failed || n.Failed > 0 || w.isClosed(day) || len(w.day(day).Windows()) > 0 {
					t.Errorf("%v, %d failed, open days %+v", n.err, n.Failed, n.OpenDays)
				}
				n.mustTellAllDays(t)
				if n = w.try(trial{vendor: vendor, config: spanOf(day, day)}); n.err != nil {
					t.Error(n.err)
				}
				w.mustClose(day, 5)
			})
		})
	}
}

// roomless has no space for parts.
type roomless struct {
	Store
	err error
}

func (s roomless) NewPart() (*store.Part, error) { return nil, s.err }

// TestManifestInTrouble makes the bucket of the manifest fail for a part of the run.
func TestManifestInTrouble(t *testing.T) {
	busy := busyStore(t)
	denied := errors.New("access denied")
	for name, test := range map[string]struct {
		err         error
		from, lasts time.Duration
		get         bool // reads fail too
		names       string
		failed      bool
		closed      bool
	}{
		"at the beginning":                   {err: busy, lasts: 5 * time.Minute, get: true, closed: true},
		"while recordings come":              {err: busy, from: 3 * time.Second, lasts: 5 * time.Minute, closed: true},
		"when the day closes":                {err: busy, from: 9 * time.Second, lasts: 5 * time.Minute, get: true, closed: true},
		"for longer than --retry-for":        {err: busy, from: 3 * time.Second, lasts: time.Hour, failed: true},
		"from the beginning, for long":       {err: busy, lasts: time.Hour, get: true, failed: true},
		"it refuses":                         {err: denied, from: 3 * time.Second, lasts: time.Hour, failed: true},
		"it refuses day lines":               {err: denied, lasts: time.Hour, names: "closed.json"},
		"it is busy with day lines for ever": {err: busy, lasts: 48 * time.Hour, names: "closed.json", failed: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(5)
				const count = 8 // ten seconds of work
				w.recordedCalls(day, count)
				w.recordedCalls(w.ago(4), count)
				bucket := newBucket()
				began := time.Now()
				isOut := func(name string) error {
					if since := time.Since(began); since >= test.from && since < test.from+test.lasts && strings.Contains(name, test.names) {
						return test.err
					}
					return nil
				}
				bucket.put = isOut
				if test.get {
					bucket.get = isOut
				}
				o := trial{bucket: bucket, vendor: w.slowly(5 * time.Second), config: all(spanOf(day, w.ago(4)), func(c *Config) { c.Order = Ascending })}
				n := w.try(o)
				if (n.err != nil) != test.failed {
					t.Errorf("the run ended with %v", n.err)
				}
				if test.failed && !errors.Is(n.err, test.err) {
					t.Errorf("the run ended with %v", n.err)
				}
				if n.Lost+n.GivenUp+n.Failed > 0 {
					t.Errorf("%d lost, %d given up, %d failed", n.Lost, n.GivenUp, n.Failed)
				}
				if closed := n.DaysClosed == 2; closed != test.closed {
					t.Errorf("%d days closed, open days %+v", n.DaysClosed, n.OpenDays)
				}
				n.mustTellAllDays(t)
				time.Sleep(3 * oneDay)
				if n = w.try(o); n.err != nil || n.Archived > 2*count || n.DaysClosed+n.DaysSkipped != 2 {
					t.Errorf("the next run: %v, open days %+v", n.err, n.OpenDays)
				}
				for _, date := range []fetcher.Date{day, w.ago(7)} { // three days later
					checkBucketDay(t, bucket, date, count)
				}
			})
		})
	}
}

// checkBucketDay checks that a day is closed with the given number of archived recordings, each
// noted once.
func checkBucketDay(t *testing.T, bucket manifest.Objects, date fetcher.Date, archived int) {
	t.Helper()
	ledger, err := manifest.OpenBucket(bucket, manifest.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]int{}
	d, err := ledger.Read(context.Background(), string(date), func(l manifest.Line) error {
		if l.Kind == "recording" {
			r, err := l.Recording()
			lines[r.RecordingID]++
			return err
		}
		return nil
	}, func(f manifest.Fault) error { t.Errorf("%+v", f); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Lines()) != 1 || d.Lines()[0].ByOutcome[manifest.Archived] != archived {
		t.Errorf("%s: day lines %+v", date, d.Lines())
	}
	for id, n := range lines {
		if n != 1 {
			t.Errorf("%d lines of recording %s", n, id)
		}
	}
}

// TestOneDayInTrouble damages a day's manifest in various ways, between two other days: the day is
// reported and stays open, no recording of it is lost, and the other days are archived.
func TestOneDayInTrouble(t *testing.T) {
	for name, test := range map[string]struct {
		before  func(w *world, day fetcher.Date)
		during  func(w *world, day fetcher.Date) // as soon as the day is listed
		unread  bool
		settled bool
	}{
		"a line that cannot be read": {unread: true, before: func(w *world, day fetcher.Date) {
			w.put("manifest/"+string(day)+"/19990101T000000Z-00000000-000001.jsonl", []byte("{\"v\":1,\"kind\":\"recording\",\n{}\n"))
		}},
		"an old file that cannot be read": {unread: true, before: func(w *world, day fetcher.Date) {
			w.put("manifest/"+string(day)+".jsonl", []byte("{\"v\":1,\"kind\":\"recording\",\n{\"v\":1,\"kind\":\"later\"}\n"))
		}},
		"it cannot be looked at": {unread: true, before: func(w *world, day fetcher.Date) {
			w.put("manifest/"+string(day)+"/closed.json/a", nil)
		}},
		"its call rows cannot be looked at": {before: func(w *world, day fetcher.Date) {
			w.put("calls/"+string(day), []byte("a file"))
		}},
		"it cannot be written to any more": {during: func(w *world, day fetcher.Date) {
			w.put("manifest/"+string(day), []byte("a file"))
		}},
		"its call rows cannot be written": {during: func(w *world, day fetcher.Date) {
			w.put("calls/"+string(day), []byte("a file"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				first := w.ago(7)
				day := first.AddDays(1)
				for i := range 3 {
					w.recordedCalls(first.AddDays(i), 5)
				}
				if test.before != nil {
					test.before(w, day)
				}
				asked := w.listedDays()
				done := false
				vendor := &hooked{world: w, page: func(r *http.Request) *http.Response {
					answer, err := asked.RoundTrip(r)
					if err != nil {
						t.Error(err)
					}
					w.mu.Lock()
					defer w.mu.Unlock()
					if asked.days[day] && test.during != nil && !done {
						done = true
						test.during(w, day)
					}
					return answer
				}}
				n := w.try(trial{vendor: vendor, config: all(spanOf(first, first.AddDays(2)), func(c *Config) { c.Order = Ascending })})
				if n.err != nil {
					t.Fatal(n.err)
				}
				n.mustTellAllDays(t)
				if len(n.OpenDays) != 1 || n.OpenDays[0].Day != string(day) || n.OpenDays[0].Unreadable != test.unread || !n.incomplete() {
					t.Errorf("open days %+v", n.OpenDays)
				}
				w.mustClose(first, 5)
				w.mustClose(first.AddDays(2), 5)
				for _, file := range []string{"manifest/" + string(day), "manifest/" + string(day) + ".jsonl", "calls/" + string(day)} {
					if err := os.RemoveAll(filepath.Join(w.dir, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
						t.Fatal(err)
					}
				}
				if n = w.try(trial{config: spanOf(first, first.AddDays(2))}); n.err != nil {
					t.Error(n.err)
				}
				w.mustClose(day, 5)
				w.mustBeWhole(first, day, first.AddDays(2))
			})
		})
	}
}

// TestLaterVersion ends a run that finds lines of a later version on any day.
func TestLaterVersion(t *testing.T) {
	for name, file := range map[string]string{"of a day asked for": "5", "of an earlier day": "9", "of the archive": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				w.recordedCalls(w.ago(6), 3)
				w.recordedCalls(w.ago(5), 3)
				line := []byte("{\"v\":99,\"kind\":\"recording\"}\n")
				switch file {
				case "5":
					w.put("manifest/"+string(w.ago(5))+"/19990101T000000Z-00000000-000001.jsonl", line)
				case "9":
					w.put("manifest/"+string(w.ago(9))+"/19990101T000000Z-00000000-000001.jsonl", line)
				default:
					w.put("manifest/archive.json", []byte("{\"v\":99,\"kind\":\"archive\"}\n"))
				}
				n := w.try(trial{config: func(c *Config) { c.Span.CatchUp = true }})
				if _, later := errors.AsType[*manifest.VersionError](n.err); !later {
					t.Errorf("the run ended with %v", n.err)
				}
				if file != "5" && n.asked+n.listings > 0 {
					t.Errorf("%d requests", n.asked+n.listings)
				}
			})
		})
	}
}
