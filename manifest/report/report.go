// Package report says what an archive holds, by day and in total, from its ledger alone: what is archived, waits, is
// lost or was never listed, which days are closed, for all calls or for a filter, and why the others are not.
//
// Read reads the facts of each day from a ledger; for closed days only the day line. Build is a pure function that
// judges them and makes a Report, which is rendered as text, JSON or CSV.
//
// A report contains ids of calls and recordings, dates, counts and reasons. It contains no key, and no value of a
// filter, which may be a name or number.
package report

import (
	"time"

	"convoso-archiver/manifest"
)

// Report is the state of an archive over a span of days, at the time Made. Slices and maps are never nil.
type Report struct {
	V    int       `json:"v"` // of this format: 1
	Made time.Time `json:"made"`

	// Identity of the archive, set by the caller.
	Archive  string `json:"archive"` // its random id
	Account  string `json:"account"` // empty until the account is known
	APIURL   string `json:"api_url"`
	TimeZone string `json:"time_zone"`

	// LastRun is the time of the newest line read, including that of a closed day outside the span.
	LastRun time.Time `json:"last_run,omitzero"`

	Filter []string `json:"filter"` // fields of the filter used to judge days; none for all calls

	From  string `json:"from"` // first day, 2006-01-02; empty if no day is known and none was requested
	To    string `json:"to"`   // last day, included
	Rules Rules  `json:"rules"`

	// FirstListed is the first day in the archive that was ever listed, also outside of the span; empty for none.
	FirstListed string `json:"first_listed"`

	// Complete says that every settled day of the span is closed with all of its calls listed, and that no recording is
	// lost or given up.
	Complete bool    `json:"complete"`
	Total    Total   `json:"total"`
	Purge    *Purge  `json:"purge"`  // nil if nothing is left to archive
	Days     []Day   `json:"days"`   // every day of the span, ascending
	Losses   []Loss  `json:"losses"` // by day; no more than Options.Losses
	Omitted  int     `json:"losses_omitted"`
	NeverIn  []Range `json:"never_listed"` // days without any listing, in runs

	// Missing are all unarchived recordings of the span, by day: waiting ones, and Losses. It is nil unless requested.
	Missing []MissingRecording `json:"missing,omitzero"`

	Verified []Verified `json:"verified"` // the latest verification of each mode in Options, latest first
	// VerifiedUnreadable is the file with a verification that cannot be read, so that Verified may lack some; empty if
	// all can be read.
	VerifiedUnreadable string `json:"verified_unreadable"`
}

// Rules are the ages used to judge days and recordings.
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
	// Calls of an open day is the count of its latest listing, 0 if no listing was finished.
	Calls      int                      `json:"calls"`
	Recordings int                      `json:"recordings"`                 // noted so far
	ByOutcome  map[manifest.Outcome]int `json:"by_outcome"`                 // their sum is Recordings
	Waiting    int                      `json:"waiting"`                    // of these: retried by later runs
	WaitingBy  map[string]int           `json:"waiting_by_cause,omitempty"` // their sum is Waiting: by cause, or by outcome for lines without one; nil for none
	GivenUp    int                      `json:"given_up"`                   // of these: final without audio, excluding lost ones
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
	// PartlyListed counts the open days without any finished listing, and those that have settled since their latest
	// complete listing: they may have recordings that no line names, as when a run was stopped.
	PartlyListed int `json:"partly_listed"`
	Counts
}

// State is the state of a day.
type State string

// The states of a day.
const (
	Closed      State = "closed"       // proved complete, every recording is final
	Open        State = "open"         // something is left to do
	NeverListed State = "never_listed" // the archive has no line about it
)

// Day is one call day. If a filter was asked for, the counts still include everything noted of the day.
type Day struct {
	Day     string   `json:"day"` // 2006-01-02
	State   State    `json:"state"`
	Settled bool     `json:"settled"`        // old enough that it no longer changes
	Kept    []string `json:"kept,omitempty"` // of a closed day: kinds of data that the archive keeps
	Reasons []Reason `json:"reasons"`        // why it is not closed, or the faults of a closed day
	Counts
}

// Reason is why a day is not closed, or a fault of a closed day.
type Reason struct {
	Code Code   `json:"code"`
	Text string `json:"text"` // for people
}

// Code is the stable name of a reason.
type Code string

// The reasons. Other reasons are only reported by the run itself.
const (
	NotSettled  Code = "not_settled"    // it may still change
	NotListed   Code = "not_listed"     // no listing was finished, or none at all
	Filtered    Code = "filtered"       // listed or closed only for another filter
	Partial     Code = "partial"        // only some of its hours were listed
	NotWhole    Code = "not_whole"      // the latest listing was not proved complete
	ListedEarly Code = "listed_early"   // completely listed, but before it settled
	Empty       Code = "empty"          // listed without calls, or without recordings, without proof
	Missing     Code = "missing"        // known recordings are no longer listed
	Waiting     Code = "waiting"        // recordings wait
	Reopened    Code = "reopened"       // it was closed, but its lines have changed since
	BadLine     Code = "bad_line"       // a line cannot be read, so the content of the day is unknown
	LeftOpen    Code = "not_closed_yet" // nothing known is left to do

	CallsRepaired Code = "calls_repaired" // a repair left out lines of calls/

	// Of closed days.
	Uncounted   Code = "uncounted"   // the API's total differs from what it lists, in each listing
	Unlistable  Code = "unlistable"  // the API does not list all of it
	Unlisted    Code = "unlisted"    // recordings are no longer listed
	Unwitnessed Code = "unwitnessed" // closed without recordings, without proof from the API
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
	Final       bool             `json:"final"`  // later runs do not retry it
	Cause       string           `json:"cause"`  // a stable code
	Reason      string           `json:"reason"` // in words, with the known details; see Options.Why
	Noted       time.Time        `json:"noted"`
}

// Purge says when the vendor starts to delete unarchived recordings. A day counts if recordings wait, or
// may be unknown because it was never or not completely listed.
type Purge struct {
	// Oldest is the oldest such day, and DaysLeft the whole days until its first calls reach the purge age,
	// negative once they have.
	Oldest   string `json:"oldest"`
	DaysLeft int    `json:"days_left"`
	Past     int    `json:"past"` // such days whose first calls have reached the purge age
	// Next is the oldest such day whose first calls have not reached the purge age, empty for none.
	Next         string `json:"next"`
	NextDaysLeft int    `json:"next_days_left"`
}
