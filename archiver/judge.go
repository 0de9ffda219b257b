// Decides whether a day closes, and which of its recordings become final, from facts alone.

package archiver

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"convoso-archiver/manifest"
)

// apart is the minimum time between two answers, or two listings, for the second to confirm the
// first. No observed outage lasted as long.
const apart = 24 * time.Hour

// judge decides about a day: which of its recordings become final and how, whether it closes, and every reason why it
// does not. It is a pure function. If it needs more facts, it says so and is called again with them.
func judge(f facts) verdicts {
	j := judgement{facts: f, settled: f.Now.Sub(f.End) >= f.Rules.Settle && (f.Listing == nil || f.Listing.Settled)}
	j.v.Settled = j.settled
	if f.Aside != "" {
		j.reason("%s", f.Aside)
		j.countWaiting(nil)
		return j.v
	}
	absent := j.missing()
	final := j.recordings(absent)
	j.closing()
	j.countWaiting(final)
	j.v.Close = len(j.v.Reasons) == 0 && !j.v.Needs.any() && f.Listing != nil && f.Entire && !f.Personal
	return j.v
}

// judgement is the state of one call to judge.
type judgement struct {
	facts
	settled bool // now, and when it was listed
	v       verdicts
}

func (j *judgement) reason(format string, args ...any) {
	j.v.Reasons = append(j.v.Reasons, fmt.Sprintf(format, args...))
}

// believed reports whether the listing can prove that something is no longer listed.
func (j *judgement) believed() bool {
	l := j.Listing
	return l != nil && j.Entire && !j.Cut && j.settled && j.Trusted && j.Filter == "" &&
		(l.Whole || j.uncounted()) && len(l.Doubts) == 0 && (l.Stray == 0 || j.strayed(l))
}

// closing collects the reasons why the day itself stays open.
func (j *judgement) closing() {
	l := j.Listing
	if j.Unsaved > 0 {
		j.reason("recordings not stored: %d", j.Unsaved)
	}
	if j.Failure != "" {
		j.reason("%s", j.Failure)
	}
	if l == nil || j.Personal {
		return
	}
	if !j.settled || j.Cut {
		j.reason("%s", reasonUnsettled)
	}
	if !j.Trusted {
		j.reason("the machine's clock and the API's are more than an hour apart")
	}
	for _, d := range l.Doubts {
		j.reason("%s", d.counted())
	}
	j.closeTotal(l)
	j.closeStrays(l)
	j.closeFewer(l)
	if j.settled && !j.Cut && j.Trusted && j.Entire {
		j.closeEmpty(l)
	}
}

// reasonUnsettled is the reason for a day that may still change.
const reasonUnsettled = "not settled yet"

func (d doubt) counted() string {
	if d.Count > 1 {
		return fmt.Sprintf("%s (%d times)", d.Text, d.Count)
	}
	return d.Text
}

// closeTotal judges an incomplete listing.
func (j *judgement) closeTotal(l *listing) {
	if l.Whole {
		return
	}
	if !j.uncounted() {
		for _, s := range l.Shortfalls {
			j.reason("%s", s.counted())
		}
		if len(l.Shortfalls) == 0 {
			j.reason("the listing is not proved complete: %d calls listed, the API counts %d", l.Counted, l.Total)
		}
		return
	}
	j.v.Unlistable, j.v.Uncounted = l.Unlistable, l.Counted-l.Total
}

// uncounted reports whether the same wrong total has persisted long enough to close the day with
// it.
func (j *judgement) uncounted() bool {
	l := j.Listing
	if l.Whole || !j.settled || len(l.Doubts) > 0 {
		return false
	}
	wrong := l.Counted - l.Total
	slight, overfull := max(wrong, -wrong) <= max(3, l.Total/100), l.Complete && l.Rows >= l.Total
	if !slight && !overfull && !l.Unlistable {
		return false
	}
	same := j.same(func(e *listing) bool {
		return !e.Cut && !e.Whole && e.CallsSHA256 == l.CallsSHA256 && e.Total == l.Total && e.Unlistable == l.Unlistable
	})
	return same.days >= 3 && same.over >= j.Rules.GiveUp
}

