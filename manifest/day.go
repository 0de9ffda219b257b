// Defines a call day with all its lines.

package manifest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"
)

// Day is the folded state of one call day. It has one owner; Note may be called concurrently, also with reads.
type Day struct {
	ledger   *Ledger
	day      string
	writable bool
	sizes    map[string]int64 // of the segments that were read, by file
	hasBad   bool             // unreadable lines were skipped
	erasures *Erasures        // applied to the lines when they were read; nil for none
	expired  map[string]*ExpiryRecord
	hides    bool // some lines must be hidden
	calls    callRows

	mu       sync.RWMutex
	fold     fold
	windows  []Window
	closings []*closing
	lines    int64 // number of lines read or noted
	dropped  int   // lines of calls/ that repairs dropped
	v        view  // scratch of take
}

// Name returns the day as 2006-01-02.
func (d *Day) Name() string { return d.day }

// Count returns the number of known recordings.
func (d *Day) Count() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.fold.list)
}

// Recording returns the state of a recording, false if it has no line.
func (d *Day) Recording(id string) (State, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	e := d.fold.index[id]
	if e == nil {
		return State{}, false
	}
	return e.state(), true
}

// Recordings yields every recording in the order of its first line. Lines may be noted meanwhile.
func (d *Day) Recordings() iter.Seq2[string, State] {
	return func(yield func(string, State) bool) {
		for i := 0; ; i++ {
			d.mu.RLock()
			if i == len(d.fold.list) {
				d.mu.RUnlock()
				return
			}
			e := d.fold.list[i]
			id, state := e.id(), e.state()
			d.mu.RUnlock() // not held during the callback, which may note lines
			if !yield(id, state) {
				return
			}
		}
	}
}

// Windows returns all window lines, in the order of reading or noting.
func (d *Day) Windows() []Window {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Clone(d.windows)
}

// Lines returns the valid day lines.
func (d *Day) Lines() []DayLine {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var lines []DayLine
	for _, c := range d.closings {
		if c.holds() {
			lines = append(lines, c.line)
		}
	}
	return lines
}

// CallsDropped returns the number of unreadable lines of calls/ that repairs dropped.
func (d *Day) CallsDropped() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.dropped
}

// take folds a line without its line feed into the day and returns its kind. late are the day lines without its
// segment.
func (d *Day) take(text []byte, late []*closing) (kind string, bad error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	kind, bad = parseLine(text, &d.v)
	if bad != nil {
		return "", bad
	}
	var e *entry
	switch kind {
	case kindRecording:
		if erasure, erased := d.erasures.of(d.v.id, d.v.callID); erased {
			d.hides = d.hides || !d.v.isBare()
			d.v.erase(erasure)
		} else if expiry := d.expired[string(d.v.id)]; expiry != nil {
			d.hides = true
			d.v.expire(expiry)
		}
		e = d.fold.add(&d.v)
	case kindWindow:
		w, err := decodeWindow(text)
		if err != nil {
			return "", err
		}
		d.windows = append(d.windows, w)
	case kindRepair:
		var r repairLine
		if json.Unmarshal(text, &r) == nil {
			d.dropped += r.CallsDropped
		}
	}
	for _, c := range late {
		c.note(kind, e, Outcome(d.v.outcome))
	}
	d.lines++
	return kind, nil
}

// shown returns the visible part of the last line read.
func (d *Day) shown(line []byte) ([]byte, error) {
	if d.erasures.isEmpty() {
		return line, nil
	}
	text, _, err := d.erasures.stubOf(line, TreeManifest, d.day)
	return text, err
}

// IsErased reports whether a recording, known or not, or its call was erased, so it must not be fetched or noted.
func (d *Day) IsErased(recordingID, callID string) bool {
	_, erased := d.ledger.erasures.Load().Of(recordingID, callID)
	return erased
}

// Note appends lines of recordings. For an erased recording it only notes the erasure, once. On disk, the lines are
// durable when it returns nil; in a bucket they are buffered in memory, and stored when the day's lines reach 1 MiB, by
// Flush and by Close; see ErrUnflushed. It advances a line's time so that it is at least one second later than that of
// the line it replaces.
func (d *Day) Note(ctx context.Context, recordings ...Recording) error {
	var lines []byte
	latest := map[string]time.Time{} // for repeated ones
	erasures := d.ledger.erasures.Load()
	for _, r := range recordings {
		var line []byte
		var err error
		if erasure, erased := erasures.Of(r.RecordingID, r.CallID); !erased {
			line, err = d.complete(r, latest)
		} else {
			d.ledger.leaveOut(r)
			if _, known := d.Recording(r.RecordingID); !known {
				line, err = bareLine(r.RecordingID, r.CallID, erasure)
			}
		}
		if err != nil {
			return fmt.Errorf("save the line of recording %s: %w", r.RecordingID, err)
		}
		lines = append(lines, line...)
	}
	if err := d.append(ctx, lines); err != nil {
		return fmt.Errorf("save lines of recordings of %s: %w", d.day, err)
	}
	return nil
}

// complete fills in missing fields, and encodes the line.
func (d *Day) complete(r Recording, latest map[string]time.Time) ([]byte, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	r.Time, r.Run = timeOrNow(r.Time), cmp.Or(r.Run, d.ledger.run)
	r.FirstSeen = seconds(r.FirstSeen)
	old, known := latest[r.RecordingID]
	e := d.fold.index[r.RecordingID]
	if e != nil {
		if !known {
			old, known = unixTime(e.time), true
		}
		if r.FirstSeen.IsZero() {
			r.FirstSeen = unixTime(e.first)
		}
	}
	if known && !r.Time.After(old) {
		r.Time = old.Add(time.Second)
	}
	if r.FirstSeen.IsZero() {
		r.FirstSeen = r.Time
	}
	latest[r.RecordingID] = r.Time
	return r.line()
}

// NoteWindows appends window lines. The caller must have noted every recording of the windows, and in a bucket must
// have flushed those of other days.
func (d *Day) NoteWindows(ctx context.Context, windows ...Window) error {
	var lines []byte
	for _, w := range windows {
		w.Time, w.Run = timeOrNow(w.Time), cmp.Or(w.Run, d.ledger.run)
		line, err := w.line()
		if err != nil {
			return fmt.Errorf("save the listing of %s: %w", d.day, err)
		}
		lines = append(lines, line...)
	}
	if err := d.append(ctx, lines); err != nil {
		return fmt.Errorf("save the listing of %s: %w", d.day, err)
	}
	return nil
}

// append writes complete lines to the day and folds them in.
func (d *Day) append(ctx context.Context, lines []byte) error {
	if !d.writable {
		return ErrReadOnly
	}
	if len(lines) == 0 {
		return nil
	}
	err := d.ledger.append(ctx, treeManifest, d.day, lines)
	if err != nil && !errors.Is(err, ErrUnflushed) {
		return err
	}
	d.mu.RLock()
	late := d.closings // none of them contains a segment written now
	d.mu.RUnlock()
	for line := range bytes.Lines(lines) {
		if _, bad := d.take(line[:len(line)-1], late); bad != nil {
			return errors.Join(err, bad)
		}
	}
	return err
}

// Flush stores the buffered lines of this day in the bucket, call rows first.
func (d *Day) Flush(ctx context.Context) error { return d.ledger.flush(ctx, d.day) }
