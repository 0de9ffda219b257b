package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
)

// Why a line is bad. The texts quote nothing of the line: it may hold keys.
var (
	errNotJSON  = errors.New("not one JSON object")
	errFields   = errors.New("a field has a value of the wrong type")
	errNoKind   = errors.New("no version or no kind")
	errNameless = errors.New("no recording id or no outcome")
	errName     = errors.New("an id or key is longer than 64 KiB")
	errTooLong  = errors.New("the line is too long")
	errNoEnd    = errors.New("the line has no end")
)

// laterVersion is parseLine's error for a line of a later format version.
type laterVersion int

func (laterVersion) Error() string { return "written in a later version of the format" }

// view is a recording line taken apart. Its slices point into the line, or into scratch, and are valid
// until either changes. Times are seconds since 1970.
type view struct {
	id, outcome, key, sha256, run, callID []byte
	contentType, etag, reason             []byte
	size, time, firstSeen, attempts       int64
	scratch                               []byte // strings that had escapes
	dates                                 dateMemo
}

// parseLine reads one manifest line without its line feed and returns its kind; v is filled for a
// recording. Lines as this package writes them are scanned by their fixed field order, ten times faster than
// encoding/json; every other line goes to encoding/json. FuzzParse proves that the two agree.
func parseLine(line []byte, v *view) (kind string, err error) {
	if scanRecording(line, v) {
		return kindRecording, v.check()
	}
	h, err := parseHeader(line)
	if err != nil || h.Kind != kindRecording {
		return h.Kind, err
	}
	if err := decodeRecording(line, v); err != nil {
		return "", err
	}
	return kindRecording, v.check()
}

// parseHeader reads version and kind, and proves that the line is one JSON object.
func parseHeader(line []byte) (header, error) {
	var h header
	err := json.Unmarshal(line, &h)
	switch {
	case h.V > formatVersion:
		return h, laterVersion(h.V) // even if its other fields have types of their own
	case err != nil:
		return header{}, jsonFault(err)
	case h.V < 1 || h.Kind == "":
		return header{}, errNoKind
	}
	return h, nil
}

func jsonFault(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return errNotJSON
	}
	return errFields
}

func decodeRecording(line []byte, v *view) error {
	var r recordingLine
	if err := json.Unmarshal(line, &r); err != nil {
		return jsonFault(err)
	}
	*v = view{
		id: []byte(r.RecordingID), outcome: []byte(r.Outcome), key: []byte(r.Key), sha256: []byte(r.SHA256),
		run: []byte(r.Run), callID: []byte(r.CallID), contentType: []byte(r.ContentType), etag: []byte(r.ETag),
		reason: []byte(r.Reason), size: r.Size, time: r.Time.Unix(), firstSeen: r.FirstSeen.Unix(),
		attempts: int64(r.Attempts), scratch: v.scratch, dates: v.dates,
	}
	return nil
}

// check holds for both ways of reading.
func (v *view) check() error {
	if len(v.id) == 0 || len(v.outcome) == 0 {
		return errNameless
	}
	if len(v.id) > maxName || len(v.key) > maxName || len(v.callID) > maxName {
		return errName
	}
	return nil
}

func (v *view) recording() Recording {
	return Recording{
		RecordingID: string(v.id), Outcome: Outcome(v.outcome), Key: string(v.key), Size: v.size,
		SHA256: string(v.sha256), Time: time.Unix(v.time, 0).UTC(), Run: string(v.run), CallID: string(v.callID),
		FirstSeen: time.Unix(v.firstSeen, 0).UTC(), Attempts: int(v.attempts), ContentType: string(v.contentType),
		ETag: string(v.etag), Reason: string(v.reason),
	}
}

// scanRecording reads a recording line that has exactly the fields, order and spacing of
// Recording.line. False means only that the line is not of that shape.
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
	v.time = s.timestamp(&v.dates)
	s.literal(`,"run":`)
	v.run = s.text()
	s.literal(`,"call_id":`)
	v.callID = s.text()
	s.literal(`,"first_seen":`)
	v.firstSeen = s.timestamp(&v.dates)
	s.literal(`,"attempts":`)
	v.attempts = s.number()
	s.literal(`,"content_type":`)
	v.contentType = s.text()
	s.literal(`,"etag":`)
	v.etag = s.text()
	s.literal(`,"reason":`)
	v.reason = s.text()
	s.literal(`}`)
	v.scratch = s.scratch
	return !s.failed && len(s.rest) == 0
}

// decodeKind reads a line of the kind wanted into v, of which h is the header.
func decodeKind(line []byte, v any, h *header, kind string) error {
	if err := json.Unmarshal(line, v); err != nil {
		return jsonFault(err)
	}
	if h.Kind != kind {
		return errNoKind
	}
	return nil
}

// parseCall reads a line of calls/ without its line feed. The row is not checked in a line as Call.line
// writes it: nothing depends on it but whether the call is noted again.
func parseCall(line []byte) (callID string, row []byte, err error) {
	s := scan{rest: line}
	s.literal(`{"v":1,"kind":"call","call_id":`)
	id := s.text()
	s.literal(`,"time":`)
	s.text()
	s.literal(`,"run":`)
	s.text()
	s.literal(rowMark)
	if n := len(s.rest) - 1; !s.failed && n > 0 && s.rest[n] == '}' {
		return string(id), s.rest[:n], nil
	}
	h, err := parseHeader(line)
	if err != nil || h.Kind != kindCall {
		return "", nil, err
	}
	var c callLine
	if err := json.Unmarshal(line, &c); err != nil {
		return "", nil, jsonFault(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, c.Row); err != nil {
		return "", nil, errFields
	}
	return c.CallID, compact.Bytes(), nil
}
