// Reads the first metadata block of FLAC audio.

package audio

import "encoding/binary"

// flac reads the first block of metadata of native FLAC, which must be STREAMINFO. Frames do not
// state their length and are not parsed.
type flac struct {
	read    bool
	bad     bool
	rate    int64
	samples int64 // 0 if unknown when the header was written
}

// flacHeaderSize is the magic, a block header, and STREAMINFO up to the samples.
const flacHeaderSize = 4 + 4 + 18

func (f *flac) need() int {
	if f.read {
		return 0
	}
	return flacHeaderSize
}

func (f *flac) step(_ *cursor, h []byte) {
	const streamInfo, isLast = 0, 0x80
	f.read = true
	f.bad = h[4]&^isLast != streamInfo
	// 20 bits of sample rate, 3 of channels, 5 of bits per sample, 36 of samples.
	info := binary.BigEndian.Uint64(h[18:])
	f.rate, f.samples = int64(info>>44), int64(info&(1<<36-1))
}

func (f *flac) finish(_ *cursor, total int64) Result {
	const checksum = 16 // after the samples
	r := Result{Verdict: Audio, Format: FLAC}
	switch {
	case f.bad:
		r.odd(oddHeader)
	case total <= flacHeaderSize+checksum:
		r.cut(oddShort)
	default:
		r.Duration = playing(f.samples, f.rate)
	}
	return r
}