// closeStrays judges rows from outside the window that listed them.
func (j *judgement) closeStrays(l *listing) {
	if l.Stray == 0 {
		return
	}
	if !j.strayed(l) {
		j.reason("the API sent calls of other days: %d", l.Stray)
		return
	}
	j.v.Stray = l.Stray
}

// strayed reports whether a listing at least a day earlier had the same strays. Then the API applies the
// requested times, and sends these rows in every listing.
func (j *judgement) strayed(l *listing) bool {
	same := j.same(func(e *listing) bool { return e.Stray == l.Stray && e.StraySHA256 == l.StraySHA256 })
	return same.listings >= 2 && same.over >= apart
}

// closeFewer judges a filtered listing with fewer calls than an earlier one. Only the counts are compared, because
// it is not known which recordings the earlier one listed.
func (j *judgement) closeFewer(l *listing) {
	if j.Filter == "" {
		return
	}
	more := func(e listing) bool { return e.Calls > l.Calls || e.Recordings > l.Recordings }
	if !slices.ContainsFunc(j.Earlier, more) {
		return
	}
	same := j.same(func(e *listing) bool {
		return e.CallsSHA256 == l.CallsSHA256 && e.Calls == l.Calls && e.Recordings == l.Recordings
	})
	if same.listings < 2 || same.over < apart {
		j.reason("the API lists fewer calls than before for this filter: a second listing, a day later, must confirm this")
	}
}

// closeEmpty judges a day without calls, or without recordings.
func (j *judgement) closeEmpty(l *listing) {
	switch {
	case l.Calls == 0:
		j.closeWithoutCalls()
	case l.Recordings == 0:
		j.closeWithoutRecordings()
	}
}

func (j *judgement) closeWithoutCalls() {
	if !j.witnessed(&j.Rows, &j.v.Needs.Rows, "the API lists no call for this day or any other day, so the day stays open") {
		j.v.Excused = j.Rows == no && !j.RowsEver && j.Listing.Whole
		return
	}
	if j.Filter != "" && j.Filtered || j.Filter == "" && j.Control == yes {
		return
	}
	same := j.same(func(e *listing) bool { return e.Calls == 0 && e.Whole })
	if same.listings >= 2 && same.over >= apart {
		return
	}
	if j.Filter == "" && j.Control == unasked {
		j.v.Needs.Control = true
		return
	}
	j.reason("the API lists no call of this day: the days around it, or a second listing a day later, must confirm this")
}

func (j *judgement) closeWithoutRecordings() {
	const doubted = "the API lists calls without recordings, for this day and all others"
	if j.Recorded != no || j.RecordedYet { // a known recording that is no longer listed proves nothing
		j.witnessed(&j.Recorded, &j.v.Needs.Recorded, doubted)
		return
	}
	same := j.same(func(e *listing) bool { return e.Settled && e.Whole && !e.Cut && e.Calls > 0 && e.Recordings == 0 })
	if same.days < 3 {
		j.reason("%s: %d of 3 listings on different days", doubted, same.days)
		return
	}
	j.v.Unwitnessed = true
}

// witnessed requests a witness that is unknown, and adds the reason if there is none.
func (j *judgement) witnessed(witness *answer, need *bool, reason string) bool {
	switch *witness {
	case yes:
		return true
	case unasked:
		*need = true
	case unknowable:
		j.reason("the API did not answer a request for another day; the request checks that the API lists calls")
	default:
		j.reason("%s", reason)
	}
	return false
}

// repeated counts listings that agree with this run's.
type repeated struct {
	listings, days int
	over           time.Duration // from the first listing to this run's, without the time for recordings
}

// same counts this run's listing and the earlier ones that agree with it.
func (j *judgement) same(agrees func(*listing) bool) repeated {
	at := j.Listing.At
	r := repeated{listings: 1}
	days := map[string]bool{at.UTC().Format(time.DateOnly): true}
	for i := range j.Earlier {
		e := &j.Earlier[i]
		if !agrees(e) {
			continue
		}
		r.over = max(r.over, at.Sub(e.At))
		r.listings++
		days[e.At.UTC().Format(time.DateOnly)] = true
	}
	r.days = len(days)
	return r
}

// absence is why a day no longer has a recording.
type absence int

const (
	present absence = iota // or not proved absent
	moved                  // the API lists it under another day, which takes care of it
	gone                   // the API no longer lists it
)

