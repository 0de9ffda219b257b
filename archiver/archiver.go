// Package archiver is the pipeline: it plans the call days of a span, skips those that are closed, lists the others,
// and hands every recording to a bounded set of workers that fetch, check, store and note it.
//
// The path of a recording: Run plans the days and starts one goroutine for each day in work, at most three, which
// owns that day from its listing to its verdict. It lists the day page by page, notes the rows in calls/, and then
// puts each recording that has a link and is not final into the queue; one without a link it notes itself. A worker
// takes a recording from there, waits for the pace of its host, opens its link, receives the body through the
// inspector, which recognises it at the end (download.go), claims a key and stores the body (keep.go), and notes the
// line. On disk package manifest writes and syncs the lines of several workers together; in a bucket it holds them
// and stores them as one segment. After a temporary failure, the recording goes back into the queue with the time of
// its next attempt, for a bounded number of attempts. When all recordings of the day have been worked on, its
// goroutine gathers the facts and calls one pure function, judge, which decides which waiting recordings become final
// and whether the day closes. If the day needs a further fact, or listed rows of other days, Run takes it over and
// judges it when no other day is in work: at the end of the run, or earlier when too many days wait (settle.go).
//
// A day is closed when it has settled, all of it was requested, its listing is whole, both clocks agree, and every
// recording in it has a final outcome. A day without calls, without recordings or with fewer than before also needs a
// witness: proof from the same run that the API answers truthfully. judge.go has the exceptions. The order of writing
// keeps this true after any crash: bytes are durable before the line that names them, each recording's line before
// the line of the window that listed it, and those before the line that closes the day.
package archiver

import (
	"context"
	"errors"
	"io"
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
	Look(ctx context.Context, span fetcher.Window, filter fetcher.Filter, offset int) (*fetcher.Page, error)
	Open(ctx, waiting context.Context, link fetcher.Secret, again bool) (*fetcher.Audio, error)
	ClockSkew() (time.Duration, bool)
	Answers() int64
	Resumed() time.Time // when the source last resumed after a pause of the schedule; zero for never
}

// Store keeps bodies under keys; *store.Disk and *store.S3 implement it.
type Store interface {
	Put(ctx context.Context, object store.Object) (store.Info, error)
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	Stat(ctx context.Context, key string) (store.Info, error)
	NewPart() (*store.Part, error)
}

// Order is the order in which days are worked on.
type Order string

// The orders of days.
const (
	// Expiring works on days younger than the purge age first, oldest first, because the vendor deletes their
	// audio next; then the others, newest first.
	Expiring   Order = "expiring"
	Ascending  Order = "asc"
	Descending Order = "desc"
)

// CallRows says which rows of the call log are kept.
type CallRows string

// The rows that are kept.
const (
	AllCalls      CallRows = "all"
	RecordedCalls CallRows = "recorded" // only those with recordings
)

// Span is what to archive, as wall-clock times of the account's zone with both
// ends included.
type Span struct {
	From, To time.Time
	// CatchUp also works on every earlier day that a listing with the same filter left open, and
	// every day after the first listed one that was never listed with it.
	CatchUp bool
}

// Config says how to work. Every field is set by the caller; there are no defaults.
type Config struct {
	Run        string // of this run's lines; manifest.NewRunID makes one
	APIURL     string
	Zone       *time.Location
	Span       Span
	Shard      Shard // the days of the span, and of those to catch up, that this run works on
	Filter     fetcher.Filter
	Order      Order
	Settle     time.Duration // a day may change until this long after its end
	PurgeAfter time.Duration // age at which the vendor deletes audio
	GiveUp     time.Duration // a recording is given up this long after it was first listed
	RetryFor   time.Duration // how long to wait for an unreachable host or store
	Calls      CallRows      // which call rows to keep
	Workers    int           // downloads in flight
	// Conditions says whether the store honours If-None-Match; nil on disk.
	Conditions *bool
	// MaxRecordings stops the run after this many new recordings, 0 for no limit.
	MaxRecordings int
	MaxBytes      int64                     // likewise, after this many stored bytes
	Retry         map[manifest.Outcome]bool // final outcomes to request again
	Relist        bool                      // list closed days again
	DryRun        bool                      // only list and count
	Grace         time.Duration             // for recordings in flight when the run is stopped
	KeyPrefixLen  int                       // bytes that the store puts before each key

	Lock  store.LockRule               // how recordings are locked when they are stored; on S3 only
	Class func(campaign string) string // of a campaign's recordings, a tag on S3; nil for none
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

	sum atomic.Pointer[tally]
}

// ErrOutage says that too many consecutive recordings, on several days, were refused or not found:
// the vendor must have an outage. Nothing was written off.
var ErrOutage = errors.New("the media host has an outage or refuses this account")

// ErrSilent says that a media host did not answer at all.
var ErrSilent = errors.New("the media host did not answer")
