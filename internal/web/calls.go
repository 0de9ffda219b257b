// Renders the page with the list of calls.

package web

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"convoso-archiver/search"
)

// page is what every page shows.
type page struct {
	Title   string
	Here    string // calls or completeness
	User    string
	Rights  Rights
	Account string
}

func (s *Server) page(r *http.Request, title, here string) page {
	u := userOf(r)
	return page{Title: title, Here: here, User: u.name, Rights: u.Rights, Account: s.About.AccountID}
}

// callsPage is the list of calls.
type callsPage struct {
	page
	Form     form
	Rows     []callRow
	Zone     string
	Note     string   // count and order
	Remarks  []string // anything unexpected about the list
	Empty    []string // why no call was found, and what to try
	Next     string   // address of the next page
	NextText string
	First    string // address of the first page, if this is not the first one
	Search   string // the query of the address, without the open call
	Open     *details
	Unseen   string // why the call of the address is not open, empty if none was asked for
	Failed   bool   // the terms are invalid
	Reason   bool   // required for playback and downloads
}

// callRow is a call in the list.
type callRow struct {
	Ref                             string // DAY/ID
	Address                         string
	Day, Clock, Date                string
	Agent, Campaign, Status, Number string
	Length, State                   string
	Stored                          bool
	IsOpen                          bool
}

// calls shows the list, and the open call.
func (s *Server) calls(w http.ResponseWriter, r *http.Request) {
	u := userOf(r)
	if !u.Listen {
		if u.Audit {
			http.Redirect(w, r, "/completeness", http.StatusSeeOther)
			return
		}
		s.refuse(w, r, http.StatusForbidden, "You may not see calls.", "Ask the administrator of this page for access.")
		return
	}
	values := r.URL.Query()
	a := parseQuery(values, time.Now(), s.Archive.Zone())
	a.keep("", u.check(a.query))
	if a.id != "" && isFromElsewhere(r) && r.Header.Get("Sec-Fetch-Dest") != "document" { // a link from another site may lead here and would be logged
		s.refuseElsewhere(w, r)
		return
	}
	p := callsPage{
		page: s.page(r, "Calls", "calls"), Zone: s.Archive.Zone().String(), Reason: s.RequireReason,
		Search: strings.TrimPrefix(with(values, "call", "", "t", "", "after", ""), "/calls"),
	}
	p.Form = newForm(values, a.wrong)
	status := http.StatusOK
	if p.Failed = len(a.wrong) > 0; p.Failed {
		status = http.StatusBadRequest
		p.Note = "No search"
		p.Empty = []string{"The search has a mistake.", "Correct the marked fields."}
	} else if err := s.fill(r, &p, &a, values); err != nil {
		s.trouble(w, r, "search", err)
		return
	}
	if p.Open != nil && !s.mayOpen(w, r, p.Open.Day, a.id) {
		return
	}
	s.render(w, r, status, "calls.html", p)
}

// fill searches and makes the rows.
func (s *Server) fill(r *http.Request, p *callsPage, a *asked, values url.Values) error {
	u := userOf(r)
	a.query = u.allowed(a.query)
	f, err := s.find(r.Context(), a)
	if err != nil {
		return err
	}
	mask := newMasker(u)
	for i := range f.calls {
		row := newRow(&f.calls[i], mask)
		row.Address = with(values, "call", row.Ref, "t", "")
		row.IsOpen = f.calls[i].Day == a.day && f.calls[i].ID == a.id
		p.Rows = append(p.Rows, row)
	}
	p.tell(&f, a, values)
	if len(f.calls) == 0 && !f.stopped {
		outside, err := s.outside(r.Context(), a.query)
		switch {
		case err != nil:
			return err
		case outside != "":
			p.Empty = []string{"No call matches all terms.", outside}
		case s.Hint != nil && !u.isLimited():
			for _, line := range s.Hint(r.Context(), a.query) {
				p.Empty = append(p.Empty, mask.text(strings.ToUpper(line[:1])+line[1:]+"."))
			}
		}
	}
	if a.id != "" {
		if p.Open, err = s.details(r, a.day, a.id); err != nil {
			return err
		}
		if p.Open == nil {
			p.Unseen = textUnseen
		} else {
			p.Open.Second, p.Open.Close = a.second, with(values, "call", "", "t", "")
		}
	}
	return nil
}

// outside says which days the archive has, if it has none in the time range of a query.
func (s *Server) outside(ctx context.Context, q search.Query) (string, error) {
	all, err := s.catalog.allDays(ctx, search.Query{})
	if err != nil || len(all) == 0 {
		return "", err
	}
	within, err := s.catalog.allDays(ctx, q)
	if err != nil || len(within) > 0 {
		return "", err
	}
	return "The archive has no day in this time range; it has days from " + all[0] + " to " + all[len(all)-1] + ".", nil
}

