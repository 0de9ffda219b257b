// Takes headers from a stream that arrives in pieces, and skips the bytes between them.

package audio

import "time"

// maxHeader is the longest header taken in one piece: an Ogg page's table of 255
// segments.
const maxHeader = 255

// cursor takes headers of known size from a stream that comes in pieces, and skips the bytes between them. It copies
// a header only if it is split over two pieces.
type cursor struct {
	pos  int64 // offset of the next byte that was neither skipped nor taken
	skip int64 // bytes to skip before the next header
	n    int   // bytes of the next header in buf
	buf  [maxHeader]byte
}

// take returns the next size bytes of the stream, and the rest of p. The bytes are valid until the
// next call. ok is false if p ends earlier; then it is consumed.
func (c *cursor) take(p []byte, size int) (header, rest []byte, ok bool) {
	if c.skip > 0 && c.n > 0 {
		k := int(min(c.skip, int64(c.n)))
		c.n = copy(c.buf[:], c.buf[k:c.n])
		c.passed(k)
	}
	if c.skip > 0 {
		k := int(min(c.skip, int64(len(p))))
		p = p[k:]
		c.passed(k)
		if c.skip > 0 {
			return nil, nil, false
		}
	}
	if c.n == 0 && len(p) >= size {
		c.pos += int64(size)
		return p[:size], p[size:], true
	}
	k := copy(c.buf[c.n:size], p)
	c.n += k
	if c.n < size {
		return nil, nil, false
	}
	c.n = 0
	c.pos += int64(size)
	return c.buf[:size], p[k:], true
}

func (c *cursor) passed(n int) {
	c.skip -= int64(n)
	c.pos += int64(n)
}

// putBack makes b, the end of the header taken last, the next bytes of the stream. The
// next header must be longer.
func (c *cursor) putBack(b []byte) {
	c.n = copy(c.buf[:], b)
	c.pos -= int64(c.n)
}

// rest returns the start of an incomplete header.
func (c *cursor) rest() []byte { return c.buf[:c.n] }

// playing returns the duration of units at a rate per second, and 0 for an invalid rate or an
// implausible duration.
func playing(units, rate int64) time.Duration {
	const (
		maxSeconds = 1 << 32
		maxRate    = 1 << 33 // nanoseconds of the remainder, which is below rate, do not overflow
	)
	if units <= 0 || rate <= 0 || rate > maxRate || units/rate > maxSeconds {
		return 0
	}
	return time.Duration(units/rate)*time.Second + time.Duration(units%rate*int64(time.Second)/rate)
}
