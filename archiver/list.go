// Lists one day and hands its recordings to the workers.

package archiver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// endBefore is how long before now a listing of today ends, because the log may not contain the latest calls
// yet.
const endBefore = 5 * time.Minute

// bytesPerSecond is the rate of the vendor's audio: 64 kbit/s.
const bytesPerSecond = 8000

// list lists a day and hands its recordings to the workers. Failures of this listing are kept with the day; an
// error ends the run.
func (r *run) list(d *day) error {
	defer r.queue.list(d)()
	// Only on a settled day is a window listed again to prove it complete: on another day it would
	// change between two passes. A window whose total stays wrong is listed once per run.
	repeat := d.settled && !staysWrong(d.ledger.Windows())
	began := time.Now()
	listing := r.source.Day(d.date, d.span, r.config.Filter, repeat)
	var failed error
	for page, err := range listing.Pages(r.soft, func(ctx context.Context) error { return r.queue.turn(ctx, d) }) {
		if err == nil {
			err = r.workPage(d, page)
		}
		if err != nil {
			if failed = r.judgeListing(d, err); failed != nil || r.soft.Err() != nil {
				break
			}
		}
	}
	if failed != nil || d.failure != "" || r.soft.Err() != nil {
		return failed
	}
	result := listing.Result()
	// The clock of the API is known here.
	if !r.clock.trusted() {
		d.leaveUndated()
	}
	if result.Age > ClockWarns {
		r.sum.warn(r.log, "a cache answers in place of the API: a day counts as listed when the API made the answer")
	}
	d.begun = r.clock.at(began.Add(-result.Age))
	d.settled = d.settled && r.config.settled(d.begun, d.date)
	d.windows, d.doubts = result.Windows, result.Doubts
	d.listing = listingOf(d, result)
	r.sum.countListed(d.date, d.listing.Calls)
	if d.listing.Whole && d.settled && d.entire && r.filter == "" {
		r.evidence.counted(d.date, d.listing.Calls)
	}
	return nil
}

// staysWrong reports whether an earlier listing of the day had a wrong total that a second pass confirmed.
func staysWrong(windows []manifest.Window) bool {
	for _, w := range windows {
		if w.Complete && !w.Whole {
			return true
		}
	}
	return false
}

// judgeListing distinguishes a window that failed by itself, which leaves its day open, from an API that ends the
// run. The other windows of the day are listed anyway.
func (r *run) judgeListing(d *day, err error) error {
	if err == nil || r.soft.Err() != nil {
		return nil // a stopping run already knows why
	}
	ignored, isIgnored := errors.AsType[*fetcher.IgnoredParameterError](err)
	_, isWindow := errors.AsType[*fetcher.WindowError](err)
	switch {
	case isIgnored:
		d.failure = "the API ignored " + ignored.Parameter + ": the listing was not used"
		if r.heeded.Load() < minHeeded {
			return err
		}
	case isWindow:
		d.failure = "the API's answer cannot be understood: " + reasonOf(err)
		r.mu.Lock()
		r.unlisted = err
		r.mu.Unlock()
	default:
		return err
	}
	r.log.Warn("day not listed", "day", string(d.date), "err", err)
	return nil
}

// minHeeded is how many pages must match the request until a mismatched page no longer ends the run.
const minHeeded = 3

// workPage notes the calls of a page and queues the recordings to fetch.
func (r *run) workPage(d *day, page *fetcher.Page) error {
	if len(page.Calls) > 0 {
		r.heeded.Add(1)
	}
	r.zone.note(page.Calls)
	if err := r.account.check(r, page.Calls); err != nil {
		return err
	}
	own := make([]*fetcher.Call, 0, len(page.Calls))
	for i := range page.Calls {
		call := &page.Calls[i]
		if call.Day != d.date {
			r.keepStray(d, call)
			continue
		}
		own = append(own, call)
		if d.settled {
			r.evidence.sawCalls(d.date, len(call.Recordings) > 0)
			r.evidence.listed(d.date)
		}
	}
	if err := r.noteCalls(d, own); err != nil {
		return err
	}
	for _, call := range own {
		if err := r.workCall(d, call); err != nil {
			return err
		}
	}
	return nil
}

// workCall decides about each recording of a call.
func (r *run) workCall(d *day, call *fetcher.Call) error {
	if len(call.Recordings) == 0 || d.isBroken() {
		return nil
	}
	// The audio of a call in progress is not complete. On a day that has settled by both clocks, the row is out of date.
	// When the day was opened, the API's clock may have been unknown.
	if call.InProgress() {
		d.settled = d.settled && r.config.settled(r.clock.now(), d.date)
		if !d.settled {
			return nil
		}
	}
	for i, identity := range d.ids.of(call) {
		j, err := r.decide(d, call, call.Recordings[i], identity)
		if err != nil && !errors.Is(err, errUnnoted) {
			return err
		}
		if j == nil {
			continue
		}
		d.owe()
		if err := r.queue.put(r.soft, j); err != nil {
			d.repay(true)
			return err
		}
	}
	return nil
}

