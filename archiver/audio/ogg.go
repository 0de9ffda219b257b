package audio

import (
	"bytes"
	"encoding/binary"
	"time"
)

// ogg follows the pages of an Ogg file, and of several put behind each other.
type ogg struct {
	cur   cursor
	state oggState
	lost  bool // no page where one must be

	flags    byte
	granule  int64
	serial   uint32
	size     int64 // of the table of segments, then of the page's content
	end      int64 // offset behind the page
	open     int64 // streams that have begun and not ended
	hasAudio bool

	codec  oggCodec
	stream uint32 // serial number of the audio stream at hand
	last   int64  // its last position, in samples with those to skip
	played time.Duration
}

// oggCodec is what a stream's first packet says.
type oggCodec struct {
	rate int64 // samples a second, of positions
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

func (o *ogg) write(p []byte) {
	for !o.lost {
		h, rest, ok := o.cur.take(p, o.headerSize())
		if !ok {
			return
		}
		p = rest
		o.step(h)
	}
}

// headerSize is what to read next. It is at least 1: pages without segments and
// packets without bytes are not waited for.
func (o *ogg) headerSize() int {
	const longestStart = 40 // of a first packet, up to the sample rate
	switch o.state {
	case oggSegments:
		return int(o.size) // their number, until they are read
	case oggPacket:
		return int(min(o.size, longestStart))
	}
	return 27
}

func (o *ogg) step(h []byte) {
	switch o.state {
	case oggPage:
		o.page(h)
	case oggSegments:
		var size int64
		for _, segment := range h {
			size += int64(segment)
		}
		o.content(size)
	case oggPacket:
		if codec, ok := codecOf(h); ok {
			o.begin(codec)
		}
		o.cur.skip = o.end - o.cur.pos
		o.state = oggPage
	}
}

// page reads a page's header: capture pattern, version, flags, position, serial
// number, sequence number, checksum, number of segments.
func (o *ogg) page(h []byte) {
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
		o.content(0)
		return
	}
	o.end = o.cur.pos + o.size
	o.state = oggSegments
}

// content begins a page's content of the given size.
func (o *ogg) content(size int64) {
	o.size, o.end = size, o.cur.pos+size
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
	o.cur.skip = size
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

func (o *ogg) finish(total int64) Result {
	var r Result
	rest := o.cur.rest()
	begun := len(rest) > 0 && (o.state != oggPage || bytes.HasPrefix([]byte("OggS"), rest[:min(4, len(rest))]))
	switch {
	case total < o.end || begun:
		r.ContainerMismatch = "the last page is cut"
	case o.open > 0:
		// A recorder that is switched off writes no last page: not a contradiction,
		// and as little as a last frame that is cut a reason to refuse what came.
		r.LastFrameBroken = true
	}
	if o.hasAudio {
		r.Verdict, r.Format = Audio, Ogg
		r.Duration = max(0, o.played+o.codec.playing(o.last))
	}
	return r
}