// missing decides whether recordings in the ledger that the listing lacks are absent, and returns
// the absent ones.
func (j *judgement) missing() (absent map[string]absence) {
	absent = map[string]absence{}
	if !j.believed() {
		return absent
	}
	var lacking []string
	for i := range j.Recordings {
		r := &j.Recordings[i]
		if !r.Noted || r.State.Outcome == manifest.Lost || r.State.Outcome.Final() && r.State.Outcome != manifest.Archived {
			continue
		}
		switch {
		case r.Listed:
		case r.Elsewhere:
			absent[r.ID] = moved
		default:
			lacking = append(lacking, r.ID)
		}
	}
	if len(lacking) == 0 {
		return absent
	}
	switch j.LookedUp {
	case unasked:
		j.v.Needs.Elsewhere = true
		return absent
	case unknowable:
		j.reason("recordings missing from this listing, and the API did not say whether their calls exist: %d", len(lacking))
		return absent
	}
	j.v.Missing, j.v.MissingSHA256 = len(lacking), hashOfSorted(lacking)
	same := j.same(func(e *listing) bool {
		return e.Settled && e.Missing == j.v.Missing && e.MissingSHA256 == j.v.MissingSHA256
	})
	least, span := 2, apart
	if len(lacking) > 3 && len(lacking)*100 > j.Known {
		least, span = 3, 7*24*time.Hour
	}
	if same.listings < least || same.over < span {
		j.reason("recordings missing from this listing: %d", len(lacking))
		return absent
	}
	if !j.witnessed(&j.Recorded, &j.v.Needs.Recorded, "the API lists no recording of another day, so missing recordings are not given up") {
		return absent
	}
	for _, id := range lacking {
		absent[id] = gone
	}
	j.v.Unlisted = len(lacking)
	return absent
}

// recordings decides about each recording that waits, and returns the ones that become final.
func (j *judgement) recordings(absent map[string]absence) map[string]bool {
	final := map[string]bool{}
	if !j.settled || !j.Trusted {
		return final
	}
	for i := range j.Recordings {
		r := &j.Recordings[i]
		if j.isFinal(r) {
			continue
		}
		outcome, reason := j.decide(r, absent[r.ID])
		if outcome == manifest.Lost {
			outcome = j.search(r)
		}
		if outcome == "" {
			continue
		}
		final[r.ID] = true
		j.v.Lines = append(j.v.Lines, verdict{ID: r.ID, Outcome: outcome, Adopt: outcome == manifest.Archived, Moved: absent[r.ID] == moved, Reason: reason})
	}
	return final
}

// search requests a search of the store before a recording is lost, because a killed run may have stored it.
func (j *judgement) search(r *recordingFacts) manifest.Outcome {
	switch r.Stored {
	case unasked:
		j.v.Needs.Search = append(j.v.Needs.Search, r.ID)
		return ""
	case yes:
		return manifest.Archived
	case unknowable:
		return ""
	}
	return manifest.Lost
}

// isFinal reports whether a recording was final before. Lines of older versions have no such mark:
// a waiting recording there is final if it was tried after the time to give up. A recording that
// had moved to another day and is listed again waits again.
func (j *judgement) isFinal(r *recordingFacts) bool {
	return isFinal(r.State, r.Noted, r.Listed, j.Rules.GiveUp)
}

func isFinal(s manifest.State, noted, listed bool, giveUp time.Duration) bool {
	switch {
	case !noted, listed && s.Cause == causeMoved:
		return false
	case s.Final:
		return true
	case !s.Old || s.Outcome == manifest.Damaged:
		return false
	}
	return !s.Time.Before(s.FirstSeen.Add(giveUp))
}

// decide returns the final outcome of a recording, "" if it waits, and the reason to note.
func (j *judgement) decide(r *recordingFacts, absent absence) (manifest.Outcome, string) {
	s := &r.State
	switch {
	case absent == moved: // it is final on this day; lost would mean that it is gone everywhere
		return s.Outcome, "listed under another day"
	case absent == gone && s.Outcome == manifest.Damaged:
		return s.Outcome, "no longer listed"
	case absent == gone:
		return manifest.Lost, "no longer listed"
	case r.Refused && r.Cause == causeNotFound:
		return j.decideNotFound(r)
	case !r.Refused, s.Outcome == manifest.Damaged:
		return "", ""
	}
	return j.decideGiveUp(r)
}

