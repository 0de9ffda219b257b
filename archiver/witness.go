// Asks API and media hosts for proof that they work.

package archiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"convoso-archiver/archiver/audio"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// maxLookBack is how many days of the ledger are searched for a day with a known call, and the
// range of a control query.
const maxLookBack = 366

// askAPI asks the API for a call, or a recording, of another settled day: the newest one in the ledger, otherwise
// from a span around the day that doubles.
func (r *run) askAPI(date fetcher.Date, recorded bool) answer {
	if asked, found := r.nothing[recorded]; found && asked >= date.AddDays(-maxLookBack/4) && asked <= date.AddDays(maxLookBack/4) {
		return no // a year around a day nearby had none
	}
	if known, found := r.newestKnown(date, recorded); found {
		r.everCalls = true
		r.everRecorded = r.everRecorded || recorded && known >= date.AddDays(-maxLookBack)
		if a := r.askSpan(known.Window(), date, recorded); a == yes || a == unknowable {
			return a
		}
	}
	last := r.clock.latest(r.config.Zone)
	for days := 3; ; days = min(2*days, maxLookBack) {
		span := fetcher.Window{From: date.AddDays(-days / 2).Window().From, To: date.AddDays(days / 2).Window().To}
		if span.To.After(last) {
			span.To = last
		}
		a := r.askSpan(span, date, recorded)
		if a == no && days == maxLookBack {
			r.nothing[recorded] = date
		}
		if a != no || days == maxLookBack {
			return a
		}
		if r.soft.Err() != nil {
			return unknowable
		}
	}
}

// askSpan requests one page of a span, and reports whether it has a call, or a recording, within
// the span but on another day.
func (r *run) askSpan(span fetcher.Window, date fetcher.Date, recorded bool) answer {
	page, err := r.source.Look(r.soft, span, fetcher.Filter{}, 0)
	if err != nil {
		r.log.Warn("cannot ask the API for calls of other days", "span", span.String(), "err", err)
		return unknowable
	}
	inside := slices.DeleteFunc(slices.Clone(page.Calls), func(c fetcher.Call) bool {
		at, readable := c.Date()
		return !readable || at.Before(span.From) || at.After(span.To)
	})
	if 2*len(inside) < len(page.Calls) {
		return no // an API that ignores the times proves nothing
	}
	for i := range inside {
		call := &inside[i]
		if call.Day == date {
			continue
		}
		r.evidence.sawCalls(call.Day, len(call.Recordings) > 0)
		if !recorded || len(call.Recordings) > 0 {
			return yes
		}
	}
	return no
}

// newestKnown returns the newest day, other than date, with a call, or a recording, in the ledger.
func (r *run) newestKnown(date fetcher.Date, recorded bool) (fetcher.Date, bool) {
	for _, known := range r.knownDays() {
		if known == date {
			continue
		}
		if calls, recordings, ok := r.countsOf(known); ok && (recordings > 0 || calls > 0 && !recorded) {
			return known, true
		}
	}
	return "", false
}

// countsOf returns the number of calls and recordings of a day in the ledger, from its day line or
// otherwise from its latest complete listing.
func (r *run) countsOf(date fetcher.Date) (calls, recordings int, ok bool) {
	if n, seen := r.evidence.callsOf(date); seen && n == 0 {
		return 0, 0, true
	}
	status, err := r.look(date)
	if err != nil || !status.Known {
		return 0, 0, false
	}
	if line, closed := status.Line(""); closed {
		return line.Calls, line.Recordings, true
	}
	if n, seen := r.evidence.callsOf(date); seen {
		return n, 0, true
	}
	ledger, err := r.ledger.Load(r.soft, string(date))
	if err != nil {
		return 0, 0, false
	}
	listings := earlierListings(ledger.Windows(), date, "", date.End(r.config.Zone), r.config.Settle)
	for _, l := range slices.Backward(listings) {
		if l.Whole && !l.Cut {
			return l.Calls, ledger.Count(), true
		}
	}
	return 0, ledger.Count(), false
}

// askTotal reports whether the total of the span around an empty day, out to the nearest days with
// calls, equals the known sum of its days and is not 0.
func (r *run) askTotal(date fetcher.Date, totals totals) answer {
	first, before := r.nearestWithCalls(date, -1)
	last, after := r.nearestWithCalls(date, 1)
	if before+after == 0 && r.config.Shard.Count > 1 {
		if last, after = r.askNearest(date, 1, totals); after <= 0 {
			last, after = date, 0
			first, before = r.askNearest(date, -1, totals)
		}
	}
	if before+after <= 0 {
		return no
	}
	if total, ok := r.totalOf(first, last, totals); ok && total == before+after {
		return yes
	}
	return no
}

