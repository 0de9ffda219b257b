// Appends call rows to calls/, and reads them.

package manifest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

// callRows remembers the last noted row of each call.
type callRows struct {
	mu   sync.Mutex // held while rows are noted, so that none is noted twice
	seed maphash.Seed
	// rows has the hashes of ids and rows. If the hashes of two ids are equal, their rows are only noted again.
	rows map[uint64]uint64 // nil until loaded
}

// NoteCalls appends to calls/ rows that are new or differ from the last noted one of their call, except those of
// erased calls. A row's links must have been dropped by the caller. Durability is as of Note.
func (d *Day) NoteCalls(ctx context.Context, calls []Call) error {
	d.calls.mu.Lock()
	defer d.calls.mu.Unlock()
	if err := d.noteCalls(ctx, calls); err != nil {
		return fmt.Errorf("save calls of %s: %w", d.day, err)
	}
	return nil
}

// begin notes the first line of a new day before its call rows, because a day in calls/ that is not
// in manifest/ has lost its manifest.
func (d *Day) begin(ctx context.Context) error {
	d.mu.RLock()
	known := d.lines > 0 || len(d.closings) > 0
	d.mu.RUnlock()
	if known {
		return nil
	}
	return d.noteKind(ctx, kindBegin)
}

// noteKind notes a line that has only its kind.
func (d *Day) noteKind(ctx context.Context, kind string) error {
	line, err := encodeSalted(beginLine{header: header{lineVersion, kind}, Day: d.day, Time: seconds(time.Now()), Run: d.ledger.run}, maxLine)
	if err != nil {
		return err
	}
	if err := d.append(ctx, line); err != nil && !errors.Is(err, ErrUnflushed) {
		return err
	}
	return nil
}

func (d *Day) noteCalls(ctx context.Context, calls []Call) error {
	if !d.writable {
		return ErrReadOnly
	}
	if err := d.loadCalls(ctx); err != nil {
		return err
	}
	var lines []byte
	changed := map[uint64]uint64{}
	erasures := d.ledger.erasures.Load()
	for _, c := range calls {
		if _, erased := erasures.Call(c.CallID); erased {
			continue
		}
		c.Time, c.Run = timeOrNow(c.Time), cmp.Or(c.Run, d.ledger.run)
		line, row, err := c.line()
		if err != nil {
			return fmt.Errorf("call %s: %w", c.CallID, err)
		}
		id, hash := maphash.String(d.calls.seed, c.CallID), maphash.Bytes(d.calls.seed, row)
		old, known := changed[id]
		if !known {
			old, known = d.calls.rows[id]
		}
		if !known || old != hash {
			lines = append(lines, line...)
			changed[id] = hash
		}
	}
	if len(lines) == 0 {
		return nil
	}
	if err := d.begin(ctx); err != nil {
		return err
	}
	err := d.ledger.append(ctx, treeCalls, d.day, lines)
	if err == nil || errors.Is(err, ErrUnflushed) {
		for id, hash := range changed {
			d.calls.rows[id] = hash
		}
	}
	return err
}

// loadCalls reads the rows noted before the day was loaded, once. An unreadable line only causes a row to be noted
// again, so it is just logged.
func (d *Day) loadCalls(ctx context.Context) error {
	if d.calls.rows != nil {
		return nil
	}
	seed, rows := maphash.MakeSeed(), map[uint64]uint64{}
	err := d.ledger.readCalls(ctx, d.day, true, func(c Call) error {
		rows[maphash.String(seed, c.CallID)] = maphash.Bytes(seed, c.Row)
		return nil
	}, nil)
	if err == nil {
		d.calls.seed, d.calls.rows = seed, rows
	}
	return err
}

// Calls calls visit with every line of a day in calls/, in the order of writing: the last row of a call counts. The row
// of an erased call is {}. Unreadable lines are skipped with a warning. An error of visit ends the reading.
func (l *Ledger) Calls(ctx context.Context, day string, visit func(Call) error) error {
	if err := checkDay(day); err != nil {
		return err
	}
	return l.readCalls(ctx, day, false, visit, nil)
}

// ReadCalls is like Calls, but calls fault for unreadable lines.
func (l *Ledger) ReadCalls(ctx context.Context, day string, visit func(Call) error, fault func(Fault)) error {
	if err := checkDay(day); err != nil {
		return err
	}
	return l.readCalls(ctx, day, false, visit, fault)
}

// readCalls implements Calls. With tidy, it moves torn tails aside, and makes files of killed runs
// durable.
func (l *Ledger) readCalls(ctx context.Context, day string, tidy bool, visit func(Call) error, fault func(Fault)) error {
	if _, err := l.obey(ctx); err != nil {
		return err
	}
	files, err := l.files(ctx, treeCalls, day)
	if err != nil {
		return err
	}
	for _, s := range files.segments {
		r, err := l.readRows(ctx, day, s, visit, fault)
		if err == nil && r.torn && tidy {
			_, err = l.tidy(ctx, r)
		}
		if err == nil && tidy {
			err = l.settle(ctx, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *Ledger) readRows(ctx context.Context, day string, s segment, visit func(Call) error, fault func(Fault)) (*reader, error) {
	r := l.read(ctx, s, maxCallLine, soundRows(nil, s))
	defer r.close()
	erasures := l.erasures.Load()
	broken := 0
	for r.next() {
		var c Call
		bad := r.bad
		if bad == nil {
			c, bad = parseCall(r.line)
		}
		if _, erased := erasures.Call(c.CallID); erased {
			c.erase()
		}
		if bad == nil && c.CallID != "" {
			if err := visit(c); err != nil {
				return r, err
			}
		}
		if bad != nil {
			broken++
			line, err := r.badLine(day, bad)
			if err != nil {
				return r, l.noteLater(err)
			}
			if fault != nil {
				fault(Fault{Kind: FaultBadLine, File: line.File, Line: line.Line, Reason: line.Reason})
			}
		}
	}
	if broken > 0 {
		l.log.Warn("lines of the call rows cannot be read", "file", s.file, "lines", broken)
	}
	return r, r.err
}
