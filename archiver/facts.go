// Declares the facts from which judge decides about a day.

package archiver

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"convoso-archiver/manifest"
)

// rules are the settings that judge applies.
type rules struct {
	Settle     time.Duration // a day may change until this long after its end
	PurgeAfter time.Duration // age at which the vendor deletes audio
	GiveUp     time.Duration // a recording is given up this long after it was first listed
}

// facts are the inputs of the decision about one day. Facts that cost a request or a pass over the ledger are
// unknown at first: judge asks for them in its needs.
type facts struct {
	Rules   rules
	Now     time.Time // of the earlier of the two clocks
	Trusted bool      // the two clocks agree well enough to close a day
	End     time.Time // the instant at which the day ends

	Filter   string // of this run, "" for none
	Personal bool   // the filter is by number or name
	Entire   bool   // all of the day was asked for
	Cut      bool   // the present cut the listing short

	Listing *listing  // of this run, nil if it is not complete
	Failure string    // why the listing is not complete
	Earlier []listing // whole-day listings of earlier runs with the same filter, oldest first

	Aside string // why the day was set aside, "" if it was not

	Known      int              // recordings that the ledger has: archived, damaged or waiting
	Recordings []recordingFacts // those that are not final, or not listed

	Rows     answer // does a row of another settled day, or of a span, prove that the API answers truthfully?
	RowsEver bool   // the archive knows of a call
	// Filtered: with this run's filter, the API has listed a call of another day.
	Filtered bool
	Recorded answer // the same for recordings
	// RecordedYet: the archive knows of a recording less than a year old.
	RecordedYet bool
	Control     answer // do the totals around an empty day prove that it is empty?
	Delivered   answer // are hostFacts.Oldest and hostFacts.Ever known?
	LookedUp    answer // did the run ask the API whether it lists missing recordings under other days?
	Hosts       map[string]hostFacts
	Unsaved     int // recordings that could not be stored in this run
}

// answer is the answer to a question that costs a request or a pass over the ledger.
type answer int

const (
	unasked answer = iota
	yes
	no
	unknowable // asked without an answer
)

// hostFacts are the facts about a media host.
type hostFacts struct {
	Good    int64 // moment of the last good audio in this run, 0 for none
	AnyGood int64 // the same for any allowed host
	// Witness is no if the request for known good audio failed, unknowable if there is nothing to
	// request.
	Witness answer
	Ever    bool          // it has delivered audio to this archive
	Oldest  time.Duration // maximum age of audio that it delivered to this archive
}

// recordingFacts are the facts about one recording.
type recordingFacts struct {
	ID    string
	State manifest.State
	Noted bool // the ledger has a line for it

	Listed    bool // by this run's listing of the day
	Elsewhere bool // in this run, the API lists it under another day
	Nameless  bool // has neither id nor file name nor link

	Refused bool   // in this run, with a line
	Cause   string // cause of the refusal
	Host    string // that refused it or failed, "" if none got a request
	Moment  int64  // of the refusal, to compare with hostFacts

	Stored answer // is it in the store, complete, and under a key that no other recording uses?
}

// listing is one listing of a day.
type listing struct {
	ID      string
	At      time.Time
	Settled bool // the day was settled at that time
	Cut     bool

	Rows, Total                 int
	Counted                     int // distinct calls of all windows, to compare with Total
	Calls                       int // of these, calls of the day
	Recordings                  int
	CallsSHA256                 string
	Whole, Complete, Unlistable bool
	Stray, Missing              int
	StraySHA256, MissingSHA256  string
	Doubts                      []doubt // that no rule in judge resolves
	Shortfalls                  []doubt // why it is not complete
}

// doubt is a reason not to trust a listing.
type doubt struct {
	Text  string
	Count int
}

// needs are the facts that a verdict still lacks.
type needs struct {
	Rows, Recorded, Control, Delivered, Elsewhere bool
	Media                                         []string // hosts that need a witness
	Search                                        []string // recordings to look for in the store
}

func (n *needs) any() bool {
	return n.Rows || n.Recorded || n.Control || n.Delivered || n.Elsewhere || len(n.Media) > 0 || len(n.Search) > 0
}

// verdict is the decision about one recording.
type verdict struct {
	ID      string
	Outcome manifest.Outcome
	Adopt   bool // it is in the store
	Moved   bool // another day has it now
	Reason  string
}

// verdicts are what judge decides. They are valid only once it needs no further facts.
type verdicts struct {
	Needs    needs
	Lines    []verdict // recordings that become final
	Close    bool
	Settled  bool
	Waiting  int // recordings that are not final
	Reasons  []string
	Warnings []string
	// Excused says that the day stays open without causing exit code 3.
	Excused bool

	// Facts for the window lines and the day line.
	Missing                    int
	MissingSHA256              string
	Stray, Unlisted, Uncounted int
	Unwitnessed, Unlistable    bool
}

// hashOfSorted returns the SHA-256 of sorted ids, one per line, as hex.
func hashOfSorted(ids []string) string {
	slices.Sort(ids)
	sum := sha256.Sum256([]byte(strings.Join(ids, "\n")))
	return hex.EncodeToString(sum[:])
}