// totals are the answers of the API about spans. They serve the days that were listed before they were requested.
type totals map[fetcher.Window]int

// totalOf returns the number of calls of a range of whole days, both ends included. It requests each range once.
func (r *run) totalOf(first, last fetcher.Date, totals totals) (int, bool) {
	start, end := first.Window(), last.Window()
	span := fetcher.Window{From: start.From.Add(time.Second), To: end.To.Add(-time.Second)}
	if total, known := totals[span]; known {
		return total, true
	}
	page, err := r.source.Look(r.soft, span, fetcher.Filter{}, 0)
	if err != nil {
		r.log.Warn("cannot ask the API for calls of other days", "span", span.String(), "err", err)
		return 0, false
	}
	totals[span] = page.Total
	return page.Total, true
}

// askNearest requests the total of the days next to an empty day in one direction, extending the
// range until there is a call. It is for shards: other runs list the neighbours, which may all be
// unknown in a new archive.
func (r *run) askNearest(date fetcher.Date, step int, totals totals) (fetcher.Date, int) {
	limit := date.AddDays(step * maxLookBack)
	settled := fetcher.DateOf(fetcher.Wall(r.clock.now().Add(-r.config.Settle), r.config.Zone)).AddDays(-1)
	if limit = min(limit, settled); step > 0 && limit <= date {
		return date, 0
	}
	for days := 1; ; days *= 8 {
		edge := date.AddDays(step * days)
		if days >= maxLookBack || step > 0 && edge > limit {
			edge = limit
		}
		next := date.AddDays(step)
		total, ok := r.totalOf(min(next, edge), max(next, edge), totals)
		if !ok || total > 0 || edge == limit {
			return edge, total
		}
	}
}

// nearestWithCalls returns the nearest day in one direction with known calls, and their number. If
// a day in between is unknown, or none has calls, it returns the last known empty day and 0.
func (r *run) nearestWithCalls(date fetcher.Date, step int) (fetcher.Date, int) {
	edge := date
	for range maxLookBack {
		next := edge.AddDays(step)
		calls, _, ok := r.countsOf(next)
		if !ok {
			return edge, 0
		}
		if calls > 0 {
			return next, calls
		}
		edge = next
	}
	return edge, 0
}

// maxWitnesses is the maximum number of requests for known good audio in a run, each for another
// recording.
const maxWitnesses = 3

// witnessMedia requests known good audio from a media host until it delivers some, or no request is
// left.
func (r *run) witnessMedia(host string) error {
	for {
		before := r.witnesses
		if err := r.askMedia(host); err != nil {
			return err
		}
		if r.evidence.facts(host).Witness != no || r.witnesses == before || r.soft.Err() != nil {
			return nil
		}
	}
}

// askMedia requests known good audio from a media host: the newest archived recording by a fresh link,
// otherwise the newest listed recording. It reads the beginning and discards it. An error ends the run.
func (r *run) askMedia(host string) error {
	if r.witnesses >= maxWitnesses {
		r.evidence.setWitness(host, no)
		return nil
	}
	link, found, err := r.witnessLink(host)
	switch {
	case found:
	case err != nil:
		r.log.Warn("cannot ask the media host for a recording that it delivered before", "err", err)
		r.evidence.setWitness(host, no)
		return nil
	default:
		r.evidence.setWitness(host, unknowable)
		return nil
	}
	r.witnesses++
	delivered, by, err := r.isDelivered(link)
	if _, later := errors.AsType[*fetcher.RetryLaterError](err); later {
		return err
	}
	if delivered {
		r.evidence.delivered(by)
		r.evidence.setWitness(by, yes)
	}
	if !delivered || by != host {
		r.evidence.setWitness(host, no)
	}
	r.log.Info("asked the media host for a recording that it delivered before", "host", host, "delivered", delivered, "err", err)
	return nil
}

// witnessSize is how much known good audio is read.
const witnessSize = 64 << 10

// witnessTime is the time limit of a request for known good audio.
const witnessTime = 2 * time.Minute

// isDelivered requests audio and checks its beginning.
func (r *run) isDelivered(link fetcher.Secret) (delivered bool, host string, err error) {
	ctx, cancel := context.WithTimeout(r.hard, witnessTime)
	defer cancel()
	answer, err := r.source.Open(ctx, r.soft, link, false)
	if err != nil {
		return false, fetcher.LinkHost(link), err
	}
	defer answer.Close()
	head, err := io.ReadAll(io.LimitReader(answer, witnessSize))
	return err == nil && answer.Status == http.StatusOK && audio.IsAudio(head), answer.Host, nil
}

