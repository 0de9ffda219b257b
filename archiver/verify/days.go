// Verifies one day, and repairs its lines.

package verify

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/manifest"
)

// listDays lists the existing days of the span.
func (r *run) listDays(ctx context.Context) error {
	for day, err := range r.Ledger.Days(ctx) {
		if err != nil {
			return fmt.Errorf("list the days of the manifest: %w", err)
		}
		if day >= r.Config.From && (r.Config.To == "" || day <= r.Config.To) {
			r.count(func(s *Summary) {
				r.days = append(r.days, day)
				s.Days++
			})
		}
	}
	return nil
}

// dayWork is the work on one day.
type dayWork struct {
	run    *run
	day    string
	owed   sync.WaitGroup // recordings queued and not checked yet
	faults int

	mu      sync.Mutex
	repairs []repair
}

// target is a recording to check.
type target struct {
	id string
	manifest.State
}

// isProved reports whether the deciding line has the size and hash of the bytes.
func (t *target) isProved() bool { return t.Size > 0 && t.SHA256 != [32]byte{} }

// repair is the line to note about a recording.
type repair struct {
	target target
	kind   Kind
	back   bool // the noted bytes are stored under its key
}

// add records a finding of a recording. It is safe for concurrent use.
func (d *dayWork) add(t target, f Finding, back bool) {
	f.Day, f.RecordingID, f.Key = d.day, t.id, t.Key
	d.run.find(f)
	if f.Kind.OfRecording() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.repairs = append(d.repairs, repair{target: t, kind: f.Kind, back: back})
	}
}

// hand queues a recording for a check when a slot is free.
func (d *dayWork) hand(check func()) {
	d.run.slots <- struct{}{}
	d.owed.Go(func() {
		check()
		<-d.run.slots
	})
}

