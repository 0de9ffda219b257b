// Lists the harmless deviations that the simulated API can show.

package convosotest

import (
	"cmp"
	"time"
)

// Oddities are deviations that a client must handle: with all of them enabled, every recording is
// still available.
type Oddities struct {
	TotalFound      TotalForm // how total_found is sent
	NumberIDs       bool      // ids as JSON numbers in some rows, recording_id too
	NullFields      bool      // null in the fields that may be null
	LiteralNulls    bool      // the text "null" instead of null in some rows
	ExtraFields     bool      // fields that the vendor does not document; one of them contains a recording's link
	ResultsAsObject bool      // results keyed by call id in every other answer
	RecordingForms  bool      // recording null, "", {} or missing for none; an object, or a map keyed by index, for some
	LinkForms       bool      // public_url missing, null, "" or "null" in some recordings, with src present
	EscapedSlashes  bool      // "\/" for "/" in strings, as PHP writes
	ContentTypes    bool      // JSON sent as text/html, audio under generic types or none
	UnreadableDates bool      // some rows without a valid date
	MissingCallIDs  bool      // some rows without an id
	LiveCalls       int       // calls of each day that are still in progress: call_length is null

	SharedSeconds bool // many calls share their second with others
	// TieShuffle is the number of requests of each window with a different order of rows within one
	// second, so that a row may be on two pages and another on none; negative for all requests.
	TieShuffle int
	ShortPages bool // pages shorter than requested, although not the last

	NamedLinks       bool // links end with the recording's file name, behind the part that opens them
	RotateLinks      bool // every answer has links with another rlt; the old ones continue working
	DuplicateNames   bool // some recordings have the file name of another
	SharedRecordings bool // some recordings are listed under two calls of the same day
	SplitNames       bool // some calls have one recording_id with two file names, which are two recordings
	MissingIDs       bool // some recordings without recording_id
	MissingNames     bool // some recordings without filename
	// HostileNames are given to one recording each; see [HostileNames].
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

// HostileNames returns file names that are dangerous for a careless client: outside of its folder,
// over another file, or refused by a file system.
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

// AllBenign returns all oddities enabled.
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

// Listing defines how the API interprets a request, and faults during paging.
type Listing struct {
	MaxLimit      int       // maximum rows per page; 0 means 500
	DefaultLimit  int       // rows per page without limit; 0 means MaxLimit
	LimitMode     LimitMode // what happens to a larger limit
	OffsetCeiling int       // largest accepted offset; 0 means 40,000

	Compare        Compare  // how times are compared
	AmbiguousLate  bool     // CompareInstants: a repeated wall-clock time means its second occurrence
	ExclusiveStart bool     // rows of the second start_time are omitted
	ExclusiveEnd   bool     // rows of the second end_time are omitted
	Ignore         []string // parameters that are ignored silently

	// TotalChanges is the number of requests of each window with a different total_found each time;
	// negative for all.
	TotalChanges int
	// TotalError is added to every total_found.
	TotalError int
	// BoundarySwaps is the number of requests of each window, with an offset, whose first row
	// repeats the last one of the previous page; negative for all.
	BoundarySwaps int
	// HeldBack is the number of calls of each day that are only listed once a request with an
	// offset covers them, like rows inserted during paging.
	HeldBack int
	// Moved is the number of calls of each day that move to the next day when a
	// request with an offset covers them.
	Moved int
	// Stray is the number of calls of each day that are listed although their call_date is 24 hours
	// earlier.
	Stray int
	// LinksExpire invalidates links after this many further answers; 0 for never. It implies
	// Oddities.RotateLinks.
	LinksExpire int
}

// LimitMode is what happens to a limit above MaxLimit.
type LimitMode string

// What happens to a limit above MaxLimit.
const (
	LimitClamp  LimitMode = ""       // MaxLimit applies
	LimitReject LimitMode = "reject" // error 7230
	LimitHonour LimitMode = "honour" // as many rows as requested
)

// Compare is how call_date is compared with start_time and end_time.
type Compare string

// The ways to compare times. They differ where daylight saving repeats an hour.
const (
	CompareText     Compare = ""         // as texts: calls of a repeated hour are interleaved
	CompareInstants Compare = "instants" // as instants
)

func (l Listing) withDefaults() Listing {
	l.MaxLimit = cmp.Or(l.MaxLimit, 500)
	l.DefaultLimit = cmp.Or(l.DefaultLimit, l.MaxLimit)
	l.OffsetCeiling = cmp.Or(l.OffsetCeiling, 40_000)
	return l
}

// Late defines recordings that are missing at first. They appear when After has passed on the
// simulated clock since their call was first listed, when their call was listed Listings times, or
// when [Server.ReleaseLate] is called; if both values are 0, only then.
type Late struct {
	Recordings int // recordings that are not listed at first
	Links      int // recordings that are listed without a link at first
	After      time.Duration
	Listings   int
}
