// Defines the facts of a day.

package report

import (
	"slices"
	"strings"
	"time"

	"convoso-archiver/manifest"
)

// Facts are the facts of one day in the ledger, without judgement.
type Facts struct {
	Day   string
	Known bool // manifest/ holds a file of it; false for a day that is unknown or has only call rows

	LastLine time.Time // when its newest line was written, as far as it was read

	// Closing is the day line that closes the day for the filter asked for, nil for none. It holds the counts of a
	// closed day; ByOutcome and Bytes, those of every other day.
	Closing   *manifest.DayLine
	ByOutcome map[manifest.Outcome]int
	Bytes     int64

	// Unarchived are the recordings that wait or are lost. Those of a closed day are given only as far as they
	// were asked for.
	Unarchived []Unarchived

	// The rest is only for open days.
	Windows   []manifest.Window // in the order of the lines
	ClosedFor []string          // filters that the day is closed for
	Reopened  bool              // there is a day line for the filter, and it does not hold
	Bad       *manifest.BadLineError

	CallsDropped int // lines of calls/ that repairs have left out

	err error // why it could not be read
}

// Unarchived is a recording that is not archived.
type Unarchived struct {
	ID string
	manifest.State
}

// final reports whether later runs leave the recording as it is. A line of an older version does not say so: by that
// version's rule the recording was given up when it was tried in vain once more after it had waited for giveUp,
// except one that was archived once and is damaged.
func (u *Unarchived) final(giveUp time.Duration) bool {
	return u.Final || u.Old && u.Outcome != manifest.Damaged && !u.Time.Before(u.FirstSeen.Add(giveUp))
}

// listing is the windows of one listing of a day taken together.
type listing struct {
	from, to          string // wall-clock time of the account's zone
	calls, recordings int
	rows, total       int
	whole             bool     // every window
	doubts            []string // each once
	missing, stray    int
	listed            time.Time
	coversTheDay      bool
}

// latestListing returns the latest listing with a filter or of all calls, one of the whole day before one of a part
// of it; nil when there is none. The windows of a listing are together.
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

// add adds a window. What is missing is of the listing and is in each of its windows; so may doubts. A window of an
// older version says neither that it is whole nor why not: its counts tell.
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
