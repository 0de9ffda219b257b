// Declares the columns of both tables.

package export

import (
	"strings"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
	"convoso-archiver/search"
)

// callRow is a row of the table calls. Columns are in the order of the fields, in every format; a test compares them
// with columns. Missing texts are empty.
//
// Encodings are named one by one: the library's own choice for text, DELTA_LENGTH_BYTE_ARRAY, cannot be read by Spark
// before 3.3 (SPARK-36879), and takes more space. Columns with few distinct values have a dictionary. A text with
// both options json and optional makes the library panic (v0.32.0), so an empty other is {}.
type callRow struct {
	ID           string    `parquet:"id,plain"`
	CallDate     time.Time `parquet:"call_date,optional,timestamp(millisecond),plain"`
	CallLocal    string    `parquet:"call_date_local,optional,plain"`
	Length       *int32    `parquet:"call_length,optional,plain"`
	CampaignID   string    `parquet:"campaign_id,dict"`
	Campaign     string    `parquet:"campaign,dict"`
	UserID       string    `parquet:"user_id,dict"`
	User         string    `parquet:"user,dict"`
	PhoneNumber  string    `parquet:"phone_number,plain"`
	NumberDialed string    `parquet:"number_dialed,plain"`
	FirstName    string    `parquet:"first_name,dict"`
	LastName     string    `parquet:"last_name,dict"`
	Status       string    `parquet:"status,dict"`
	StatusName   string    `parquet:"status_name,dict"`
	CallType     string    `parquet:"call_type,dict"`
	CalledCount  string    `parquet:"called_count,dict"`
	Comment      string    `parquet:"agent_comment,plain"`
	LeadID       string    `parquet:"lead_id,plain"`
	ListID       string    `parquet:"list_id,dict"`
	QueueID      string    `parquet:"queue_id,dict"`
	QueuePlace   string    `parquet:"queue_position,dict"`
	QueueSeconds string    `parquet:"queue_seconds,dict"`
	CallerID     string    `parquet:"caller_id_displayed,dict"`
	TermReason   string    `parquet:"term_reason,dict"`
	Originating  string    `parquet:"originating_agent_id,dict"`
	SessionID    string    `parquet:"session_id,plain"`
	Recordings   int32     `parquet:"recordings,plain"`
	Archived     int32     `parquet:"archived,plain"`
	Erased       bool      `parquet:"erased,plain"`
	NoRow        bool      `parquet:"no_row,plain"`
	Other        string    `parquet:"other,json,plain"`
}

// callBloom are the columns of callRow with a Bloom filter.
func callBloom() []string {
	return []string{"id", "lead_id", "phone_number", "number_dialed", "campaign_id", "user_id", "list_id", "queue_id"}
}

// columns passes the columns in order.
func (r *callRow) columns(c columns) {
	c.text("id", r.ID)
	c.moment("call_date", r.CallDate)
	c.text("call_date_local", r.CallLocal)
	c.length("call_length", r.Length)
	c.text("campaign_id", r.CampaignID)
	c.text("campaign", r.Campaign)
	c.text("user_id", r.UserID)
	c.text("user", r.User)
	c.text("phone_number", r.PhoneNumber)
	c.text("number_dialed", r.NumberDialed)
	c.text("first_name", r.FirstName)
	c.text("last_name", r.LastName)
	c.text("status", r.Status)
	c.text("status_name", r.StatusName)
	c.text("call_type", r.CallType)
	c.text("called_count", r.CalledCount)
	c.text("agent_comment", r.Comment)
	c.text("lead_id", r.LeadID)
	c.text("list_id", r.ListID)
	c.text("queue_id", r.QueueID)
	c.text("queue_position", r.QueuePlace)
	c.text("queue_seconds", r.QueueSeconds)
	c.text("caller_id_displayed", r.CallerID)
	c.text("term_reason", r.TermReason)
	c.text("originating_agent_id", r.Originating)
	c.text("session_id", r.SessionID)
	c.whole("recordings", int64(r.Recordings), 32)
	c.whole("archived", int64(r.Archived), 32)
	c.truth("erased", r.Erased)
	c.truth("no_row", r.NoRow)
	c.document("other", r.Other)
}

// recordingRow is a row of the table recordings.
type recordingRow struct {
	RecordingID string    `parquet:"recording_id,plain"`
	CallID      string    `parquet:"call_id,plain"`
	CallDate    time.Time `parquet:"call_date,optional,timestamp(millisecond),plain"`
	CallLocal   string    `parquet:"call_date_local,optional,plain"`
	Outcome     string    `parquet:"outcome,dict"`
	Final       bool      `parquet:"final,plain"`
	Key         string    `parquet:"key,plain"`
	Size        int64     `parquet:"size,plain"`
	SHA256      string    `parquet:"sha256,plain"`
	ContentType string    `parquet:"content_type,dict"`
	Host        string    `parquet:"host,dict"`
	Attempts    int32     `parquet:"attempts,plain"`
	Cause       string    `parquet:"cause,dict"`
	Reason      string    `parquet:"reason,plain"`
	FirstSeen   time.Time `parquet:"first_seen,optional,timestamp(millisecond),plain"`
	Noted       time.Time `parquet:"noted,optional,timestamp(millisecond),plain"`
}

