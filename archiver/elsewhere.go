// Asks the API under which day it lists calls that are missing from the listing of their day.

package archiver

import (
	"maps"
	"slices"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// A run requests up to maxFollowed calls with missing recordings one by one, and on each day at least minFollowed.
const maxFollowed, minFollowed = 50, 5

// lookElsewhere asks the API under which day it lists calls with missing recordings. A call on another day is archived
// there. Calls that it does not come to count as deleted only if it found no other call of the day elsewhere.
func (r *run) lookElsewhere(wanted []needed) error {
	for _, w := range wanted {
		d := w.day
		d.lookedUp, d.elsewhere = yes, map[string]bool{}
		missing, waits := map[string][]string{}, map[string]bool{} // identities by call, and calls that wait for audio
		for id, s := range d.ledger.Recordings() {
			if !d.listed[id] && s.CallID != "" && (!s.Outcome.Final() || s.Outcome == manifest.Archived) {
				missing[s.CallID] = append(missing[s.CallID], id)
				waits[s.CallID] = waits[s.CallID] || !s.Final && !s.Outcome.Final()
			}
		}
		for i, call := range waitingFirst(slices.Sorted(maps.Keys(missing)), waits) {
			if r.soft.Err() != nil {
				d.lookedUp = unknowable
			}
			if d.lookedUp == unknowable {
				break
			}
			if r.followed >= maxFollowed && i >= minFollowed {
				if waits[call] && len(d.elsewhere) > 0 { // the others may have moved too: the next run asks for them
					d.lookedUp = unknowable
				}
				break
			}
			r.followed++
			r.follow(d, call, missing[call])
		}
	}
	return r.workStrays()
}

// waitingFirst returns the calls with those that wait first.
func waitingFirst(calls []string, waits map[string]bool) []string {
	first, then := []string{}, []string{}
	for _, call := range calls {
		if waits[call] {
			first = append(first, call)
		} else {
			then = append(then, call)
		}
	}
	return append(first, then...)
}

// follow asks the API under which day it lists a call.
func (r *run) follow(d *day, callID string, missing []string) {
	span := fetcher.Window{From: d.date.AddDays(-maxLookBack / 2).Window().From, To: d.date.AddDays(maxLookBack / 2).Window().To}
	if last := r.clock.latest(r.config.Zone); span.To.After(last) {
		span.To = last
	}
	page, err := r.source.Look(r.soft, span, fetcher.Filter{ID: callID}, 0)
	if err != nil {
		r.log.Warn("cannot ask the API whether a call still exists", "call_id", callID, "err", err)
		d.lookedUp = unknowable
		return
	}
	for i := range page.Calls {
		call := &page.Calls[i]
		if _, readable := call.Date(); call.ID != callID || !readable {
			continue
		}
		if call.Day == d.date {
			// The call is on this day, so a recording of it that the listing lacks contradicts the listing. A
			// recording with a missing recording's id and another file name is a different one, which the
			// listing may have.
			if slices.ContainsFunc(d.ids.of(call), func(id string) bool { return !d.listed[id] && !d.ledger.IsErased(id, callID) }) {
				d.lookedUp = unknowable
			}
			continue
		}
		r.keepStray(d, call)
		for k := range call.Recordings {
			recording := &call.Recordings[k]
			for _, id := range missing {
				if s, _ := d.ledger.Recording(id); !isID(id, recording.ID) && recording.Source() != s.Source {
					continue
				}
				d.elsewhere[id] = true
			}
		}
	}
}
