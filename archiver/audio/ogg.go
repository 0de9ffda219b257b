// Follows the pages of Ogg audio.

package audio

import (
	"bytes"
	"encoding/binary"
	"time"
)

// ogg follows the pages of an Ogg file, and of concatenated files.
type ogg struct {
	state oggState
	lost  bool // no page at the expected position

	flags    byte
	granule  int64
	serial   uint32
	size     int64 // of the table of segments, then of the page's content
	end      int64 // end offset of the page
	open     int64 // number of open streams
	hasAudio bool
	hasOther bool // a stream of something else, or of an unknown codec

	codec  oggCodec
	stream uint32 // serial number of the current audio stream
	last   int64  // its last position, in samples, including skipped ones
	played time.Duration
}

// oggCodec is the content of a stream's first packet.
type oggCodec struct {
	rate int64 // samples per second of positions
	skip int64 // samples before the first that plays
}

type oggState int

const (
	oggPage oggState = iota
	oggSegments
	oggPacket
)

const (
	oggBegins = 0x02 // header flag: first page of a stream
	oggEnds   = 0x04 // header flag: last page of a stream
)

// need is at least 1 while there are pages: it does not wait for pages without segments and packets
// without bytes.
func (o *ogg) need() int {
	const maxStart = 40 // of a first packet, up to the sample rate
	switch {
	case o.lost:
		return 0
	case o.state == oggSegments:
		return int(o.size) // their number, until they are read
	case o.state == oggPacket:
		return int(min(o.size, maxStart))
	}
	return 27
}

func (o *ogg) step(c *cursor, h []byte) {
	switch o.state {
	case oggPage:
		o.page(c, h)
	case oggSegments:
		var size int64
		for _, segment := range h {
			size += int64(segment)
		}
		o.content(c, size)
	case oggPacket:
		if codec, ok := codecOf(h); ok {
			o.begin(codec)
		} else {
			o.hasOther = true
		}
		c.skip = o.end - c.pos
		o.state = oggPage
	}
}

// page reads a page's header: capture pattern, version, flags, position, serial
// number, sequence number, checksum, number of segments.
func (o *ogg) page(c *cursor, h []byte) {
	const version = 4
	if !bytes.HasPrefix(h, []byte("OggS")) || h[version] != 0 {
		o.lost = true
		return
	}
	o.flags = h[5]
	o.granule = int64(binary.LittleEndian.Uint64(h[6:]))
	o.serial = binary.LittleEndian.Uint32(h[14:])
	if o.flags&oggBegins != 0 {
		o.open++
	}
	if o.size = int64(h[26]); o.size == 0 {
		o.content(c, 0)
		return
	}
	o.end = c.pos + o.size
	o.state = oggSegments
}

func (o *ogg) content(c *cursor, size int64) {
	o.size, o.end = size, c.pos+size
	if o.flags&oggEnds != 0 {
		o.open--
	}
	if o.hasAudio && o.serial == o.stream && o.granule > 0 {
		o.last = o.granule // -1: no packet ends on this page
	}
	if o.flags&oggBegins != 0 && size > 0 {
		o.state = oggPacket
		return
	}
	c.skip = size
	o.state = oggPage
}

// begin starts an audio stream, which ends the one before.
func (o *ogg) begin(codec oggCodec) {
	o.played += o.codec.playing(o.last)
	o.codec, o.stream, o.last, o.hasAudio = codec, o.serial, 0, true
}

func (c oggCodec) playing(position int64) time.Duration { return playing(position-c.skip, c.rate) }

// codecOf reads the start of a stream's first packet.
func codecOf(h []byte) (oggCodec, bool) {
	le := binary.LittleEndian
	has := func(magic string, size int) bool { return len(h) >= size && string(h[:len(magic)]) == magic }
	switch {
	case has("OpusHead", 19):
		return oggCodec{rate: 48000, skip: int64(le.Uint16(h[10:]))}, true
	case has("\x01vorbis", 16):
		return oggCodec{rate: int64(le.Uint32(h[12:]))}, true
	case has("Speex   ", 40):
		return oggCodec{rate: int64(le.Uint32(h[36:]))}, true
	case has("\x7FFLAC", 31):
		return oggCodec{rate: int64(binary.BigEndian.Uint32(h[27:]) >> 12)}, true
	}
	return oggCodec{}, false
}

func (o *ogg) finish(c *cursor, total int64) Result {
	if o.hasOther && !o.hasAudio {
		return Result{}
	}
	r := Result{Verdict: Audio, Format: Ogg, Duration: max(0, o.played+o.codec.playing(o.last))}
	rest := c.rest()
	begun := len(rest) > 0 && (o.state != oggPage || bytes.HasPrefix([]byte("OggS"), rest[:min(4, len(rest))]))
	switch {
	case total < o.end || begun:
		r.cut(oddPage)
	case o.open > 0: // also left by a recorder that was switched off
		r.cut(oddLastPage)
	case !o.hasAudio:
		r.odd(oddHeader)
	case o.lost || len(rest) > 0:
		r.odd(oddStray)
	default:
		r.Whole = true
	}
	return r
}