// decideNotFound judges a recording that its host does not have.
func (j *judgement) decideNotFound(r *recordingFacts) (manifest.Outcome, string) {
	s := &r.State
	twice := s.NotFounds >= 2 && s.LastNotFound.Sub(s.NotFoundSince) >= apart
	outcome := manifest.Lost
	if s.Outcome == manifest.Damaged {
		outcome = manifest.Damaged
	}
	expired := j.Now.Sub(j.End) > j.Rules.PurgeAfter
	if !twice && (!expired || outcome == manifest.Damaged) {
		return "", ""
	}
	switch j.media(r) {
	case yes:
	case unknowable: // there is no audio that could be requested
		if twice && expired && outcome == manifest.Lost {
			return outcome, "not found in two attempts at least a day apart, and older than --purge-after"
		}
		return "", ""
	default:
		return "", ""
	}
	if twice {
		return outcome, "not found in two attempts at least a day apart"
	}
	switch j.Delivered {
	case unasked:
		j.v.Needs.Delivered = true
		return "", ""
	case no, unknowable:
		return "", ""
	}
	// The recordings of this day that the host delivered in this run are as old. The measured difference of the clocks
	// varies by seconds between answers, so their lines may be a little later than Now.
	if j.Hosts[r.Host].Oldest > j.Now.Sub(j.End)+ClockWarns {
		j.warn("the media host has delivered audio older than --purge-after: raise --purge-after")
		return "", ""
	}
	return outcome, "not found, and older than --purge-after"
}

// decideGiveUp judges a recording that failed otherwise, or has no link.
func (j *judgement) decideGiveUp(r *recordingFacts) (manifest.Outcome, string) {
	s := &r.State
	if j.Now.Sub(s.Since) < j.Rules.GiveUp || s.Refusals < 3 {
		return "", ""
	}
	outcome := s.Outcome
	if r.Nameless {
		outcome = manifest.Lost
	}
	if r.Host == "" {
		if !j.witnessed(&j.Rows, &j.v.Needs.Rows, "the API lists no call of another day, so nothing is given up") {
			return "", ""
		}
		return outcome, s.Reason
	}
	if j.media(r) != yes {
		return "", ""
	}
	return outcome, s.Reason
}

// media returns whether the host that refused a recording delivered good audio afterwards, and
// requests a witness if that is unknown.
func (j *judgement) media(r *recordingFacts) answer {
	h := j.Hosts[r.Host]
	if h.Good > r.Moment {
		return yes
	}
	if h.AnyGood > r.Moment && j.Now.Sub(r.State.Since) >= j.Rules.GiveUp {
		if j.Delivered == unasked {
			j.v.Needs.Delivered = true
			return unasked
		}
		if j.Delivered == yes && !h.Ever {
			return yes
		}
	}
	switch h.Witness {
	case unasked, yes: // a witness before this refusal proves nothing
		if !slices.Contains(j.v.Needs.Media, r.Host) {
			j.v.Needs.Media = append(j.v.Needs.Media, r.Host)
		}
		return unasked
	}
	return h.Witness
}

func (j *judgement) warn(text string) {
	if !slices.Contains(j.v.Warnings, text) {
		j.v.Warnings = append(j.v.Warnings, text)
	}
}

// countWaiting counts the recordings that are not final, by cause: those of the whole day, or only the listed ones
// if the run requested a part of the day.
func (j *judgement) countWaiting(final map[string]bool) {
	causes := map[string]int{}
	partial := j.Filter != "" || !j.Entire
	for i := range j.Recordings {
		r := &j.Recordings[i]
		if final[r.ID] || j.isFinal(r) || partial && !r.Listed {
			continue
		}
		j.v.Waiting++
		causes[CauseText(&r.State)]++
	}
	texts := slices.SortedFunc(maps.Keys(causes), func(a, b string) int {
		return cmp.Or(cmp.Compare(causes[b], causes[a]), cmp.Compare(a, b))
	})
	for _, text := range texts {
		j.reason("waiting recordings: %d (%s)", causes[text], text)
	}
}