// readDays checks the days, a few in parallel, and repairs each.
func (r *run) readDays(ctx context.Context) error {
	group, days := errgroup.WithContext(ctx)
	group.SetLimit(daysAtOnce)
	for _, day := range r.days {
		group.Go(func() error {
			r.count(func(*Summary) { r.daysBegun++ })
			d := &dayWork{run: r, day: day}
			err := d.look(days)
			d.owed.Wait()
			if err == nil && ctx.Err() == nil {
				r.count(func(s *Summary) { s.DaysDone++ })
			}
			if err != nil || !r.Config.Repair {
				return err
			}
			if err := d.repair(days); err != nil {
				return fmt.Errorf("repair %s: %w", day, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// look checks the manifest of a day, and its recordings. A day that cannot be read now is a finding.
func (d *dayWork) look(ctx context.Context) error {
	day, err := d.run.Ledger.Read(ctx, d.day, nil, d.takeFault)
	if err == nil {
		err = d.lookAtRows(ctx)
	}
	if endsRun(ctx, err) {
		return err
	}
	if err != nil {
		d.run.find(Finding{Kind: NotReadable, Day: d.day, Detail: fmt.Sprintf("the manifest: %v", withoutPath(err))})
		d.run.noteTrouble(err)
		return nil
	}
	d.run.count(func(s *Summary) { s.CallsDropped += day.CallsDropped() })
	for id, state := range day.Recordings() {
		if ctx.Err() != nil {
			break
		}
		d.examine(ctx, target{id, state})
	}
	return ctx.Err()
}

// lookAtRows finds the lines of calls/ that cannot be read. A day may have been closed with such a line, so that its
// hashes do not show it.
func (d *dayWork) lookAtRows(ctx context.Context) error {
	return d.run.Ledger.ReadCalls(ctx, d.day, func(manifest.Call) error { return nil }, func(f manifest.Fault) {
		_ = d.takeFault(f) // it returns no error
	})
}

func (d *dayWork) takeFault(f manifest.Fault) error {
	if f.Written.After(d.run.started) {
		return nil // a run is currently writing it
	}
	d.faults++
	kind := Kind(f.Kind)
	if kind == BadLine && strings.HasPrefix(f.File, string(manifest.TreeCalls)+"/") {
		kind = BadCallLine
	}
	d.run.find(Finding{Kind: kind, Day: d.day, File: f.File, Line: f.Line, Detail: f.Reason})
	return nil
}

// endsRun reports whether an error of the ledger concerns more than one day.
func endsRun(ctx context.Context, err error) bool {
	_, later := errors.AsType[*manifest.VersionError](err)
	return err != nil && (later || ctx.Err() != nil)
}

// examine judges the state of a recording, and queues a check of its bytes if requested. Earlier damage stays a
// finding until the recording is downloaded or found again; otherwise a repair without a following archive run
// would hide it.
func (d *dayWork) examine(ctx context.Context, t target) {
	if t.Outcome == manifest.Damaged {
		d.run.count(func(s *Summary) { s.Recordings++ })
		d.hand(func() { d.checkKnown(ctx, t, KnownDamaged) })
	}
	if t.Outcome == manifest.Expired {
		d.run.count(func(s *Summary) { s.Expired++ })
	}
	if t.Outcome != manifest.Archived {
		return
	}
	asked := d.run.Config.Mode != Sampled || d.run.Config.Sample.Has(t.id)
	d.run.count(func(s *Summary) {
		s.Recordings++
		if asked {
			s.Asked++
			s.Bytes += t.Size
		}
	})
	key := d.run.index.hash(t.Key)
	if d.run.index.contradicted[key] {
		d.hand(func() { d.checkKnown(ctx, t, Contradicted) })
	}
	switch {
	case !t.isProved():
		d.add(t, Finding{Kind: Unproved, Detail: "its manifest line has no size or no SHA-256"}, false)
		if asked {
			d.run.checked.Add(1)
		}
	case !asked:
	case d.run.Config.Mode == Quick && d.run.blind == nil && !d.run.index.allUnseen && !d.run.index.unseen[key]:
		d.run.checked.Add(1)
	default:
		d.hand(func() { d.check(ctx, t) })
	}
}

// repair repairs the manifest of a day, and notes its damaged recordings, so that the next archive run fetches them
// again.
func (d *dayWork) repair(ctx context.Context) error {
	if d.faults > 0 {
		mended, err := d.run.Ledger.Mend(ctx, d.day, "verify found faults in the lines above")
		if err != nil {
			return err
		}
		d.run.count(func(s *Summary) {
			s.MendedDays++
			s.CallsDropped += mended.CallsDropped
			s.KeptAside = append(s.KeptAside, mended.Aside...)
		})
	}
	if len(d.repairs) == 0 {
		return nil
	}
	return d.note(ctx)
}

// note notes recordings as damaged, unless another run has downloaded them again meanwhile, and as restored if
// the noted bytes are stored under their key.
func (d *dayWork) note(ctx context.Context) error {
	day, err := d.run.Ledger.Load(ctx, d.day)
	if err != nil {
		return err
	}
	var lines []manifest.Recording
	reopened, restored := 0, 0
	done := map[string]bool{}
	for _, r := range d.repairs {
		t := r.target
		now, _ := day.Recording(t.id)
		if done[t.id] || now.Outcome != t.Outcome || now.Key != t.Key || t.Key == "" {
			continue
		}
		done[t.id] = true
		line := manifest.Recording{
			RecordingID: t.id, Key: t.Key, Size: t.Size, CallID: t.CallID, Attempts: t.Attempts,
			ContentType: t.ContentType, ETag: t.ETag, Host: t.Host, Source: t.Source,
		}
		if t.SHA256 != [32]byte{} {
			line.SHA256 = hex.EncodeToString(t.SHA256[:])
		}
		if t.Outcome == manifest.Archived {
			line.Outcome, line.Reason = manifest.Damaged, string(r.kind)+" found by verify"
			lines = append(lines, line)
		}
		if r.back {
			line.Outcome, line.Restored, line.Reason = manifest.Archived, true, "verify found the file intact again"
			lines = append(lines, line)
			restored++
		} else if t.Outcome == manifest.Archived {
			reopened++
		}
	}
	if err := day.Note(ctx, lines...); err != nil && !errors.Is(err, manifest.ErrUnflushed) {
		return err
	}
	if err := day.Flush(ctx); err != nil {
		return err
	}
	d.run.count(func(s *Summary) {
		s.Reopened += reopened
		s.Restored += restored
	})
	return nil
}
