package report

import (
	"time"

	"convoso-archiver/manifest"
)

// Facts is what the ledger tells of one day, without judgement.
type Facts struct {
	Day   string
	Noted bool // it has a line; false for a day that is unknown or has call rows alone

	// Closing is the day line that closes the day for its filter, nil for none. It holds the counts of a day that
	// is closed for all calls; ByOutcome and Bytes, those of every other day.
	Closing   *manifest.DayLine
	ByOutcome map[manifest.Outcome]int
	Bytes     int64

	// Unarchived are the recordings that wait or are lost. Those of a closed day are given only as far as they
	// were asked for.
	Unarchived []Unarchived

	// The rest is of days alone that are not closed for all calls.
	Windows      []manifest.Window // in the order of the lines
	Reopened     bool              // there is a day line, and lines came after it
	Contradicted bool              // the last line is a day line that does not agree with those before it
	Bad          *manifest.BadLineError
}

// Unarchived is a recording that is not archived.
type Unarchived struct {
	RecordingID string
	CallID      string
	Outcome     manifest.Outcome
	Time        time.Time // of the line that decides
	FirstSeen   time.Time
	Reason      string
}

// closed reports whether the day is closed for all calls.
func (f *Facts) closed() bool { return f.Closing != nil && f.Closing.Filter == "" }

// final reports whether later runs leave the recording as it is: it is lost, or was tried in vain once more
// after it had waited for giveUp. What was archived once and is damaged waits for as long as it takes.
func (u *Unarchived) final(giveUp time.Duration) bool {
	switch {
	case u.Outcome.Final():
		return true
	case u.Outcome == manifest.Damaged:
		return false
	}
	return !u.Time.Before(u.FirstSeen.Add(giveUp))
}

// listing is the windows of one listing of a day taken together.
type listing struct {
	from, to     string // wall-clock time of the account's zone
	calls        int
	rows, total  int
	whole        bool // of every window, rows and total are equal
	listed       time.Time
	coversTheDay bool
}

// latestListing returns the latest listing of all calls, one of the whole day before one of a part of it;
// false when there is none.
func (f *Facts) latestListing() (latest listing, found bool) {
	groups := map[string]*listing{}
	var order []*listing
	for _, w := range f.Windows {
		if w.Filter != "" {
			continue
		}
		id := w.Run + " " + w.Listing
		g := groups[id]
		if g == nil {
			g = &listing{from: w.From, to: w.To, whole: true, listed: w.ListedAt}
			groups[id] = g
			order = append(order, g)
		}
		g.from, g.to = min(g.from, w.From), max(g.to, w.To)
		g.calls, g.rows, g.total = g.calls+w.Calls, g.rows+w.Rows, g.total+w.Total
		g.whole = g.whole && w.Rows == w.Total
	}
	for _, g := range order {
		g.coversTheDay = g.from <= f.Day+" 00:00:00" && g.to >= f.Day+" 23:59:59"
		if !found || g.beats(latest) {
			latest, found = *g, true
		}
	}
	return latest, found
}

// beats reports whether g tells more of the day than another listing before it.
func (g *listing) beats(other listing) bool {
	if g.coversTheDay != other.coversTheDay {
		return g.coversTheDay
	}
	return !g.listed.Before(other.listed)
}
