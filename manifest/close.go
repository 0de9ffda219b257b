// Closes a day: reads it back and writes closed.json.

package manifest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// closeTries is the maximum number of attempts to write closed.json while other runs write it.
const closeTries = 10

// Close closes the day for line.Filter. It flushes, reads back every segment of manifest/ and calls/, so that the day
// line describes the stored data, and writes closed.json. The caller sets these fields of line: Filter, Kept,
// ListedAt, Calls, the facts from Stray to Unlistable, and Time. ErrChanged means that another run wrote to the day
// after it was loaded, so this run must not close it.
func (d *Day) Close(ctx context.Context, line DayLine) error {
	if err := d.close(ctx, line); err != nil {
		return fmt.Errorf("close day %s: %w", d.day, err)
	}
	return nil
}

func (d *Day) close(ctx context.Context, line DayLine) error {
	if !d.writable {
		return ErrReadOnly
	}
	if err := d.NoteCalls(ctx, nil); err != nil { // moves torn tails aside
		return err
	}
	return d.ledger.write(ctx, func() error { return d.writeLine(ctx, line) })
}

// writeLine completes the day line and writes closed.json.
func (d *Day) writeLine(ctx context.Context, line DayLine) error {
	l := d.ledger
	if err := l.writer.seal(ctx, d.day); err != nil {
		return err
	}
	files, err := d.lookUnchanged(ctx)
	if err != nil {
		return err
	}
	lines, err := l.seal(ctx, files.segments)
	if err != nil {
		return err
	}
	calls, err := l.files(ctx, treeCalls, d.day)
	if err != nil {
		return err
	}
	rows, err := l.seal(ctx, calls.segments)
	if err != nil {
		return err
	}
	line.vouch(lines, slices.DeleteFunc(rows, func(s sealed) bool { return s.torn > 0 })) // leaves out unrepaired segments
	if err := d.fill(&line); err != nil {
		return err
	}
	text, err := line.line()
	if err != nil {
		return err
	}
	for range closeTries {
		old, err := files.linesBut(line.Filter, lines, rows)
		if err != nil {
			return err
		}
		err = l.objects.PutFile(ctx, closedFile(d.day), append(old, text...), files.tag)
		if err == nil {
			return d.setClosing(text[:len(text)-1])
		}
		if !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("write %s: %w", closedName, err)
		}
		// Another run closed the day for another filter, or this one did and the reply was lost.
		if files, err = d.lookUnchanged(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("write %s: other runs keep writing it", closedName)
}

// vouch adds segments to a day line.
func (d *DayLine) vouch(lines, rows []sealed) {
	d.Segments, d.CallsSegments = []Segment{}, []Segment{}
	for _, s := range lines {
		d.Segments = append(d.Segments, s.Segment)
	}
	for _, s := range rows {
		d.CallsSegments = append(d.CallsSegments, s.Segment)
	}
	d.Root, d.Lines = root(lines)
	d.CallsRoot, _ = root(rows)
}

// linesBut returns the lines of closed.json except the one for a filter. The day line in the file of an older
// version, which counts until closed.json exists, is added to them.
func (s *standing) linesBut(filter string, lines, rows []sealed) (text []byte, err error) {
	for _, raw := range s.unknown {
		text = append(append(text, raw...), '\n')
	}
	for _, c := range s.closings {
		raw := c.raw
		if c.line.Filter == filter {
			continue
		}
		if raw == nil {
			isOld := func(list []sealed) []sealed {
				return slices.DeleteFunc(slices.Clone(list), func(one sealed) bool { return !c.named[one.Name] })
			}
			c.line.vouch(isOld(lines), isOld(rows)) // in both folders it is DAY.jsonl
			if raw, err = c.line.line(); err != nil {
				return nil, err
			}
		}
		text = append(append(text, bytes.TrimSuffix(raw, []byte("\n"))...), '\n')
	}
	return text, nil
}

// lookUnchanged lists the files of the day, and returns ErrChanged if this run has neither read nor written one
// of the segments. A missing segment shows in the number of lines.
func (d *Day) lookUnchanged(ctx context.Context) (standing, error) {
	files, err := d.ledger.look(ctx, d.day)
	if err == nil && d.holdsErased() {
		err = ErrChanged
	}
	for _, s := range files.segments {
		if size, read := d.sizes[s.file]; err == nil && !d.ledger.isOwn(s) && (!read || size != s.size) {
			err = ErrChanged
		}
	}
	return files, err
}

// holdsErased reports whether a recording was erased or expired, or an erasure withdrawn, since the day was read.
func (d *Day) holdsErased() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	erasures := d.ledger.erasures.Load()
	if len(erasures.expiring(d.day)) != len(d.erasures.expiring(d.day)) {
		return true
	}
	return erasures != d.erasures && slices.ContainsFunc(d.fold.list, func(e *entry) bool {
		_, erased := erasures.Of(e.id(), e.part(partCallID))
		_, was := d.erasures.Of(e.id(), e.part(partCallID))
		return erased && e.outcome != Erased || was && !erased
	})
}

// fill completes the day line from the state of the recordings.
func (d *Day) fill(line *DayLine) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if line.Lines != d.lines {
		return fmt.Errorf("%d lines written, %d found in the store: %w", d.lines, line.Lines, ErrChanged)
	}
	line.Day, line.Closed, line.Run, line.Time = d.day, true, d.ledger.run, timeOrNow(line.Time)
	d.count(line)
	return nil
}

// count counts the recordings in a day line.
func (d *Day) count(line *DayLine) {
	line.Recordings, line.ByOutcome, line.Bytes = len(d.fold.list), map[Outcome]int{}, 0
	for _, e := range d.fold.list {
		line.ByOutcome[e.outcome]++
		if e.outcome == Archived {
			line.Bytes += e.size
		}
	}
}

// setClosing replaces the day line for a filter with one that this run wrote.
func (d *Day) setClosing(text []byte) error {
	c, err := newClosing(d.day, text)
	if err != nil {
		return err
	}
	c.file = closedFile(d.day)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closings = append(slices.DeleteFunc(slices.Clone(d.closings), func(old *closing) bool {
		return old.line.Filter == c.line.Filter
	}), c)
	return nil
}
