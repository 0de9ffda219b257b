// Reads all lines of a day.

package manifest

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Load reads a day and folds its lines. It first stores buffered lines of the day in the bucket; on disk it moves
// torn tails of killed runs aside. The error is a *BadLineError for an unreadable line, after which the day must
// not be worked on, and a *VersionError for data of a later version, after which the ledger accepts no more
// lines.
func (l *Ledger) Load(ctx context.Context, day string) (*Day, error) {
	if err := checkDay(day); err != nil {
		return nil, err
	}
	if err := l.flush(ctx, day); err != nil {
		return nil, err
	}
	if _, err := l.obey(ctx); err != nil {
		return nil, err
	}
	files, err := l.look(ctx, day)
	if err != nil {
		return nil, err
	}
	d, err := l.readDay(ctx, files, reading{tidy: l.writer != nil})
	if err != nil {
		return nil, err
	}
	d.writable = l.writer != nil
	return d, nil
}

// Read reads a day and calls visit with each of its lines, those of closed.json first, then segment by segment, and
// fault with every fault; both may be nil, and their errors end the reading. Without fault, the first unreadable
// line of a segment is the error, like in Load. With fault, such lines are skipped, and day lines are checked
// against the sizes, hashes, roots and counts of their segments. It changes nothing, and the returned day is
// read-only.
func (l *Ledger) Read(ctx context.Context, day string, visit func(Line) error, fault func(Fault) error) (*Day, error) {
	if err := checkDay(day); err != nil {
		return nil, err
	}
	if _, err := l.obey(ctx); err != nil {
		return nil, err
	}
	files, err := l.look(ctx, day)
	if err != nil {
		return nil, err
	}
	for _, c := range files.closings {
		if visit == nil || files.tag == "" {
			break
		}
		if err := visit(Line{File: c.file, Number: c.number, Kind: kindDay, Raw: c.raw}); err != nil {
			return nil, err
		}
	}
	d, err := l.readDay(ctx, files, reading{visit: visit, fault: fault})
	if err == nil && fault != nil {
		err = l.check(ctx, files, d, fault)
	}
	return d, err
}

// ReadAll reads the lines of a day as stored, ignoring erasures, and calls fault for every fault. It is for
// audits, which accept only sealed erasures. It changes nothing, and the returned day is read-only.
func (l *Ledger) ReadAll(ctx context.Context, day string, fault func(Fault) error) (*Day, error) {
	if err := checkDay(day); err != nil {
		return nil, err
	}
	files, err := l.look(ctx, day)
	if err != nil {
		return nil, err
	}
	d, err := l.readDay(ctx, files, reading{fault: fault, raw: true})
	if err == nil {
		err = l.check(ctx, files, d, fault)
	}
	return d, err
}

// Line is one line of a day, from Ledger.Read.
type Line struct {
	File   string // relative to the archive's root
	Number int    // from 1 within File
	Kind   string // recording, window, day, repair, or a kind of a later version
	Raw    []byte // without the line feed; valid until visit returns

	view *view // of a recording, already parsed
}

// Recording parses a line of kind recording.
func (l Line) Recording() (Recording, error) {
	if l.view != nil {
		return l.view.recording(), nil
	}
	var v view
	if kind, err := parseLine(l.Raw, &v); err != nil {
		return Recording{}, err
	} else if kind != kindRecording {
		return Recording{}, errFields
	}
	return v.recording(), nil
}

// Window parses a line of kind window.
func (l Line) Window() (Window, error) { return decodeWindow(l.Raw) }

// DayLine parses a line of kind day.
func (l Line) DayLine() (DayLine, error) { return decodeDayLine(l.Raw) }

// reading holds the options for reading a day.
type reading struct {
	visit func(Line) error  // nil for none
	fault func(Fault) error // nil: the first unreadable line is the error
	raw   bool              // ignore erasures
	tidy  bool              // move torn tails aside, and make files of killed runs durable
}

// readDay reads the segments of a day.
func (l *Ledger) readDay(ctx context.Context, files standing, r reading) (*Day, error) {
	d := &Day{ledger: l, day: files.day, closings: files.closings, sizes: map[string]int64{}}
	expiring := l.erasures.Load().expiring(files.day)
	if r.raw {
		d.hides = len(expiring) > 0 // closed.json counts expired recordings
	} else {
		d.erasures = l.erasures.Load()
		expired, err := l.expiredBy(ctx, expiring)
		if err != nil {
			return nil, err
		}
		d.expired = expired
	}
	for _, s := range files.segments {
		if err := d.readSegment(ctx, s, r); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *Day) readSegment(ctx context.Context, s segment, o reading) error {
	late := slices.DeleteFunc(slices.Clone(d.closings), func(c *closing) bool { return c.named[s.name()] })
	r := d.ledger.read(ctx, s, maxLine, soundPart(d.closings, s))
	defer r.close()
	for r.next() {
		kind, bad := "", r.bad
		if bad == nil {
			kind, bad = d.take(r.line, late)
		}
		if bad != nil {
			if err := d.reject(r, bad, o.fault); err != nil {
				return err
			}
		} else if o.visit != nil {
			line := Line{File: s.file, Number: r.n, Kind: kind, Raw: r.line}
			if kind == kindRecording {
				line.view = &d.v
			}
			if line.Raw, bad = d.shown(r.line); bad != nil {
				return bad
			}
			if err := o.visit(line); err != nil {
				return err
			}
		}
	}
	err := r.err
	switch {
	case err != nil:
		return err
	case r.torn && o.fault != nil:
		err = o.fault(Fault{
			Kind: FaultTornLine, File: s.file, Line: r.n, Written: s.mod,
			Reason: fmt.Sprintf("%d bytes without the end of a line", s.size-r.size),
		})
	case r.torn && o.tidy:
		s.size, err = d.ledger.tidy(ctx, r)
	}
	if err == nil && o.tidy && (len(late) > 0 || len(d.closings) == 0) {
		err = d.ledger.settle(ctx, s)
	}
	d.sizes[s.file] = s.size
	return err
}

// reject calls fault for an unreadable line. Without fault it returns the error.
func (d *Day) reject(r *reader, bad error, fault func(Fault) error) error {
	line, err := r.badLine(d.day, bad)
	switch {
	case err != nil:
		return d.ledger.noteLater(err)
	case fault == nil:
		return line
	}
	d.hasBad = true
	return fault(Fault{Kind: FaultBadLine, File: line.File, Line: line.Line, Reason: line.Reason})
}

// tidy moves the torn tail of a segment aside and returns the remaining size. It skips segments of this run,
// which are being written, and compressed ones, which cannot be cut.
func (l *Ledger) tidy(ctx context.Context, r *reader) (size int64, err error) {
	if l.isOwn(r.s) || isGzip(r.s.file) {
		return r.s.size, nil
	}
	l.log.Warn("an incomplete line was moved to another file", "file", r.s.file, "bytes", r.s.size-r.size)
	return r.size, l.write(ctx, func() error { return l.writer.cut(ctx, r.s.file, r.size) })
}

// settle makes a segment durable that this run relies on: the run that wrote it may have been killed before it synced
// its lines.
func (l *Ledger) settle(ctx context.Context, s segment) error {
	if l.isOwn(s) {
		return nil
	}
	return l.guard(ctx, func() error { return l.writer.settle(s.file) })
}

// isOwn reports whether this run writes the segment.
func (l *Ledger) isOwn(s segment) bool { return strings.HasPrefix(s.name(), l.run+"-") }
