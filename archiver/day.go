// Holds the state of one call day while a run works on it.

package archiver

import (
	"fmt"
	"sync"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// day is one call day in work. One goroutine owns it: it lists the day, waits for its recordings, and judges it; a
// day that needs a further fact passes to Run. Workers may read the fields that are set before they get the first
// recording. mu guards the fields that both write.
type day struct {
	date   fetcher.Date
	ledger *manifest.Day
	ids    *identities

	// The requested span.
	span   fetcher.Window
	entire bool // all of the day
	cut    bool // by the present
	begun  time.Time
	// settled and expired are as of begun. They may have changed when the day is judged.
	settled, expired bool

	// The result of the listing.
	listingID string
	listing   *listing // nil until the listing is complete
	windows   []fetcher.WindowResult
	doubts    []fetcher.Doubt
	failure   string
	strays    int  // rows of other days; the window lines of this day wait for their lines
	pastPurge bool // a dry run has counted it as past --purge-after

	// Answers for judge, in addition to the evidence of the run.
	control, delivered, lookedUp, rows, recorded answer
	elsewhere                                    map[string]bool
	stored                                       map[string]*candidate

	streak streak

	mu        sync.Mutex
	idle      *sync.Cond
	owed      int                // recordings handed to workers and not finished
	abandoned int                // of these, without a line because the run ends
	unsaved   int                // recordings that could not be stored
	listed    map[string]bool    // identities in the listing
	refusals  map[string]refusal // by identity
	nameless  map[string]bool    // identities
	broken    error              // why lines of listed rows or recordings are missing
	aside     string             // why the day was set aside
	undated   bool               // lines are missing, because the clocks were too far apart to date them
}

// refusal is the refusal of a recording in this run.
type refusal struct {
	cause, host string
	moment      int64
}

func newDay(p plannedDay, ledger *manifest.Day) *day {
	d := &day{
		date: p.date, ledger: ledger, span: p.span, entire: p.whole, ids: newIdentities(),
		listed: map[string]bool{}, refusals: map[string]refusal{}, nameless: map[string]bool{}, stored: map[string]*candidate{},
	}
	d.idle = sync.NewCond(&d.mu)
	for id, s := range ledger.Recordings() {
		d.ids.add(id, &s)
	}
	return d
}

// list notes that a recording is listed, and reports whether it is new.
func (d *day) list(identity string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listed[identity] {
		return false
	}
	d.listed[identity] = true
	return true
}

// owe makes the day wait for a recording handed to a worker.
func (d *day) owe() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owed++
}

// repay ends the wait for a recording, which has a line or was abandoned.
func (d *day) repay(abandoned bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owed--
	if abandoned {
		d.abandoned++
	}
	d.idle.Broadcast()
}

// wait returns when all recordings that were handed to workers are done. The workers end every job, so it needs no
// context.
func (d *day) wait() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.owed > 0 {
		d.idle.Wait()
	}
}

// refused notes the refusal of a recording.
func (d *day) refused(identity string, f *finding) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refusals[identity] = refusal{cause: f.cause, host: f.host, moment: f.moment}
}

// unstored counts a recording that could not be stored.
func (d *day) unstored() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unsaved++
}

// fail notes why lines of listed rows or recordings are missing, and reports whether this is the
// first reason.
func (d *day) fail(err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken != nil {
		return false
	}
	d.broken = err
	return true
}

// isBroken reports whether lines of listed rows or recordings are missing.
func (d *day) isBroken() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.broken != nil
}

func (d *day) isAside() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.aside != ""
}

func (d *day) setAside(reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.aside = reason
}

// leaveUndated notes that lines are missing, because the clocks were too far apart to date them.
func (d *day) leaveUndated() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.undated = true
}

// isUndone reports whether the run ended before all recordings were worked on.
func (d *day) isUndone() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.abandoned > d.unsaved && d.aside == "" && d.broken == nil
}

// isNoted reports whether each recording of a call has a line or does not need work yet.
func (d *day) isNoted(call *fetcher.Call) bool {
	if call.InProgress() && !d.settled {
		return true
	}
	for _, identity := range d.ids.of(call) {
		if _, noted := d.ledger.Recording(identity); !noted && !d.ledger.IsErased(identity, call.ID) {
			return false
		}
	}
	return true
}

// hasUnnoted reports whether a recording in the listing may lack a line.
func (d *day) hasUnnoted() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.abandoned > 0 || d.broken != nil || d.undated
}

// maxRefused is how many consecutive recordings of a day may be "not found", or refused by 401 or
// 403, before that counts as an outage.
const maxRefused = 50

// streak counts consecutive bad answers for the recordings of one day. Its zero value is ready, and
// it is safe for concurrent use.
type streak struct {
	mu               sync.Mutex
	notFound, denied int
	cleared          bool // a witness has shown that the host works
}

func (s *streak) good() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notFound, s.denied = 0, 0
}

// bad counts an answer, and reports whether a streak is too long. "Not found" is expected
// on a day whose audio the vendor has deleted.
func (s *streak) bad(f *finding, expired bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case f.notFound() && expired, s.cleared:
	case f.notFound():
		s.notFound++
		s.denied = 0
	case f.denied():
		s.denied++
	default:
		s.denied = 0
	}
	if s.notFound < maxRefused && s.denied < maxRefused {
		return false
	}
	s.notFound, s.denied = 0, 0
	return true
}

