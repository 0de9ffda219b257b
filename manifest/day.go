package manifest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"iter"
	"maps"
	"path"
	"slices"
	"sync"
	"time"
)

// Day is one call day with all its lines folded. It is safe for concurrent use, and not to be used after
// its Release.
type Day struct {
	ledger *Ledger
	day    string
	refs   int // guarded by ledger.mu

	loading sync.Mutex // held while the lines are read
	loaded  bool       // guarded by loading

	mu      sync.RWMutex
	fold    fold
	lines   int64
	sum     hash.Hash // over the bytes of all lines, in the order in which they were read or written
	closing *DayLine  // the day line, while it is last and holds
	v       view      // scratch of absorb

	calls callRows

	segments map[string]bool // S3: names of the segments that were read; written only while loading

	each func(Line) // told every line while loading; set in a day of ReadDay alone, which takes no lines
}

// Name returns the day as 2006-01-02.
func (d *Day) Name() string { return d.day }

// Recording returns what is known of a recording, false when no line names it.
func (d *Day) Recording(id string) (State, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	i, ok := d.fold.find([]byte(id))
	if !ok {
		return State{}, false
	}
	return d.fold.state(i), true
}

// Count returns how many recordings are known of the day.
func (d *Day) Count() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.fold.entries.n
}

// Recordings yields every recording in the order of its first line. Lines may be noted meanwhile.
func (d *Day) Recordings() iter.Seq2[string, State] {
	return func(yield func(string, State) bool) {
		for i := 0; ; i++ {
			d.mu.RLock()
			if i == d.fold.entries.n {
				d.mu.RUnlock()
				return
			}
			id, state := d.fold.entries.at(i).id(), d.fold.state(uint32(i))
			d.mu.RUnlock() // not held while the caller works: it may note lines
			if !yield(id, state) {
				return
			}
		}
	}
}

// Closed returns the day line if the day is closed.
func (d *Day) Closed() (DayLine, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closing == nil {
		return DayLine{}, false
	}
	return *d.closing, true
}

// Note appends a recording's line. It is durable when Note returns nil (S3: in the spool), and the day's
// state has it. A context that ends while the line is being written does not stop it.
func (d *Day) Note(ctx context.Context, r Recording) error {
	r.Time = secondsOr(r.Time, time.Now())
	r.Run = d.ledger.runOr(r.Run)
	if r.FirstSeen.IsZero() {
		r.FirstSeen = d.firstSeen(r)
	}
	line, err := r.line()
	if err != nil {
		return fmt.Errorf("note recording %s: %w", r.RecordingID, err)
	}
	if err := d.append(ctx, line); err != nil {
		return fmt.Errorf("note recording %s: %w", r.RecordingID, err)
	}
	return nil
}

func (d *Day) firstSeen(r Recording) time.Time {
	if s, ok := d.Recording(r.RecordingID); ok {
		return s.FirstSeen
	}
	return r.Time
}

// NoteWindow appends window lines, durable when it returns nil. It is for the caller to have noted
// every recording of the windows before.
func (d *Day) NoteWindow(ctx context.Context, windows ...Window) error {
	var data []byte
	for _, w := range windows {
		w.Time = secondsOr(w.Time, time.Now())
		w.Run = d.ledger.runOr(w.Run)
		line, err := w.line()
		if err != nil {
			return fmt.Errorf("note window of %s: %w", d.day, err)
		}
		data = append(data, line...)
	}
	if len(data) == 0 {
		return nil
	}
	if err := d.append(ctx, data); err != nil {
		return fmt.Errorf("note window of %s: %w", d.day, err)
	}
	return nil
}

// append writes whole lines to the day and folds them in.
func (d *Day) append(ctx context.Context, data []byte) error {
	if d.each != nil {
		return ErrReadOnly
	}
	return d.ledger.append(ctx, &change{name: fileName(treeManifest, d.day), data: data, durable: d.absorb})
}

// Close closes the day for line.Filter: it appends the day line, whose counts it takes from the day's
// state. Of line it uses Filter, Kept, ListedAt, Calls and Time. Anything appended later opens the day again.
// On S3 all lines of the day are uploaded and read back first; ErrChanged says that another run wrote to
// the day after it was loaded, so that this run must not vouch for it.
func (d *Day) Close(ctx context.Context, line DayLine) error {
	line.Time = secondsOr(line.Time, time.Now())
	line.Day, line.Closed, line.Run = d.day, true, d.ledger.run
	line.Segments, line.LastSegment = 0, ""
	if d.each != nil {
		return fmt.Errorf("close day %s: %w", d.day, ErrReadOnly)
	}
	if err := d.ledger.closeDay(ctx, d, line); err != nil {
		return fmt.Errorf("close day %s: %w", d.day, err)
	}
	return nil
}

