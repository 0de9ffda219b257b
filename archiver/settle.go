// Judges the days that wait for other days, or for facts that cost a request.

package archiver

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"convoso-archiver/fetcher"
)

// The days that wait for facts that cost a request, or for other days, are judged together: at the
// end of the run, or when this many recordings, days or this much time have accumulated. A stop leaves
// such days open and the next run lists them again, so a short run must not accumulate many.
const (
	maxPending     = 10_000
	maxPendingDays = 100
	maxPendingTime = time.Hour
)

// pendingDays are finished days that cannot be judged yet.
type pendingDays struct {
	days       []*day
	recordings int
	since      time.Time
}

func (p *pendingDays) add(d *day) {
	if len(p.days) == 0 {
		p.since = time.Now()
	}
	p.days = append(p.days, d)
	p.recordings += d.ledger.Count() + d.strays
}

// due reports whether to judge the days now, in a run that has this much time left.
func (p *pendingDays) due(left time.Duration) bool {
	return p.recordings > maxPending || len(p.days) >= maxPendingDays || len(p.days) > 0 && time.Since(p.since) > min(left, maxPendingTime)
}

func (r *run) isPendingDue() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := maxPendingTime
	if end, limited := r.soft.Deadline(); limited {
		left = time.Until(end)
	}
	return r.pending.due(left)
}

// of returns the pending day of a date, nil for none.
func (p *pendingDays) of(date fetcher.Date) *day {
	i := slices.IndexFunc(p.days, func(d *day) bool { return d.date == date })
	if i < 0 {
		return nil
	}
	return p.days[i]
}

// finish judges a day whose recordings have been worked on, and concludes it, or defers it if facts
// are missing.
func (r *run) finish(d *day) error {
	switch {
	case d.isUndone(), d.listing == nil && d.failure == "": // the run has ended
		r.leaveUnfinished(d)
		return r.keepWhatIsNoted(d)
	case r.config.DryRun:
		if d.failure != "" {
			r.leaveOpen(OpenDay{Day: string(d.date), Settled: d.settled, Reasons: []string{d.failure}})
		}
		return nil
	}
	v := judge(r.factsOf(d))
	if v.Needs.any() || d.strays > 0 {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.pending.add(d)
		return nil
	}
	return r.conclude(d, &v)
}

// keepWhatIsNoted stores the lines of a day that the run gives up. The day is already reported as open; an error ends
// the run.
func (r *run) keepWhatIsNoted(d *day) error {
	err := r.judgeWrite(d, r.patiently(func() error { return d.ledger.Flush(r.hard) }))
	if errors.Is(err, errUnnoted) {
		return nil
	}
	return err
}

// maxRounds is the maximum number of times that a day is judged with further facts.
const maxRounds = 12

// settle judges the pending days one after another, with no other day in work. On a clean stop, and
// when the run cannot continue, the days with complete facts are concluded and the others stay
// open.
func (r *run) settle() error {
	defer func() { r.pending = pendingDays{} }()
	err := r.workStrays()
	if r.config.DryRun {
		return err
	}
	for round := 0; err == nil && len(r.pending.days) > 0; round++ {
		var wanted []needed
		wanted, r.pending.days, err = r.concludeReady(r.pending.days)
		if err != nil || len(wanted) == 0 || round == maxRounds || r.soft.Err() != nil {
			break
		}
		err = r.supply(wanted) // which may add days
	}
	if left := r.leaveUnjudged(r.pending.days); err == nil {
		err = left
	}
	return err
}

// concludeReady concludes the days with complete facts. It returns the others, and what they need.
func (r *run) concludeReady(days []*day) (wanted []needed, others []*day, err error) {
	for i, d := range days {
		v := judge(r.factsOf(d))
		if v.Needs.any() {
			wanted, others = append(wanted, needed{d, v.Needs}), append(others, d)
			continue
		}
		if err := r.conclude(d, &v); err != nil {
			return nil, append(others, days[i+1:]...), err
		}
	}
	return wanted, others, nil
}

// leaveUnjudged leaves days open whose facts are incomplete.
func (r *run) leaveUnjudged(days []*day) (failed error) {
	for _, d := range days {
		r.leaveUnfinished(d)
		if err := r.keepWhatIsNoted(d); failed == nil {
			failed = err
		}
	}
	return failed
}

// needed is a day with its missing facts.
type needed struct {
	day   *day
	needs needs
}

