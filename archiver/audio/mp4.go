// Follows the boxes of MP4 audio.

package audio

import (
	"encoding/binary"
	"strings"
)

// mp4 follows the boxes of ISO base media files, entering those that show whether there is sound
// and the duration. It stops at a box without a 32-bit size.
type mp4 struct {
	name string // of the box with the next content to read, "" for a box's header
	size int64  // of that content
	end  int64  // end offset of the current outermost box
	done bool

	brand    string
	hasMovie bool
	hasMedia bool
	hasTrack bool
	hasSound bool
	rate     int64
	units    int64
}

// mp4BoxHeader is the size and name of a box.
const mp4BoxHeader = 8

func (m *mp4) need() int {
	if m.done {
		return 0
	}
	return max(mp4BoxHeader, mp4ContentSize(m.name))
}

// mp4ContentSize is how much of a box's content is read.
func mp4ContentSize(name string) int {
	switch name {
	case "ftyp":
		return 8 // major brand and its version
	case "mvhd":
		return 20 // version, flags, two times, units a second, duration
	case "hdlr":
		return 12 // version, flags, 4 bytes, type
	}
	return 0
}

func (m *mp4) step(c *cursor, h []byte) {
	if m.name != "" {
		m.content(h)
		m.skip(c, m.size-int64(len(h)))
		m.name = ""
		return
	}
	name, size := string(h[4:]), int64(binary.BigEndian.Uint32(h))
	isOuter := c.pos-mp4BoxHeader >= m.end
	if size < mp4BoxHeader || !isChunkName(name) {
		m.done = true // size up to the end of the file, 64-bit size, or appended data
		return
	}
	size -= mp4BoxHeader
	if isOuter {
		m.end = c.pos + size
		m.hasMovie = m.hasMovie || name == "moov"
		m.hasMedia = m.hasMedia || name == "mdat"
	}
	want := int64(mp4ContentSize(name))
	switch {
	case want > 0 && size >= want:
		m.name, m.size = name, size
	case name != "moov" && name != "trak" && name != "mdia":
		m.skip(c, size)
	}
}

// skip passes size bytes, but not beyond the current outermost box.
func (m *mp4) skip(c *cursor, size int64) { c.skip = max(0, min(size, m.end-c.pos)) }

// content reads the start of ftyp, mvhd or hdlr.
func (m *mp4) content(h []byte) {
	be := binary.BigEndian
	switch {
	case m.name == "ftyp":
		m.brand = string(h[:4])
	case m.name == "hdlr":
		m.hasTrack = true
		m.hasSound = m.hasSound || string(h[8:]) == "soun"
	case h[0] == 0: // version: times of 32 bits
		m.rate, m.units = int64(be.Uint32(h[12:])), int64(be.Uint32(h[16:]))
		if m.units == 1<<32-1 {
			m.units = 0 // unknown
		}
	}
}

func (m *mp4) finish(_ *cursor, total int64) Result {
	if !m.hasSound && (m.hasTrack || !isMediaBrand(m.brand)) {
		return Result{} // a picture, or a video without sound
	}
	r := Result{Verdict: Audio, Format: MP4, Duration: playing(m.units, m.rate)}
	switch {
	case total < m.end:
		r.cut(oddShort)
	case m.done: // the rest is unknown
	case !m.hasMovie:
		r.cut(oddIndex)
	case !m.hasSound || !m.hasMedia:
		r.odd(oddNoSound)
	default:
		r.Whole = true
	}
	return r
}

// isMediaBrand reports whether files of a brand contain sound or video; the index that says which
// may be at their end.
func isMediaBrand(brand string) bool {
	for _, prefix := range []string{"M4A", "M4B", "mp4", "iso", "3gp", "3g2", "dash"} {
		if strings.HasPrefix(brand, prefix) {
			return true
		}
	}
	return false
}
