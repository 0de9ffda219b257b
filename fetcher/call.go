// Reads a row of the call log.

package fetcher

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Call is one row of the call log. All values are the API's own text: it sends numbers as strings,
// and clients have seen types change, so it also accepts a number, a boolean or the text "null"
// instead of a string. Null becomes "", and so does an ID, of a call or of a recording, that is not
// UTF-8 or longer than 1 KiB.
type Call struct {
	ID         string
	CallDate   string // wall clock of the account's zone
	CallLength string // seconds; "" for null

	// Recordings holds every element of the row's recording field, in its order.
	Recordings []Recording
	// RecordingUnreadable says that the recording field is neither empty nor a recording, so it may
	// hide a recording.
	RecordingUnreadable bool

	// Raw is the original row with every field. It contains the links of recordings: remove them
	// with [Call.RowWithoutLinks] before storing it.
	Raw json.RawMessage

	// Day is the call day that the row belongs to; a listing sets it.
	Day Date
	// Stray says that the row is outside of the requested window; a listing sets it.
	Stray bool

	row row
}

// row holds the decoded fields of a row. Of duplicate names the last one counts, and names ignore
// case.
type row struct {
	ID         text            `json:"id"`
	LeadID     text            `json:"lead_id"`
	ListID     text            `json:"list_id"`
	CampaignID text            `json:"campaign_id"`
	QueueID    text            `json:"queue_id"`
	UserID     text            `json:"user_id"`
	CallType   text            `json:"call_type"`
	CallDate   text            `json:"call_date"`
	CallLength json.RawMessage `json:"call_length"`
	Recording  json.RawMessage `json:"recording"`
}

// ParseCall parses a stored row, which has no links. It fails if raw is not a JSON object. It may be called
// concurrently.
func ParseCall(raw []byte) (Call, error) {
	var r row
	if err := json.Unmarshal(raw, &r); err != nil {
		return Call{}, fmt.Errorf("read a call row: %w", err)
	}
	return newCall(r, raw), nil
}

func newCall(r row, raw []byte) Call {
	c := Call{
		ID: r.ID.asID(), CallDate: r.CallDate.orNull(), CallLength: textOf(r.CallLength).orNull(),
		Raw: bytes.Clone(raw), row: r,
	}
	c.readRecordings(r.Recording)
	return c
}

// InProgress reports whether the call had not ended when it was listed: then the API sends null for
// call_length.
func (c *Call) InProgress() bool {
	return strings.EqualFold(strings.TrimSpace(strings.Trim(string(c.row.CallLength), `"`)), "null")
}

// CampaignID returns the id of the call's campaign, "" for none.
func (c *Call) CampaignID() string { return c.row.CampaignID.orNull() }

// Date returns the call's wall-clock time, represented in UTC, and whether call_date is valid.
func (c *Call) Date() (time.Time, bool) {
	t, err := ParseWall(c.CallDate)
	return t, err == nil
}

// Fields returns every value of the row by the API's name, including unknown fields, as text; nil
// if Raw is not a JSON object.
func (c *Call) Fields() map[string]string {
	var fields map[string]text
	if json.Unmarshal(c.Raw, &fields) != nil {
		return nil
	}
	texts := make(map[string]string, len(fields))
	for name, value := range fields {
		texts[name] = string(value)
	}
	return texts
}

// key identifies the call: by its id or, without one, by a hash of its row without links, because links may
// change.
func (c *Call) key() string {
	if c.ID != "" {
		return c.ID
	}
	kept, err := c.RowWithoutLinks()
	if err != nil {
		kept = c.Raw
	}
	return "row-" + shortHash(string(kept))
}

// text decodes any JSON scalar as text; null is "". An object or array keeps its JSON, so that an
// unexpected type is never an error of the whole row.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(data []byte) error {
	*t = textOf(data)
	return nil
}

// textOf returns the text of a valid JSON value, "" for none.
func textOf(value []byte) text {
	value = bytes.TrimSpace(value)
	switch {
	case len(value) == 0 || string(value) == "null":
		return ""
	case value[0] != '"':
		return text(value)
	}
	if inner := value[1 : len(value)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return text(inner)
	}
	var s string
	_ = json.Unmarshal(value, &s) // a valid string can be decoded
	return text(s)
}

// orNull returns the text, and "" for the literal "null" that some rows have instead of null.
func (t text) orNull() string {
	s := strings.TrimSpace(string(t))
	if strings.EqualFold(s, "null") {
		return ""
	}
	return s
}

// asID is like orNull, for ids. An invalid id becomes "": the JSON of a list or an object may be too long, or not
// UTF-8.
func (t text) asID() string {
	const maxLength = 1 << 10
	id := t.orNull()
	if len(id) > maxLength || !utf8.ValidString(id) {
		return ""
	}
	return id
}

// count returns the text as a count, and whether it is valid.
func (t text) count() (int, bool) {
	written := strings.ReplaceAll(t.orNull(), ",", "") // as in 1,006
	n, err := strconv.Atoi(written)
	if err != nil { // as in 12.0
		f, floatErr := strconv.ParseFloat(written, 64)
		n, err = int(f), floatErr
		if err != nil || f != math.Trunc(f) || f < 0 || f > maxCount {
			return 0, false
		}
	}
	return n, n >= 0
}

// maxCount is the largest accepted count that is not written as a whole number.
const maxCount = 1 << 40