// clear notes that the host works despite the refusals.
func (s *streak) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleared = true
}

// callFacts are the facts of a call that its recordings need after its page is freed.
type callFacts struct {
	id     string
	length string            // call_length in seconds, "" if unknown
	date   time.Time         // wall clock; the start of its day if call_date is invalid
	fields map[string]string // that the key template uses; nil if it uses none of a call

	campaign string // its id, "" for none
}

func (m *keyMaker) factsOf(date fetcher.Date, call *fetcher.Call) callFacts {
	f := callFacts{id: call.ID, length: call.CallLength, campaign: call.CampaignID()}
	at, readable := call.Date()
	if !readable {
		at, _ = fetcher.ParseWall(string(date))
	}
	f.date = at
	if !m.template.NamesOnly("recording_id", "filename", "type", "new") {
		f.fields = m.template.Pick(call.Fields()) // Fields parses the whole row
	}
	return f
}

// listingOf converts the result of a listing into facts for judge.
func listingOf(d *day, result fetcher.ListingResult) *listing {
	l := &listing{ID: d.listingID, At: d.begun, Settled: d.settled, Cut: d.cut, Whole: true, Complete: true}
	for _, w := range result.Windows {
		l.Rows, l.Total = l.Rows+w.Rows, l.Total+max(w.Total, 0)
		l.Calls, l.Recordings = l.Calls+w.DayCalls, l.Recordings+w.Recordings
		l.Counted += w.Calls
		l.Whole, l.Complete = l.Whole && w.Whole, l.Complete && w.Complete
		l.Unlistable = l.Unlistable || w.Unlistable
		l.Stray += w.Stray
		l.CallsSHA256 = join(l.CallsSHA256, w.CallsSHA256)
		l.StraySHA256 = join(l.StraySHA256, w.StraySHA256)
	}
	for _, found := range result.Doubts {
		d := doubt{Text: found.Text, Count: found.Count}
		switch found.Kind {
		case fetcher.DoubtStray: // judged by its own rule
		case fetcher.DoubtTotal, fetcher.DoubtNoTotal, fetcher.DoubtUnlistable:
			l.Whole = false
			l.Shortfalls = append(l.Shortfalls, d)
		default:
			l.Doubts = append(l.Doubts, d)
		}
	}
	return l
}

func join(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return hashOfSorted([]string{a, b})
}

// earlierListings groups the window lines of a day by listing, oldest first; only whole-day
// listings with the given filter.
func earlierListings(windows []manifest.Window, date fetcher.Date, filter string, end time.Time, settle time.Duration) []listing {
	type group struct {
		listing
		from, to string
	}
	var groups []*group
	byID := map[string]*group{}
	for _, w := range windows {
		if w.Filter != filter {
			continue
		}
		g := byID[w.Listing]
		if g == nil {
			g = &group{listing: listing{ID: w.Listing, At: w.ListedAt, Whole: true, Complete: true}, from: w.From, to: w.To}
			g.Settled = w.ListedAt.Sub(end) >= settle
			g.Missing, g.MissingSHA256 = w.Missing, w.MissingSHA256
			byID[w.Listing] = g
			groups = append(groups, g)
		}
		g.from, g.to = min(g.from, w.From), max(g.to, w.To)
		g.Rows, g.Total = g.Rows+w.Rows, g.Total+max(w.Total, 0)
		g.Calls, g.Recordings = g.Calls+w.Calls, g.Recordings+w.Recordings
		g.Whole, g.Complete = g.Whole && w.Whole, g.Complete && w.Complete
		g.Unlistable = g.Unlistable || w.Unlistable
		g.Stray += w.Stray
		g.CallsSHA256 = join(g.CallsSHA256, w.CallsSHA256)
		g.StraySHA256 = join(g.StraySHA256, w.StraySHA256)
	}
	first, last := string(date)+" 00:00:00", string(date.AddDays(1))+" 00:00:00"
	var list []listing
	for _, g := range groups {
		// A listing of today ends where the present cut it.
		if g.from <= first && (g.to >= last || !g.Settled) {
			g.Cut = g.to < last
			list = append(list, g.listing)
		}
	}
	return list
}

// lines returns the window lines of a day's listing.
func (d *day) lines(filter, run string, now time.Time, v *verdicts) []manifest.Window {
	lines := make([]manifest.Window, 0, len(d.windows))
	doubts := []string{}
	for _, found := range d.doubts {
		doubts = append(doubts, fmt.Sprintf("%s %d", found.Kind, found.Count))
	}
	for _, w := range d.windows {
		lines = append(lines, manifest.Window{
			From: w.From.Format(fetcher.WallLayout), To: w.To.Format(fetcher.WallLayout),
			Filter: filter, Listing: d.listingID, Rows: w.Rows, Total: w.Total, Calls: w.DayCalls, Recordings: w.Recordings,
			Whole: w.Whole && len(d.listing.Doubts) == 0, Complete: w.Complete, Unlistable: w.Unlistable, Doubts: doubts, CallsSHA256: w.CallsSHA256,
			Missing: v.Missing, MissingSHA256: v.MissingSHA256, Stray: w.Stray, StraySHA256: w.StraySHA256,
			ListedAt: d.begun.UTC(), Time: now, Run: run,
		})
	}
	return lines
}

// String returns the date.
func (d *day) String() string { return fmt.Sprint(d.date) }
