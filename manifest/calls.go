package manifest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

// callRows remembers which row of each call was noted last.
type callRows struct {
	mu     sync.Mutex // held while rows are noted, so that one is not noted twice
	seed   maphash.Seed
	rows   rowHashes
	loaded bool
}

// NoteCall is NoteCalls for one row.
func (d *Day) NoteCall(ctx context.Context, c Call) error { return d.NoteCalls(ctx, []Call{c}) }

// NoteCalls appends to calls/ those rows that are new or differ from what was noted last for their call;
// they are durable when it returns nil. A row's links must have been dropped by the caller.
func (d *Day) NoteCalls(ctx context.Context, calls []Call) error {
	d.calls.mu.Lock()
	defer d.calls.mu.Unlock()
	if d.ledger.files == nil || d.each != nil {
		return ErrReadOnly
	}
	if d.ledger.isShut() {
		return ErrClosed
	}
	if err := d.loadCalls(ctx); err != nil {
		return fmt.Errorf("note calls of %s: %w", d.day, err)
	}
	data, changed, err := d.newCalls(calls)
	if err == nil && len(data) > 0 {
		err = d.ledger.append(ctx, &change{name: fileName(treeCalls, d.day), data: data})
	}
	if err != nil {
		return fmt.Errorf("note calls of %s: %w", d.day, err)
	}
	for _, slot := range changed.slots {
		if slot.id != 0 {
			d.calls.rows.set(slot.id, slot.row)
		}
	}
	return nil
}

// newCalls encodes the rows that are not known yet, all of them in one buffer.
func (d *Day) newCalls(calls []Call) (data []byte, changed *rowHashes, err error) {
	changed = new(rowHashes)
	var lines bytes.Buffer
	lines.Grow(sizeOf(calls))
	for _, c := range calls {
		c.Time = secondsOr(c.Time, time.Now())
		c.Run = d.ledger.runOr(c.Run)
		begin := lines.Len()
		row, err := c.appendTo(&lines)
		if err != nil {
			return nil, nil, fmt.Errorf("call %s: %w", c.CallID, err)
		}
		id, hash := rowID(maphash.String(d.calls.seed, c.CallID)), maphash.Bytes(d.calls.seed, row)
		old, known := changed.get(id)
		if !known {
			old, known = d.calls.rows.get(id)
		}
		if known && old == hash {
			lines.Truncate(begin)
			continue
		}
		changed.set(id, hash)
	}
	return lines.Bytes(), changed, nil
}

// sizeOf returns how many bytes the lines of rows take, or a little more.
func sizeOf(calls []Call) (size int) {
	const head = 128 // what stands before the row, without the call's id
	for i := range calls {
		size += head + len(calls[i].CallID) + len(calls[i].Row)
	}
	return size
}

// loadCalls reads the rows noted so far, once. A line that cannot be read costs no more than a row
// noted again, so it is only logged.
func (d *Day) loadCalls(ctx context.Context) error {
	if d.calls.loaded {
		return nil
	}
	if err := d.ledger.medium.repair(treeCalls, d.day); err != nil {
		return err
	}
	seed, rows, bad := maphash.MakeSeed(), rowHashes{}, 0
	for line, err := range lines(ctx, d.day, d.ledger.medium.pieces(ctx, treeCalls, d.day), maxCallLine) {
		if badLine := (*BadLineError)(nil); errors.As(err, &badLine) {
			bad++
			continue
		}
		if err != nil {
			return err
		}
		id, row, err := parseCall(line.text[:len(line.text)-1])
		if later := laterVersion(0); errors.As(err, &later) {
			return d.ledger.refuseLater(line.fault(d.day, err))
		}
		if err != nil {
			bad++
			continue
		}
		rows.set(rowID(maphash.String(seed, id)), maphash.Bytes(seed, row))
	}
	if bad > 0 {
		d.ledger.log.Warn("lines of the call rows cannot be read", "day", d.day, "lines", bad)
	}
	d.calls.seed, d.calls.rows, d.calls.loaded = seed, rows, true
	return nil
}
