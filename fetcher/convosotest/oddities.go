// Lists the harmless deviations that the simulated API can show.

package convosotest

import (
	"cmp"
	"time"
)

// Oddities are deviations that a client has to take in its stride: with all of
// them on, every recording can still be had.
type Oddities struct {
	TotalFound      TotalForm // how total_found is sent
	NumberIDs       bool      // ids as JSON numbers in some rows, recording_id too
	NullFields      bool      // null in the fields that may be null
	LiteralNulls    bool      // the text "null" in place of null in some rows
	ExtraFields     bool      // fields that the vendor does not document; one of them holds a recording's link
	ResultsAsObject bool      // results keyed by call id in every other answer
	RecordingForms  bool      // recording null, "", {} or missing for none; an object, or a map keyed by index, for some
	LinkForms       bool      // public_url missing, null, "" or "null" in some recordings, with src present
	EscapedSlashes  bool      // "\/" for "/" in strings, as PHP writes
	ContentTypes    bool      // JSON sent as text/html, audio under generic types or none
	UnreadableDates bool      // some rows without a date that can be read
	MissingCallIDs  bool      // some rows without an id
	LiveCalls       int       // calls of each day that are still in progress: call_length is null

	SharedSeconds bool // many calls share their second with others
	// TieShuffle is the number of requests of each window that see the rows of one
	// second in an order of their own, so that a row may be on two pages and
	// another on none; below 0 for all requests.
	TieShuffle int
	ShortPages bool // pages shorter than asked for though not the last

	NamedLinks       bool // links end with the recording's file name, behind the part that opens them
	RotateLinks      bool // every answer has links with another rlt; the old ones continue working
	DuplicateNames   bool // some recordings have the file name of another
	SharedRecordings bool // some recordings are listed under two calls of the same day
	SplitNames       bool // some calls have one recording_id with two file names, which are two recordings
	MissingIDs       bool // some recordings without recording_id
	MissingNames     bool // some recordings without filename
	// HostileNames are given to as many recordings, one each; see [HostileNames].
	HostileNames []string

	OtherKinds bool // some recordings of each other Kind than KindMP3, if there are enough; some under the extension of another
	Redirects  bool // some links answer 302 to the same host
	NoLength   bool // some bodies without Content-Length, chunked or ended by closing the connection
}

// TotalForm is how total_found is sent.
type TotalForm string

// The forms of total_found.
const (
	TotalText      TotalForm = ""          // a string, as the vendor's page shows
	TotalNumber    TotalForm = "number"    // a number
	TotalAlternate TotalForm = "alternate" // a string and a number in turn
	TotalNull      TotalForm = "null"      // null: the rows cannot be counted against it
)

// HostileNames returns file names that a careless client would be harmed by: out of
// its folder, into another file's place, or refused by a file system.
func HostileNames() []string {
	long := make([]byte, 296)
	for i := range long {
		long[i] = 'a' + byte(i%26)
	}
	return []string{
		"../../x",
		"manifest/2025-05-01.jsonl",
		"",
		"same.mp3", "same.mp3",
		`C:\trailing:dot.`,
		string(long) + ".mp3",
		"/etc/passwd",
		"calls/2025-05-01.jsonl",
		".hidden.mp3",
		"CON.mp3",
		"new\nline\ttab\x00nul.mp3",
		"..",
		"naïve – ünïcode.mp3",
	}
}

// AllBenign returns all oddities switched on.
func AllBenign() Oddities {
	return Oddities{
		TotalFound: TotalAlternate, NumberIDs: true, NullFields: true, LiteralNulls: true, ExtraFields: true,
		ResultsAsObject: true, RecordingForms: true, LinkForms: true, EscapedSlashes: true, ContentTypes: true,
		UnreadableDates: true, MissingCallIDs: true, LiveCalls: 2,
		SharedSeconds: true, TieShuffle: 2, ShortPages: true,
		RotateLinks: true, DuplicateNames: true, SharedRecordings: true, SplitNames: true, MissingIDs: true,
		MissingNames: true, HostileNames: HostileNames(),
		OtherKinds: true, Redirects: true, NoLength: true,
	}
}

// Listing says how the API reads a request, and what goes wrong while a client pages.
type Listing struct {
	MaxLimit      int       // most rows on a page; 0 stands for 500
	DefaultLimit  int       // rows on a page where limit is missing; 0 stands for MaxLimit
	LimitMode     LimitMode // what happens to a larger limit
	OffsetCeiling int       // greatest offset that is answered; 0 stands for 40,000

	Compare        Compare  // how times are compared
	AmbiguousLate  bool     // CompareInstants: a repeated wall-clock time is read as its second occurrence
	ExclusiveStart bool     // rows of the second start_time are left out
	ExclusiveEnd   bool     // rows of the second end_time are left out
	Ignore         []string // parameters that are ignored silently

	// TotalChanges is the number of requests of each window whose total_found is
	// another each time; below 0 for all.
	TotalChanges int
	// TotalError is added to every total_found.
	TotalError int
	// BoundarySwaps is the number of requests of each window, among those with an
	// offset, whose first row is the last of the page before; below 0 for all.
	BoundarySwaps int
	// HeldBack is the number of calls of each day that are not listed until a
	// request with an offset covers them: rows inserted while a client pages.
	HeldBack int
	// Moved is the number of calls of each day that move to the next day when a
	// request with an offset covers them.
	Moved int
	// Stray is the number of calls of each day that are listed there although their
	// call_date is 24 hours earlier.
	Stray int
	// LinksExpire makes links stop working when this many further answers have been
	// given; 0 for never. It implies Oddities.RotateLinks.
	LinksExpire int
}

// LimitMode is what happens to a limit above MaxLimit.
type LimitMode string

// What happens to a limit above MaxLimit.
const (
	LimitClamp  LimitMode = ""       // MaxLimit holds
	LimitReject LimitMode = "reject" // error 7230
	LimitHonour LimitMode = "honour" // as many rows as asked for
)

// Compare is how call_date is compared with start_time and end_time.
type Compare string

// The ways to compare times. They differ where daylight saving repeats an hour.
const (
	CompareText     Compare = ""         // as texts: a repeated hour's calls lie between each other
	CompareInstants Compare = "instants" // as instants
)

func (l Listing) withDefaults() Listing {
	l.MaxLimit = cmp.Or(l.MaxLimit, 500)
	l.DefaultLimit = cmp.Or(l.DefaultLimit, l.MaxLimit)
	l.OffsetCeiling = cmp.Or(l.OffsetCeiling, 40_000)
	return l
}

// Late says which recordings are not there at first. They appear when After has
// passed on the simulated clock since their call was first listed, when their call
// was listed Listings times, or when [Server.ReleaseLate] is called; if both
// values are 0, only then.
type Late struct {
	Recordings int // recordings that are not listed at first
	Links      int // recordings that are listed without a link at first
	After      time.Duration
	Listings   int
}
