package fetcher

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Call is one row of the call log. All values are the API's own text: it sends
// numbers as strings, and clients have seen types change, so that a number, a
// boolean or the text "null" in place of a string is taken as well. Null is "".
// So is an ID, of a call or of a recording, that is not UTF-8 or longer than 1 KiB.
//
// ID, CallDate, CallLength, Day and all strings of Recordings have memory of their own.
// The other strings are cut from one that belongs to the call alone. Raw is cut from
// the answer that a listing received: as long as any Raw of a page is held, all of the
// answer stays in memory.
type Call struct {
	ID                 string
	LeadID             string
	ListID             string
	CampaignID         string
	Campaign           string
	User               string
	UserID             string
	PhoneNumber        string
	NumberDialed       string
	FirstName          string
	LastName           string
	Status             string
	StatusName         string
	CallLength         string // seconds; "" for null
	CallDate           string // wall clock of the account's zone
	AgentComment       string
	QueueID            string
	CalledCount        string
	CallerIDDisplayed  string
	TermReason         string
	CallType           string
	QueuePosition      string
	QueueSeconds       string
	OriginatingAgentID string
	SessionID          string

	// Recordings holds every element of the row's recording field, in its order.
	Recordings []Recording
	// RecordingUnreadable says that the recording field holds something that is
	// neither a recording nor nothing, so that a recording may be hidden in it.
	RecordingUnreadable bool

	// Raw is the row as received, with every field that the API sent. It holds
	// the links of recordings: drop them with [Call.RowWithoutLinks] before keeping it.
	// Of a listed call it is a part of the whole answer, and is not to be changed.
	Raw json.RawMessage

	checked      int // length of the Raw that is known to be valid JSON
	inProgress   bool
	withoutField bool // the row has no recording field at all

	// Day is the call day that the row belongs to; a listing sets it.
	Day Date
}

// Recording is one audio file of a call.
type Recording struct {
	// Identity names the recording for good: its id, or a name made of the call
	// id, the file name and the link's path where the API sends no id. Where one
	// call has one id with two file names, each has an identity of its own.
	Identity string
	ID       string // recording_id
	CallID   string
	Filename string
	Type     string
	New      string
	Link     Secret // public_url, else src; "" as long as there is none
}

// InProgress reports whether the call had not ended when it was listed: the API
// sends null for call_length then.
func (c *Call) InProgress() bool { return c.inProgress }

// Date returns the call's wall-clock time as a time in UTC that stands for no
// instant, and whether call_date can be read.
func (c *Call) Date() (time.Time, bool) {
	t, err := ParseWall(c.CallDate)
	return t, err == nil
}

// Fields returns every scalar of the row by the API's name for it, unknown fields
// included, as text.
func (c *Call) Fields() map[string]string {
	row, ok := c.validRow()
	switch {
	case !ok:
		return nil
	case string(row) == "null":
		return map[string]string{}
	case row[0] != '{':
		return nil
	}
	fields := make(map[string]string, len(rowFields))
	at := inside(row)
	for name, ok := at.next(); ok; name, ok = at.next() {
		value, _ := at.next()
		fields[string(textOf(name))] = string(textOf(value))
	}
	return fields
}

// validRow returns Raw where it is valid JSON. That of a call that was decoded is known
// to be.
func (c *Call) validRow() (row []byte, ok bool) {
	row = bytes.TrimSpace(c.Raw)
	if len(c.Raw) > 0 && len(c.Raw) == c.checked {
		return row, true
	}
	return row, json.Valid(row)
}

// rowField is a scalar of a row: its name, and the field of a Call that its text goes
// into.
type rowField struct {
	name string
	dest func(*Call) *string
	take func(text) string
}

// asSent takes a text that may well be the word "null", as a person's name may.
func asSent(t text) string { return string(t) }

