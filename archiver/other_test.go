package archiver

import (
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"convoso-archiver/manifest"
)

// ofAccount is the world of another account according to its links.
func (w *world) ofAccount(id string) *hooked {
	plain := func(id string) string { return url.QueryEscape(`{"account_id":` + id + `,"u_id":"`) }
	old := base64.StdEncoding.EncodeToString([]byte(plain("100200")))
	other := base64.StdEncoding.EncodeToString([]byte(plain(id)))
	cut := func(s string) string { return strings.TrimRight(s, "=")[:40] } // whole groups of characters
	return &hooked{world: w, page: func(r *http.Request) *http.Response {
		answer, err := w.RoundTrip(r)
		if err != nil {
			return nil
		}
		var body strings.Builder
		_ = answer.Write(&body)
		_, text, _ := strings.Cut(body.String(), "\r\n\r\n")
		return answered(http.StatusOK, []byte(strings.ReplaceAll(text, cut(old), cut(other))), "Date", answer.Header.Get("Date"))
	}}
}

// TestOtherArchive checks that a run over another account's archive ends before it writes a line.
func TestOtherArchive(t *testing.T) {
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change  func(c *Config)
		account string
		of      string
		calls   int
	}{
		"the same":                       {calls: 30},
		"another API":                    {change: func(c *Config) { c.APIURL = "https://elsewhere.test/v1" }, of: OfAPI, calls: 30},
		"another zone":                   {change: func(c *Config) { c.Zone = newYork }, of: OfZone, calls: 30},
		"another account":                {account: "100999", of: OfAccount, calls: 30},
		"another account, by a few rows": {account: "100999", calls: 10}, // too few to decide
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(6)
				w.recordedCalls(day, 30)
				w.recordedCalls(day.AddDays(1), test.calls)
				w.try(trial{config: spanOf(day, day)})
				before := w.read("manifest/archive.json")
				if !strings.Contains(before, `"account_id":"100200"`) {
					t.Fatalf("the account is not noted: %s", before)
				}
				vendor := http.RoundTripper(w)
				if test.account != "" {
					vendor = w.ofAccount(test.account)
				}
				n := w.try(trial{vendor: vendor, config: all(spanOf(day.AddDays(1), day.AddDays(1)), func(c *Config) {
					if test.change != nil {
						test.change(c)
					}
				})})
				var other *OtherArchiveError
				if errors.As(n.err, &other) != (test.of != "") || test.of != "" && other.Of != test.of || (n.err == nil) != (test.of == "") {
					t.Errorf("the run ended with %v", n.err)
				}
				if errors.Is(n.err, ErrOtherArchive) != (test.of != "") {
					t.Errorf("%v", n.err)
				}
				if test.of != "" && (n.Archived > 0 || test.of != OfAccount && n.asked+n.listings > 0) {
					t.Errorf("%d archived, %d requests", n.Archived, n.asked+n.listings)
				}
				if after := w.read("manifest/archive.json"); after != before {
					t.Errorf("archive.json was %s and is %s", before, after)
				}
			})
		})
	}
}

// archiveTrouble changes archive.json in a bucket at one moment: before its n-th writing.
type archiveTrouble struct {
	*memoryBucket
	at      int
	changed func(b *memoryBucket)
	writes  int
	hides   int // number of reads of archive.json that find nothing; below 0: all
	after   int // writes before these reads
}

func (b *archiveTrouble) prepare() {
	b.put = func(name string) error {
		if name == "manifest/archive.json" {
			if b.writes++; b.writes == b.at && b.changed != nil {
				b.changed(b.memoryBucket)
			}
		}
		return nil
	}
	b.get = func(name string) error {
		if name == "manifest/archive.json" && b.hides != 0 && b.writes >= b.after {
			b.hides--
			return fs.ErrNotExist
		}
		return nil
	}
}

const madeByAnother = `{"v":2,"kind":"archive","id":"other","account_id":"ACCOUNT","api_url":"https://api.test/v1","time_zone":"America/Los_Angeles","created":"2000-01-01T00:00:00Z"}` + "\n"

// TestArchiveIsMadeByAnother lets another run write archive.json at the same moment as this run.
func TestArchiveIsMadeByAnother(t *testing.T) {
	write := func(account, zone string) func(*memoryBucket) {
		return func(b *memoryBucket) {
			b.mu.Lock()
			defer b.mu.Unlock()
			text := strings.Replace(madeByAnother, "ACCOUNT", account, 1)
			b.files["manifest/archive.json"] = []byte(strings.Replace(text, "America/Los_Angeles", zone, 1))
		}
	}
	const zone = "America/Los_Angeles"
	for name, test := range map[string]struct {
		at      int
		changed func(*memoryBucket)
		hides   int
		after   int
		want    error
	}{
		"nobody":                                   {},
		"a new one, of the same":                   {at: 1, changed: write("", zone)},
		"a new one, of another zone":               {at: 1, changed: write("", "Europe/Paris"), want: ErrOtherArchive},
		"its account, the same":                    {at: 2, changed: write("100200", zone)},
		"its account, another one":                 {at: 2, changed: write("100999", zone), want: ErrOtherArchive},
		"something else than its account":          {at: 2, changed: write("", zone)},
		"shown a moment later":                     {hides: 2}, // when the run reads it, and before it saves
		"shown when the run asks for a third time": {hides: 4},
		"made by another, and shown late":          {at: 1, changed: write("", zone), hides: 4},
		"its account, the same, and shown late":    {at: 2, changed: write("100200", zone), after: 2, hides: 3},
		"its own account, shown late":              {after: 2, hides: 3},
		"never shown":                              {hides: -1, want: errUnseenArchive},
		"made by another, and never shown":         {at: 1, changed: write("", zone), hides: -1, want: errUnseenArchive},
		"another account's, and a moment later":    {at: 1, changed: write("100999", zone), hides: 1, want: ErrOtherArchive},
		"an archive of another account, at once":   {at: 1, changed: write("100999", zone), want: ErrOtherArchive},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(5)
				w.recordedCalls(day, 30)
				bucket := &archiveTrouble{memoryBucket: newBucket(), at: test.at, changed: test.changed, hides: test.hides, after: test.after}
				bucket.prepare()
				n := w.try(trial{bucket: bucket, config: spanOf(day, day)})
				if !errors.Is(n.err, test.want) {
					t.Fatalf("the run ended with %v", n.err)
				}
				if test.want != nil {
					return
				}
				ledger, err := manifest.OpenBucket(bucket, manifest.Options{ReadOnly: true})
				if err != nil {
					t.Fatal(err)
				}
				archive, err := ledger.Archive(context.Background())
				if err != nil || archive.AccountID != "100200" || archive.V != manifest.FormatVersion || n.DaysClosed != 1 {
					t.Errorf("%+v, %v, %d days closed", archive, err, n.DaysClosed)
				}
			})
		})
	}
}

