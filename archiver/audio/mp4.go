package audio

import "encoding/binary"

// mp4 follows the boxes of ISO base media files, into those that tell whether there
// is sound and how long the whole plays.
type mp4 struct {
	cur   cursor
	state mp4State
	done  bool

	name     string // of the box at hand
	size     int64  // of its content
	end      int64  // offset behind the outermost box at hand
	hasMovie bool
	hasMedia bool
	hasSound bool
	rate     int64
	units    int64
}

type mp4State int

const (
	mp4Box mp4State = iota
	mp4LongSize
	mp4Content
)

const (
	movieHeaderSize   = 32 // of mvhd, up to the end of version 1's duration
	handlerHeaderSize = 12 // of hdlr, up to the end of the type
)

func (m *mp4) write(p []byte) {
	for !m.done {
		h, rest, ok := m.cur.take(p, m.headerSize())
		if !ok {
			return
		}
		p = rest
		m.step(h)
	}
}

func (m *mp4) headerSize() int {
	switch {
	case m.state != mp4Content:
		return 8
	case m.name == "mvhd":
		return movieHeaderSize
	}
	return handlerHeaderSize
}

func (m *mp4) step(h []byte) {
	const shortHeader, longHeader = 8, 16
	switch m.state {
	case mp4Box:
		m.name = string(h[4:8])
		switch size := int64(binary.BigEndian.Uint32(h)); {
		case !isChunkName(m.name):
			m.leave()
		case size == 0:
			m.lastBox()
		case size == 1:
			m.state = mp4LongSize
		default:
			m.box(size, shortHeader)
		}
	case mp4LongSize:
		m.box(int64(min(binary.BigEndian.Uint64(h), longestBody)), longHeader)
	case mp4Content:
		m.content(h)
	}
}

// lastBox begins a box that reaches to the end of the file.
func (m *mp4) lastBox() {
	if m.cur.pos > m.end {
		m.hasMedia = m.hasMedia || m.name == "mdat"
	}
	m.leave()
}

// leave passes what is not a box: up to the end of the box around it, or, where
// something was appended to the file, for good.
func (m *mp4) leave() {
	const header = 8
	m.done = m.cur.pos-header >= m.end
	m.skip(m.end)
}

// skip passes size bytes, but no more than the outermost box at hand has.
func (m *mp4) skip(size int64) {
	m.cur.skip = max(0, min(size, m.end-m.cur.pos))
	m.state = mp4Box
}

// box begins a box of the given size, header included.
func (m *mp4) box(size, header int64) {
	m.size = size - header
	if m.size < 0 {
		m.leave()
		return
	}
	if start := m.cur.pos - header; start >= m.end {
		m.end = start + size
		m.hasMovie = m.hasMovie || m.name == "moov"
		m.hasMedia = m.hasMedia || m.name == "mdat"
	}
	switch {
	case m.name == "moov" || m.name == "trak" || m.name == "mdia":
		m.state = mp4Box // the first one inside
	case m.name == "mvhd" && m.size >= movieHeaderSize, m.name == "hdlr" && m.size >= handlerHeaderSize:
		m.state = mp4Content
	default:
		m.skip(m.size)
	}
}

// content reads the start of mvhd or hdlr.
func (m *mp4) content(h []byte) {
	be := binary.BigEndian
	switch {
	case m.name == "hdlr":
		m.hasSound = m.hasSound || string(h[8:12]) == "soun"
	case h[0] == 0: // version: times of 32 bits
		m.rate, m.units = int64(be.Uint32(h[12:])), int64(be.Uint32(h[16:]))
		if m.units == 1<<32-1 {
			m.units = 0 // not known
		}
	default:
		m.rate, m.units = int64(be.Uint32(h[20:])), int64(be.Uint64(h[24:]))
	}
	m.skip(m.size - int64(len(h)))
}

func (m *mp4) finish(total int64) Result {
	var r Result
	switch {
	case total < m.end:
		r.ContainerMismatch = "the last box is cut"
	case !m.hasMovie:
		r.ContainerMismatch = "the index is missing"
	}
	if m.hasSound && m.hasMedia {
		r.Verdict, r.Format = Audio, MP4
		r.Duration = playing(m.units, m.rate)
	}
	return r
}
