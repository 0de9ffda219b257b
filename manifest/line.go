package manifest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// formatVersion is the "v" of every line this version writes, and the highest it may append to.
const formatVersion = 1

const (
	kindRecording = "recording"
	kindWindow    = "window"
	kindDay       = "day"
	kindCall      = "call"
	kindArchive   = "archive"
)

const (
	maxLine     = 1 << 20  // bytes of a manifest line, line feed included
	maxCallLine = 16 << 20 // bytes of a calls/ line, line feed included
	maxName     = 1<<16 - 1
)

// header begins every line.
type header struct {
	V    int    `json:"v"`
	Kind string `json:"kind"`
}

// Recording is the line kind "recording": what became of one recording at one time. The fields stand
// in the order in which they are written; the reader's speed depends on it.
type Recording struct {
	RecordingID string    `json:"recording_id"` // or the identity made up for a recording without one
	Outcome     Outcome   `json:"outcome"`
	Key         string    `json:"key"`        // where it is stored, or was to be; from the archive's root
	Size        int64     `json:"size"`       // bytes stored
	SHA256      string    `json:"sha256"`     // of the stored bytes, lower-case hex
	Time        time.Time `json:"time"`       // zero: now
	Run         string    `json:"run"`        // empty: the ledger's run
	CallID      string    `json:"call_id"`    //
	FirstSeen   time.Time `json:"first_seen"` // zero: as noted before, else Time
	Attempts    int       `json:"attempts"`   // downloads started so far
	ContentType string    `json:"content_type"`
	ETag        string    `json:"etag"`
	Reason      string    `json:"reason"` // why it waits, or a remark; begins with a stable word
}

// Window is the line kind "window": one window of the call log was listed. It may be noted only
// when every recording it listed has a durable line.
type Window struct {
	From       string    `json:"from"` // wall-clock time of the account's zone, as it was asked for
	To         string    `json:"to"`   // likewise, included
	Filter     string    `json:"filter"`
	Listing    string    `json:"listing"` // id of the listing, as in NotFoundReason
	Rows       int       `json:"rows"`    // rows received
	Total      int       `json:"total"`   // total the API named
	Calls      int       `json:"calls"`   // distinct calls of this day
	Recordings int       `json:"recordings"`
	ListedAt   time.Time `json:"listed_at"`
	Time       time.Time `json:"time"` // zero: now
	Run        string    `json:"run"`  // empty: the ledger's run
}

// DayLine is the line kind "day": it closes a call day for its filter, and for every filter when it has
// none. It holds only while it is the last line of its day. Day.Close fills every field not marked "given".
type DayLine struct {
	Day         string          `json:"day"`
	Closed      bool            `json:"closed"`
	Filter      string          `json:"filter"`    // given
	Kept        []string        `json:"kept"`      // given: what the archive keeps of the day
	ListedAt    time.Time       `json:"listed_at"` // given
	Calls       int             `json:"calls"`     // given
	Recordings  int             `json:"recordings"`
	ByOutcome   map[Outcome]int `json:"by_outcome"`
	Bytes       int64           `json:"bytes"`  // sum of the archived recordings' sizes
	Lines       int64           `json:"lines"`  // lines of the day before this one
	SHA256      string          `json:"sha256"` // over every byte before this line, hex
	Time        time.Time       `json:"time"`   // given, zero: now
	Run         string          `json:"run"`
	Segments    int             `json:"segments,omitzero"`     // S3: segments that stood at closing
	LastSegment string          `json:"last_segment,omitzero"` // S3: name of the last of them
}

// holds reports whether the line closes its day as far as the line alone can tell.
func (d DayLine) holds() bool {
	sum := 0
	for _, n := range d.ByOutcome {
		sum += n
	}
	return d.Closed && d.Recordings == sum
}

// Call is a line of calls/: a row of the call log as received, without its links.
type Call struct {
	CallID string          // or the identity made up for a call without one
	Time   time.Time       // zero: now
	Run    string          // empty: the ledger's run
	Row    json.RawMessage // white space between tokens is dropped, nothing else
}

type recordingLine struct {
	header
	Recording
}

type windowLine struct {
	header
	Window
}

type dayLine struct {
	header
	DayLine
}

