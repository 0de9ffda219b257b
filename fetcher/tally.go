// Counts the calls of a window over several passes, and notes doubts.

package fetcher

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
)

// tally counts the rows of all passes over one window.
type tally struct {
	listing *Listing
	window  Window
	wide    Window // that must contain a row's date
	calls   map[string]seenCall

	// Of the last pass:
	pass       int
	distinct   int // calls
	rows       int
	unreadable int // rows
	total      int // of the last page, -1 for none
	steady     bool
	complete   bool

	unlistable bool
}

// seenCall is the state of a call according to its last row.
type seenCall struct {
	pass         int // last pass with the call
	recordings   int
	ofDay        bool // the listing's
	stray        bool
	contradicted bool
	unreadable   bool // its recording field
}

func newTally(l *Listing, window Window) *tally {
	return &tally{listing: l, window: window, wide: window.widened(l.changes), calls: map[string]seenCall{}}
}

func (w *tally) begin() {
	w.pass++
	w.distinct, w.rows, w.unreadable, w.total, w.steady, w.complete = 0, 0, 0, -1, true, false
}

// add counts a page and reports whether it has a call that is new in this pass.
func (w *tally) add(p *page) (isNew bool) {
	l := w.listing
	w.steady = w.steady && (w.rows == 0 || p.total == w.total)
	w.total = p.total
	w.rows += p.rows
	w.unreadable += p.unreadable
	l.rows += len(p.calls)
	for i := range p.calls {
		call := &p.calls[i]
		if call.row.Recording == nil {
			l.bare++
		}
		key := call.key()
		if w.calls[key].pass != w.pass {
			w.distinct++
			isNew = true
		}
		at, readable := call.Date()
		stray := readable && !w.wide.contains(at)
		w.calls[key] = seenCall{
			pass: w.pass, recordings: len(call.Recordings),
			ofDay: !readable || !stray && DateOf(at) == l.day, stray: stray,
			contradicted: l.filter.contradictedBy(call) != "", unreadable: call.RecordingUnreadable,
		}
	}
	return isNew
}

// isWhole reports whether the passes prove that every call of the window was received: the last
// pass alone, or all together.
func (w *tally) isWhole() bool {
	return w.steady && w.complete && (w.distinct == w.total || len(w.calls) == w.total)
}

// lacksUnreadable reports whether only unreadable rows are missing. Another pass could not read them either.
func (w *tally) lacksUnreadable() bool {
	return w.steady && w.complete && w.unreadable > 0 && w.distinct+w.unreadable == w.total
}

// conclude notes the window's result and doubts. A call counts in the first window that contained
// it.
func (l *Listing) conclude(w *tally, err error) {
	if w.distinct == w.total { // the last pass is complete by itself
		maps.DeleteFunc(w.calls, func(_ string, call seenCall) bool { return call.pass != w.pass })
	}
	r := WindowResult{
		Window: w.window, Rows: w.rows, Total: w.total, Calls: len(w.calls),
		Whole: w.isWhole() && err == nil, Complete: w.complete, Unlistable: w.unlistable,
	}
	var strays []string
	contradicted, unreadable := 0, 0
	for key, call := range w.calls {
		isNew := !l.counted[key]
		l.counted[key] = true
		switch {
		case call.stray:
			strays = append(strays, key)
		case isNew && call.ofDay:
			r.DayCalls++
			r.Recordings += call.recordings
		}
		if isNew && call.contradicted {
			contradicted++
		}
		if isNew && call.unreadable {
			unreadable++
		}
	}
	r.CallsSHA256 = hashOf(slices.Collect(maps.Keys(w.calls)))
	if r.Stray = len(strays); r.Stray > 0 {
		r.StraySHA256 = hashOf(strays)
	}
	l.result.Windows = append(l.result.Windows, r)

	_, ignored := errors.AsType[*IgnoredParameterError](err)
	switch {
	case ignored:
		l.doubt(DoubtIgnored, 1, "the API ignored the requested times or filters, and the answer was not used")
	case err != nil:
		l.doubt(DoubtUnanswered, 1, "the API gave no readable answer")
	case w.unlistable:
		l.doubt(DoubtUnlistable, 1, "there are more calls than the API can page through: archive the day by campaign")
	case w.total < 0:
		l.doubt(DoubtNoTotal, 1, "the API sent no total")
	case !r.Whole:
		l.doubt(DoubtTotal, 1, "the API's total differs from the received calls, or changed meanwhile")
	}
	l.doubt(DoubtStray, r.Stray, "calls outside the requested time")
	l.doubt(DoubtContradicted, contradicted, "calls do not match the filter")
	l.doubt(DoubtUnreadableRows, w.unreadable, "rows cannot be read")
	l.doubt(DoubtUnreadableRecordings, unreadable, "the recording field of calls cannot be read")
}

// hashOf returns the SHA-256 of the sorted names, one per line.
func hashOf(names []string) string {
	slices.Sort(names)
	hash := sha256.New()
	for _, name := range names {
		hash.Write([]byte(name + "\n"))
	}
	return hex.EncodeToString(hash.Sum(nil))
}