// witnessLink returns a fresh link to known good audio that should still exist.
func (r *run) witnessLink(host string) (link fetcher.Secret, found bool, err error) {
	now, tries := r.clock.now(), 0
	for _, known := range r.knownDays() {
		if r.config.expired(now, known) || r.soft.Err() != nil {
			break
		}
		var failed error
		if link, found, failed = r.linkOfArchived(known, host); found {
			return link, true, nil
		}
		// If an archived recording is no longer listed, another one may still be.
		if err = cmp.Or(failed, err); failed != nil {
			if tries++; tries == maxWitnesses {
				break
			}
		}
	}
	link, found, failed := r.linkOfListed(host)
	return link, found, cmp.Or(failed, err)
}

// errUnlisted means that an archived recording is not listed.
var errUnlisted = errors.New("an archived recording is no longer listed")

// linkOfArchived returns a fresh link of the newest recording of a day that the host delivered and
// that was not yet used as a witness in this run.
func (r *run) linkOfArchived(date fetcher.Date, host string) (link fetcher.Secret, found bool, err error) {
	status, err := r.look(date)
	if err != nil || !status.Known {
		return "", false, err
	}
	if line, closed := status.Line(""); closed && line.ByOutcome[manifest.Archived] == 0 {
		return "", false, nil
	}
	ledger, err := r.ledger.Load(r.soft, string(date))
	if err != nil {
		return "", false, err
	}
	best, id := manifest.State{}, ""
	for candidate, s := range ledger.Recordings() {
		if s.Outcome == manifest.Archived && (s.Host == "" || s.Host == host) && s.CallID != "" &&
			!r.asked[candidate] && s.Time.After(best.Time) {
			best, id = s, candidate
		}
	}
	if id == "" {
		return "", false, nil
	}
	r.asked[id] = true
	page, err := r.source.Look(r.soft, date.Window(), fetcher.Filter{ID: best.CallID}, 0)
	if err != nil {
		return "", false, fmt.Errorf("list a known call: %w", err)
	}
	for i := range page.Calls {
		for _, recording := range page.Calls[i].Recordings {
			if page.Calls[i].ID == best.CallID && recording.Link != "" && (isID(id, recording.ID) || recording.Source() == best.Source) {
				return recording.Link, true, nil
			}
		}
	}
	return "", false, errUnlisted
}

// maxLooks is how many pages of the newest calls a run reads to find audio to request. If none of
// these calls has a link, the account has no audio to request.
const maxLooks = 100

// linkOfListed returns the link of the newest listed recording that is younger than --purge-after.
func (r *run) linkOfListed(host string) (link fetcher.Secret, found bool, err error) {
	last := r.clock.latest(r.config.Zone)
	first := last.Add(-r.config.PurgeAfter)
	for days := 3; ; days *= 2 {
		span := fetcher.Window{From: last.AddDate(0, 0, -days), To: last}
		if span.From.Before(first) {
			span.From = first
		}
		link, found, err = r.linkIn(span, host)
		if found || err != nil || !span.From.After(first) {
			return link, found, err
		}
		last = span.From
	}
}

// linkIn returns the link of the newest recording of a span, reading its pages from the last
// to the first.
func (r *run) linkIn(span fetcher.Window, host string) (fetcher.Secret, bool, error) {
	page, err := r.lookAt(span, 0)
	if err != nil || page == nil {
		return "", false, err
	}
	size := len(page.Calls)
	for offset := min(page.Total, fetcher.DefaultOffsetCeiling) - size; size > 0 && offset > 0; offset -= size {
		later, err := r.lookAt(span, offset)
		if err != nil || later == nil {
			return "", false, err
		}
		if link, found := r.unasked(later, host); found {
			return link, true, nil
		}
	}
	link, found := r.unasked(page, host)
	return link, found, nil
}

// lookAt returns a page, or nil if the run has read enough pages.
func (r *run) lookAt(span fetcher.Window, offset int) (*fetcher.Page, error) {
	if r.looks++; r.looks > maxLooks {
		return nil, nil
	}
	page, err := r.source.Look(r.soft, span, fetcher.Filter{}, offset)
	if err != nil {
		return nil, fmt.Errorf("list the newest calls: %w", err)
	}
	return page, nil
}

// unasked returns the link of the last recording of a page that was not yet used as a witness in
// this run.
func (r *run) unasked(page *fetcher.Page, host string) (fetcher.Secret, bool) {
	for _, call := range slices.Backward(page.Calls) {
		for i := range call.Recordings {
			recording := &call.Recordings[i]
			if recording.Link != "" && fetcher.LinkHost(recording.Link) == host && !r.asked[recording.Source()] {
				r.asked[recording.Source()] = true
				return recording.Link, true
			}
		}
	}
	return "", false
}

// candidate is an object in the store for a recording that would otherwise be lost.
type candidate struct {
	answer      answer
	info        store.Info
	sum         [32]byte
	contentType string
}
