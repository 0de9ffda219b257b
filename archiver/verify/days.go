package verify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/manifest"
)

// listDays learns which days there are, and how much the closed ones hold.
func (r *run) listDays(ctx context.Context) error {
	for status, err := range r.Ledger.Days(ctx) {
		if later, ok := errors.AsType[*manifest.VersionError](err); ok {
			return later
		}
		if err != nil && status.Day == "" {
			return fmt.Errorf("list the days of the manifest: %w", err)
		}
		// An error of one day alone is met again when the day is read.
		r.mu.Lock()
		r.days = append(r.days, status.Day)
		if r.inSpan(status.Day) {
			r.summary.Days++
			r.summary.closedExpected += status.DayLine.ByOutcome[manifest.Archived]
		}
		r.mu.Unlock()
	}
	if r.config.Mode == Sampled {
		r.count(func(s *Summary) {
			s.closedExpected = int(float64(s.closedExpected) * float64(r.config.Sample.count) / shares)
		})
	}
	return nil
}

func (r *run) inSpan(day string) bool {
	return (r.config.From == "" || day >= r.config.From) && (r.config.To == "" || day <= r.config.To)
}

// dayWork is the work on one day.
type dayWork struct {
	*run
	day  string
	owed sync.WaitGroup // jobs handed out and not done

	mu      sync.Mutex
	damaged []damage
}

// damage is a recording to be fetched again.
type damage struct {
	recording manifest.Audited
	finding   Finding
}

// add takes in a finding of a recording. It may be called from several goroutines.
func (d *dayWork) add(t manifest.Audited, f Finding) {
	f.Day, f.RecordingID, f.Key = d.day, t.ID, t.State.Key
	d.find(f)
	if !f.Kind.ofRecording() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.damaged = append(d.damaged, damage{recording: t, finding: f})
}

// hand gives a recording to the workers.
func (d *dayWork) hand(ctx context.Context, t manifest.Audited) error {
	d.owed.Add(1)
	select {
	case d.jobs <- job{day: d, target: t}:
		return nil
	case <-ctx.Done():
		d.owed.Done()
		return context.Cause(ctx)
	}
}