// supply collects the missing facts. A fact may serve several days, so each kind is requested once and then all
// days are judged again.
func (r *run) supply(wanted []needed) error {
	var missing, search []needed
	asked := map[string]bool{} // media hosts
	totals := totals{}
	for _, w := range wanted {
		d := w.day
		switch n := &w.needs; {
		case n.Rows && !r.evidence.shown(d.date, false):
			d.rows = r.askAPI(d.date, false)
		case n.Recorded && !r.evidence.shown(d.date, true):
			d.recorded = r.askAPI(d.date, true)
		case n.Control:
			d.control = r.askTotal(d.date, totals)
		}
		for _, host := range w.needs.Media {
			if asked[host] {
				continue
			}
			asked[host] = true
			if err := r.witnessMedia(host); err != nil {
				return err
			}
		}
		if w.needs.Delivered {
			if err := r.readHistory(); err != nil {
				return err
			}
			d.delivered = yes
		}
		if w.needs.Elsewhere {
			missing = append(missing, w)
		}
		if len(w.needs.Search) > 0 {
			search = append(search, w)
		}
		if r.soft.Err() != nil {
			return nil
		}
	}
	if err := r.lookElsewhere(missing); err != nil {
		return err
	}
	return r.search(search)
}

// workStrays archives rows from the listings of other days, under their own days.
func (r *run) workStrays() error {
	r.strayBytes = 0
	for _, date := range slices.Sorted(maps.Keys(r.strays)) {
		rows := r.strays[date]
		delete(r.strays, date)
		if r.soft.Err() != nil {
			abandonStrays(rows)
			continue
		}
		if err := r.workStraysOf(date, rows); err != nil {
			return err
		}
	}
	return nil
}

// abandonStrays leaves the days open whose stray rows were not worked on.
func abandonStrays(rows []strayRow) {
	for _, row := range rows {
		row.from.fail(errors.New("the listing has recordings of other days, and they could not be written to the manifest"))
	}
}

func (r *run) workStraysOf(date fetcher.Date, rows []strayRow) error {
	d := r.pending.of(date)
	if d == nil {
		var err error
		if d, err = r.open(plannedDay{date: date, span: date.Window()}); err != nil {
			abandonStrays(rows)
			if r.concernsDayAlone(err) {
				r.leaveUnread(date, err)
				return nil
			}
			return fmt.Errorf("read manifest of %s: %w", date, err)
		}
		r.pending.add(d)
	}
	calls := make([]*fetcher.Call, len(rows))
	for i := range rows {
		calls[i] = rows[i].call
	}
	err := r.noteCalls(d, calls)
	for i := 0; i < len(calls) && err == nil; i++ {
		err = r.workCall(d, calls[i])
	}
	d.wait()
	for _, row := range rows {
		if !r.config.DryRun && !d.isNoted(row.call) {
			abandonStrays([]strayRow{row})
		}
	}
	if err != nil && r.soft.Err() != nil {
		return nil
	}
	return err
}

// setAside checks whether the media host has an outage, after many refusals in a row. If it
// delivers known good audio, the day continues; else it is set aside, and the run ends after three
// consecutive ones.
func (r *run) setAside(d *day, f *finding) {
	r.asideTurn <- struct{}{}
	defer func() { <-r.asideTurn }()
	if d.isAside() {
		return
	}
	// Once no request is left, the last result counts, which makes nothing final. If it was good,
	// one request is left for the verdicts about the refused recordings.
	delivered := r.evidence.facts(f.host).Witness == yes
	usedUp := r.witnesses >= maxWitnesses || r.witnesses == maxWitnesses-1 && delivered
	if !usedUp {
		if err := r.askMedia(f.host); err != nil {
			r.stop(err)
		}
	}
	if r.evidence.wellSince(f.host, f.moment) || usedUp && delivered {
		d.streak.clear()
		r.asideDays = 0
		if f.notFound() {
			r.sum.warn(r.log, fmt.Sprintf("%d recordings of %s in a row were not found, although the media host works: this account may delete audio earlier than --purge-after", maxRefused, d.date))
		}
		return
	}
	met := fmt.Sprintf("%d recordings in a row were not found", maxRefused)
	switch {
	case f.denied():
		met = fmt.Sprintf("%d recordings in a row were refused", maxRefused)
	case f.cause == causeRefused:
		met = fmt.Sprintf("for %s the media host only asked to wait", maxRefusing)
	}
	d.setAside("skipped in this run: " + met + ", and the media host delivers nothing")
	r.log.Warn("day skipped in this run", "day", string(d.date), "reason", met)
	if good := r.evidence.anyGood(); good > r.asideAt { // since the last day was set aside
		r.asideAt, r.asideDays = good, 0
	}
	if r.asideDays++; r.asideDays >= maxAside {
		r.stop(fmt.Errorf("%w: %d days in a row were skipped: %s", ErrOutage, maxAside, met))
	}
}

// maxAside is how many consecutive days may be set aside until the run ends.
const maxAside = 3
