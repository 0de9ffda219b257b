// Lists the calls of a day, and proves that none is missing.

package fetcher

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Listing is the listing of one call day, or of a part of one. It is used by one
// goroutine: range over [Listing.Pages] to the end, then ask for the outcome.
type Listing struct {
	client  *Client
	day     Date
	span    Window
	filter  Filter
	repeat  bool
	changes []Window // of the clock

	ready   func(context.Context) error
	yield   func(*Page, error) bool
	counted map[string]bool // calls of the day already counted
	result  ListingResult
	rows    int // received
	bare    int // of these, rows without a recording field
}

// ListingResult is the result of the listing of a day.
type ListingResult struct {
	Windows []WindowResult
	Doubts  []Doubt // why it does not prove the day complete, empty if it does
	// Age is the maximum time that a cache had kept an answer, 0 without caches. The listing may show the day as it was
	// that long before.
	Age time.Duration
}

// WindowResult is the result of the listing of one window.
type WindowResult struct {
	Window
	Rows       int // rows received in the last pass
	Total      int // total_found of the last page, -1 if none was sent
	Calls      int // distinct calls seen, including those of a neighbouring day
	DayCalls   int // distinct calls of the listing's day, each counted in one window only
	Recordings int // recordings of these
	// Whole: the total was the same on every page, the distinct calls equal it, and the page after
	// them had nothing new.
	Whole bool
	// Complete: paging continued until a page had nothing new.
	Complete bool
	// Unlistable: the window holds more rows than the API's offsets reach, and halving it
	// does not help.
	Unlistable bool
	// CallsSHA256 is over the sorted distinct call ids, one per line; a call without an id is
	// represented by a hash of its row without links.
	CallsSHA256 string
	// Stray counts the distinct calls from outside the window, whose rows have [Call.Stray] set,
	// and StraySHA256 is their hash in the form of CallsSHA256; "" for none.
	Stray       int
	StraySHA256 string
}

// Doubt is one reason why a listing does not prove its day complete.
type Doubt struct {
	Kind  string // one of the words below
	Count int    // number of windows, rows or calls concerned
	Text  string // for people, without the count
}

// Kinds of doubts. The fields of WindowResult have the first four for each window.
const (
	DoubtTotal                = "total"                 // windows whose total changes, or differs from the received calls
	DoubtNoTotal              = "no_total"              // windows for which the API sent no total
	DoubtUnlistable           = "unlistable"            // windows with more rows than offsets reach
	DoubtStray                = "stray"                 // calls from outside their window
	DoubtUnreadableRows       = "unreadable_rows"       // rows that are not JSON objects, or break their page
	DoubtUnreadableRecordings = "unreadable_recordings" // calls whose recording field cannot be read
	DoubtNoRecordingField     = "no_recording_field"    // rows without a recording field
	DoubtContradicted         = "contradicted"          // calls that contradict an id filter or call_type
	DoubtIgnored              = "ignored"               // windows not used, because the API ignored a parameter
	DoubtUnanswered           = "unanswered"            // windows that ended with a WindowError
)

// Page is one page of a listing. It belongs to the caller: the listing keeps no reference, so rows
// that the caller drops can be freed while it works on others.
type Page struct {
	Window Window
	// Calls are the rows to archive, each with its Day: that of the listing, or that of its date
	// for a stray. It omits rows of a neighbouring day that are only there because the window is
	// requested with a margin of one second. A call may repeat if its window is listed again, or
	// overlaps another.
	Calls []Call
	Total int // total_found, -1 if none was sent
}

// Day prepares the listing of a call day in the given span: the day's own window, or a part of it.
// With repeat, a window that is not proved complete is listed again, at most three times, unless
// only unreadable rows are missing.
func (c *Client) Day(day Date, span Window, filter Filter, repeat bool) *Listing {
	return &Listing{
		client: c, day: day, span: span, filter: filter, repeat: repeat,
		changes: clockChanges(span, c.options.Zone), counted: map[string]bool{},
	}
}

// Result returns the result of the listing, once Pages has ended.
func (l *Listing) Result() ListingResult { return l.result }

