// Defines the lines of the manifest, and encodes them.

package manifest

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// FormatVersion is the highest supported format version, and the one written to archive.json.
const FormatVersion = 2

const (
	// lineVersion is the "v" of every line. The meaning of lines has not changed since version 1.
	lineVersion = 1
	// formatVersion is the "v" of archive.json, and the highest version that this program reads.
	formatVersion = FormatVersion
)

const (
	kindRecording = "recording"
	kindWindow    = "window"
	kindDay       = "day"
	kindCall      = "call"
	kindRepair    = "repair"
	kindBegin     = "begin"
	kindRebuild   = "rebuild"
	kindArchive   = "archive"
)

const (
	maxLine     = 1 << 20  // bytes of a manifest line, line feed included
	maxCallLine = 16 << 20 // bytes of a calls/ line, line feed included
	maxName     = 1<<16 - 1
)

// beginLine is the first line of a day's manifest if call rows were noted first or, with kind rebuild, if a
// run recreates lost lines. It has no other content.
type beginLine struct {
	header
	Day  string    `json:"day"`
	Time time.Time `json:"time"`
	Run  string    `json:"run"`
}

// header is the start of every line.
type header struct {
	V    int    `json:"v"`
	Kind string `json:"kind"`
}

// Recording is the line kind "recording": the outcome of one recording at one time. The order of the fields is the
// order in the file; the reader's speed depends on it.
type Recording struct {
	RecordingID string    `json:"recording_id"` // or the identity made up for a recording without one
	Outcome     Outcome   `json:"outcome"`
	Key         string    `json:"key"`        // actual or intended key, relative to the archive's root
	Size        int64     `json:"size"`       // bytes stored
	SHA256      string    `json:"sha256"`     // of the stored bytes, lower-case hex
	Time        time.Time `json:"time"`       // zero: now
	Run         string    `json:"run"`        // empty: the ledger's run
	CallID      string    `json:"call_id"`    //
	FirstSeen   time.Time `json:"first_seen"` // zero: as noted before, otherwise Time
	Attempts    int       `json:"attempts"`   // downloads started so far
	ContentType string    `json:"content_type"`
	ETag        string    `json:"etag"`
	Host        string    `json:"host"`             // that answered
	Reason      string    `json:"reason"`           // why it waits, or a remark, in words
	Cause       string    `json:"cause,omitzero"`   // why it waits, as a stable word; CauseNotFound is counted
	Listing     string    `json:"listing,omitzero"` // id of the listing with the requested link
	Source      string    `json:"source,omitzero"`  // fingerprints that identify a recording when its id changes
	Again       bool      `json:"again,omitzero"`   // requested again by --retry: State.Since restarts
	Restored    bool      `json:"restored,omitzero"`
	Final       bool      `json:"final,omitzero"` // no later run requests it again
}

// Window is the line kind "window": one window of the call log was listed.
type Window struct {
	From          string    `json:"from"` // requested wall-clock time, in the account's zone
	To            string    `json:"to"`   // likewise, included
	Filter        string    `json:"filter"`
	Listing       string    `json:"listing"` // id of the listing
	Rows          int       `json:"rows"`    // rows received
	Total         int       `json:"total"`   // total reported by the API
	Calls         int       `json:"calls"`   // distinct calls of this day
	Recordings    int       `json:"recordings"`
	Whole         bool      `json:"whole"`
	Doubts        []string  `json:"doubts"`         // why it is incomplete: a stable word and a count, "unreadable_rows 3"
	Missing       int       `json:"missing"`        // recordings in the ledger that the listing lacks
	MissingSHA256 string    `json:"missing_sha256"` // of their sorted identities
	CallsSHA256   string    `json:"calls_sha256,omitzero"`
	Stray         int       `json:"stray,omitzero"` // rows dated outside the window
	StraySHA256   string    `json:"stray_sha256,omitzero"`
	Complete      bool      `json:"complete,omitzero"`   // paged until a page had nothing new
	Unlistable    bool      `json:"unlistable,omitzero"` // it cannot be split below the offset ceiling
	ListedAt      time.Time `json:"listed_at"`
	Time          time.Time `json:"time"` // zero: now
	Run           string    `json:"run"`  // empty: the ledger's run
}

// DayLine is the line kind "day" of closed.json: it closes a call day for its filter, or for every filter if it
// has none. Day.Close sets every field that is not marked "given".
type DayLine struct {
	Day           string          `json:"day"`
	Closed        bool            `json:"closed"`
	Filter        string          `json:"filter"`    // given
	Kept          []string        `json:"kept"`      // given: kinds of data that the archive keeps of the day
	ListedAt      time.Time       `json:"listed_at"` // given
	Calls         int             `json:"calls"`     // given
	Recordings    int             `json:"recordings"`
	ByOutcome     map[Outcome]int `json:"by_outcome"`
	Bytes         int64           `json:"bytes"`    // sum of the archived recordings' sizes
	Lines         int64           `json:"lines"`    // of Segments
	Segments      []Segment       `json:"segments"` // nil in a line of an older version
	Root          string          `json:"root"`     // over the lines of Segments; empty in a line of an older version
	CallsSegments []Segment       `json:"calls_segments"`
	CallsRoot     string          `json:"calls_root"`
	Stray         int             `json:"stray,omitzero"`       // given, like the following
	Unwitnessed   bool            `json:"unwitnessed,omitzero"` //
	Unlisted      int             `json:"unlisted,omitzero"`    //
	Uncounted     int             `json:"uncounted,omitzero"`   //
	Unlistable    bool            `json:"unlistable,omitzero"`  //
	Time          time.Time       `json:"time"`                 // given, zero: now
	Run           string          `json:"run"`
}

