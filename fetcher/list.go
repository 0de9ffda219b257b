package fetcher

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"strings"
	"time"
)

const (
	mostRepeats = 3              // further listings of a window that was not whole
	farOutside  = 26 * time.Hour // no clock change or zone mistake moves a row so far
	// fewestBare is how many rows a listing has at least when the lack of a recording
	// field in all of them counts against it.
	fewestBare = 20
)

// Listing is the listing of one call day, or of a part of one. It is used by one
// goroutine: range over [Listing.Pages] to the end, then ask for the outcome.
type Listing struct {
	client *Client
	day    Date
	span   Window
	filter Filter
	repeat bool

	ready   func(context.Context) error
	changes []Window
	windows []WindowResult
	doubts  []string
	rows    int // received
	bare    int // of these, without a recording field
}

// WindowResult tells how the listing of one window ended.
type WindowResult struct {
	Window
	Rows       int  // rows received in the last pass
	Total      int  // total_found of the last page, -1 where none was sent
	Calls      int  // distinct calls seen, those of a neighbouring day included
	DayCalls   int  // distinct calls of the listing's day, each counted in one window only
	Recordings int  // recordings of these
	Whole      bool // the total stayed the same and equals the distinct calls
}

// Page is one page of a listing. It belongs to who gets it: the listing keeps nothing of
// it, so that rows which are let go, or set to zero, are free while others are worked.
type Page struct {
	Window Window
	// Calls are the rows to archive, each with its Day: that of the listing, or in
	// rare cases another one. Rows of a neighbouring day that the window holds only
	// because it is asked for with a second to spare are left out.
	Calls []Call
	Total int // total_found, -1 where none was sent
}

// Day prepares the listing of a call day in the given span: the day's own window,
// or a part of it. With repeat a window whose listing does not prove whole is
// listed again, at most three times.
func (c *Client) Day(day Date, span Window, filter Filter, repeat bool) *Listing {
	return &Listing{
		client: c, day: day, span: span, filter: filter, repeat: repeat,
		changes: clockChanges(span, c.options.Zone),
	}
}

// Windows returns the result of every window, once Pages has come to its end.
func (l *Listing) Windows() []WindowResult { return l.windows }

// Doubts returns why the listing does not prove the day whole, nothing where it
// does, once Pages has come to its end.
func (l *Listing) Doubts() []string { return l.doubts }

func (l *Listing) doubt(format string, args ...any) {
	said := fmt.Sprintf(format, args...)
	for _, d := range l.doubts {
		if d == said {
			return
		}
	}
	l.doubts = append(l.doubts, said)
}

// errSplit says that a window holds more rows than offsets can reach.
var errSplit = errors.New("the window holds more calls than can be paged through")

// Pages lists the day and yields its pages, one in memory at a time. A window with
// more rows than the API's offsets reach is split in halves. It ends with an error
// when the API fails for good: *APIError, [ErrUnreachable], *RetryLaterError,
// *IgnoredParameterError, or the context's.
//
// Before each request it calls ready, which may wait, and whose error ends it too; nil
// is for none.
func (l *Listing) Pages(ctx context.Context, ready func(context.Context) error) iter.Seq2[*Page, error] {
	if l.ready = ready; ready == nil {
		l.ready = func(context.Context) error { return nil }
	}
	return func(yield func(*Page, error) bool) {
		stack := []Window{l.span}
		for len(stack) > 0 {
			window := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			result, err := l.listWindow(ctx, window, yield)
			switch {
			case errors.Is(err, errStopped):
				return
			case errors.Is(err, errSplit):
				early, late, ok := window.split(l.changes)
				if !ok {
					l.doubt("%s to %s holds more calls than the API can page through: archive it by campaign",
						window.From.Format(WallLayout), window.To.Format(time.TimeOnly))
					l.windows = append(l.windows, result)
					continue
				}
				stack = append(stack, late, early)
			case err != nil:
				yield(nil, err)
				return
			default:
				l.windows = append(l.windows, result)
			}
		}
		l.checkRecordingFields()
	}
}

// checkRecordingFields doubts a listing of which no row has a recording field. The
// API sends an empty one for a call without recordings, and none at all where
// include_recordings is not asked for: if it came to ignore the parameter, every day
// would look as if nothing had been recorded.
func (l *Listing) checkRecordingFields() {
	if l.rows >= fewestBare && l.bare == l.rows {
		l.doubt("none of the rows has a recording field: the API may have ignored include_recordings")
	}
}

// errStopped says that the caller of Pages broke out of its loop.
var errStopped = errors.New("listing stopped")

// listWindow lists one window until it proves whole or the repeats are used up.
func (l *Listing) listWindow(ctx context.Context, window Window, yield func(*Page, error) bool) (WindowResult, error) {
	seen := &tally{calls: newCallSet(maphash.MakeSeed())}
	var result WindowResult
	for pass := 0; ; pass++ {
		var err error
		result, err = l.listOnce(ctx, window, seen, pass == 0, yield)
		if err != nil || result.Whole {
			return result, err
		}
		if !l.repeat || pass == mostRepeats {
			break
		}
	}
	switch {
	case result.Total < 0:
		l.doubt("the API sent no total to prove the listing with")
	case !l.repeat:
		l.doubt("the listing is not proved whole: %d calls of %d", result.Calls, result.Total)
	default:
		l.doubt("the listing is not proved whole after %d passes: %d calls of %d", mostRepeats+1, result.Calls, result.Total)
	}
	return result, nil
}

// tally is what all passes over one window have seen together.
type tally struct {
	calls      *callSet
	ofDay      int // of the calls, those of the listing's day that this window counts
	recordings int // of these
}