func (l *Listing) doubt(kind string, count int, text string) {
	if count == 0 {
		return
	}
	for i := range l.result.Doubts {
		if l.result.Doubts[i].Kind == kind {
			l.result.Doubts[i].Count += count
			return
		}
	}
	l.result.Doubts = append(l.result.Doubts, Doubt{Kind: kind, Count: count, Text: text})
}

// Look requests one page of a span without checks, for witnesses and control queries. Each call has its own day;
// strays are not marked. It may be called concurrently.
func (c *Client) Look(ctx context.Context, span Window, filter Filter, offset int) (*Page, error) {
	p, err := c.retrieve(ctx, span, filter, c.options.PageSize, offset)
	if errors.Is(err, errBroken) {
		err = &WindowError{span, err}
	}
	if err != nil {
		return nil, err
	}
	for i := range p.calls {
		if at, ok := p.calls[i].Date(); ok {
			p.calls[i].Day = DateOf(at)
		}
	}
	return &Page{Window: span, Calls: p.calls, Total: p.total}, nil
}

// errStopped means that the caller of Pages broke out of its loop.
var errStopped = errors.New("listing stopped")

// Pages lists the day and yields its pages, one in memory at a time. A window with more rows than
// the API's offsets reach is split in halves.
//
// A *WindowError or an *IgnoredParameterError ends only one window: the caller may continue ranging
// over the others. Any other error is the last: an *APIError, [ErrUnreachable], a *RetryLaterError,
// or the context's.
//
// Before each request it calls ready, which may wait and whose error ends the listing; ready may be
// nil.
func (l *Listing) Pages(ctx context.Context, ready func(context.Context) error) iter.Seq2[*Page, error] {
	if l.ready = ready; ready == nil {
		l.ready = func(context.Context) error { return nil }
	}
	return func(yield func(*Page, error) bool) {
		l.yield = yield
		pending := []Window{l.span}
		for len(pending) > 0 {
			window := pending[len(pending)-1]
			pending = pending[:len(pending)-1]
			halves, err := l.listWindow(ctx, window, len(pending))
			if errors.Is(err, errStopped) || err != nil && (!yield(nil, err) || !ofWindow(err)) {
				return
			}
			pending = append(pending, halves...)
		}
		if l.bare == l.rows && l.rows >= minBare {
			l.doubt(DoubtNoRecordingField, l.rows, "rows without a recording field: the API may have ignored include_recordings")
		}
	}
}

// minBare is the minimum number of rows for the doubt that all rows lack a recording field: the API
// sends an empty field for a call without recordings, and none without include_recordings.
const minBare = 20

// ofWindow reports whether an error ends one window, and not the listing.
func ofWindow(err error) bool {
	_, unanswered := errors.AsType[*WindowError](err)
	_, ignored := errors.AsType[*IgnoredParameterError](err)
	return unanswered || ignored
}

// maxRepeats is how often an incomplete window is listed again.
const maxRepeats = 3

// listWindow lists one window until it is proved complete or no repeats are left. It returns its
// halves, the later one first, if they must be listed instead.
func (l *Listing) listWindow(ctx context.Context, window Window, pending int) (halves []Window, err error) {
	w := newTally(l, window)
	for range maxRepeats + 1 {
		halves, err = l.listOnce(ctx, w, pending)
		if halves != nil || err != nil && !ofWindow(err) {
			return halves, err
		}
		if err != nil || w.isWhole() || w.lacksUnreadable() || w.unlistable || !l.repeat {
			break
		}
	}
	l.conclude(w, err)
	return nil, err
}

// maxStale is the number of consecutive pages without new rows, before the total is reached, that means the API
// ignores the offset.
const maxStale = 3

