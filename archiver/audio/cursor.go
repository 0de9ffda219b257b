package audio

import "time"

// longestHeader is the longest header taken in one piece: an Ogg page's table of
// 255 segments.
const longestHeader = 255

// longestBody bounds sizes read from 64-bit fields, so that sums of them and of
// offsets do not overflow.
const longestBody = 1 << 60

// cursor takes headers of known size from a stream that comes in pieces, and skips
// what lies between them without looking at it. It copies a header only where one
// lies across two pieces.
type cursor struct {
	pos  int64 // offset of the next byte that was neither skipped nor taken
	skip int64 // bytes to pass before the next header
	n    int   // bytes of the next header in buf
	buf  [longestHeader]byte
}

// take returns the next size bytes of the stream, and what of p follows them. The
// bytes hold until the next call. ok is false when p ends before; it is used up then.
func (c *cursor) take(p []byte, size int) (header, rest []byte, ok bool) {
	if c.skip > 0 {
		k := min(c.skip, int64(len(p)))
		c.skip -= k
		c.pos += k
		p = p[k:]
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
	c.pos += int64(k)
	if c.n < size {
		return nil, nil, false
	}
	c.n = 0
	return c.buf[:size], p[k:], true
}

// putBack makes b, the end of the header taken last, the start of the next.
func (c *cursor) putBack(b []byte) { c.n = copy(c.buf[:], b) }

// rest returns the start of a header that has not come whole.
func (c *cursor) rest() []byte { return c.buf[:c.n] }

// playing returns how long units play at a rate of so many a second, and 0 where
// the rate is none or the time is beyond reason.
func playing(units, rate int64) time.Duration {
	const (
		longest = 1 << 32 // seconds
		fastest = 1 << 33 // nanoseconds of the remainder, which is below rate, do not overflow
	)
	if units <= 0 || rate <= 0 || rate > fastest || units/rate > longest {
		return 0
	}
	return time.Duration(units/rate)*time.Second + time.Duration(units%rate*int64(time.Second)/rate)
}