// listOnce pages through one window once.
func (l *Listing) listOnce(ctx context.Context, window Window, seen *tally, first bool, yield func(*Page, error) bool) (WindowResult, error) {
	result := WindowResult{Window: window, Total: -1}
	own := seen.calls // the same as long as there was no other pass
	if !first {
		own = newCallSet(seen.calls.seed)
	}
	steady, stray := true, false
	for offset, number := 0, 0; ; number++ {
		if err := l.ready(ctx); err != nil {
			return result, err
		}
		p, err := l.client.retrieve(ctx, Query{
			Filter: l.filter, StartTime: window.From.Format(WallLayout), EndTime: window.To.Format(WallLayout),
			Limit: l.client.options.PageSize, Offset: offset, Order: "asc", IncludeRecordings: true,
		})
		if apiError, ok := errors.AsType[*APIError](err); ok && apiError.beyondCeiling() {
			return result, errSplit
		}
		if err != nil {
			return result, err
		}
		if number == 0 {
			result.Total = p.total
		}
		steady = steady && p.total == result.Total
		result.Total = p.total
		if p.total > l.client.options.OffsetCeiling {
			return result, errSplit
		}
		if number == 0 && first {
			if err := l.checkHeeded(window, p); err != nil {
				return result, err
			}
		}
		known := own.n
		for i := range p.calls {
			call := &p.calls[i]
			l.rows++
			if call.withoutField {
				l.bare++
			}
			hash := seen.calls.hash(call)
			if seen.calls.add(hash) && l.counts(window, call) {
				seen.ofDay++
				seen.recordings += len(call.Recordings)
			}
			if !first {
				own.add(hash)
			}
		}
		if p.unreadable > 0 {
			l.doubt("the API sent rows that cannot be read")
		}
		kept, strayed := l.place(window, p.calls)
		p.calls = nil // the page belongs to who gets it, and may be let go row by row
		stray = stray || strayed
		result.Rows += p.rows
		if !yield(&Page{Window: window, Calls: kept, Total: p.total}, nil) {
			return result, errStopped
		}
		offset += p.rows
		switch {
		case p.rows == 0,
			p.total >= 0 && offset == p.total,
			p.total >= 0 && offset > p.total && p.rows < l.client.options.PageSize,
			own.n == known && (p.total < 0 || offset > p.total): // the offset is ignored, or pages repeat
			result.Calls = own.n
			if seen.calls.n == result.Total {
				result.Calls = seen.calls.n
			}
			result.DayCalls, result.Recordings = seen.ofDay, seen.recordings
			result.Whole = steady && result.Total >= 0 && result.Calls == result.Total
			if stray {
				l.doubt("the API sent calls from outside the time that was asked for")
			}
			return result, nil
		case offset > l.client.options.OffsetCeiling:
			return result, errSplit
		}
	}
}

// counts reports whether the call is one of the listing's day that this window
// counts: of two windows that share a boundary second, the earlier one does.
func (l *Listing) counts(window Window, call *Call) bool {
	at, readable := call.Date()
	if !readable {
		return true
	}
	return DateOf(at) == l.day && (!at.Equal(window.From) || window.From.Equal(l.span.From))
}

// place keeps the rows that are to be archived, in the memory of all, and gives each
// its day. It reports whether any row lies outside the window.
func (l *Listing) place(window Window, calls []Call) (kept []Call, stray bool) {
	wide := window.widened(l.changes)
	kept = calls[:0]
	for i := range calls {
		call := &calls[i]
		at, readable := call.Date()
		distance := wide.distance(at)
		if contradicted(l.filter, call) != "" {
			stray = true
			continue
		}
		switch {
		case !readable:
			call.Day = l.day
		case distance == 0 && DateOf(at) != l.day:
			continue // of a neighbouring day, which lists it itself
		case distance == 0:
			call.Day = l.day
		case distance < farOutside:
			call.Day = DateOf(at)
			stray = true
		default:
			stray = true
			continue
		}
		if len(kept) == i {
			kept = calls[:i+1] // where it stands already
		} else {
			kept = append(kept, *call)
		}
	}
	clear(calls[len(kept):])
	return kept, stray
}

// checkHeeded fails when more than half of a first page contradicts what was asked
// for: then the API ignored a parameter, and what it sent is another listing.
func (l *Listing) checkHeeded(window Window, p *page) error {
	outside := 0
	contradictions := map[string]int{}
	for i := range p.calls {
		call := &p.calls[i]
		if at, ok := call.Date(); ok && window.distance(at) >= farOutside {
			outside++
		}
		if name := contradicted(l.filter, call); name != "" {
			contradictions[name]++
		}
	}
	if outside*2 > p.rows {
		return &IgnoredParameterError{"start_time and end_time"}
	}
	for name, count := range contradictions {
		if count*2 > p.rows {
			return &IgnoredParameterError{name}
		}
	}
	return nil
}

// contradicted returns the name of a filter that the row does not fulfil, "" where
// it fulfils all. Only ids and the call type are compared: what the API does with
// the other filters (case, comma lists, number formats) is not documented.
func contradicted(f Filter, c *Call) string {
	for _, pair := range []struct{ name, asked, got string }{
		{"id", f.ID, c.ID},
		{"lead_id", f.LeadID, c.LeadID},
		{"campaign_id", f.CampaignID, c.CampaignID},
		{"queue_id", f.QueueID, c.QueueID},
		{"list_id", f.ListID, c.ListID},
		{"user_id", f.UserID, c.UserID},
		{"call_type", f.CallType, c.CallType},
	} {
		if pair.asked == "" {
			continue
		}
		fulfilled := false
		for value := range strings.SplitSeq(pair.asked, ",") {
			fulfilled = fulfilled || strings.EqualFold(strings.TrimSpace(value), pair.got)
		}
		if !fulfilled {
			return pair.name
		}
	}
	return ""
}
