package fetcher

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
)

// Filter narrows a listing to some calls. Its fields are the filtering parameters
// of log/retrieve; an empty field does not filter. The API takes a comma list for
// Status at least.
type Filter struct {
	ID           string // the call's own id
	LeadID       string
	CampaignID   string
	QueueID      string
	ListID       string
	UserID       string
	Status       string
	PhoneNumber  string
	NumberDialed string
	FirstName    string
	LastName     string
	CallType     string // OUTBOUND, INBOUND, MANUAL or 3WAY
	CalledCount  string
}

type parameter struct {
	name, value string
	personal    bool // says something about a person
}

func (f Filter) parameters() []parameter {
	return []parameter{
		{"id", f.ID, false},
		{"lead_id", f.LeadID, false},
		{"campaign_id", f.CampaignID, false},
		{"queue_id", f.QueueID, false},
		{"list_id", f.ListID, false},
		{"user_id", f.UserID, false},
		{"status", f.Status, false},
		{"phone_number", f.PhoneNumber, true},
		{"number_dialed", f.NumberDialed, true},
		{"first_name", f.FirstName, true},
		{"last_name", f.LastName, true},
		{"call_type", f.CallType, false},
		{"called_count", f.CalledCount, false},
	}
}

// String returns the filter in one canonical form, "" for none. Numbers and names
// of persons are replaced by a hash, so that the text may stand in a manifest.
func (f Filter) String() string {
	var parts []string
	for _, p := range f.parameters() {
		if p.value == "" {
			continue
		}
		value := url.QueryEscape(p.value)
		if p.personal {
			sum := sha256.Sum256([]byte(p.name + "=" + p.value))
			value = "sha256:" + hex.EncodeToString(sum[:8])
		}
		parts = append(parts, p.name+"="+value)
	}
	return strings.Join(parts, "&")
}

// Query is one request for a page of the call log: the nineteen parameters that
// the vendor's page lists beside the token.
type Query struct {
	Filter
	StartTime         string // wall clock of the account's zone, as WallLayout
	EndTime           string // likewise
	Limit             int    // rows asked for; the API may send fewer
	Offset            int    // rows to skip
	Order             string // asc or desc
	IncludeRecordings bool
}

// values returns the parameters to send. Without start and end the API answers
// with today alone, and it ignores what it does not know in silence, so that the
// names here must be exactly the vendor's.
func (q Query) values() url.Values {
	values := url.Values{}
	for _, p := range q.parameters() {
		if p.value != "" {
			values.Set(p.name, p.value)
		}
	}
	if q.StartTime != "" {
		values.Set("start_time", q.StartTime)
	}
	if q.EndTime != "" {
		values.Set("end_time", q.EndTime)
	}
	values.Set("limit", strconv.Itoa(q.Limit))
	values.Set("offset", strconv.Itoa(q.Offset))
	values.Set("order", q.Order)
	values.Set("include_recordings", "0")
	if q.IncludeRecordings {
		values.Set("include_recordings", "1")
	}
	return values
}