// TestConditionsAreNoted checks that archive.json says whether the store honours conditions.
func TestConditionsAreNoted(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		w.recordedCalls(day, 3)
		bucket := newBucket()
		for _, honours := range []bool{true, false, false, true} {
			n := w.try(trial{bucket: bucket, config: all(spanOf(day, day), func(c *Config) { c.Conditions = &honours })})
			ledger, err := manifest.OpenBucket(bucket, manifest.Options{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			archive, err := ledger.Archive(context.Background())
			if n.err != nil || err != nil || archive.ConditionalWrites == nil || *archive.ConditionalWrites != honours {
				t.Errorf("%v, %v, noted %v", n.err, err, archive.ConditionalWrites)
			}
		}
	})
}

// TestClocks runs with an API whose clock differs from the machine's: the earlier clock decides
// whether a day has settled, and no day is closed if they are far apart.
func TestClocks(t *testing.T) {
	for name, test := range map[string]struct {
		apiAhead int           // minutes
		left     time.Duration // until the day settles, by the machine's clock
		closed   bool
		warned   bool
	}{
		"settled by both":                {0, -30 * time.Minute, true, false},
		"not by the API's clock":         {-50, -30 * time.Minute, false, true},
		"not by the machine's clock":     {50, 30 * time.Minute, false, true},
		"settled by both, which differ":  {-10, -30 * time.Minute, true, true},
		"over an hour apart":             {-120, -12 * time.Hour, false, true},
		"over an hour the other way":     {120, -12 * time.Hour, false, true},
		"four minutes are nothing":       {4, -12 * time.Hour, true, false},
		"days apart, the machine behind": {3 * 24 * 60, 30 * time.Minute, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(3)
				w.recordedCalls(day, 3)
				w.recordedCalls(w.ago(4), 1)
				w.trouble("skew", time.Hour, test.apiAhead)
				n := w.try(trial{config: all(spanOf(w.ago(4), day), func(c *Config) {
					c.Settle, c.Order = time.Since(day.End(w.zone))+test.left, Ascending
				})})
				if n.err != nil || n.Archived != 4 || w.isClosed(day) != test.closed {
					t.Errorf("%v, %d archived, closed %v: %+v", n.err, n.Archived, !test.closed, n.OpenDays)
				}
				if warned := len(n.Warnings) > 0; warned != test.warned {
					t.Errorf("%q", n.Warnings)
				}
				if n.ClocksApart != (test.apiAhead > 60 || test.apiAhead < -60) {
					t.Errorf("clocks apart: %v", n.ClocksApart)
				}
				d := w.day(day)
				for _, l := range d.Windows() {
					if l.ListedAt.After(l.Time) {
						t.Errorf("listed at %v, noted at %v", l.ListedAt, l.Time)
					}
				}
			})
		})
	}
}

// TestLinesHoldOneClock gets refusals while the machine's clock is 20 days ahead, then runs with
// correct clocks: nothing may be given up.
func TestLinesHoldOneClock(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(30)
		w.recordedCalls(day, 3)
		w.trouble("media 403", time.Hour, 0)
		w.trouble("skew", time.Hour, -20*24*60)
		n := w.try(trial{config: spanOf(day, day)})
		if n.Failed != 3 || n.GivenUp != 0 {
			t.Errorf("%d failed, %d given up", n.Failed, n.GivenUp)
		}
		for id, s := range w.day(day).Recordings() {
			if !s.Time.Equal(s.FirstSeen) || (time.Since(s.Time)-20*oneDay).Abs() > time.Minute {
				t.Errorf("recording %s: first seen %v, noted %v", id, s.FirstSeen, s.Time)
			}
		}
		time.Sleep(2 * time.Hour)
		if n = w.try(trial{config: spanOf(day, day)}); n.Archived != 3 || n.DaysClosed != 1 {
			t.Errorf("%d archived, open days %+v", n.Archived, n.OpenDays)
		}
	})
}

// TestZoneWarning compares the times in file names with call_date.
func TestZoneWarning(t *testing.T) {
	for zone, want := range map[string]bool{"America/Los_Angeles": false, "America/New_York": true, "UTC": true} {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(6)
				w.recordedCalls(day, 9)
				location, err := time.LoadLocation(zone)
				if err != nil {
					t.Fatal(err)
				}
				n := w.try(trial{config: all(spanOf(day, day), func(c *Config) { c.Zone = location })})
				if got := strings.Contains(strings.Join(n.Warnings, " "), "--time-zone"); got != want {
					t.Errorf("%q", n.Warnings)
				}
			})
		})
	}
}