// listOnce pages through one window once.
func (l *Listing) listOnce(ctx context.Context, w *tally, pending int) (halves []Window, err error) {
	w.begin()
	limit, stale := l.client.options.PageSize, 0
	for offset := 0; ; {
		if err := l.ready(ctx); err != nil {
			return nil, err
		}
		p, err := l.client.retrieve(ctx, w.window, l.filter, limit, offset)
		apiError, told := errors.AsType[*APIError](err)
		beyond := told && apiError.beyondCeiling()
		switch {
		case errors.Is(err, errBroken) && limit > 1:
			limit = (limit + 1) / 2 // until the row that breaks the page is alone
			continue
		case errors.Is(err, errBroken) && w.unreadable < maxUnreadable:
			w.unreadable++
			offset++
			continue
		case errors.Is(err, errBroken):
			return nil, &WindowError{w.window, err}
		case beyond && w.total >= 0 && offset >= w.total && offset > 0: // all counted rows were received
			w.complete = true
			return nil, nil
		case err != nil && !beyond:
			return nil, err
		}
		if !beyond {
			if offset == 0 {
				if err := l.checkHeeded(w, p); err != nil {
					return nil, err
				}
			}
			l.result.Age = max(l.result.Age, p.age)
			offset += p.rows
			limit = min(2*limit, l.client.options.PageSize) // rows that break their page are often neighbours
			isNew := w.add(p)
			if !l.yield(&Page{Window: w.window, Calls: l.kept(w, p), Total: p.total}, nil) {
				return nil, errStopped
			}
			if stale++; isNew {
				stale = 0
			}
			if p.rows == 0 || stale > 0 && offset > p.total || stale == maxStale {
				w.complete = true
				return nil, nil
			}
		}
		full := offset > l.client.options.OffsetCeiling || beyond
		if (full || w.total > l.client.options.OffsetCeiling) && !w.unlistable {
			halves, err := l.halve(ctx, w.window, max(w.total, offset), pending)
			if halves != nil || err != nil {
				return halves, err
			}
			w.unlistable = true
		}
		if full {
			return nil, nil
		}
	}
}

const (
	// maxWindows limits the windows of a day: meaningless totals would split a day down to seconds.
	maxWindows = 1024
	// maxUnreadable limits the skipped rows of a window that break their page: an API that sends
	// only such rows would get a request for each.
	maxUnreadable = 50
)

// halve returns the halves of a window, nil if halving does not reduce the total: an API that
// ignores the times reports the total of the whole for each half. size is the known size of the
// window.
func (l *Listing) halve(ctx context.Context, window Window, size, pending int) (halves []Window, err error) {
	early, late, ok := window.split(l.changes)
	if !ok || len(l.result.Windows)+pending >= maxWindows {
		return nil, nil
	}
	halves = []Window{late, early}
	sum := 0
	for _, half := range halves {
		if err := l.ready(ctx); err != nil {
			return nil, err
		}
		p, err := l.client.retrieve(ctx, half, l.filter, 1, 0)
		switch {
		case err == nil:
			sum += p.total
		case !ofWindow(err) && !errors.Is(err, errBroken): // the half will get the same error
			return nil, err
		}
	}
	if 4*sum > 7*size { // twice the size, minus rows that move meanwhile; rows in the overlap also count twice
		return nil, nil
	}
	return halves, nil
}

// checkHeeded fails if more than half of the first page contradicts the request: then the API
// ignored a parameter, and sent another listing.
func (l *Listing) checkHeeded(w *tally, p *page) error {
	const minRows = 20 // fewer may all be strays
	counts := map[string]int{}
	for i := range p.calls {
		if at, ok := p.calls[i].Date(); ok && !w.wide.contains(at) {
			counts["start_time and end_time"]++
		}
		counts[l.filter.contradictedBy(&p.calls[i])]++
	}
	delete(counts, "")
	for name, count := range counts {
		if p.rows >= minRows && count*2 > p.rows {
			w.rows, w.total = p.rows, p.total
			return &IgnoredParameterError{w.window, name}
		}
	}
	return nil
}

// kept returns the rows to archive, reusing the slice, each with its day.
func (l *Listing) kept(w *tally, p *page) []Call {
	kept := p.calls[:0]
	for _, call := range p.calls {
		at, readable := call.Date()
		call.Day = l.day
		if readable {
			call.Day, call.Stray = DateOf(at), !w.wide.contains(at)
		}
		if call.Stray || call.Day == l.day {
			kept = append(kept, call)
		}
	}
	clear(p.calls[len(kept):])
	p.calls = nil // the rows belong to the receiver of the page
	return kept
}