// readDays does something with each day, a few side by side.
func (r *run) readDays(ctx context.Context, look func(ctx context.Context, d *dayWork) error) error {
	r.mu.Lock()
	r.daysDone = 0
	r.mu.Unlock()
	group, days := errgroup.WithContext(ctx)
	group.SetLimit(daysAtOnce)
	for _, day := range r.days {
		if days.Err() != nil {
			break
		}
		group.Go(func() error {
			r.begin(day)
			defer r.end(day)
			d := &dayWork{run: r, day: day}
			err := look(days, d)
			d.owed.Wait()
			if err == nil {
				err = d.noteDamage(days)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func (r *run) begin(day string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active[day] = true
}

func (r *run) end(day string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.active, day)
	r.daysDone++
}

// audit reads a day's lines. Without an error it may still return nil: the day cannot be read now.
func (d *dayWork) audit(ctx context.Context, report func(manifest.Fault)) (*manifest.Audit, error) {
	audit, err := d.Ledger.Audit(ctx, d.day, report)
	if err == nil {
		return audit, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if later, ok := errors.AsType[*manifest.VersionError](err); ok {
		return nil, later
	}
	d.run.mu.Lock()
	first := !d.run.blind
	d.run.blind = true
	d.run.mu.Unlock()
	if first || d.index.pass == 0 {
		d.find(unreadable(d.day, "", "", "the day's manifest", withoutPath(err)))
		d.noteTrouble(err)
	}
	return nil, nil
}

// firstLook takes in the keys of a day, and in the first pass checks the manifest and the bytes.
func (r *run) firstLook(ctx context.Context, d *dayWork) error {
	mine := r.index.pass == 0 && r.inSpan(d.day)
	faults := 0
	audit, err := d.audit(ctx, func(f manifest.Fault) {
		if !mine || f.Kind == manifest.FaultTornLine && f.Written.After(r.started) {
			return // in the latter case a run is writing it right now
		}
		faults++
		d.find(findingOf(d.day, f))
	})
	if err != nil || audit == nil {
		return err
	}
	if faults > 0 && r.config.Repair {
		if err := d.mend(ctx); err != nil {
			return err
		}
	}
	r.takeKeys(audit, d.day)
	if !mine {
		return nil
	}
	d.tellKnown(audit)
	for t := range audit.Recordings() {
		if err := d.examine(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// tellKnown reports what was found damaged before: it stays damage until it is fetched again, or a repair that
// nothing followed would silence it.
func (d *dayWork) tellKnown(audit *manifest.Audit) {
	for id, s := range audit.Damaged() {
		d.count(func(s *Summary) { s.Recordings++ })
		d.find(Finding{
			Kind: KnownDamaged, Day: d.day, RecordingID: id, Key: s.Key,
			Detail: "noted on " + s.Time.Format(time.DateOnly) + " (" + s.Reason + "), not fetched again since",
		})
	}
}

// takeKeys takes a day's keys into the index; those of recordings to be compared with the listing marked so.
func (r *run) takeKeys(audit *manifest.Audit, day string) {
	for k := range audit.Keys() {
		if !k.Current || !r.compares(day) {
			flags := uint64(0)
			if k.Current {
				flags = isCurrent
			}
			r.index.add(k.Key, k.ID, flags, 0, "")
		}
	}
	if !r.compares(day) {
		return
	}
	for t := range audit.Recordings() {
		flags := uint64(isCurrent)
		if !t.Unproved {
			flags |= isWanted
		}
		r.index.add(t.State.Key, t.ID, flags, t.State.Size, unquoted(t.ETag))
	}
}

// compares reports whether the recordings of a day are checked by the listing.
func (r *run) compares(day string) bool { return r.config.Mode == Quick && r.inSpan(day) }

// examine judges what a recording's lines say of it, and has its bytes checked where that is asked for.
func (d *dayWork) examine(ctx context.Context, t manifest.Audited) error {
	asked := d.config.Mode != Sampled || d.config.Sample.Has(t.ID)
	d.count(func(s *Summary) {
		s.Recordings++
		if asked {
			s.Asked++
			s.Bytes += t.State.Size
		}
	})
	switch {
	case t.Unproved:
		d.add(t, Finding{Kind: Unproved, Detail: "the line that says archived has no size or no sha256"})
		if asked {
			d.checked.Add(1)
		}
		return nil
	case t.Contradicted:
		d.add(t, Finding{Kind: Contradicted, Detail: "two lines name its key with different bytes"})
	}
	if !asked || d.config.Mode == Quick {
		return nil
	}
	return d.hand(ctx, t)
}

// lookForUnseen checks the recordings that the listing did not have as they were noted.
func (r *run) lookForUnseen(ctx context.Context, d *dayWork) error {
	if !r.compares(d.day) {
		return nil
	}
	audit, err := d.audit(ctx, nil)
	if err != nil || audit == nil {
		return err
	}
	for t := range audit.Recordings() {
		if t.Unproved || !r.index.isUnseen(t.State.Key, t.ID) {
			continue
		}
		if err := d.hand(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// lookForShared names the recordings that stand under one key.
func (r *run) lookForShared(ctx context.Context, d *dayWork) error {
	if !r.inSpan(d.day) {
		return nil
	}
	audit, err := d.audit(ctx, nil)
	if err != nil || audit == nil {
		return err
	}
	for t := range audit.Recordings() {
		if r.shared[r.index.hash(t.State.Key)] {
			d.add(t, Finding{Kind: SharedKey, Detail: "another recording is noted under the same key"})
		}
	}
	return nil
}

// noteDamage notes the damaged recordings of a day, so that the next archive run fetches them again.
func (d *dayWork) noteDamage(ctx context.Context) error {
	if !d.config.Repair || len(d.damaged) == 0 {
		return nil
	}
	day, err := d.Ledger.Day(ctx, d.day)
	if err != nil {
		return fmt.Errorf("repair %s: %w", d.day, err)
	}
	defer day.Release()
	for _, damaged := range d.damaged {
		if err := d.noteOne(ctx, day, damaged); err != nil {
			return fmt.Errorf("repair %s: %w", d.day, err)
		}
	}
	return nil
}

func (d *dayWork) noteOne(ctx context.Context, day *manifest.Day, damaged damage) error {
	t := damaged.recording
	if now, _ := day.Recording(t.ID); now.Outcome != manifest.Archived || now.Key != t.State.Key || t.State.Key == "" {
		return nil // noted already, or another run has fetched it again
	}
	line := manifest.Recording{
		RecordingID: t.ID, Outcome: manifest.Damaged, Key: t.State.Key, Size: t.State.Size, Time: time.Now(),
		CallID: t.State.CallID, FirstSeen: t.State.FirstSeen, Attempts: t.State.Attempts, ETag: t.ETag,
		Reason: string(damaged.finding.Kind) + " found by verify",
	}
	if !t.Unproved {
		line.SHA256 = fmt.Sprintf("%x", t.SHA256)
	}
	if err := day.Note(ctx, line); err != nil {
		return err
	}
	d.noted.Store(true)
	d.count(func(s *Summary) { s.Reopened++ })
	return nil
}

// mend mends the manifest of the day.
func (d *dayWork) mend(ctx context.Context) error {
	mended, err := d.Ledger.Mend(ctx, d.day, "verify found faults in the lines before")
	if err != nil {
		return err
	}
	d.noted.Store(true)
	d.count(func(s *Summary) {
		s.MendedDays++
		s.KeptAside = append(s.KeptAside, mended.Aside...)
	})
	return nil
}
