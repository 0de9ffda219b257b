package manifest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"iter"
)

// piece is one file or segment of a day, to be read from its start.
type piece struct {
	name string // from the archive's root
	body io.Reader
}

// lineReader reads lines in bounded memory.
type lineReader struct {
	br   *bufio.Reader
	long []byte // holds a line that outgrew br
	max  int
	n    int // lines read
}

func newLineReader(r io.Reader, max int) *lineReader {
	return &lineReader{br: bufio.NewReaderSize(r, 64<<10), max: max}
}

// next returns the next line with its line feed, valid until the next call. The error is io.EOF after the
// last line, errTooLong or errNoEnd for a line that was skipped, else the reader's.
func (r *lineReader) next() ([]byte, error) {
	line, err := r.br.ReadSlice('\n')
	if err == nil {
		r.n++
		return line, nil
	}
	if errors.Is(err, io.EOF) && len(line) == 0 {
		return nil, io.EOF
	}
	r.n++
	r.long = append(r.long[:0], line...)
	size := len(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = r.br.ReadSlice('\n')
		if size += len(line); size <= r.max {
			r.long = append(r.long, line...)
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil, errNoEnd
	case err != nil:
		return nil, err
	case size > r.max:
		return nil, errTooLong
	}
	return r.long, nil
}

// rawLine is a line with its line feed and where it was found. text is valid until the next one is read.
type rawLine struct {
	file string
	n    int
	text []byte
}

// lines reads the pieces one after another. A line that cannot be read at all comes with a
// *BadLineError, and the reading goes on if the caller does; every other error is the last.
func lines(ctx context.Context, day string, pieces iter.Seq2[piece, error], max int) iter.Seq2[rawLine, error] {
	return func(yield func(rawLine, error) bool) {
		for p, err := range pieces {
			if err != nil {
				yield(rawLine{}, err)
				return
			}
			if !pieceLines(ctx, day, p, max, yield) {
				return
			}
		}
	}
}

// pieceLines reports whether the next piece is to be read.
func pieceLines(ctx context.Context, day string, p piece, max int, yield func(rawLine, error) bool) bool {
	for r := newLineReader(p.body, max); ; {
		if r.n%1024 == 0 && ctx.Err() != nil {
			yield(rawLine{}, context.Cause(ctx))
			return false
		}
		text, err := r.next()
		line := rawLine{file: p.name, n: r.n, text: text}
		switch {
		case errors.Is(err, io.EOF):
			return true
		case errors.Is(err, errTooLong) || errors.Is(err, errNoEnd):
			if !yield(line, line.fault(day, err)) {
				return false
			}
		case err != nil:
			yield(line, err)
			return false
		default:
			if !yield(line, nil) {
				return false
			}
		}
	}
}

// fault turns an error of parseLine into one that says where.
func (l rawLine) fault(day string, err error) error {
	var later laterVersion
	if errors.As(err, &later) {
		return &VersionError{File: l.file, V: int(later)}
	}
	return &BadLineError{Day: day, File: l.file, Line: l.n, Reason: err.Error()}
}

// ReadDay folds a day's lines as they stand and tells each of every one of them on the way, in the order of
// Records. The Day is for looking at alone: lines that are noted later are not in it, nothing can be noted in
// it, and it needs no Release. Of a closed.json that cannot be read the kind is empty. The error is that of Day.
func (l *Ledger) ReadDay(ctx context.Context, day string, each func(Line)) (*Day, error) {
	if err := checkDay(day); err != nil {
		return nil, err
	}
	d := &Day{ledger: l, day: day, each: each}
	if err := d.load(ctx); err != nil {
		return nil, l.refuseLater(err)
	}
	return d, nil
}

// Line is one line of a day as Ledger.Records and Ledger.ReadDay give it.
type Line struct {
	File   string // the file or segment, from the archive's root
	Number int    // from 1 within File
	Kind   string // recording, window, day, or a kind of a later version
	Raw    []byte // without the line feed; valid until the next line is read
}

// Recording reads a line of kind recording.
func (l Line) Recording() (Recording, error) {
	var v view
	if kind, err := parseLine(l.Raw, &v); err != nil {
		return Recording{}, err
	} else if kind != kindRecording {
		return Recording{}, errFields
	}
	return v.recording(), nil
}

// Window reads a line of kind window.
func (l Line) Window() (Window, error) {
	var w windowLine
	if err := decodeKind(l.Raw, &w, &w.header, kindWindow); err != nil {
		return Window{}, err
	}
	return w.Window, nil
}

// DayLine reads a line of kind day.
func (l Line) DayLine() (DayLine, error) {
	var d dayLine
	if err := decodeKind(l.Raw, &d, &d.header, kindDay); err != nil {
		return DayLine{}, err
	}
	return d.DayLine, nil
}
