// Declares a query and its limits.

package search

import (
	"time"

	"convoso-archiver/manifest"
)

// Query says which calls are wanted: those that fulfil every term given. The zero value wants all.
type Query struct {
	From, To time.Time // wall-clock time of the account's zone, both included; zero for no bound

	// Any one of the values has to be equal, without regard to case.
	IDs, LeadIDs, CampaignIDs, QueueIDs, ListIDs, UserIDs []string
	Statuses, CallTypes, CalledCounts                     []string

	PhoneNumbers, NumbersDialed []string // equal in their digits
	FirstNames, LastNames       []string // equal word for word

	Number   string // digits with which either number ends, at least MinNumberDigits
	Agent    string // id, or name word for word
	Campaign string // likewise
	Name     string // each word begins a word of first or last name
	Comment  string // each word is one of the agent's comment

	MinLength, MaxLength int // seconds, both included; 0 for no bound

	Outcomes      []manifest.Outcome // of any one recording
	WithRecording bool               // at least one recording is known

	// Listed are ids of calls or recordings, as of a lawyer's list; nil for no list.
	Listed []string
	listed map[string]bool // the same as a set, for queries over many calls; nil if not built

	// Watch is called with every call that is read, whether it is wanted or not; nil for nobody. If an index answers
	// nothing is read.
	Watch func(*Call)

	// Within limits all answers to campaigns and agents, by id or name; nil for no limit. It is for rights.
	Within Limits

	Sort   Sort
	Limit  int    // of the calls, 0 for all
	Sample int    // so many calls at random, 0 for all
	Seed   uint64 // the same seed and archive give the same sample

	// After is where a page begins: only calls after it in the order of the answer, which must be one by time. Zero
	// for the first page.
	After Position
}

// Limits are the campaigns and agents that a user may see, each by id or name. Nil means all, an empty list none.
type Limits struct {
	Campaigns, Agents []string
}

// MinNumberDigits is the least number of digits that Query.Number takes: fewer would match almost every call.
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

// Position is where a call is in time: calls have distinct positions, later calls have greater ones. It may change
// when a call of the same second is listed later. Zero is not a position.
type Position int64

// maxPerSecond is the number of calls of one second that have positions of their own.
const maxPerSecond = 1 << 20

// positionAt returns the position of the n-th call of a second, from 0.
func positionAt(wall time.Time, n int) Position {
	return Position(wall.Unix()*maxPerSecond + int64(min(n, maxPerSecond-1)))
}

// Positions returns the first and the last position that the query's span allows.
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

// days reports whether a call day may hold answers.
func (q Query) days(day string) bool {
	return (q.From.IsZero() || day >= q.From.Format(time.DateOnly)) && (q.To.IsZero() || day <= q.To.Format(time.DateOnly))
}
