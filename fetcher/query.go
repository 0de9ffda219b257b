// Makes the parameters of a request.

package fetcher

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
)

// Filter narrows a listing to some calls. Its fields are the filtering parameters of log/retrieve;
// an empty field does not filter. The API accepts a comma list at least for Status.
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
	personal    bool // personal data
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

// contradictedBy returns the name of a parameter that contradicts the row, "" for none. It compares
// only ids and the call type: the API's treatment of the other filters (case, comma lists, number
// formats) is not documented.
func (f Filter) contradictedBy(c *Call) string {
	for _, pair := range []struct{ name, asked, got string }{
		{"id", f.ID, c.ID},
		{"lead_id", f.LeadID, c.row.LeadID.orNull()},
		{"campaign_id", f.CampaignID, c.row.CampaignID.orNull()},
		{"queue_id", f.QueueID, c.row.QueueID.orNull()},
		{"list_id", f.ListID, c.row.ListID.orNull()},
		{"user_id", f.UserID, c.row.UserID.orNull()},
		{"call_type", f.CallType, c.row.CallType.orNull()},
	} {
		fulfilled := pair.asked == ""
		for value := range strings.SplitSeq(pair.asked, ",") {
			fulfilled = fulfilled || strings.EqualFold(strings.TrimSpace(value), pair.got)
		}
		if !fulfilled {
			return pair.name
		}
	}
	return ""
}

// String returns the filter in one canonical form, "" for none. Numbers and names
// of persons are replaced by a hash, so that the text may be in a manifest.
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

// values returns the parameters of one page, without the token. Without start and end the API answers only with
// today, and it silently ignores unknown parameters, so the names here must be exactly the vendor's.
func (f Filter) values(span Window, limit, offset int) url.Values {
	values := url.Values{
		"start_time":         {span.From.Format(WallLayout)},
		"end_time":           {span.To.Format(WallLayout)},
		"limit":              {strconv.Itoa(limit)},
		"offset":             {strconv.Itoa(offset)},
		"order":              {"asc"},
		"include_recordings": {"1"},
	}
	for _, p := range f.parameters() {
		if p.value != "" {
			values.Set(p.name, p.value)
		}
	}
	return values
}

// Personal reports whether the filter contains a number or a name.
func (f Filter) Personal() bool {
	for _, p := range f.parameters() {
		if p.personal && p.value != "" {
			return true
		}
	}
	return false
}
