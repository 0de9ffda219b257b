package audio

import "encoding/binary"

// au reads the header of Sun and NeXT audio, which telephone systems write with
// mu-law samples.
type au struct {
	cur      cursor
	read     bool
	offset   int64 // of the samples
	size     int64 // of the samples, -1 where the header does not know
	byteRate int64
}

// auSampleBits holds bits a sample by encoding number; the others have no fixed size.
var auSampleBits = [...]int64{1: 8, 2: 8, 3: 16, 4: 24, 5: 32, 6: 32, 7: 64, 23: 4, 27: 8}

func (a *au) write(p []byte) {
	const headerSize = 24 // magic, offset, size, encoding, sample rate, channels
	if a.read {
		return
	}
	h, _, ok := a.cur.take(p, headerSize)
	if !ok {
		return
	}
	a.read = true
	be := binary.BigEndian
	a.offset, a.size = int64(be.Uint32(h[4:])), int64(be.Uint32(h[8:]))
	if a.size == 0 || a.size == 1<<32-1 {
		a.size = -1
	}
	encoding, rate, channels := be.Uint32(h[12:]), int64(be.Uint32(h[16:])), int64(be.Uint32(h[20:]))
	const mostChannels, fastest = 256, 1 << 20 // beyond them it is no audio
	if encoding == 0 || channels == 0 || channels > mostChannels || rate == 0 || rate > fastest || a.offset < headerSize {
		a.offset = 0
		return
	}
	if encoding < uint32(len(auSampleBits)) {
		a.byteRate = auSampleBits[encoding] * rate * channels / 8
	}
}

func (a *au) finish(total int64) Result {
	var r Result
	if a.offset == 0 {
		return r
	}
	size := total - a.offset
	if a.size >= 0 {
		if size < a.size {
			r.ContainerMismatch = "fewer samples than the header says"
		}
		size = min(size, a.size)
	}
	if size <= 0 {
		return r
	}
	r.Verdict, r.Format = Audio, AU
	r.Duration = playing(size, a.byteRate)
	return r
}
