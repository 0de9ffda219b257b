// Holds the state of one call day while a run works on it.

package archiver

import (
	"fmt"
	"sync"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// day is one call day in work. One goroutine owns it: it lists the day, waits for its recordings, and has it judged;
// a day that needs a further fact passes to Run. The workers read what is set before they get the first recording. mu
// guards what both write.
type day struct {
	date   fetcher.Date
	ledger *manifest.Day
	ids    *identities

	// The requested span.
	span   fetcher.Window
	entire bool // all of the day
	cut    bool // by the present
	begun  time.Time
	// settled and expired are as of begun. The clocks may say otherwise when the day is
	// judged.
	settled, expired bool

	// The result of the listing.
	listingID string
	listing   *listing // nil until the listing has come to its end
	windows   []fetcher.WindowResult
	doubts    []fetcher.Doubt
	failure   string
	strays    int  // rows of other days, whose lines the window lines of this one wait for
	pastPurge bool // a dry run has counted it among those past --purge-after

	// Answers for judge, in addition to the evidence of the run.
	control, delivered, lookedUp, rows, recorded answer
	elsewhere                                    map[string]bool
	stored                                       map[string]*candidate

	streak streak

	mu        sync.Mutex
	idle      *sync.Cond
	owed      int                // recordings handed to workers and not done
	abandoned int                // of those, without a line because the run ends
	unsaved   int                // recordings that the store did not take
	listed    map[string]bool    // identities that the listing named
	refusals  map[string]refusal // by identity
	nameless  map[string]bool    // identities
	broken    error              // why lines of what the day listed are missing
	aside     string             // why it was set aside
}

// refusal is how a recording was refused in this run.
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

// list notes that a recording is listed, and reports whether it is for the first time.
func (d *day) list(identity string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listed[identity] {
		return false
	}
	d.listed[identity] = true
	return true
}

// owe makes the day wait for a recording that is handed to a worker.
func (d *day) owe() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owed++
}

// repay ends the wait for a recording: it has its line, or was abandoned without one.
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

// refused notes how a recording was refused.
func (d *day) refused(identity string, f *finding) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refusals[identity] = refusal{cause: f.cause, host: f.host, moment: f.moment}
}

// unstored counts a recording that the store did not take.
func (d *day) unstored() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unsaved++
}

// fail notes why lines of what the day listed are missing, and reports whether it is the first
// reason.
func (d *day) fail(err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken != nil {
		return false
	}
	d.broken = err
	return true
}

// isBroken reports whether lines of what the day listed are missing.
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

// isUndone reports whether the run ended before every recording was worked on.
func (d *day) isUndone() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.abandoned > d.unsaved && d.aside == "" && d.broken == nil
}

// isNoted reports whether each recording of a call has a line, or need not be worked on yet.
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

// hasUnnoted reports whether a recording that was listed may have no line.
func (d *day) hasUnnoted() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.abandoned > 0 || d.broken != nil
}

// maxRefused is how many recordings of a day in a row may be "not found", or be refused by
// 401 or 403, before that is taken for an outage.
const maxRefused = 50

// streak counts bad answers in a row about the recordings of one day. Its zero value is
// ready, and it is safe for concurrent use.
type streak struct {
	mu               sync.Mutex
	notFound, denied int
	cleared          bool // a witness has shown that the host is well
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

// clear notes that the host works in spite of the refusals.
func (s *streak) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleared = true
}

// callFacts are the facts of a call that its recordings need after its page is gone.
type callFacts struct {
	id     string
	length string            // call_length in seconds, "" where it is not known
	date   time.Time         // wall clock; the start of its day where call_date cannot be read
	fields map[string]string // that the key template names; nil if it names none of a call's

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
		f.fields = m.template.Pick(call.Fields()) // which reads the whole row
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

// earlierListings groups the window lines of a day by listing, oldest first: those of all
// of the day, with the given filter.
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
		// A listing of the same day while it went on ends where the present cut it.
		if g.from <= first && (g.to >= last || !g.Settled) {
			g.Cut = g.to < last
			list = append(list, g.listing)
		}
	}
	return list
}

// lines makes the window lines of a day's listing.
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

// String names the day.
func (d *day) String() string { return fmt.Sprint(d.date) }
