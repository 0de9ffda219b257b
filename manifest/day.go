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

// Day is one call day with all its lines folded. It has one owner; Note may be called by several goroutines at
// once, and reading meanwhile is safe.
type Day struct {
	ledger   *Ledger
	day      string
	writable bool
	sizes    map[string]int64 // of the segments that were read, by file
	hasBad   bool             // lines that cannot be read were left out
	erasures *Erasures        // applied to the lines when they were read; nil for none
	expired  map[string]*ExpiryRecord
	hides    bool // lines tell more than may be shown
	calls    callRows

	mu       sync.RWMutex
	fold     fold
	windows  []Window
	closings []*closing
	lines    int64 // that were read or noted
	dropped  int   // lines of calls/ that repairs have left out
	v        view  // scratch of take
}

// Name returns the day as 2006-01-02.
func (d *Day) Name() string { return d.day }

// Count returns how many recordings are known of the day.
func (d *Day) Count() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.fold.list)
}

// Recording returns what is known of a recording, false when no line names it.
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
			d.mu.RUnlock() // not held while the caller works: it may note lines
			if !yield(id, state) {
				return
			}
		}
	}
}

// Windows returns all window lines, in the order in which they were read or noted.
func (d *Day) Windows() []Window {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Clone(d.windows)
}

// Lines returns the day lines that hold.
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

// CallsDropped returns how many lines of calls/ repairs have left out, because they could not be read.
func (d *Day) CallsDropped() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.dropped
}

// take folds a line without its line feed into the day and returns its kind. late are the day lines that do not name
// its segment.
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

// shown returns what may be shown of the line that was read last.
func (d *Day) shown(line []byte) ([]byte, error) {
	if d.erasures.isEmpty() {
		return line, nil
	}
	text, _, err := d.erasures.stubOf(line, TreeManifest, d.day)
	return text, err
}

// IsErased reports whether a recording of a call is not to be fetched or noted any more, known or not: it or its call was
// erased.
func (d *Day) IsErased(recordingID, callID string) bool {
	_, erased := d.ledger.erasures.Load().Of(recordingID, callID)
	return erased
}

// Note appends lines of recordings. Of one that was erased it notes no more than that, and nothing where it is known. On
// disk they are durable when it returns nil; in a bucket they are held in
// memory, and put when the day's lines reach 1 MiB, by Flush and by Close; see ErrUnflushed. A line's time is
// moved on when it is not at least one second later than that of the line it replaces.
func (d *Day) Note(ctx context.Context, recordings ...Recording) error {
	var lines []byte
	latest := map[string]time.Time{} // of those that come twice
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

// NoteWindows appends window lines. The caller has noted every recording of the windows before, and in a bucket has
// flushed those of other days.
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

// append writes whole lines to the day and folds them in.
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
	late := d.closings // none of them names a segment that is written now
	d.mu.RUnlock()
	for line := range bytes.Lines(lines) {
		if _, bad := d.take(line[:len(line)-1], late); bad != nil {
			return errors.Join(err, bad)
		}
	}
	return err
}

// Flush stores the lines of this day that are held in memory in the bucket, the call rows first.
func (d *Day) Flush(ctx context.Context) error { return d.ledger.flush(ctx, d.day) }