// recordingBloom are the columns of recordingRow with a Bloom filter.
func recordingBloom() []string { return []string{"recording_id", "call_id"} }

// columns passes the columns in order.
func (r *recordingRow) columns(c columns) {
	c.text("recording_id", r.RecordingID)
	c.text("call_id", r.CallID)
	c.moment("call_date", r.CallDate)
	c.text("call_date_local", r.CallLocal)
	c.text("outcome", r.Outcome)
	c.truth("final", r.Final)
	c.text("key", r.Key)
	c.whole("size", r.Size, 64)
	c.text("sha256", r.SHA256)
	c.text("content_type", r.ContentType)
	c.text("host", r.Host)
	c.whole("attempts", int64(r.Attempts), 32)
	c.text("cause", r.Cause)
	c.text("reason", r.Reason)
	c.moment("first_seen", r.FirstSeen)
	c.moment("noted", r.Noted)
}

// columns receives each column of a row, in order.
type columns interface {
	text(name, value string)
	whole(name string, value int64, bits int)
	length(name string, seconds *int32) // nil: unknown
	truth(name string, value bool)
	moment(name string, t time.Time) // zero: unknown
	document(name, json string)
}

// newCall makes the row of a call. Its texts are UTF-8, for any input.
func newCall(c *search.Call, zone *time.Location) callRow {
	extra := readExtra(c.Row)
	r := callRow{
		ID: clean(c.ID), CampaignID: clean(c.CampaignID), Campaign: clean(c.Campaign), UserID: clean(c.UserID), User: clean(c.User),
		PhoneNumber: clean(c.PhoneNumber), NumberDialed: clean(c.NumberDialed), FirstName: clean(c.FirstName), LastName: clean(c.LastName),
		Status: clean(c.Status), StatusName: clean(c.StatusName), CallType: clean(c.CallType), CalledCount: clean(c.CalledCount),
		Comment: clean(c.Comment), LeadID: clean(c.LeadID), ListID: clean(c.ListID), QueueID: clean(c.QueueID),
		QueuePlace: clean(extra.queuePosition), QueueSeconds: clean(extra.queueSeconds), CallerID: clean(extra.callerID),
		TermReason: clean(extra.termReason), Originating: clean(extra.originatingAgent), SessionID: clean(extra.sessionID),
		Recordings: int32(len(c.Recordings)), Erased: c.Erased, NoRow: c.NoRow, Other: clean(extra.other),
	}
	if c.Length >= 0 {
		seconds := int32(c.Length)
		r.Length = &seconds
	}
	// The date in the row, which for a stray row differs from the day under which it is stored.
	if wall, err := fetcher.ParseWall(extra.date); err == nil {
		r.CallDate, r.CallLocal = instant(wall, zone), wall.Format(time.DateTime)
	}
	for _, recording := range c.Recordings {
		if recording.Stored() {
			r.Archived++
		}
	}
	return r
}

// newRecording makes the row of a recording of a call, given the call's row.
func newRecording(r *search.Recording, call *callRow) recordingRow {
	row := recordingRow{
		RecordingID: clean(r.ID), CallID: call.ID, CallDate: call.CallDate, CallLocal: call.CallLocal,
		Outcome: clean(string(r.Outcome)), Final: r.Final || r.Outcome.Final(), Key: clean(r.Key), Size: r.Size,
	}
	if s := r.State; s != nil {
		row.ContentType, row.Host, row.Cause, row.Reason = clean(s.ContentType), clean(s.Host), clean(s.Cause), clean(s.Reason)
		row.Attempts, row.FirstSeen, row.Noted = int32(s.Attempts), known(s.FirstSeen), known(s.Time)
		row.SHA256 = sum(s)
	}
	return row
}

// instant returns a wall-clock time as an instant; in a repeated hour, the first one.
func instant(wall time.Time, zone *time.Location) time.Time {
	return time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, zone).UTC()
}

// known returns the zero time for a time that was never noted.
func known(t time.Time) time.Time {
	if t.Year() <= 1 {
		return time.Time{}
	}
	return t.UTC()
}

func sum(s *manifest.State) string {
	if s.SHA256 == [32]byte{} {
		return ""
	}
	return hexOf(s.SHA256[:])
}

// clean replaces invalid UTF-8, which no reader of tables accepts.
func clean(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
