// Defines the facts of a day.

package report

import (
	"slices"
	"strings"
	"time"

	"convoso-archiver/manifest"
)

// Facts are the facts of one day in the ledger, before judging.
type Facts struct {
	Day   string
	Known bool // manifest/ has a file of it; false for an unknown day and one with only call rows

	LastLine time.Time // time of its newest line that was read

	// Closing is the day line that closes the day for the requested filter, nil for none. It has the counts of a
	// closed day; ByOutcome and Bytes those of every other day.
	Closing   *manifest.DayLine
	ByOutcome map[manifest.Outcome]int
	Bytes     int64

	// Unarchived are the recordings that wait or are lost. For a closed day, only the requested ones are
	// given.
	Unarchived []Unarchived

	// The rest is only for open days.
	Windows   []manifest.Window // in the order of the lines
	ClosedFor []string          // filters for which the day is closed
	Reopened  bool              // there is an invalid day line for the filter
	Bad       *manifest.BadLineError

	CallsDropped int // lines of calls/ that repairs dropped

	err error // error of reading it
}

// Unarchived is a recording that is not archived.
type Unarchived struct {
	ID string
	manifest.State
}

// final reports whether later runs skip the recording. Lines of older versions do not say so: by their rule, a
// recording was given up when another attempt failed after it had waited for giveUp, unless it had been archived and
// is damaged.
func (u *Unarchived) final(giveUp time.Duration) bool {
	return u.Final || u.Old && u.Outcome != manifest.Damaged && !u.Time.Before(u.FirstSeen.Add(giveUp))
}

// listing combines the windows of one listing of a day.
type listing struct {
	from, to          string // wall-clock time of the account's zone
	calls, recordings int
	rows, total       int
	whole             bool     // every window is complete
	doubts            []string // without duplicates
	missing, stray    int
	listed            time.Time
	coversTheDay      bool
}

// latestListing returns the latest listing with a filter or of all calls, preferring whole days to parts; nil if
// there is none. The windows of a listing must be adjacent.
func (f *Facts) latestListing(filter string) (latest *listing) {
	var all []*listing
	last := ""
	for i := range f.Windows {
		w := &f.Windows[i]
		if w.Filter != filter && w.Filter != "" {
			continue
		}
		if id := w.Run + " " + w.Listing; id != last {
			last = id
			all = append(all, &listing{from: w.From, to: w.To, whole: true, listed: w.ListedAt})
		}
		all[len(all)-1].add(w)
	}
	for _, l := range all {
		l.coversTheDay = l.from <= f.Day+" 00:00:00" && l.to >= f.Day+" 23:59:59"
		if latest == nil || l.coversTheDay && !latest.coversTheDay ||
			l.coversTheDay == latest.coversTheDay && !l.listed.Before(latest.listed) {
			latest = l
		}
	}
	return latest
}

// isComplete reports whether the listing is proved to have every call that the day had then.
func (l *listing) isComplete() bool {
	return l.coversTheDay && l.whole && len(l.doubts) == 0
}

// add adds a window. Missing recordings concern the listing and are in each of its windows; so may doubts. A window
// of an older version does not say whether it is complete, so its counts decide.
func (l *listing) add(w *manifest.Window) {
	l.from, l.to = min(l.from, w.From), max(l.to, w.To)
	l.calls, l.recordings = l.calls+w.Calls, l.recordings+w.Recordings
	l.rows, l.total = l.rows+w.Rows, l.total+max(w.Total, 0)
	l.whole = l.whole && (w.Whole || len(w.Doubts) == 0 && w.Rows == w.Total)
	l.missing, l.stray = max(l.missing, w.Missing), l.stray+w.Stray
	for _, doubt := range w.Doubts {
		if !strings.HasPrefix(doubt, "stray ") && !slices.Contains(l.doubts, doubt) { // stray rows are counted
			l.doubts = append(l.doubts, doubt)
		}
	}
}