func newRow(c *search.Call, mask masker) callRow {
	f := mask.fields(c.Fields)
	row := callRow{
		Ref: c.Day + "/" + c.ID, Day: c.Day, Date: dateWords(c.Day), Clock: c.Wall.Format(time.TimeOnly),
		Agent: cmp.Or(f.User, f.UserID), Campaign: campaignWords(f.CampaignID, f.Campaign), Status: cmp.Or(f.StatusName, f.Status),
		Number: cmp.Or(f.PhoneNumber, f.NumberDialed), Length: length(c.Length), State: state(c),
	}
	row.Stored = slices.ContainsFunc(c.Recordings, search.Recording.Stored)
	return row
}

// campaignWords has the id first: a narrow column cuts names, which may begin alike.
func campaignWords(id, name string) string {
	if id == "" || strings.HasPrefix(name, id) {
		return name
	}
	return strings.TrimSpace(id + " " + name)
}

// tell describes the list in words, including what is missing in it.
func (p *callsPage) tell(f *found, a *asked, values url.Values) {
	n := len(f.calls)
	p.Note = "No call"
	if n > 0 {
		p.Note = counted(n) + " calls"
		if n == 1 {
			p.Note = "1 call"
		}
		p.Note += map[search.Sort]string{
			"": ", newest first", search.NewestFirst: ", newest first", search.OldestFirst: ", oldest first",
			search.LongestFirst: ", longest first", search.ShortestFirst: ", shortest first",
		}[a.query.Sort]
	}
	if a.query.After != 0 {
		p.First = with(values, "after", "", "call", "", "t", "")
	}
	switch {
	case f.more && a.isByTime():
		p.Note += "; more follow"
		p.Next, p.NextText = nextAddress(values, f.calls[n-1].Position), "Next page"
	case f.more:
		p.Remarks = append(p.Remarks, "There are more calls. A list by length and a sample have only one page: raise the limit, up to 500, or narrow the search.")
	case f.stopped && a.isByTime():
		p.Remarks = append(p.Remarks, "The search took too long and was stopped on "+dateWords(f.reached)+
			". Choose fewer days, or continue from there. Searches are fast once the search index is built.")
		p.Next, p.NextText = nextAddress(values, f.next), "Continue the search"
	case f.stopped:
		p.Remarks = append(p.Remarks, "The search took too long and was stopped. Choose a first and a last day, or sort by time. "+
			"Searches are fast once the search index is built.")
	}
	for _, day := range f.broken[:min(len(f.broken), 3)] {
		p.Remarks = append(p.Remarks, "Some data of "+dateWords(day)+" cannot be read: calls of that day may be missing here.")
	}
	if n == 0 && !f.stopped {
		p.Empty = []string{"No call matches all terms.", "Remove a term, or choose more days."}
		if len(values) == 0 {
			p.Empty = []string{"The archive has no call that you may see.", "Calls appear here after archive has run."}
		}
	}
}

func nextAddress(values url.Values, at search.Position) string {
	return with(values, "after", strconv.FormatInt(int64(at), 10), "call", "", "t", "")
}

// render writes a complete page. The page is rendered before its first byte is sent, so an error gets a
// proper answer.
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var text bytes.Buffer
	if err := s.pages.ExecuteTemplate(&text, name, data); err != nil {
		s.Logger.Error("cannot make a page", "page", name, "err", "its template failed") // an error of the template would repeat values
		http.Error(w, "The page cannot be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(text.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes()) // the client may have disconnected
}

// errorPage shows what is wrong and what to do.
type errorPage struct {
	page
	Status    int
	What, Try string
}

// refuse answers with an error: a page for a person, a line for a script.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, what, try string) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Error(w, what+" "+try, status)
		return
	}
	s.render(w, r, status, "error.html", errorPage{page: s.page(r, what, ""), Status: status, What: what, Try: try})
}

// trouble answers after an internal error. It logs the error, which contains no personal data.
func (s *Server) trouble(w http.ResponseWriter, r *http.Request, what string, err error) {
	if r.Context().Err() == nil {
		s.Logger.Error("a request failed", "what", what, "err", err)
	}
	s.refuse(w, r, http.StatusInternalServerError, "The archive cannot be read at the moment.", "Try again. If this happens again, tell the administrator of this page; the log has the reason.")
}

// asset sends a file of the page. Its content changes only with the program.
func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	body, err := files.ReadFile("assets/" + name)
	types := map[string]string{"style.css": "text/css; charset=utf-8", "script.js": "text/javascript; charset=utf-8"}
	if err != nil || types[name] == "" {
		s.refuse(w, r, http.StatusNotFound, "There is no such file.", "Start from the list of calls.")
		return
	}
	w.Header().Set("Content-Type", types[name])
	w.Header().Set("Cache-Control", "no-cache")
	tag := `"` + shortSum(body) + `"`
	w.Header().Set("ETag", tag)
	if matchesTag(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}
