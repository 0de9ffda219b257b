// Package archiver is the pipeline: it plans the call days of a span, skips those
// that are closed, lists the others, and hands every recording to a bounded set of
// workers that fetch, check, store and note it.
//
// A day is closed only when its listing is proved whole after the day settled, and
// every recording in it has a final outcome. The order of writing makes that true
// whatever happens: bytes are durable before the line that names them, each
// recording's line before the line of the window that listed it, and those before
// the line that closes the day.
package archiver

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// Source lists days and opens links; *fetcher.Client is one.
type Source interface {
	Day(day fetcher.Date, span fetcher.Window, filter fetcher.Filter, repeat bool) *fetcher.Listing
	Open(ctx, waiting context.Context, link fetcher.Secret) (*fetcher.Audio, error)
	ClockSkew() (time.Duration, bool)
}

// Store keeps bodies under keys; *store.Disk and *store.S3 are the two there are.
type Store interface {
	Put(ctx context.Context, object store.Object) (store.Stored, error)
	Find(ctx context.Context, keys []string, recordingID string) (store.Stored, bool, error)
	NewPart() (*store.Part, error)
	// KeepsParts reports whether a part becomes the object itself, so that a body is
	// best written to one from its first byte.
	KeepsParts() bool
}

// Order is the order in which days are worked.
type Order string

// The orders of days.
const (
	// Expiring takes days younger than the purge age first, oldest first, for the
	// vendor deletes their audio next; then the others, newest first.
	Expiring   Order = "expiring"
	Ascending  Order = "asc"
	Descending Order = "desc"
)

// Span is what to archive, as wall-clock times of the account's zone with both
// ends included.
type Span struct {
	From, To time.Time
	// CatchUp also works every earlier day that the archive knows as open.
	CatchUp bool
}

// Config says how to work. Every field is set by the caller; there are no defaults.
type Config struct {
	Run        string // of this run's lines; manifest.NewRunID makes one
	APIURL     string
	Zone       *time.Location
	Span       Span
	Filter     fetcher.Filter
	Order      Order
	Settle     time.Duration // a day may change until this long after its end
	PurgeAfter time.Duration // age at which the vendor deletes audio
	GiveUp     time.Duration // a recording that waits longer is final as it is
	Workers    int           // downloads in flight
	// Storing is how many recordings beside those may be on their way into the store,
	// so that a download begins while others wait for a sync or an upload.
	Storing int
	// MaxRecordings stops the run after this many new recordings, 0 for no limit.
	MaxRecordings int
	Retry         map[manifest.Outcome]bool // final outcomes to ask for again
	Relist        bool                      // list closed days again
	DryRun        bool                      // list and count alone
	Grace         time.Duration             // for recordings in flight when the run is stopped
	KeyPrefixLen  int                       // bytes that the store puts before each key
}

// Archiver archives one account's recordings into one archive. Its fields are set
// before Run is called once.
type Archiver struct {
	Config Config
	Source Source
	Store  Store
	Ledger *manifest.Ledger
	Keys   *key.Template
	Logger *slog.Logger

	state atomic.Pointer[run]
}

// ErrOutage says that so many recordings in a row were refused or not found that
// the vendor must have an outage; nothing was written off.
var ErrOutage = errors.New("the media host has an outage or refuses this account")

// Summary counts what a run did. All counts are of this run unless said otherwise.
type Summary struct {
	Run      string    `json:"run"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended"`
	Seconds  float64   `json:"seconds"`
	DryRun   bool      `json:"dry_run"`
	ExitCode int       `json:"exit_code"`       // set by the caller
	Error    string    `json:"error,omitempty"` // likewise: why the run could not go on
	Stopped  string    `json:"stopped,omitempty"`

	DaysAsked   int `json:"days_asked"`
	DaysSkipped int `json:"days_skipped"` // closed before, not asked for again
	DaysClosed  int `json:"days_closed"`  // closed by this run
	DaysListed  int `json:"days_listed"`
	DaysWhole   int `json:"days_whole"` // parts of days asked for that are done, as good as closed
	// DaysNotBegun were asked for and not looked at before the run stopped.
	DaysNotBegun int       `json:"days_not_begun"`
	OpenDays     []OpenDay `json:"open_days"`

	Calls      int `json:"calls"`
	Recordings int `json:"recordings"` // listed, each counted once

	Archived int `json:"archived"` // new in this run, adopted ones included
	Adopted  int `json:"adopted"`  // of these, found stored by a run that was killed
	Known    int `json:"known"`    // were final before
	Pending  int `json:"pending"`
	Failed   int `json:"failed"`
	Rejected int `json:"rejected"`
	Lost     int `json:"lost"`     // found lost in this run
	GivenUp  int `json:"given_up"` // became final without being archived
	ToFetch  int `json:"to_fetch"` // dry run: would be fetched

	Bytes          int64 `json:"bytes"`           // stored
	EstimatedBytes int64 `json:"estimated_bytes"` // dry run: of those to fetch, by call length

	APIRequests   int64 `json:"api_requests"` // set by the caller, as the next three
	MediaRequests int64 `json:"media_requests"`
	Refusals      int64 `json:"refusals"` // answers that asked to slow down

	// ClocksApart says that the machine's clock and the API's were so far apart that
	// no day was closed.
	ClocksApart bool     `json:"clocks_apart,omitempty"`
	Warnings    []string `json:"warnings"`
}

// OpenDay is a day that was worked and is not closed.
type OpenDay struct {
	Day     string `json:"day"`
	Settled bool   `json:"settled"`
	Waiting int    `json:"waiting"` // recordings without a final outcome
	// Unreadable says that the day's manifest cannot be read, so that it was not worked.
	Unreadable bool     `json:"unreadable,omitempty"`
	Reasons    []string `json:"reasons"`
}

// Incomplete reports whether the run left something undone that cannot be put
// down to a day not having settled: a settled day that is not closed, a day of which
// two clocks leave open whether it settled, a manifest that cannot be read, a
// recording found lost or given up, or a limit that stopped it. With strict,
// recordings that wait in a day not yet settled count too.
func (s *Summary) Incomplete(strict bool) bool {
	if s.Lost > 0 || s.GivenUp > 0 || s.Stopped != "" || s.ClocksApart && len(s.OpenDays) > 0 {
		return true
	}
	for _, day := range s.OpenDays {
		if day.Settled || day.Unreadable || strict && day.Waiting > 0 {
			return true
		}
	}
	return false
}

// Progress is a look at a run while it works.
type Progress struct {
	Summary
	Queued   int    // recordings listed and not yet taken by a worker
	InFlight int    // recordings at a worker
	Received int64  // bytes received, stored or not
	Day      string // earliest day in work
	DaysLeft int    // days not done
}
