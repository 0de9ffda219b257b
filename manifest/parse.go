// Parses the lines of the manifest.

package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// Why a line is bad. The texts do not quote the line, which may contain keys.
var (
	errNotJSON  = errors.New("not one JSON object")
	errFields   = errors.New("a field has a value of the wrong type")
	errNoKind   = errors.New("no version or no kind")
	errNameless = errors.New("no recording id or no outcome")
	errKeyless  = errors.New("an archived recording without a key")
	errName     = errors.New("an id, key, source or entity tag is longer than 64 KiB")
	errTooLong  = errors.New("the line is too long")
	errNoEnd    = errors.New("the line has no end")
	errDamaged  = errors.New("the compressed file is damaged here")
)

// laterVersion is parseLine's error for a line of a later format version.
type laterVersion int

func (laterVersion) Error() string { return "written in a later version of the format" }

// laterIn returns the version in an error of parseLine, 0 for none.
func laterIn(err error) int {
	later, _ := errors.AsType[laterVersion](err)
	return int(later)
}

// view is a parsed recording line. Its slices point into the line, or into scratch, and are valid until either
// changes. Times are seconds since 1970.
type view struct {
	id, outcome, key, sha256, run, callID []byte
	contentType, etag, host, reason       []byte
	cause, listing, source                []byte
	size, time, firstSeen, attempts       int64
	again, restored, final                bool
	salted                                bool   // false for lines of older versions
	scratch                               []byte // decoded strings with escapes
}

// parseLine reads one manifest line without its line feed and returns its kind; v is filled for a recording. Lines
// written by this package, also by older versions, are scanned in their fixed field order, ten times faster than
// encoding/json; other lines are decoded by encoding/json. FuzzParse checks that the two agree.
func parseLine(line []byte, v *view) (kind string, err error) {
	if scanRecording(line, v) {
		return kindRecording, v.check()
	}
	h, err := parseHeader(line)
	switch {
	case err != nil:
		return "", err
	case h.Kind == kindRecording:
		if err := decodeRecording(line, v); err != nil {
			return "", err
		}
		return kindRecording, v.check()
	case h.Kind == kindDay:
		_, err = decodeDayLine(line)
	case h.Kind == kindWindow:
		_, err = decodeWindow(line)
	}
	return h.Kind, err
}

// parseHeader reads version and kind, and checks that the line is one JSON object.
func parseHeader(line []byte) (h header, err error) {
	err = decode(line, &h, &h)
	return h, err
}

// decode reads a line into v, with header h.
func decode(line []byte, v any, h *header) error {
	err := json.Unmarshal(line, v)
	switch {
	case h.V > formatVersion:
		return laterVersion(h.V) // even if its other fields have unknown types
	case err != nil:
		return jsonFault(err)
	case h.V < 1 || h.Kind == "":
		return errNoKind
	}
	return nil
}

func jsonFault(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return errNotJSON
	}
	return errFields
}

func decodeRecording(line []byte, v *view) error {
	var r struct {
		recordingLine
		Salt   string `json:"salt"`
		Digest string `json:"digest"`
		Old    bool   `json:"old"`
	}
	if err := decode(line, &r, &r.header); err != nil {
		return err
	}
	*v = view{
		id: []byte(r.RecordingID), outcome: []byte(r.Outcome), key: []byte(r.Key), sha256: []byte(r.SHA256),
		run: []byte(r.Run), callID: []byte(r.CallID), contentType: []byte(r.ContentType), etag: []byte(r.ETag),
		host: []byte(r.Host), reason: []byte(r.Reason), cause: []byte(r.Cause), listing: []byte(r.Listing),
		source: []byte(r.Source), size: r.Size, time: r.Time.Unix(), firstSeen: r.FirstSeen.Unix(),
		attempts: int64(r.Attempts), again: r.Again, restored: r.Restored, final: r.Final, salted: (r.Salt != "" || r.Digest != "") && !r.Old,
		scratch: v.scratch,
	}
	return nil
}

// check is used by both parsers.
func (v *view) check() error {
	switch {
	case len(v.id) == 0 || len(v.outcome) == 0:
		return errNameless
	case max(len(v.id), len(v.key), len(v.callID), len(v.source), len(v.etag)) > maxName:
		return errName
	case len(v.key) == 0 && Outcome(v.outcome) == Archived:
		return errKeyless // the recording would never be downloaded, and its location would be unknown
	}
	return nil
}

func (v *view) recording() Recording {
	return Recording{
		RecordingID: string(v.id), Outcome: Outcome(v.outcome), Key: string(v.key), Size: v.size,
		SHA256: string(v.sha256), Time: time.Unix(v.time, 0).UTC(), Run: string(v.run), CallID: string(v.callID),
		FirstSeen: time.Unix(v.firstSeen, 0).UTC(), Attempts: int(v.attempts), ContentType: string(v.contentType),
		ETag: string(v.etag), Host: string(v.host), Reason: string(v.reason), Cause: string(v.cause),
		Listing: string(v.listing), Source: string(v.source), Again: v.again, Restored: v.restored, Final: v.final,
	}
}