// noteCalls stores call rows before any line of their recordings.
func (r *run) noteCalls(d *day, calls []*fetcher.Call) error {
	if r.config.DryRun {
		return nil
	}
	rows := make([]manifest.Call, 0, len(calls))
	for _, call := range calls {
		if len(call.Recordings) == 0 && r.config.Calls == RecordedCalls {
			continue
		}
		row, err := call.RowWithoutLinks()
		if err != nil {
			return fmt.Errorf("drop links of a call: %w", err)
		}
		rows = append(rows, manifest.Call{CallID: noteID(call, row), Time: r.clock.now(), Run: r.config.Run, Row: row})
	}
	if len(rows) == 0 {
		return nil
	}
	err := d.ledger.NoteCalls(r.hard, rows)
	if err != nil {
		err = r.judgeWrite(d, r.flushed(d, err))
	}
	if errors.Is(err, errUnnoted) {
		return nil // the day stays open
	}
	return err
}

// noteID returns the id under which a row is noted: the call's id or, without one, a hash of the
// row without its links, which may differ in each listing.
func noteID(call *fetcher.Call, row []byte) string {
	if call.ID != "" {
		return call.ID
	}
	sum := sha256.Sum256(row)
	return "row-" + hex.EncodeToString(sum[:8])
}

// decide skips a recording that is final, notes one that cannot be fetched yet, and returns a job
// for any other.
func (r *run) decide(d *day, call *fetcher.Call, recording fetcher.Recording, identity string) (*job, error) {
	prior, known := d.ledger.Recording(identity)
	if d.ledger.IsErased(identity, call.ID) {
		if err := r.removeErased(d, call, &recording, identity); err != nil || !known {
			return nil, err // it needs no line
		}
	}
	if expiry, expired := d.ledger.Expired(identity); expired && !known && !r.config.DryRun {
		err := r.note(d, manifest.Recording{RecordingID: identity, CallID: call.ID, Outcome: manifest.Expired, Reason: expiry.Reason()})
		if err != nil {
			return nil, err
		}
		prior, known = d.ledger.Recording(identity)
	}
	if !d.list(identity) {
		return nil, nil
	}
	r.sum.countRecording(d.date)
	final := isFinal(prior, known, true, r.config.GiveUp)
	again := final && r.config.Retry[prior.Outcome]
	if final && !again {
		r.sum.count(func(s *Summary) { s.Known++ })
		return nil, nil
	}
	j := &job{
		day: d, call: r.keys.factsOf(d.date, call), recording: recording, identity: identity, listing: d.listingID,
		prior: prior, again: again,
	}
	switch {
	case r.config.DryRun && recording.Link == "":
		r.sum.count(func(s *Summary) { s.Pending++ })
	case r.config.DryRun:
		seconds, _ := strconv.ParseInt(call.CallLength, 10, 32)
		r.sum.countToFetch(d, seconds*bytesPerSecond)
	case recording.Link == "":
		if again {
			r.sum.count(func(s *Summary) { s.Known++ })
			return nil, nil
		}
		f := &finding{outcome: manifest.Pending, cause: causeNoLink, reason: "the row has no link"}
		if recording.ID == "" && recording.Filename == "" {
			f.cause, f.reason = causeNameless, "the row has neither id nor file name nor link"
			d.nameless[identity] = true
		}
		return nil, r.noteFinding(j, f)
	default:
		return j, nil
	}
	return nil, nil
}

// strayRow is a row from another day's listing.
type strayRow struct {
	from *day
	call *fetcher.Call
}

// maxStrayBytes is the maximum memory for rows of other days.
const maxStrayBytes = 8 << 20

// keepStray keeps a row of another day for the end of the run, because that day has its own owner. If they exceed
// the limit, the day that listed them stays open.
func (r *run) keepStray(d *day, call *fetcher.Call) {
	d.strays++
	if len(call.Recordings) == 0 && r.config.Calls == RecordedCalls {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.strayBytes += 2 * len(call.Raw); r.strayBytes > maxStrayBytes {
		d.failure = "the API sent too many calls of other days"
		return
	}
	kept := *call
	kept.Raw = bytes.Clone(call.Raw) // otherwise its whole page stays in memory
	r.strays[call.Day] = append(r.strays[call.Day], strayRow{from: d, call: &kept})
}