// Segment is a file in a day line.
type Segment struct {
	Name   string `json:"name"`   // within the day's folder, or DAY.jsonl of an older version beside it
	Bytes  int64  `json:"bytes"`  // of the stored file
	SHA256 string `json:"sha256"` // likewise
}

// Call is a line of calls/: a row of the call log as received, without its links.
type Call struct {
	CallID string          `json:"call_id"` // or the identity made up for a call without one
	Time   time.Time       `json:"time"`    // zero: now
	Run    string          `json:"run"`     // empty: the ledger's run
	Row    json.RawMessage `json:"row"`     // only white space between tokens is dropped
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

// readDayLine is the parsed form of a dayLine. In older versions segments is a number, or missing on
// disk.
type readDayLine struct {
	dayLine
	Segments    json.RawMessage `json:"segments"`
	LastSegment string          `json:"last_segment"`
	SHA256      string          `json:"sha256"` // of every byte before the line
}

type callLine struct {
	header
	Call
}

// holds reports whether the line closes its day judging by the line alone.
func (d DayLine) holds(day string) bool {
	sum := 0
	for _, n := range d.ByOutcome {
		sum += n
	}
	return d.Closed && d.Day == day && d.Recordings == sum
}

// encode returns v as one line of at most max bytes with a line feed: no HTML escapes, so that keys stay readable.
func encode(v any, max int) ([]byte, error) {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode manifest line: %w", err)
	}
	if line.Len() > max {
		return nil, fmt.Errorf("encode manifest line: longer than %d bytes", max)
	}
	return line.Bytes(), nil
}

// encodeSalted returns v as one line of a segment. Because of the salt at its end, the hash of the line reveals
// nothing of its content.
func encodeSalted(v any, max int) ([]byte, error) {
	var salt [16]byte
	rand.Read(salt[:]) // never fails
	end := fmt.Appendf(nil, `,"salt":"%x"}`+"\n", salt)
	line, err := encode(v, max-len(end))
	if err != nil {
		return nil, err
	}
	return append(line[:len(line)-len("}\n")], end...), nil
}

// seconds returns t in the ledger's precision: UTC, whole seconds.
func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// timeOrNow returns seconds(t), or the current time for the zero time.
func timeOrNow(t time.Time) time.Time {
	if t.IsZero() {
		t = time.Now()
	}
	return seconds(t)
}

func (r Recording) line() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	return encodeSalted(recordingLine{header{lineVersion, kindRecording}, r}, maxLine)
}

// check refuses values that would not survive a round trip.
func (r Recording) check() error {
	stored := r.Outcome == Archived || r.Outcome == Damaged
	switch {
	case r.RecordingID == "":
		return errors.New("the recording has no id")
	case r.Outcome == "":
		return errors.New("the recording has no outcome")
	case !utf8.ValidString(r.RecordingID) || !utf8.ValidString(r.Key) || !utf8.ValidString(r.CallID):
		return errors.New("an id or the key is not UTF-8")
	case max(len(r.RecordingID), len(r.Key), len(r.CallID), len(r.Source), len(r.ETag)) > maxName:
		return errors.New("an id, the key, the source or the entity tag is longer than 64 KiB")
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
	if w.Doubts == nil {
		w.Doubts = []string{}
	}
	return encodeSalted(windowLine{header{lineVersion, kindWindow}, w}, maxLine)
}

// Text returns the line in the format of this version, with its line feed. It has no salt, because
// closed.json is not a segment.
func (d DayLine) Text() ([]byte, error) { return d.line() }

func (d DayLine) line() ([]byte, error) {
	d.ListedAt, d.Time = seconds(d.ListedAt), seconds(d.Time)
	if d.Kept == nil {
		d.Kept = []string{}
	}
	return encode(dayLine{header{lineVersion, kindDay}, d}, maxLine)
}

// line returns the encoded line, and the row as it is in it.
func (c Call) line() (line, row []byte, err error) {
	if c.CallID == "" || !utf8.ValidString(c.CallID) {
		return nil, nil, errors.New("the call has no id, or one that is not UTF-8")
	}
	var compact bytes.Buffer
	// The cause may quote the row, which is personal data: it must not be in the error.
	if json.Compact(&compact, c.Row) != nil || compact.Len() == 0 {
		return nil, nil, errors.New("the row is not JSON")
	}
	c.Time, c.Row = seconds(c.Time), compact.Bytes()
	line, err = encodeSalted(callLine{header{lineVersion, kindCall}, c}, maxCallLine)
	return line, c.Row, err
}

// notFoundReason parses the reason with which older versions noted that the audio does not exist.
func notFoundReason(reason string) (listing string, ok bool) {
	words := strings.Fields(reason)
	if len(words) == 0 || words[0] != CauseNotFound {
		return "", false
	}
	for _, word := range words[1:] {
		if id, found := strings.CutPrefix(word, "listing="); found {
			return id, true
		}
	}
	return "", true
}