// rowFields are the scalars of a row, in the order in which the API sends them.
var rowFields = [...]rowField{
	{"id", func(c *Call) *string { return &c.ID }, text.asID},
	{"lead_id", func(c *Call) *string { return &c.LeadID }, text.orNull},
	{"list_id", func(c *Call) *string { return &c.ListID }, text.orNull},
	{"campaign_id", func(c *Call) *string { return &c.CampaignID }, text.orNull},
	{"campaign", func(c *Call) *string { return &c.Campaign }, asSent},
	{"user", func(c *Call) *string { return &c.User }, asSent},
	{"user_id", func(c *Call) *string { return &c.UserID }, text.orNull},
	{"phone_number", func(c *Call) *string { return &c.PhoneNumber }, text.orNull},
	{"number_dialed", func(c *Call) *string { return &c.NumberDialed }, text.orNull},
	{"first_name", func(c *Call) *string { return &c.FirstName }, asSent},
	{"last_name", func(c *Call) *string { return &c.LastName }, asSent},
	{"status", func(c *Call) *string { return &c.Status }, asSent},
	{"status_name", func(c *Call) *string { return &c.StatusName }, asSent},
	{"call_length", func(c *Call) *string { return &c.CallLength }, text.orNull},
	{"call_date", func(c *Call) *string { return &c.CallDate }, text.orNull},
	{"agent_comment", func(c *Call) *string { return &c.AgentComment }, asSent},
	{"queue_id", func(c *Call) *string { return &c.QueueID }, text.orNull},
	{"called_count", func(c *Call) *string { return &c.CalledCount }, text.orNull},
	{"caller_id_displayed", func(c *Call) *string { return &c.CallerIDDisplayed }, text.orNull},
	{"term_reason", func(c *Call) *string { return &c.TermReason }, asSent},
	{"call_type", func(c *Call) *string { return &c.CallType }, asSent},
	{"queue_position", func(c *Call) *string { return &c.QueuePosition }, text.orNull},
	{"queue_seconds", func(c *Call) *string { return &c.QueueSeconds }, text.orNull},
	{"originating_agent_id", func(c *Call) *string { return &c.OriginatingAgentID }, text.orNull},
	{"session_id", func(c *Call) *string { return &c.SessionID }, asSent},
}

// rowNames are the names of rowFields, and that of the recordings behind them.
var rowNames = func() fieldNames {
	var names fieldNames
	for _, field := range rowFields {
		names = append(names, field.name)
	}
	return append(names, "recording")
}()

// Fields of a recording, in the order of recordingNames.
const (
	fieldSrc = iota
	fieldType
	fieldNew
	fieldRecordingID
	fieldFilename
	fieldPublicURL
)

var recordingNames = fieldNames{
	fieldSrc: "src", fieldType: "type", fieldNew: "new",
	fieldRecordingID: "recording_id", fieldFilename: "filename", fieldPublicURL: "public_url",
}

// recordingValues are the values of one recording, by recordingNames.
type recordingValues [fieldPublicURL + 1][]byte

// links returns the texts of the fields that hold links, the one to use first.
func (v *recordingValues) links() [2][]byte {
	return [...][]byte{v[fieldPublicURL], v[fieldSrc]}
}

// UnmarshalJSON decodes one row. It fails only when the row is not a JSON object.
func (c *Call) UnmarshalJSON(data []byte) error {
	if !json.Valid(data) {
		return fmt.Errorf("decode call row: %w", errRowNotJSON)
	}
	raw := bytes.Clone(data)
	if err := c.decode(bytes.TrimSpace(raw)); err != nil {
		return err
	}
	c.Raw, c.checked = raw, len(raw)
	return nil
}

var (
	errRowNotJSON = errors.New("the row is not valid JSON")
	errNoObject   = errors.New("decode call row: it is not a JSON object")
)

// decode decodes a row of valid JSON, which it keeps as Raw. It fails when that is not
// an object; null is one without fields.
func (c *Call) decode(row []byte) error {
	switch {
	case string(row) == "null":
		*c = Call{Raw: row, checked: len(row), withoutField: true}
		return nil
	case row[0] != '{':
		return errNoObject
	}
	*c = Call{Raw: row, checked: len(row)}
	var values [len(rowFields) + 1][]byte
	rowNames.read(row, values[:])
	c.setTexts(values[:len(rowFields)])

	recording := values[len(rowFields)]
	c.withoutField = recording == nil
	elements, readable := recordingElements(recording)
	c.RecordingUnreadable = !readable
	if len(elements) > 0 {
		c.Recordings = make([]Recording, 0, len(elements))
	}
	for _, element := range elements {
		if element[0] != '{' {
			c.RecordingUnreadable = true
			continue
		}
		c.Recordings = append(c.Recordings, newRecording(c.ID, element))
	}
	identify(c.Recordings)
	return nil
}

// setTexts sets the scalars of the row to their values, by rowFields. Those by which a
// caller remembers a call get memory of their own, so as not to keep the others.
func (c *Call) setTexts(values [][]byte) {
	var ends [len(rowFields)]int
	joined := joinTexts(values, ends[:])
	from := 0
	for i, field := range rowFields {
		t := text(joined[from:ends[i]])
		from = ends[i]
		dest := field.dest(c)
		*dest = field.take(t)
		if dest == &c.CallLength {
			c.inProgress = string(values[i]) == "null" || strings.EqualFold(string(t), "null")
		}
	}
	c.ID, c.CallDate, c.CallLength = strings.Clone(c.ID), strings.Clone(c.CallDate), strings.Clone(c.CallLength)
}

