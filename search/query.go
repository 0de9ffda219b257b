// Declares a query and its limits.

package search

import (
	"time"

	"convoso-archiver/manifest"
)

// Query selects calls: those that match every term. The zero value selects all.
type Query struct {
	From, To time.Time // wall-clock time of the account's zone, both included; zero for no bound

	// One of the values must be equal, ignoring case.
	IDs, LeadIDs, CampaignIDs, QueueIDs, ListIDs, UserIDs []string
	Statuses, CallTypes, CalledCounts                     []string

	PhoneNumbers, NumbersDialed []string // equal in their digits
	FirstNames, LastNames       []string // equal word for word

	Number   string // digits with which either number ends, at least MinNumberDigits
	Agent    string // id, or name word for word
	Campaign string // likewise
	Name     string // each word is a prefix of a word of first or last name
	Comment  string // each word is in the agent's comment

	MinLength, MaxLength int // seconds, both included; 0 for no bound

	Outcomes      []manifest.Outcome // of any one recording
	WithRecording bool               // at least one recording is known

	// Listed are ids of calls or recordings, like a lawyer's list; nil for no list.
	Listed []string
	listed map[string]bool // the same as a set, for queries over many calls; nil if not built

	// Watch is called with every call that is read, matching or not; nil for none. With an index, no calls are read.
	Watch func(*Call)

	// Within limits all answers to campaigns and agents, by id or name; nil for no limit. It implements
	// rights.
	Within Limits

	Sort   Sort
	Limit  int    // of the calls, 0 for all
	Sample int    // number of random calls, 0 for all
	Seed   uint64 // the same seed and matching calls give the same sample

	// After is the start of a page: only calls after it in the order of the answer, which must be by time. Zero for
	// the first page.
	After Position
}

// Limits are the campaigns and agents that a user may see, each by id or name. Nil means all, an empty list none.
type Limits struct {
	Campaigns, Agents []string
}

// MinNumberDigits is the minimum number of digits in Query.Number: fewer would match almost every call.
const MinNumberDigits = 4

// Sort is the order of the answers.
type Sort string

// The orders. By length, calls of the same length come newest first.
const (
	NewestFirst   Sort = "-time" // also for ""
	OldestFirst   Sort = "time"
	LongestFirst  Sort = "-length"
	ShortestFirst Sort = "length"
)

// Position orders calls by time: positions are distinct, and later calls have greater ones. It may change when
// another call of the same second is listed. Zero is not a position.
type Position int64

// maxPerSecond is the maximum number of calls per second with distinct positions.
const maxPerSecond = 1 << 20

// positionAt returns the position of the n-th call of a second, from 0.
func positionAt(wall time.Time, n int) Position {
	return Position(wall.Unix()*maxPerSecond + int64(min(n, maxPerSecond-1)))
}

// Positions returns the first and the last position in the query's span.
func (q Query) Positions() (first, last Position) {
	first, last = 1, 1<<63-1
	if !q.From.IsZero() {
		first = positionAt(q.From, 0)
	}
	if !q.To.IsZero() {
		last = positionAt(q.To, maxPerSecond-1)
	}
	return first, last
}

// days reports whether a call day may have matching calls.
func (q Query) days(day string) bool {
	return (q.From.IsZero() || day >= q.From.Format(time.DateOnly)) && (q.To.IsZero() || day <= q.To.Format(time.DateOnly))
}
