// Reads the header of Sun and NeXT audio (.au).

package audio

import "encoding/binary"

// au reads the header of Sun and NeXT audio, which telephone systems write with
// mu-law samples.
type au struct {
	read     bool
	offset   int64 // of the samples
	size     int64 // of the samples, -1 if the header does not state it
	byteRate int64
}

// auSampleBits holds bits per sample by encoding number; the others have no fixed size.
var auSampleBits = [...]int64{1: 8, 2: 8, 3: 16, 4: 24, 5: 32, 6: 32, 7: 64, 23: 4, 27: 8}

// auHeaderSize is magic, offset, size, encoding, sample rate and channels.
const auHeaderSize = 24

func (a *au) need() int {
	if a.read {
		return 0
	}
	return auHeaderSize
}

func (a *au) step(_ *cursor, h []byte) {
	be := binary.BigEndian
	a.read = true
	a.offset, a.size = int64(be.Uint32(h[4:])), int64(be.Uint32(h[8:]))
	if a.size == 1<<32-1 {
		a.size = -1
	}
	encoding, rate, channels := be.Uint32(h[12:]), int64(be.Uint32(h[16:])), int64(be.Uint32(h[20:]))
	const maxChannels, maxRate = 256, 1 << 20 // above these the header is damaged
	if encoding < uint32(len(auSampleBits)) && channels <= maxChannels && rate <= maxRate {
		a.byteRate = auSampleBits[encoding] * rate * channels / 8
	}
}

func (a *au) finish(_ *cursor, total int64) Result {
	r := Result{Verdict: Audio, Format: AU}
	there := max(0, total-a.offset)
	size := there
	if a.size > 0 {
		size = min(there, a.size)
	}
	r.Duration = playing(size, a.byteRate)
	switch {
	case a.read && a.offset < auHeaderSize:
		r.odd(oddHeader)
		r.Duration = 0
	case !a.read, a.offset > total, a.size > there:
		r.cut(oddShort)
	case there == 0:
		r.odd(oddNoSound)
	case a.size > 0 && a.size < there:
		r.odd(oddLong)
	default:
		r.Whole = a.size > 0
	}
	return r
}
