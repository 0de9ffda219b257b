// Package report says what an archive holds, by day and in total, from its ledger alone: what is archived,
// waits, is lost or was never listed, which days are closed, for all calls or for a filter, and why the others are not.
//
// Read takes the facts of each day from a ledger, of closed days from their day line alone. Build is a pure
// function that judges them and makes a Report, the one type of which text, JSON and CSV are renderings.
//
// A report holds ids of calls and recordings, dates, counts and reasons. It holds no key, and no value of a
// filter, which may be a person's name or number.
package report

import (
	"time"

	"convoso-archiver/manifest"
)

// Report is the state of an archive over a span of days, at the time Made. Slices and maps are never nil.
type Report struct {
	V    int       `json:"v"` // of this format: 1
	Made time.Time `json:"made"`

	// What the archive is of, set by the caller.
	Archive  string `json:"archive"` // its random id
	Account  string `json:"account"` // empty until the account was seen
	APIURL   string `json:"api_url"`
	TimeZone string `json:"time_zone"`

	// LastRun is when the newest line that was met was written: that of a closed day outside the span counts.
	LastRun time.Time `json:"last_run,omitzero"`

	Filter []string `json:"filter"` // fields of the filter by which days were judged; none for all calls

	From  string `json:"from"` // first day, 2006-01-02; empty when no day is known and none was asked for
	To    string `json:"to"`   // last day, included
	Rules Rules  `json:"rules"`

	// Complete says that every settled day of the span is closed, all its calls could be listed, and no recording in it
	// is lost or given up.
	Complete bool    `json:"complete"`
	Total    Total   `json:"total"`
	Purge    *Purge  `json:"purge"`  // nil when nothing is left to archive
	Days     []Day   `json:"days"`   // every day of the span, ascending
	Losses   []Loss  `json:"losses"` // by day; no more than Options.Losses
	Omitted  int     `json:"losses_omitted"`
	NeverIn  []Range `json:"never_listed"` // days without any listing, in runs

	// Missing are all recordings of the span that are not archived, by day: those that wait, and Losses. It is nil unless
	// it was asked for.
	Missing []MissingRecording `json:"missing,omitzero"`

	Verified []Verified `json:"verified"` // the latest verification of each mode that Options name, the latest first
}

// Rules are the ages by which days and recordings were judged.
type Rules struct {
	SettleSeconds     int64 `json:"settle_seconds"`
	PurgeAfterSeconds int64 `json:"purge_after_seconds"`
	GiveUpSeconds     int64 `json:"give_up_seconds"`
}

// Range is a run of days, both ends included.
type Range struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Counts are the figures of a day, or of several.
type Counts struct {
	// Calls of an open day are those that its latest listing counts, 0 when no listing was finished.
	Calls      int                      `json:"calls"`
	Recordings int                      `json:"recordings"`                 // noted so far
	ByOutcome  map[manifest.Outcome]int `json:"by_outcome"`                 // their sum is Recordings
	Waiting    int                      `json:"waiting"`                    // of these: to be tried again by later runs
	WaitingBy  map[string]int           `json:"waiting_by_cause,omitempty"` // their sum is Waiting: by cause, by outcome where a line has none; nil for none
	GivenUp    int                      `json:"given_up"`                   // of these: final without being archived, lost ones not included
	Bytes      int64                    `json:"bytes"`                      // of the archived
}

// Total counts the days of the span and sums them.
type Total struct {
	Days        int `json:"days"`
	Closed      int `json:"closed"`
	Open        int `json:"open"`
	NeverListed int `json:"never_listed"`
	Unsettled   int `json:"unsettled"` // of the open and never listed
	Uncounted   int `json:"uncounted"` // of the closed: calls may be missing
	Counts
}

// State says how far the work on a day is.
type State string

// The states of a day.
const (
	Closed      State = "closed"       // proved complete, every recording is final
	Open        State = "open"         // something is left to do
	NeverListed State = "never_listed" // the archive holds no line about it
)

// Day is one call day. If a filter was asked for, the counts are still of all that is noted of the day.
type Day struct {
	Day     string   `json:"day"` // 2006-01-02
	State   State    `json:"state"`
	Settled bool     `json:"settled"`        // old enough that it no longer changes
	Kept    []string `json:"kept,omitempty"` // of a closed day: what the archive keeps of it
	Reasons []Reason `json:"reasons"`        // why it is not closed, or the faults of a closed day
	Counts
}

// Reason is why a day is not closed, or a fault of a closed day.
type Reason struct {
	Code Code   `json:"code"`
	Text string `json:"text"` // for a person
}

// Code is the stable name of a reason.
type Code string

// The reasons. Only the run itself reports its other reasons not to close a day.
const (
	NotSettled  Code = "not_settled"    // it may still change
	NotListed   Code = "not_listed"     // no listing was finished, or none at all
	Filtered    Code = "filtered"       // listed or closed only for calls that pass another filter
	Partial     Code = "partial"        // only some of its hours were listed
	NotWhole    Code = "not_whole"      // the latest listing was not proved whole
	ListedEarly Code = "listed_early"   // listed whole, but before it settled
	Empty       Code = "empty"          // listed without calls, or without recordings, which is not proved
	Missing     Code = "missing"        // recordings that the ledger knows are not listed any more
	Waiting     Code = "waiting"        // recordings wait
	Reopened    Code = "reopened"       // it was closed, and its lines have changed since
	BadLine     Code = "bad_line"       // a line cannot be read: what the day holds is not known
	LeftOpen    Code = "not_closed_yet" // nothing is left to do that the ledger knows of

	CallsRepaired Code = "calls_repaired" // a repair left out lines of calls/

	// Of closed days.
	Uncounted   Code = "uncounted"   // the API's total differs from what it lists, at each listing
	Unlistable  Code = "unlistable"  // the API does not list all of it
	Unlisted    Code = "unlisted"    // recordings are not listed any more
	Unwitnessed Code = "unwitnessed" // closed without recordings, and no answer has proved that
	Stray       Code = "stray"       // rows of other days were listed with it; of an open day too
)

// Loss is a recording that will not be archived: lost at the source, or given up with any other outcome.
type Loss struct {
	Day         string           `json:"day"`
	CallID      string           `json:"call_id"`
	RecordingID string           `json:"recording_id"`
	Outcome     manifest.Outcome `json:"outcome"`
	Noted       time.Time        `json:"noted"`
	Reason      string           `json:"reason"`
}

// MissingRecording is a recording that is not archived.
type MissingRecording struct {
	Day         string           `json:"day"`
	CallID      string           `json:"call_id"`
	RecordingID string           `json:"recording_id"`
	Outcome     manifest.Outcome `json:"outcome"`
	Final       bool             `json:"final"` // later runs do not try it again
	Cause       string           `json:"cause"`
	Reason      string           `json:"reason"`
	Why         string           `json:"why"` // in words; see Options.Why
	Noted       time.Time        `json:"noted"`
}

// Purge says when the vendor begins to delete what is not archived. A day counts where recordings wait or
// may be unknown, because it was never listed or not listed whole.
type Purge struct {
	// Oldest is the oldest such day, and DaysLeft the whole days until its first calls reach the purge age, below
	// 0 once they have.
	Oldest   string `json:"oldest"`
	DaysLeft int    `json:"days_left"`
	Past     int    `json:"past"` // such days whose first calls have reached the purge age
	// Next is the oldest such day that has not, empty when there is none.
	Next         string `json:"next"`
	NextDaysLeft int    `json:"next_days_left"`
}