// isFinal reports whether the line alone makes the recording final. Older versions had no such field: lost was
// final.
func (v *view) isFinal() bool {
	outcome := Outcome(v.outcome)
	return v.final || outcome.Final() || outcome == Lost && !v.salted
}

// scanRecording reads a recording line that has exactly the fields, order and spacing of Recording.line, or of an
// older version. False only means that the line has another shape.
func scanRecording(line []byte, v *view) bool {
	s := scan{rest: line, scratch: v.scratch[:0]}
	s.literal(`{"v":1,"kind":"recording","recording_id":`)
	v.id = s.text()
	s.literal(`,"outcome":`)
	v.outcome = s.text()
	s.literal(`,"key":`)
	v.key = s.text()
	s.literal(`,"size":`)
	v.size = s.number()
	s.literal(`,"sha256":`)
	v.sha256 = s.text()
	s.literal(`,"time":`)
	v.time = s.timestamp()
	s.literal(`,"run":`)
	v.run = s.text()
	s.literal(`,"call_id":`)
	v.callID = s.text()
	s.literal(`,"first_seen":`)
	v.firstSeen = s.timestamp()
	s.literal(`,"attempts":`)
	v.attempts = s.number()
	s.literal(`,"content_type":`)
	v.contentType = s.text()
	s.literal(`,"etag":`)
	v.etag = s.text()
	v.host = s.optionalText(`,"host":`)
	s.literal(`,"reason":`)
	v.reason = s.text()
	v.cause = s.optionalText(`,"cause":`)
	v.listing = s.optionalText(`,"listing":`)
	v.source = s.optionalText(`,"source":`)
	v.again = s.optional(`,"again":true`)
	v.restored = s.optional(`,"restored":true`)
	v.final = s.optional(`,"final":true`)
	old := s.optional(`,"old":true`)
	v.salted = len(s.optionalText(`,"salt":`))+len(s.optionalText(`,"digest":`)) > 0 && !old
	s.literal(`}`)
	v.scratch = s.scratch
	return !s.failed && len(s.rest) == 0
}

func decodeWindow(line []byte) (Window, error) {
	var w windowLine
	err := decode(line, &w, &w.header)
	if err == nil && w.Kind != kindWindow {
		err = errNoKind
	}
	return w.Window, err
}

// oldDayLine holds the fields that only day lines of older versions have; on disk only the hash.
type oldDayLine struct {
	segments int
	last     string // the greatest of their names
	sha256   string // of all bytes before the line
}

func decodeDayLine(line []byte) (DayLine, error) {
	l, _, err := decodeAnyDayLine(line)
	return l, err
}

// decodeAnyDayLine reads a day line of any version; old is nil for a line of this version.
func decodeAnyDayLine(line []byte) (DayLine, *oldDayLine, error) {
	var l readDayLine
	err := decode(line, &l, &l.header)
	if err == nil && l.Kind != kindDay {
		err = errNoKind
	}
	if err != nil {
		return DayLine{}, nil, err
	}
	if json.Unmarshal(l.Segments, &l.DayLine.Segments) == nil && l.DayLine.Segments != nil {
		return l.DayLine, nil, nil
	}
	old := &oldDayLine{last: l.LastSegment, sha256: l.SHA256}
	if len(l.Segments) > 0 && json.Unmarshal(l.Segments, &old.segments) != nil {
		return DayLine{}, nil, errFields
	}
	l.DayLine.Segments = nil
	return l.DayLine, old, nil
}

// parseCall reads a line of calls/; the id is empty for another kind of line.
func parseCall(line []byte) (Call, error) {
	if c, ok := scanCall(line); ok {
		return c, nil
	}
	var c callLine
	if err := decode(line, &c, &c.header); err != nil || c.Kind != kindCall {
		return Call{}, err
	}
	return c.Call, nil
}

// scanCall reads a call line that has exactly the fields, order and spacing of Call.line; false only means that the
// line has another shape. Readers of whole archives spend most of their time here.
func scanCall(line []byte) (c Call, ok bool) {
	const beforeSalt, afterSalt, salt = `,"salt":"`, `"}`, 32
	s := scan{rest: line}
	s.literal(`{"v":1,"kind":"call","call_id":`)
	c.CallID = string(s.text())
	s.literal(`,"time":`)
	c.Time = time.Unix(s.timestamp(), 0).UTC()
	s.literal(`,"run":`)
	c.Run = string(s.text())
	s.literal(`,"row":`)
	at := len(s.rest) - len(beforeSalt) - salt - len(afterSalt)
	if s.failed || at < 1 {
		return Call{}, false
	}
	row, end := s.rest[:at], string(s.rest[at:])
	if !strings.HasPrefix(end, beforeSalt) || !strings.HasSuffix(end, afterSalt) ||
		strings.Trim(end[len(beforeSalt):len(beforeSalt)+salt], "0123456789abcdef") != "" || row[0] <= ' ' || row[at-1] <= ' ' || !json.Valid(row) {
		return Call{}, false
	}
	c.Row = bytes.Clone(row)
	return c, true
}
