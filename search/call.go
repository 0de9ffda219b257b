// Declares a call with its recordings.

package search

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// Call is a row of the call log with the ledger's state of its recordings.
type Call struct {
	Position Position
	Day      string    // 2006-01-02
	Wall     time.Time // call_date, wall-clock time of the account's zone; the start of the day if it is invalid
	Time     time.Time // the same as an instant, in UTC; in a repeated hour the first one
	Erased   bool      // removed on purpose: only ids are left
	NoRow    bool      // calls/ has no row for it, only the ledger
	Fields             // empty if the row has none

	Recordings []Recording // sorted by id

	// Row is the original row without links; nil in answers from an index.
	Row json.RawMessage
}

// Fields are the searchable fields of a row. Numbers in the row become text.
type Fields struct {
	ID, LeadID, ListID, QueueID string
	CampaignID, Campaign        string
	UserID, User                string // the agent
	PhoneNumber, NumberDialed   string
	FirstName, LastName         string
	Status, StatusName          string
	CallType, CalledCount       string
	Comment                     string
	Length                      int // seconds; -1 when unknown
}

// Recording is one recording of a call.
type Recording struct {
	ID      string
	Outcome manifest.Outcome
	Final   bool // no run requests it again
	Key     string
	Size    int64 // bytes
	// State is the ledger's complete state; nil in answers from an index.
	State *manifest.State
}

// Stored reports whether its audio is in the archive.
func (r Recording) Stored() bool { return r.Outcome == manifest.Archived }

// row decodes the fields of a row.
type row struct {
	ID           scalar `json:"id"`
	LeadID       scalar `json:"lead_id"`
	ListID       scalar `json:"list_id"`
	QueueID      scalar `json:"queue_id"`
	CampaignID   scalar `json:"campaign_id"`
	Campaign     scalar `json:"campaign"`
	UserID       scalar `json:"user_id"`
	User         scalar `json:"user"`
	PhoneNumber  scalar `json:"phone_number"`
	NumberDialed scalar `json:"number_dialed"`
	FirstName    scalar `json:"first_name"`
	LastName     scalar `json:"last_name"`
	Status       scalar `json:"status"`
	StatusName   scalar `json:"status_name"`
	CallType     scalar `json:"call_type"`
	CalledCount  scalar `json:"called_count"`
	Comment      scalar `json:"agent_comment"`
	Length       scalar `json:"call_length"`
	Date         scalar `json:"call_date"`
}

// scalar decodes strings, numbers and booleans as text. The API sends strings; null and other types become empty.
type scalar string

// UnmarshalJSON implements json.Unmarshaler.
func (s *scalar) UnmarshalJSON(data []byte) error {
	switch {
	case len(data) > 1 && data[0] == '"' && bytes.IndexByte(data, '\\') < 0:
		*s = scalar(data[1 : len(data)-1])
	case data[0] == '"':
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		*s = scalar(text)
	case data[0] == '{' || data[0] == '[' || bytes.Equal(data, []byte("null")):
		*s = ""
	default:
		*s = scalar(data)
	}
	return nil
}

// readRow returns the call of a row; invalid fields are empty.
func readRow(day, callID string, raw json.RawMessage, zone *time.Location) Call {
	var r row
	if !scanRow(raw, &r) {
		r = row{}
		_ = json.Unmarshal(raw, &r) // the ledger has checked the syntax; fields of other types stay empty
	}
	c := Call{Day: day, Row: raw, Erased: len(raw) == 2, Fields: Fields{
		ID: callID, LeadID: string(r.LeadID), ListID: string(r.ListID), QueueID: string(r.QueueID),
		CampaignID: string(r.CampaignID), Campaign: string(r.Campaign), UserID: string(r.UserID), User: string(r.User),
		PhoneNumber: string(r.PhoneNumber), NumberDialed: string(r.NumberDialed),
		FirstName: string(r.FirstName), LastName: string(r.LastName),
		Status: string(r.Status), StatusName: string(r.StatusName), CallType: string(r.CallType), CalledCount: string(r.CalledCount),
		Comment: string(r.Comment), Length: seconds(string(r.Length)),
	}}
	c.setTime(string(r.Date), zone)
	return c
}

// setTime reads call_date. A row without a readable date, or with one of another day, is placed at the start
// of its day.
func (c *Call) setTime(date string, zone *time.Location) {
	wall, err := fetcher.ParseWall(date)
	if err != nil || wall.Format(time.DateOnly) != c.Day {
		wall, _ = time.Parse(time.DateOnly, c.Day)
	}
	c.setWall(wall, zone)
}

func (c *Call) setWall(wall time.Time, zone *time.Location) {
	c.Wall = wall
	c.Time = time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, zone).UTC()
}

// seconds parses a length, which the vendor sends as whole seconds, or null during the call.
func seconds(text string) int {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n > 1e9 {
		return -1
	}
	return int(n)
}