// newRecording decodes a recording. Its strings share no memory with the row.
func newRecording(callID string, element []byte) Recording {
	var v recordingValues
	recordingNames.read(element, v[:])
	r := Recording{
		ID: textOf(v[fieldRecordingID]).asID(), CallID: callID, Filename: textOf(v[fieldFilename]).orNull(),
		Type: string(textOf(v[fieldType])), New: string(textOf(v[fieldNew])),
	}
	for _, link := range v.links() {
		if r.Link == "" {
			r.Link = Secret(textOf(link).orNull())
		}
	}
	return r
}

// recordingElements returns the recordings of a row, each as a JSON object. The
// vendor documents an array; an object stands for one recording, or for a map of
// them as PHP encodes a list with gaps; null, "" and a missing field for none.
func recordingElements(field []byte) (elements [][]byte, readable bool) {
	if len(field) == 0 {
		return nil, true
	}
	switch field[0] {
	case '[':
		return slices.DeleteFunc(elementsOf(field), isNothing), true
	case '{':
		values := slices.DeleteFunc(objectValues(field), isNothing)
		if len(values) == 0 {
			return nil, true
		}
		for _, value := range values {
			if value[0] != '{' {
				return [][]byte{field}, true
			}
		}
		return values, true
	}
	return nil, isNothing(field)
}

// isNothing reports whether a JSON value is one of the ways to say "none".
func isNothing(value []byte) bool {
	switch string(value) {
	case "null", `""`, `"null"`, "false", "[]", "{}":
		return true
	}
	return false
}

// identify gives each recording of one call its identity. Where an id has two
// file names both get a suffix, so that neither can be taken for a recording
// that an earlier listing showed under the bare id.
func identify(recordings []Recording) {
	shared := idsOfSeveralNames(recordings)
	for i := range recordings {
		r := &recordings[i]
		switch {
		case r.ID == "":
			r.Identity = "call-" + r.CallID + "-" + shortHash(r.Filename, linkPath(r.Link))
		case shared[r.ID]:
			r.Identity = r.ID + "#" + shortHash(r.Filename)
		default:
			r.Identity = r.ID
		}
	}
}

// idsOfSeveralNames returns the ids that have more than one file name.
func idsOfSeveralNames(recordings []Recording) map[string]bool {
	if len(recordings) < 2 { // as nearly all calls
		return nil
	}
	names := make(map[string]string, len(recordings))
	shared := make(map[string]bool)
	for _, r := range recordings {
		if first, seen := names[r.ID]; seen && first != r.Filename {
			shared[r.ID] = true
		}
		names[r.ID] = r.Filename
	}
	return shared
}

func shortHash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// AccountID returns the account that the recording belongs to, as its link or
// else its file name tells, or "". Both forms were seen in public material only
// (account id in the link's first JSON field, and before the file name's first
// underscore), so that a caller should ask for agreement before it relies on one.
func (r *Recording) AccountID() string {
	if id := accountInLink(linkPath(r.Link)); id != "" {
		return id
	}
	first, rest, found := strings.Cut(r.Filename, "_")
	if !found || !strings.Contains(rest, "_") {
		return ""
	}
	if _, err := strconv.ParseUint(first, 10, 63); err != nil {
		return ""
	}
	return first
}

// StartEpoch returns the time of the recording's start that the file name holds
// (…_EPOCH_FRACTION-in-…), and whether it holds one.
func (r *Recording) StartEpoch() (time.Time, bool) {
	parts := strings.Split(r.Filename, "_")
	if len(parts) < 3 {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(parts[len(parts)-2], 10, 64)
	if err != nil || seconds < 1_000_000_000 || seconds > 9_999_999_999 {
		return time.Time{}, false
	}
	return time.Unix(seconds, 0), true
}

func accountInLink(path string) string {
	token := path[strings.LastIndexByte(path, '/')+1:]
	decoded, err := base64Any(token)
	if err != nil {
		return ""
	}
	plain, err := url.QueryUnescape(string(decoded))
	if err != nil {
		return ""
	}
	var fields struct {
		AccountID text `json:"account_id"`
	}
	if json.Unmarshal([]byte(plain), &fields) != nil {
		return ""
	}
	return fields.AccountID.orNull()
}
