// Counts what a run did.

package archiver

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// Summary counts what a run did. All counts are of this run unless said otherwise.
type Summary struct {
	Run      string    `json:"run"`
	Shard    string    `json:"shard,omitempty"` // of several runs, like 3/17
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended"`
	Seconds  float64   `json:"seconds"`
	DryRun   bool      `json:"dry_run"`
	ExitCode int       `json:"exit_code"`       // set by the caller
	Error    string    `json:"error,omitempty"` // likewise: why the run could not continue
	Stopped  string    `json:"stopped,omitempty"`

	DaysAsked   int `json:"days_asked"`
	DaysSkipped int `json:"days_skipped"` // closed before, not requested again
	DaysClosed  int `json:"days_closed"`  // closed by this run
	DaysListed  int `json:"days_listed"`
	DaysWhole   int `json:"days_whole"` // completed partial days, which count like closed ones
	// DaysUncounted is the number of closed days whose API total never agreed.
	DaysUncounted int `json:"days_uncounted"`
	// DaysNotBegun were requested but not started before the run stopped.
	DaysNotBegun int       `json:"days_not_begun"`
	OpenDays     []OpenDay `json:"open_days"`

	Calls      int `json:"calls"`
	Recordings int `json:"recordings"` // listed, each counted once

	Archived int `json:"archived"` // new in this run, including adopted ones
	Adopted  int `json:"adopted"`  // of these, found in the store without a line
	Known    int `json:"known"`    // already final before
	Pending  int `json:"pending"`
	Failed   int `json:"failed"`
	Rejected int `json:"rejected"`
	Lost     int `json:"lost"`     // found lost in this run
	GivenUp  int `json:"given_up"` // became final without being archived
	ToFetch  int `json:"to_fetch"` // dry run: would be fetched

	Bytes          int64     `json:"bytes"`              // of the archived recordings
	EstimatedBytes int64     `json:"estimated_bytes"`    // dry run: of the recordings to fetch, by call length
	Estimate       *Estimate `json:"estimate,omitempty"` // of a finished dry run

	APIRequests   int64 `json:"api_requests"` // set by the caller, like the next three
	MediaRequests int64 `json:"media_requests"`
	Refusals      int64 `json:"refusals"` // answers that asked to slow down

	// ClocksApart says that the machine's clock and the API's were so far apart that no day
	// was closed.
	ClocksApart bool `json:"clocks_apart,omitempty"`
	// ClockBehind says that a closed day is in the future by the machine's clock, so the run may not have asked for the
	// latest days.
	ClockBehind bool     `json:"clock_behind,omitempty"`
	Warnings    []string `json:"warnings"`
}

// OpenDay is a day that was worked on but not closed.
type OpenDay struct {
	Day     string `json:"day"`
	Settled bool   `json:"settled"`
	Waiting int    `json:"waiting"` // recordings without a final outcome
	// Unreadable says that the day's manifest cannot be read, so it was not worked on.
	Unreadable bool `json:"unreadable,omitempty"`
	// Excused says that the day does not count towards exit code 3: the account has no call.
	Excused bool     `json:"excused,omitempty"`
	Reasons []string `json:"reasons"`
}

// Incomplete reports whether the run left work undone for a reason other than unsettled days: a settled day that
// is not closed, a day that has settled by one clock only, a manifest that cannot be read, a recording found lost
// or given up, a day closed against the API's total, or a limit that stopped it. With strict, recordings waiting
// in unsettled days also count.
func (s *Summary) Incomplete(strict bool) bool {
	if s.Lost > 0 || s.GivenUp > 0 || s.DaysUncounted > 0 || s.Stopped != "" || s.ClockBehind || s.ClocksApart && len(s.OpenDays) > 0 {
		return true
	}
	for _, day := range s.OpenDays {
		if day.Settled && !day.Excused || day.Unreadable || strict && day.Waiting > 0 {
			return true
		}
	}
	return false
}

// Progress is the state of a run while it works.
type Progress struct {
	Summary
	Queued   int    // recordings listed and not yet taken by a worker
	InFlight int    // recordings being processed by a worker
	Received int64  // bytes received, stored or not
	Day      string // earliest day in work
	DaysLeft int    // unfinished days
}

func (s *Summary) add(o manifest.Outcome, n int) {
	switch o {
	case manifest.Pending:
		s.Pending += n
	case manifest.Failed:
		s.Failed += n
	case manifest.Rejected:
		s.Rejected += n
	}
}

// finalWithout counts a recording that became final without audio.
func (s *Summary) finalWithout(o manifest.Outcome) {
	if o == manifest.Lost {
		s.Lost++
		return
	}
	s.GivenUp++
}

// tally accumulates a Summary. It is safe for concurrent use.
type tally struct {
	mu      sync.Mutex
	summary Summary
	counted counted // by a dry run
	active  map[fetcher.Date]bool
	left    int

	queue    atomic.Pointer[queue]
	inFlight atomic.Int64
	bytes    atomic.Int64 // received
	listings atomic.Int64
}

func newTally(c Config) *tally {
	return &tally{
		active:  map[fetcher.Date]bool{},
		summary: Summary{Run: c.Run, Shard: c.Shard.String(), Started: time.Now().UTC(), DryRun: c.DryRun, OpenDays: []OpenDay{}, Warnings: []string{}},
	}
}

// count changes the summary under its lock.
func (t *tally) count(change func(*Summary)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.summary)
}

func (t *tally) received(n int) { t.bytes.Add(int64(n)) }

// plan notes how many days were asked for.
func (t *tally) plan(days int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.summary.DaysAsked, t.left = days, days
}

func (t *tally) begin(day fetcher.Date) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.active[day] = true
}

func (t *tally) end(day fetcher.Date) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.active, day)
	t.left--
}

// warn logs and keeps a warning, each warning once.
func (t *tally) warn(log *slog.Logger, text string) {
	t.mu.Lock()
	known := slices.Contains(t.summary.Warnings, text)
	if !known {
		t.summary.Warnings = append(t.summary.Warnings, text)
	}
	t.mu.Unlock()
	if !known {
		log.Warn(text)
	}
}

// Summary returns what the run has done so far; after Run, it is complete. It is safe for
// concurrent use.
func (a *Archiver) Summary() Summary {
	t := a.sum.Load()
	if t == nil {
		return Summary{OpenDays: []OpenDay{}, Warnings: []string{}}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.summary
	s.OpenDays = append([]OpenDay{}, s.OpenDays...)
	s.Warnings = append([]string{}, s.Warnings...)
	return s
}

// Progress returns a snapshot of the run. It is safe for concurrent use, and cheap enough to be
// polled several times a second.
func (a *Archiver) Progress() Progress {
	t := a.sum.Load()
	if t == nil {
		return Progress{}
	}
	p := Progress{Queued: t.queue.Load().waiting(), InFlight: int(t.inFlight.Load()), Received: t.bytes.Load()}
	t.mu.Lock()
	defer t.mu.Unlock()
	p.Summary = t.summary
	p.OpenDays, p.Warnings = nil, nil
	p.DaysLeft = t.left
	for date := range t.active {
		if p.Day == "" || string(date) < p.Day {
			p.Day = string(date)
		}
	}
	return p
}
