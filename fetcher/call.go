package fetcher

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
	Raw json.RawMessage

	linkSecrets  []string
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
	var raw map[string]json.RawMessage
	if json.Unmarshal(c.Raw, &raw) != nil {
		return nil
	}
	fields := make(map[string]string, len(raw))
	for name, value := range raw {
		var t text
		if t.UnmarshalJSON(value) == nil {
			fields[name] = string(t)
		}
	}
	return fields
}

// rowFields is the wire form of a row; the embedded texts take any scalar.
type rowFields struct {
	ID                 text            `json:"id"`
	LeadID             text            `json:"lead_id"`
	ListID             text            `json:"list_id"`
	CampaignID         text            `json:"campaign_id"`
	Campaign           text            `json:"campaign"`
	User               text            `json:"user"`
	UserID             text            `json:"user_id"`
	PhoneNumber        text            `json:"phone_number"`
	NumberDialed       text            `json:"number_dialed"`
	FirstName          text            `json:"first_name"`
	LastName           text            `json:"last_name"`
	Status             text            `json:"status"`
	StatusName         text            `json:"status_name"`
	CallLength         nullable        `json:"call_length"`
	CallDate           text            `json:"call_date"`
	AgentComment       text            `json:"agent_comment"`
	Recording          json.RawMessage `json:"recording"`
	QueueID            text            `json:"queue_id"`
	CalledCount        text            `json:"called_count"`
	CallerIDDisplayed  text            `json:"caller_id_displayed"`
	TermReason         text            `json:"term_reason"`
	CallType           text            `json:"call_type"`
	QueuePosition      text            `json:"queue_position"`
	QueueSeconds       text            `json:"queue_seconds"`
	OriginatingAgentID text            `json:"originating_agent_id"`
	SessionID          text            `json:"session_id"`
}

type recordingFields struct {
	Src         text `json:"src"`
	Type        text `json:"type"`
	New         text `json:"new"`
	RecordingID text `json:"recording_id"`
	Filename    text `json:"filename"`
	PublicURL   text `json:"public_url"`
}

// UnmarshalJSON decodes one row. It fails only when the row is not a JSON object.
func (c *Call) UnmarshalJSON(data []byte) error {
	var f rowFields
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("decode call row: %w", err)
	}
	*c = Call{
		ID: f.ID.orNull(), LeadID: f.LeadID.orNull(), ListID: f.ListID.orNull(), CampaignID: f.CampaignID.orNull(),
		Campaign: string(f.Campaign), User: string(f.User), UserID: f.UserID.orNull(),
		PhoneNumber: f.PhoneNumber.orNull(), NumberDialed: f.NumberDialed.orNull(),
		FirstName: string(f.FirstName), LastName: string(f.LastName),
		Status: string(f.Status), StatusName: string(f.StatusName),
		CallLength: f.CallLength.orNull(), CallDate: f.CallDate.orNull(), AgentComment: string(f.AgentComment),
		QueueID: f.QueueID.orNull(), CalledCount: f.CalledCount.orNull(), CallerIDDisplayed: f.CallerIDDisplayed.orNull(),
		TermReason: string(f.TermReason), CallType: string(f.CallType), QueuePosition: f.QueuePosition.orNull(),
		QueueSeconds: f.QueueSeconds.orNull(), OriginatingAgentID: f.OriginatingAgentID.orNull(), SessionID: string(f.SessionID),
		Raw: bytes.Clone(data),

		inProgress: f.CallLength.null || strings.EqualFold(string(f.CallLength.text), "null"),
	}
	elements, readable := recordingElements(f.Recording)
	c.RecordingUnreadable = !readable
	c.withoutField = f.Recording == nil
	for _, element := range elements {
		var r recordingFields
		if json.Unmarshal(element, &r) != nil {
			c.RecordingUnreadable = true
			continue
		}
		c.Recordings = append(c.Recordings, Recording{
			ID: r.RecordingID.orNull(), CallID: c.ID, Filename: r.Filename.orNull(),
			Type: string(r.Type), New: string(r.New),
			Link: Secret(cmp.Or(r.PublicURL.orNull(), r.Src.orNull())),
		})
		for _, link := range []text{r.PublicURL, r.Src} {
			c.linkSecrets = append(c.linkSecrets, LinkSecrets(Secret(link.orNull()))...)
		}
	}
	identify(c.Recordings)
	return nil
}

// recordingElements returns the recordings of a row, each as a JSON object. The
// vendor documents an array; an object stands for one recording, or for a map of
// them as PHP encodes a list with gaps; null, "" and a missing field for none.
func recordingElements(data json.RawMessage) (elements []json.RawMessage, readable bool) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return nil, true
	}
	switch data[0] {
	case '[':
		if json.Unmarshal(data, &elements) != nil {
			return nil, false
		}
		return slices.DeleteFunc(elements, isNothing), true
	case '{':
		values, err := objectValues(data)
		if err != nil {
			return nil, false
		}
		values = slices.DeleteFunc(values, isNothing)
		if len(values) == 0 {
			return nil, true
		}
		for _, value := range values {
			if value[0] != '{' {
				return []json.RawMessage{data}, true
			}
		}
		return values, true
	}
	return nil, isNothing(data)
}

// isNothing reports whether a JSON value is one of the ways to say "none".
func isNothing(value json.RawMessage) bool {
	switch string(bytes.TrimSpace(value)) {
	case "null", `""`, `"null"`, "false", "[]", "{}":
		return true
	}
	return false
}

// objectValues returns the values of a JSON object in the order they stand in.
func objectValues(data []byte) ([]json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("read object: %w", err)
	}
	var values []json.RawMessage
	for decoder.More() {
		if _, err := decoder.Token(); err != nil {
			return nil, fmt.Errorf("read object key: %w", err)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, fmt.Errorf("read object value: %w", err)
		}
		values = append(values, value)
	}
	return values, nil
}

// identify gives each recording of one call its identity. Where an id has two
// file names both get a suffix, so that neither can be taken for a recording
// that an earlier listing showed under the bare id.
func identify(recordings []Recording) {
	names := make(map[string]string, len(recordings))
	shared := make(map[string]bool)
	for _, r := range recordings {
		if first, seen := names[r.ID]; seen && first != r.Filename {
			shared[r.ID] = true
		}
		names[r.ID] = r.Filename
	}
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

func shortHash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// linkPath returns the part of a link that names the recording: without the
// query, which holds a value of the account that may change.
func linkPath(link Secret) string {
	rest := link.Reveal()
	if _, after, found := strings.Cut(rest, "://"); found {
		rest = after
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		rest = rest[i:]
	}
	path, _, _ := strings.Cut(rest, "?")
	return path
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