// Release gives the memory back when every caller of Ledger.Day for this day has called it.
func (d *Day) Release() { d.ledger.release(d) }

// fill completes a day line from the state.
func (d *Day) fill(line *DayLine) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	line.ByOutcome, line.Bytes = d.fold.tally()
	line.Recordings = d.fold.entries.n
	line.Lines, line.SHA256 = d.lines, hex.EncodeToString(d.sum.Sum(nil))
}

// setClosed records that the day was closed outside its lines, in closed.json.
func (d *Day) setClosed(line DayLine) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lines == line.Lines { // else a line was noted meanwhile, which opens the day
		d.closing = &line
	}
}

// load reads the day's lines. It is called with loading held, before anyone else has the Day.
func (d *Day) load(ctx context.Context) error {
	d.mu.Lock()
	d.fold, d.lines, d.sum, d.closing = fold{}, 0, sha256.New(), nil
	d.mu.Unlock()
	d.segments = map[string]bool{}
	closed := closedKey(d.day)
	for line, err := range lines(ctx, d.day, d.noteSegments(d.ledger.medium.pieces(ctx, treeManifest, d.day)), maxLine) {
		kind := ""
		switch {
		case line.file == closed:
			kind, err = d.absorbClosed(line, err)
		case err == nil:
			if kind, err = d.absorbLine(line.text); err != nil {
				err = line.fault(d.day, err)
			}
		}
		if err != nil {
			return err
		}
		if d.each != nil {
			d.each(Line{File: line.file, Number: line.n, Kind: kind, Raw: bytes.TrimSuffix(line.text, []byte("\n"))})
		}
	}
	return nil
}

// noteSegments remembers the names of the segments that are read, empty ones too.
func (d *Day) noteSegments(pieces iter.Seq2[piece, error]) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		for p, err := range pieces {
			if err == nil && p.name != closedKey(d.day) {
				d.segments[path.Base(p.name)] = true
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

// absorbClosed takes in closed.json, which is read after every segment and is no line of the day. One that
// cannot be read, whose kind is then empty, only leaves the day open; closing it again replaces it.
func (d *Day) absorbClosed(line rawLine, err error) (kind string, _ error) {
	if bad := (*BadLineError)(nil); errors.As(err, &bad) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text := line.text[:len(line.text)-1]
	h, err := parseHeader(text)
	if err != nil {
		if later := laterVersion(0); errors.As(err, &later) {
			return "", line.fault(d.day, err)
		}
		return "", nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	closing, err := d.closingLine(text)
	if err == nil && closing != nil && closing.stands(slices.Collect(maps.Keys(d.segments))) {
		d.closing = closing
	}
	return h.Kind, nil
}

// absorb takes in whole lines that have become durable.
func (d *Day) absorb(data []byte) error {
	for line := range bytes.Lines(data) {
		if _, err := d.absorbLine(line); err != nil {
			return err
		}
	}
	return nil
}

// absorbLine takes in one line with its line feed, and returns its kind.
func (d *Day) absorbLine(line []byte) (kind string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	text := line[:len(line)-1]
	kind, err = parseLine(text, &d.v)
	if err != nil {
		return "", err
	}
	d.closing = nil
	switch kind {
	case kindRecording:
		d.fold.add(&d.v)
	case kindDay:
		if d.closing, err = d.closingLine(text); err != nil {
			return "", err
		}
	}
	d.lines++
	d.sum.Write(line)
	return kind, nil
}

// closingLine returns the day line in text if it agrees with the lines before it.
func (d *Day) closingLine(text []byte) (*DayLine, error) {
	var l dayLine
	if err := decodeKind(text, &l, &l.header, kindDay); err != nil {
		return nil, err
	}
	if !d.agrees(l.DayLine) {
		d.ledger.log.Warn("the day line does not agree with the lines before it, the day counts as open", "day", d.day)
		return nil, nil
	}
	return &l.DayLine, nil
}

func (d *Day) agrees(l DayLine) bool {
	return l.holds() && l.Day == d.day && l.Lines == d.lines && l.SHA256 == hex.EncodeToString(d.sum.Sum(nil))
}
