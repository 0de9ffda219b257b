// Renders the page Completeness from a cached report.

package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
	"convoso-archiver/manifest/report"
)

const (
	reportFresh = 30 * time.Second // an older report is refreshed while it is shown
	reportWait  = 5 * time.Second  // for the first report
)

// reports caches the newest report. It is safe for concurrent use.
type reports struct {
	server *Server

	serving context.Context // ends with the server; Serve sets it, and waits for running
	running sync.WaitGroup

	mu     sync.Mutex
	latest *report.Report
	err    error
	made   time.Time
	making chan struct{} // closed when the report in progress is done; nil if none is in progress
}

// first makes the first report at the start, before any request.
func (r *reports) first(ctx context.Context) { _, _ = r.get(ctx, reportFresh) }

// get returns the newest report, nil if it takes too long. A report older than fresh is made again.
func (r *reports) get(ctx context.Context, fresh time.Duration) (*report.Report, error) {
	r.mu.Lock()
	if r.making == nil && (r.latest == nil || time.Since(r.made) > fresh) {
		r.making = make(chan struct{})
		r.running.Go(r.make) // for all requests, even if this client disconnects
	}
	making, latest := r.making, r.latest
	r.mu.Unlock()
	if making == nil {
		return latest, nil
	}
	wait := reportWait
	if latest != nil {
		wait = 300 * time.Millisecond // for a newer report
	}
	select {
	case <-making:
	case <-time.After(wait):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.latest == nil && r.err != nil {
		return nil, r.err
	}
	return r.latest, nil
}

func (r *reports) make() {
	const longest = 10 * time.Minute
	ctx, cancel := context.WithTimeout(r.serving, longest)
	defer cancel()
	s := r.server
	o := s.Rules
	o.Now, o.Zone = time.Now(), s.Archive.Zone()
	o.Until = fetcher.Wall(o.Now, o.Zone).Format(time.DateOnly)
	o.Verifications, o.NotRead = s.Ledger.LatestVerifications(ctx, report.MaxVerifications)
	if o.NotRead != nil && r.serving.Err() == nil { // the report counts without it
		s.Logger.Error("the note of a verification cannot be read", "err", o.NotRead)
	}
	made, err := report.Build(report.Read(ctx, s.Ledger, o), o)
	if err != nil && r.serving.Err() == nil {
		s.Logger.Error("the report cannot be made", "err", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.latest = made
	}
	r.err, r.made = err, time.Now()
	close(r.making)
	r.making = nil
}

// completePage is the calendar.
type completePage struct {
	page
	Answer    string
	Complete  bool
	Facts     []string
	Month     string // 2006-01
	MonthName string
	Before    string // month before, empty for none
	After     string
	Weeks     [][]dayCell
	Months    []monthRow
	Open      *dayView
	Waiting   bool // the report is being made
	Counts    bool // the user may see them
	Empty     bool
	Legend    []legend
}

type legend struct{ Class, Text string }

// dayCell is a day of the calendar; a cell without a name belongs to another month.
type dayCell struct {
	Day, Number, Class, Text, Label string
	IsOpen                          bool
}

type monthRow struct {
	Month, Name                                              string
	Days, Closed, Calls, Recordings, Archived, Waiting, Lost int
	Bytes                                                    int64
	IsOpen                                                   bool
}

// dayView is the open day of the calendar.
type dayView struct {
	Day, Date, Text, Class string
	Reasons                []string
	Counts                 []string
	Losses                 []string
	Calls                  string // address of its calls
}

// completeness answers with the page that shows which days are complete.
func (s *Server) completeness(w http.ResponseWriter, r *http.Request) {
	u := userOf(r)
	if !u.Listen && !u.Audit {
		s.refuse(w, r, http.StatusForbidden, "You may not see this archive.", "Ask the administrator of this page for access.")
		return
	}
	values := r.URL.Query()
	month, day := values.Get("month"), values.Get("day")
	if _, err := time.Parse("2006-01", month); month != "" && (err != nil || len(month) != 7) || day != "" && !isDay(day) {
		s.refuse(w, r, http.StatusBadRequest, "There is no such month or day.", "Write them like 2025-05 and 2025-05-01.")
		return
	}
	made, err := s.reports.get(r.Context(), reportFresh)
	if err != nil {
		s.trouble(w, r, "make the report", err)
		return
	}
	p := completePage{page: s.page(r, "Completeness", "completeness"), Counts: u.Audit || !u.isLimited(), Waiting: made == nil}
	if made != nil {
		p.fill(made, month, day)
		if p.Open != nil && u.Listen {
			p.Open.Calls = "/calls?start-time=" + day + "&end-time=" + day
		}
		if p.Open != nil && p.Counts {
			p.Open.Losses = s.losses(r.Context(), day)
		}
	}
	s.render(w, r, http.StatusOK, "complete.html", p)
}

// fill makes the calendar of a month, the newest month by default.
func (p *completePage) fill(made *report.Report, month, day string) {
	p.Empty = len(made.Days) == 0
	p.Complete = made.Complete
	p.Answer = "Not complete"
	switch {
	case p.Empty:
		p.Answer = "The archive has no days yet"
	case made.Complete && made.Total.Unsettled > 0:
		p.Answer = "Complete so far"
	case made.Complete:
		p.Answer = "Complete"
	}
	if p.Empty {
		return
	}
	p.Facts = facts(made, p.Counts)
	if month == "" && day != "" {
		month = day[:7]
	}
	last := made.Days[len(made.Days)-1].Day[:7]
	if month == "" {
		month = last
	}
	p.Month = month
	first, _ := time.Parse("2006-01", month) // already validated
	p.MonthName = first.Format("January 2006")
	if before := first.AddDate(0, -1, 0).Format("2006-01"); before >= made.Days[0].Day[:7] {
		p.Before = before
	}
	if after := first.AddDate(0, 1, 0).Format("2006-01"); after <= last {
		p.After = after
	}
	known := map[string]*report.Day{}
	for i := range made.Days {
		d := &made.Days[i]
		p.count(d)
		if d.Day[:7] == month {
			known[d.Day] = d
		}
		if d.Day == day {
			p.Open = p.view(d)
		}
	}
	slices.Reverse(p.Months)
	p.Weeks = weeks(first, known, day)
	p.Legend = []legend{
		{"closed", "closed: proved complete"}, {"open", "open: something is left to do"}, {"lost", "closed, with losses"},
		{"never", "never listed"}, {"fresh", "not settled yet: it may still change"},
	}
}

// facts returns sentences about the archive: with counts the totals, when the report was made, the last run, and the last
// verification.
func facts(made *report.Report, counts bool) []string {
	list := []string{"As of " + made.Made.Format("2006-01-02 15:04") + " UTC."}
	if !made.LastRun.IsZero() {
		list = append(list, "The last run wrote to the archive at "+made.LastRun.Format("2006-01-02 15:04")+" UTC.")
	}
	list = append(list, verifiedText(made))
	if counts {
		list = slices.Insert(list, 0, totals(made))
	}
	return list
}

// totals counts days and recordings, in the words of the first line of the command report.
func totals(made *report.Report) string {
	t := &made.Total
	span := made.From
	if t.Days > 1 {
		span = fmt.Sprintf("%s days from %s to %s", counted(t.Days), made.From, made.To)
	}
	parts := countWords(made.DayCounts())
	if len(parts) == 0 {
		parts = []string{"all closed"}
	}
	if days := made.Unsettled(); days != "" {
		parts = append(parts, days)
	}
	archived, of, more := t.ByOutcome[manifest.Archived], "", countWords(t.More())
	all := archived
	if len(more) == 0 {
		all, of = t.Recordings, counted(archived)+" of "
	}
	noun := "recordings"
	if all == 1 {
		noun = "recording"
	}
	parts = append(parts, of+counted(all)+" "+noun+" archived")
	parts = append(parts, countWords(t.UnarchivedCounts())...)
	parts = append(parts, bytesOf(t.Bytes))
	return strings.Join(append([]string{span + ": " + strings.Join(parts, ", ")}, more...), "; ") + "."
}

// countWords writes counts with what they count.
func countWords(counts []report.Named) []string {
	parts := make([]string, len(counts))
	for i, c := range counts {
		parts[i] = counted(c.N) + " " + c.What
	}
	return parts
}

// verifiedText says when and how the archive was last verified.
func verifiedText(made *report.Report) string {
	switch {
	case made.VerifiedUnreadable != "":
		return "It is not known when the archive was verified last: " + made.VerifiedUnreadable + " cannot be read. Restore it from a copy."
	case len(made.Verified) == 0:
		return "No verification is noted. Run verify --note to note one."
	}
	v := made.Verified[0]
	found := countWords(v.FoundCounts())
	if v.Damaged+v.ManifestDamaged == 0 {
		found = append(found, "nothing damaged")
	}
	text := strings.Join(found, ", ")
	if !v.Complete && v.NotReadable == 0 {
		text += "; it was stopped"
	}
	return fmt.Sprintf("Last verified %s UTC, days from %s to %s: %s, %s.", v.Started.Format("2006-01-02 15:04"), cmp.Or(v.From, made.From), v.To, v.How(), text)
}

// count adds a day to its month.
func (p *completePage) count(d *report.Day) {
	name := d.Day[:7]
	if n := len(p.Months); n == 0 || p.Months[n-1].Month != name {
		t, _ := time.Parse("2006-01", name)
		p.Months = append(p.Months, monthRow{Month: name, Name: t.Format("January 2006"), IsOpen: name == p.Month})
	}
	m := &p.Months[len(p.Months)-1]
	m.Days++
	if d.State == report.Closed {
		m.Closed++
	}
	m.Calls += d.Calls
	m.Recordings += d.Recordings
	m.Archived += d.ByOutcome[manifest.Archived]
	m.Waiting += d.Waiting
	m.Lost += d.ByOutcome[manifest.Lost] + d.GivenUp
	m.Bytes += d.Bytes
}

// look returns the appearance of a day in the calendar, and its state in words.
func look(d *report.Day) (class, text string) {
	switch {
	case d.State == report.Closed && d.ByOutcome[manifest.Lost]+d.GivenUp > 0:
		return "lost", "closed, with losses"
	case d.State == report.Closed:
		return "closed", "closed"
	case d.State == report.NeverListed && d.Settled:
		return "never", "never listed"
	case !d.Settled:
		return "fresh", "not settled yet"
	}
	return "open", "open"
}

func (p *completePage) view(d *report.Day) *dayView {
	v := &dayView{Day: d.Day, Date: dateWords(d.Day)}
	v.Class, v.Text = look(d)
	if !p.Counts {
		v.Reasons = []string{"You may see only some of the calls, so reasons and counts are hidden."}
		return v
	}
	for _, reason := range d.Reasons {
		v.Reasons = append(v.Reasons, sentence(reason.Text))
	}
	if len(v.Reasons) == 0 && d.State == report.Closed {
		v.Reasons = []string{"Its listing is proved complete, and each of its recordings has a final outcome."}
	}
	v.Counts = append(v.Counts, counted(d.Calls)+" calls", counted(d.Recordings)+" recordings")
	for _, o := range manifest.Outcomes() {
		if n := d.ByOutcome[o]; n > 0 {
			v.Counts = append(v.Counts, counted(n)+" "+string(o))
		}
	}
	v.Counts = append(v.Counts, bytesOf(d.Bytes))
	return v
}

// losses lists the recordings of a day that are not archived, with reasons.
func (s *Server) losses(ctx context.Context, day string) []string {
	calls, _ := s.catalog.day(ctx, day) // readable calls are shown; the reasons mention the rest
	var list []string
	for i := range calls {
		for _, r := range calls[i].Recordings {
			if r.Stored() {
				continue
			}
			if len(list) == maxLossesShown {
				return append(list, "There are more: report --json lists all of them.")
			}
			list = append(list, "Recording "+r.ID+": "+whyNot(r)+".")
		}
	}
	return list
}

const maxLossesShown = 50

// weeks lays out a month, Monday first.
func weeks(first time.Time, known map[string]*report.Day, open string) [][]dayCell {
	var rows [][]dayCell
	row := make([]dayCell, 0, 7)
	for range (int(first.Weekday()) + 6) % 7 {
		row = append(row, dayCell{})
	}
	for t := first; t.Month() == first.Month(); t = t.AddDate(0, 0, 1) {
		cell := dayCell{Number: fmt.Sprint(t.Day())}
		if d := known[t.Format(time.DateOnly)]; d != nil {
			cell.Day, cell.IsOpen = d.Day, d.Day == open
			cell.Class, cell.Text = look(d)
			cell.Label = t.Format("2 January") + ", " + cell.Text
		}
		if row = append(row, cell); len(row) == 7 {
			rows = append(rows, row)
			row = make([]dayCell, 0, 7)
		}
	}
	for len(row) > 0 && len(row) < 7 {
		row = append(row, dayCell{})
	}
	if len(row) > 0 {
		rows = append(rows, row)
	}
	return rows
}
