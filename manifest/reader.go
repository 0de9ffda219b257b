// Reads the lines of a file one after another, in bounded memory.

package manifest

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
)

const (
	// maxTorn is the maximum distance from the end of a segment at which a crash can leave NUL bytes: more than a
	// batch, which is a single write.
	maxTorn = maxBatchBytes + maxCallLine
	// allSound is for a segment of a day line, which cannot have a torn tail.
	allSound = math.MaxInt64
)

// reader reads the lines of a segment one after another, in bounded memory: while next returns true there is a
// line, or bad says why it is unreadable; afterwards err says whether the end was reached.
type reader struct {
	line []byte // without its line feed, valid until the next one is read
	n    int    // its number
	bad  error
	err  error
	size int64 // of the previous lines, uncompressed
	torn bool  // at the end: more bytes follow, but no complete line

	ctx    context.Context // of the reading
	s      segment
	max    int   // maximum bytes of a line
	sound  int64 // a torn tail, which is ignored, can only start after this offset
	body   io.ReadCloser
	file   *countingReader
	in     *bufio.Reader
	long   []byte // buffer for a line larger than in
	off    int64  // bytes read, uncompressed
	isDone bool
}

// read opens a segment. An error is returned with the first line.
func (l *Ledger) read(ctx context.Context, s segment, max int, sound int64) *reader {
	body, _, err := l.objects.GetFile(ctx, s.file)
	if err != nil {
		return &reader{isDone: true, err: fmt.Errorf("read %s: %w", s.file, err)}
	}
	return newReader(ctx, s, body, max, sound)
}

func newReader(ctx context.Context, s segment, body io.ReadCloser, max int, sound int64) *reader {
	r := &reader{ctx: ctx, s: s, max: max, sound: sound, body: body, file: &countingReader{Reader: body}}
	var in io.Reader = r.file
	if isGzip(s.file) {
		in = &unzipper{in: in}
	}
	r.in = bufio.NewReaderSize(in, 64<<10)
	return r
}

// next reads a line. At the end it closes the segment.
func (r *reader) next() bool {
	if r.isDone {
		return false
	}
	if r.n%1024 == 0 && r.ctx.Err() != nil {
		return r.end(context.Cause(r.ctx))
	}
	r.size = r.off
	err := r.readLine()
	isCut := isGzip(r.s.file) && r.file.n >= r.s.size
	hasNUL := bytes.IndexByte(r.line, 0) >= 0
	switch atEnd := errors.Is(err, io.EOF); {
	case atEnd && r.file.n < r.s.size:
		return r.end(io.ErrUnexpectedEOF)
	case atEnd && len(r.line) == 0:
		return r.end(nil)
	case isGzip(r.s.file) && isDamaged(err):
		r.bad = errDamaged
	case atEnd || err != nil && isCut: // a truncated gzip file
		r.bad = errNoEnd
	case err != nil:
		return r.end(err)
	case r.off-r.size > int64(r.max):
		r.bad = errTooLong
	case hasNUL:
		r.bad = errNotJSON
	default:
		r.bad = nil
	}
	r.n++
	// Some file systems leave NUL bytes after a power failure, because the system may write the later part of a batch
	// first.
	isHole := hasNUL && !isGzip(r.s.file) && r.s.size-r.size <= maxTorn
	if r.size >= r.sound && (errors.Is(r.bad, errNoEnd) || isHole) {
		r.torn = true
		return r.end(nil)
	}
	if err != nil {
		return !r.end(nil) // this line is the last
	}
	return true
}

// end closes the segment.
func (r *reader) end(err error) bool {
	r.isDone = true
	if err = errors.Join(err, r.body.Close()); err != nil {
		r.err = fmt.Errorf("read %s: %w", r.s.file, err)
	}
	return false
}

// readLine reads up to a line feed, or the start of a line that is too long.
func (r *reader) readLine() (err error) {
	r.line, err = r.in.ReadSlice('\n')
	r.off += int64(len(r.line))
	if errors.Is(err, bufio.ErrBufferFull) {
		r.long = append(r.long[:0], r.line...)
		for errors.Is(err, bufio.ErrBufferFull) {
			r.line, err = r.in.ReadSlice('\n')
			r.off += int64(len(r.line))
			if len(r.long)+len(r.line) <= r.max {
				r.long = append(r.long, r.line...)
			}
		}
		r.line = r.long
	}
	r.line = bytes.TrimSuffix(r.line, []byte("\n"))
	return err
}

// isDamaged reports whether an error of reading a gzip file is about its bytes.
func isDamaged(err error) bool {
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	return corrupt || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum)
}

// close closes a segment that was not read to its end.
func (r *reader) close() {
	if !r.isDone {
		_ = r.end(nil) // read only
	}
}

// badLine returns a BadLineError with the position of an unreadable line. The error is a
// *VersionError.
func (r *reader) badLine(day string, bad error) (*BadLineError, error) {
	if later := laterIn(bad); later > 0 {
		return nil, &VersionError{File: r.s.file, V: later}
	}
	return &BadLineError{Day: day, File: r.s.file, Line: r.n, Reason: bad.Error()}, nil
}

// copyTo copies every byte of the stored file to a hash. It must be called before the first line is read.
func (r *reader) copyTo(h hash.Hash) {
	if r.file != nil {
		r.file.Reader = io.TeeReader(r.file.Reader, h)
	}
}

// countingReader counts the bytes read.
type countingReader struct {
	io.Reader
	n int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += int64(n)
	return n, err
}

// unzipper opens the gzip reader with the first read, so that its errors are those of reading.
type unzipper struct {
	in io.Reader
	z  *gzip.Reader
}

func (u *unzipper) Read(p []byte) (int, error) {
	if u.z == nil {
		z, err := gzip.NewReader(u.in)
		if err != nil {
			return 0, err
		}
		u.z = z
	}
	return u.z.Read(p)
}
