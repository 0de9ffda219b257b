package audio

import "encoding/binary"

// flac reads the metadata of native FLAC. Its frames do not tell their length and
// are not followed.
type flac struct {
	cur     cursor
	state   flacState
	isLast  bool  // the block at hand is the last one before the frames
	hasInfo bool  // STREAMINFO was read
	end     int64 // offset behind the block at hand
	rate    int64
	samples int64 // 0 where it was not known when the header was written
}

type flacState int

const (
	flacStart flacState = iota
	flacBlock
	flacInfo
	flacFrame
	flacFrames // a frame was seen: nothing more to be learned
	flacBad
)

func (f *flac) write(p []byte) {
	for f.state < flacFrames {
		h, rest, ok := f.cur.take(p, f.headerSize())
		if !ok {
			return
		}
		p = rest
		f.step(h)
	}
}

func (f *flac) headerSize() int {
	switch f.state {
	case flacInfo:
		return 18 // block sizes, frame sizes, then rate, channels, bits and samples
	case flacFrame:
		return 2
	}
	return 4
}

func (f *flac) step(h []byte) {
	switch f.state {
	case flacStart:
		f.state = flacBlock
	case flacBlock:
		f.block(h)
	case flacInfo:
		// 20 bits of sample rate, 3 of channels, 5 of bits a sample, 36 of samples.
		info := binary.BigEndian.Uint64(h[10:])
		f.rate, f.samples = int64(info>>44), int64(info&(1<<36-1))
		f.hasInfo = true
		f.skipBlock()
	case flacFrame:
		f.state = flacBad
		if h[0] == 0xFF && h[1]&0xFE == 0xF8 {
			f.state = flacFrames
		}
	}
}

// block begins a block of metadata.
func (f *flac) block(h []byte) {
	const streamInfo, streamInfoSize = 0, 34
	f.isLast = h[0]&0x80 != 0
	size := int64(h[1])<<16 | int64(h[2])<<8 | int64(h[3])
	f.end = f.cur.pos + size
	switch isInfo := h[0]&0x7F == streamInfo && size >= streamInfoSize; {
	case isInfo && !f.hasInfo:
		f.state = flacInfo
	case f.hasInfo:
		f.skipBlock()
	default:
		f.state = flacBad // STREAMINFO comes first
	}
}

func (f *flac) skipBlock() {
	f.cur.skip = f.end - f.cur.pos
	f.state = flacBlock
	if f.isLast {
		f.state = flacFrame
	}
}

func (f *flac) finish(total int64) Result {
	switch {
	case f.state == flacFrames && f.rate > 0:
		return Result{Verdict: Audio, Format: FLAC, Duration: playing(f.samples, f.rate)}
	case f.state == flacBad || f.state == flacFrames:
		return Result{}
	}
	return Result{ContainerMismatch: "the body ends within the metadata"}
}
