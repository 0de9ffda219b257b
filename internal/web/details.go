// Renders the details of an open call.

package web

import (
	"net/http"
	"net/url"
	"time"

	"convoso-archiver/search"
)

// details is an open call.
type details struct {
	Ref, Day, Clock, Date, Zone string
	Agent, Campaign, Status     string
	Number, Length, Why         string
	Names                       string
	Comment                     string
	Recordings                  []recordingView
	Fields                      []rowField
	Hidden                      bool // numbers are masked
	NoRow                       bool
	Second                      int
	First                       *recordingView // the one in the player
	Rights                      Rights
	Reason                      bool
	Close                       string // address of the list without the details
}

// recordingView is a recording of an open call.
type recordingView struct {
	ID, Day  string
	Number   int // from 1
	Of       int
	Stored   bool
	Why      string
	Size     string
	Bytes    int64
	Audio    string // address
	File     string // key in the store, for users who may see numbers
	Archived string // when
	SHA256   string
}

// textUnseen does not tell a hidden call from a missing one.
const textUnseen = "You may not see this call, or it does not exist."

// call answers the script with the details of a call, without the page.
func (s *Server) call(w http.ResponseWriter, r *http.Request) {
	d, err := s.details(r, r.PathValue("day"), r.PathValue("id"))
	if err != nil {
		s.trouble(w, r, "read a call", err)
		return
	}
	if d == nil {
		s.refuse(w, r, http.StatusNotFound, textUnseen, "Load the list again.")
		return
	}
	if s.mayOpen(w, r, d.Day, r.PathValue("id")) {
		s.render(w, r, http.StatusOK, "details.html", d)
	}
}

// details returns a call that the user may see, nil if there is none. For a user with limits it logs the latter.
func (s *Server) details(r *http.Request, day, id string) (*details, error) {
	u := userOf(r)
	c, err := s.catalog.call(r.Context(), day, id)
	if c == nil || !u.may(&c.Fields) {
		if u.Listen && c == nil && err != nil {
			return nil, err
		}
		line := Access{What: "details_refused"}
		if c != nil {
			line.CallID = c.ID
		}
		s.noteUnseen(r, line, day)
		return nil, nil
	}
	mask := newMasker(u)
	row := newRow(c, mask)
	f := mask.fields(c.Fields)
	d := &details{
		Ref: row.Ref, Day: c.Day, Clock: row.Clock, Date: row.Date, Zone: s.Archive.Zone().String(), Agent: row.Agent, Campaign: row.Campaign,
		Status: row.Status, Number: row.Number, Length: row.Length, Names: joined(f.FirstName, f.LastName), Comment: f.Comment,
		Fields: mask.row(c.Row), Hidden: !u.Numbers, NoRow: c.NoRow, Rights: u.Rights, Reason: s.RequireReason, Close: "/calls",
	}
	switch {
	case c.Erased:
		d.Why = "This call was erased on purpose: only its ids are left."
	case len(c.Recordings) == 0:
		d.Why = "The call log lists no recording of this call."
	}
	for i, rec := range c.Recordings {
		v := newRecordingView(c.Day, rec, u)
		v.Number, v.Of = i+1, len(c.Recordings)
		d.Recordings = append(d.Recordings, v)
	}
	for i := range d.Recordings {
		if d.Recordings[i].Stored {
			d.First = &d.Recordings[i]
			break
		}
	}
	return d, nil
}

func newRecordingView(day string, r search.Recording, u *user) recordingView {
	v := recordingView{
		ID: r.ID, Day: day, Stored: r.Stored(), Why: sentence(whyNot(r)), Size: bytesOf(r.Size), Bytes: r.Size,
		Audio: "/audio/" + url.PathEscape(day) + "/" + url.PathEscape(r.ID),
	}
	if r.State != nil && r.Stored() {
		v.Archived = r.State.Time.UTC().Format(time.DateTime) + " UTC"
		v.SHA256 = newRecording(&search.Call{}, r).sum()
	}
	if u.Numbers {
		v.File = r.Key
	}
	return v
}

func joined(first, last string) string {
	switch {
	case first == "":
		return last
	case last == "":
		return first
	}
	return first + " " + last
}