// callLine is Call with the tags that Call, built by hand to keep the row's bytes, does without.
type callLine struct {
	header
	CallID string          `json:"call_id"`
	Time   time.Time       `json:"time"`
	Run    string          `json:"run"`
	Row    json.RawMessage `json:"row"`
}

// encode returns v as one line.
func encode(v any) ([]byte, error) {
	var line bytes.Buffer
	if err := encodeTo(&line, v); err != nil {
		return nil, err
	}
	return line.Bytes(), nil
}

// encodeTo appends v as one line: no HTML escapes, so that a key looks like the key, and a line feed.
func encodeTo(lines *bytes.Buffer, v any) error {
	begin := lines.Len()
	enc := json.NewEncoder(lines)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode manifest line: %w", err)
	}
	if lines.Len()-begin > maxLine {
		return errors.New("encode manifest line: longer than 1 MiB")
	}
	return nil
}

// seconds is t as the ledger writes times: UTC, whole seconds.
func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// secondsOr is seconds(t), or the time now for the zero time.
func secondsOr(t time.Time, now time.Time) time.Time {
	if t.IsZero() {
		return seconds(now)
	}
	return seconds(t)
}

func (r Recording) line() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	r.Time, r.FirstSeen = seconds(r.Time), seconds(r.FirstSeen)
	return encode(recordingLine{header{formatVersion, kindRecording}, r})
}

// check refuses what could not be read back as it was meant.
func (r Recording) check() error {
	stored := r.Outcome == Archived || r.Outcome == Damaged
	switch {
	case r.RecordingID == "":
		return errors.New("the recording has no id")
	case r.Outcome == "":
		return errors.New("the recording has no outcome")
	case !utf8.ValidString(r.RecordingID) || !utf8.ValidString(r.Key) || !utf8.ValidString(r.CallID):
		return errors.New("an id or the key is not UTF-8")
	case len(r.RecordingID) > maxName || len(r.Key) > maxName || len(r.CallID) > maxName:
		return errors.New("an id or the key is longer than 64 KiB")
	case r.Size < 0 || r.Attempts < 0:
		return errors.New("size or attempts is negative")
	case stored && r.Key == "":
		return errors.New("a stored recording has no key")
	case r.Outcome == Archived && !isSHA256(r.SHA256):
		return errors.New("an archived recording has no SHA-256")
	}
	return nil
}

func isSHA256(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == 64
}

func (w Window) line() ([]byte, error) {
	w.ListedAt, w.Time = seconds(w.ListedAt), seconds(w.Time)
	return encode(windowLine{header{formatVersion, kindWindow}, w})
}

func (d DayLine) line() ([]byte, error) {
	d.ListedAt, d.Time = seconds(d.ListedAt), seconds(d.Time)
	if d.Kept == nil {
		d.Kept = []string{}
	}
	if d.ByOutcome == nil {
		d.ByOutcome = map[Outcome]int{}
	}
	return encode(dayLine{header{formatVersion, kindDay}, d})
}

// appendTo appends the encoded line to others. It returns the part of it that is the row, valid until more
// is appended. After an error a part of the line may stand there.
func (c Call) appendTo(lines *bytes.Buffer) (row []byte, err error) {
	if c.CallID == "" || !utf8.ValidString(c.CallID) {
		return nil, errors.New("the call has no id, or one that is not UTF-8")
	}
	begin := lines.Len()
	if err := encodeTo(lines, struct {
		header
		CallID string    `json:"call_id"`
		Time   time.Time `json:"time"`
		Run    string    `json:"run"`
	}{header{formatVersion, kindCall}, c.CallID, seconds(c.Time), c.Run}); err != nil {
		return nil, err
	}
	lines.Truncate(lines.Len() - len("}\n"))
	lines.WriteString(rowMark)
	start := lines.Len()
	// The cause may quote the row, which is personal data: it stays out of the error.
	if json.Compact(lines, c.Row) != nil || lines.Len() == start {
		return nil, errors.New("the row is not JSON")
	}
	end := lines.Len()
	lines.WriteString("}\n")
	if lines.Len()-begin > maxCallLine {
		return nil, errors.New("the row is longer than 16 MiB")
	}
	return lines.Bytes()[start:end], nil
}

// rowMark stands before the row of a call line. Inside a JSON string its quotes would be escaped, so
// its first occurrence in a line of ours is the real one.
const rowMark = `,"row":`
