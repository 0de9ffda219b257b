package archiver

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// fullDisk is a store that has no room for a part.
type fullDisk struct{ Store }

func (fullDisk) NewPart() (*store.Part, error) {
	return nil, fmt.Errorf("make part: no space left: %w", store.ErrUnusable)
}

// TestFullDiskEndsTheRun cannot hold a body that is too large for memory: no other
// request would find more room.
func TestFullDiskEndsTheRun(t *testing.T) {
	day := daysAgo(t, 10)
	server := simulate(t, convosotest.Config{FirstDay: string(day), CallsPerDay: 3, BigRecordings: []int64{2 * memoryLimit, 2 * memoryLimit, 2 * memoryLimit}})
	a := archiveOf(t, server)
	summary, err := a.run(day, day, func(s *setup) {
		s.Store = fullDisk{s.Store}
		s.Config.Workers, s.Config.Storing = 1, 0
	})
	if !errors.Is(err, store.ErrUnusable) {
		t.Errorf("the run ended with %v", err)
	}
	if asked := server.Stats().Media.Requests; asked != 1 {
		t.Errorf("%d requests for recordings", asked)
	}
	if lines := a.lines(day, "recording"); len(lines) > 0 || summary.Failed > 0 {
		t.Errorf("noted %d lines, %d failed", len(lines), summary.Failed)
	}
}

// TestAttempts counts the requests that were made for a recording, once each.
func TestAttempts(t *testing.T) {
	day := daysAgo(t, 10)
	elsewhere, none := "https://other.invalid/a", "https://a b/"
	for name, test := range map[string]struct {
		link    *string
		status  int
		want    int
		outcome manifest.Outcome
	}{
		"archived":                              {want: 1, outcome: manifest.Archived},
		"not found":                             {status: http.StatusNotFound, want: 1, outcome: manifest.Pending},
		"refused":                               {status: http.StatusForbidden, want: 1, outcome: manifest.Failed},
		"another host":                          {link: &elsewhere, want: 0, outcome: manifest.Rejected},
		"no address":                            {link: &none, want: 0, outcome: manifest.Rejected},
		"a redirect that leads to another host": {status: http.StatusFound, want: 1, outcome: manifest.Rejected},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			recording := v.recording("111")
			if test.link != nil {
				recording.Link = test.link
			}
			v.status["111"] = test.status
			v.rows[day] = []row{callAt("1", day, noon, recording)}
			a := v.archive(t)
			a.mustRun(day, nil)
			line := a.recordings(day)["111"]
			if line.Attempts != test.want || line.Outcome != test.outcome || v.requests()["111"] != test.want {
				t.Errorf("%q after %d attempts, %d requests", line.Outcome, line.Attempts, v.requests()["111"])
			}
			if test.outcome == manifest.Archived {
				return
			}
			a.mustRun(day, nil)
			if again := a.recordings(day)["111"]; again.Attempts != 2*test.want {
				t.Errorf("%d attempts after two runs", again.Attempts)
			}
		})
	}
}

// TestAttemptsOfARefusedRequest counts a request that the host asked to make later.
func TestAttemptsOfARefusedRequest(t *testing.T) {
	day := daysAgo(t, 10)
	server := simulate(t, convosotest.Config{
		FirstDay: string(day), CallsPerDay: 1,
		MediaFaults: map[convosotest.Fault]int{convosotest.FaultLimitWait: 1}, FaultTimes: map[convosotest.Fault]int{convosotest.FaultLimitWait: 1},
	})
	a := archiveOf(t, server)
	a.mustRun(day, nil)
	for id, line := range a.recordings(day) {
		if line.Outcome != manifest.Archived || line.Attempts != 2 {
			t.Errorf("recording %s: %q after %d attempts", id, line.Outcome, line.Attempts)
		}
	}
}

// TestKeyThatCannotBeMade has a template that fails on one call's values: that is an
// outcome of this call's recording, and the others go on.
func TestKeyThatCannotBeMade(t *testing.T) {
	day := daysAgo(t, 10)
	v := newVendor(t)
	odd := v.recording("111")
	odd.Filename = "odd"
	gone := v.recording("112")
	gone.Filename = "odd"
	v.status["112"] = http.StatusNotFound
	v.rows[day] = []row{callAt("1", day, noon, odd, gone, v.recording("113"))}
	a := v.archive(t)
	summary := a.mustRun(day, func(s *setup) {
		var err error
		if s.Keys, err = key.Parse(`{{if eq .filename "odd"}}{{slice .filename 0 99}}{{end}}{{.filename}}`); err != nil {
			t.Fatal(err)
		}
	})
	got := a.recordings(day)
	if got["111"].Outcome != manifest.Failed || !strings.HasPrefix(got["111"].Reason, "make key") || got["112"].Outcome != manifest.Pending {
		t.Errorf("noted as %q (%s) and %q", got["111"].Outcome, got["111"].Reason, got["112"].Outcome)
	}
	if summary.Archived != 1 || summary.Failed != 1 || summary.Pending != 1 || a.closed(day) {
		t.Errorf("archived %d, failed %d, pending %d, open days %+v", summary.Archived, summary.Failed, summary.Pending, summary.OpenDays)
	}
}

// partsStore counts the parts that are made.
type partsStore struct {
	Store
	parts atomic.Int32
}

func (s *partsStore) NewPart() (*store.Part, error) {
	s.parts.Add(1)
	return s.Store.NewPart()
}

// TestTextReachesNoFile: an error page may repeat the link, so that no part is made for
// one, however short, nor for a body that only its end can tell.
func TestTextReachesNoFile(t *testing.T) {
	const day = fetcher.Date("2025-05-10")
	for name, c := range map[string]struct {
		body  []byte
		parts int32
	}{
		"a short text":        {[]byte(`{"error":"Recording not found!","url":"https://media.example/111"}`), 0},
		"a long page":         {[]byte("<html>" + strings.Repeat("https://media.example/111 ", 10_000)), 0},
		"Latin-1, like audio": {append([]byte{0xFF, 0xE0}, strings.Repeat(" link to 111", 10_000)...), 0},
		"no known format":     {bytes.Repeat([]byte{0x00, 0x01, 0x9d, 0x07, 'l', 'i', 'n', 'k'}, 20_000), 0},
		"audio, to be one":    {someMP3(), 1},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.rows[day] = []row{callAt("1", day, noon, v.recording("111"))}
			v.bodies["111"] = c.body
			counted := &partsStore{}
			_ = v.archive(t).runAt(instant(t, "2025-05-20"+noon), []plannedDay{wholeDay(day)}, func(s *setup) {
				counted.Store, s.Store = s.Store, counted
			})
			if got := counted.parts.Load(); got != c.parts {
				t.Errorf("%d parts were made, want %d", got, c.parts)
			}
		})
	}
}
