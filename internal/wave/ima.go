// Decodes IMA ADPCM.

package wave

import "encoding/binary"

// imaSteps are the step sizes of IMA ADPCM.
var imaSteps = [...]int32{
	7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45,
	50, 55, 60, 66, 73, 80, 88, 97, 107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307,
	337, 371, 408, 449, 494, 544, 598, 658, 724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066,
	2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899,
	15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794, 32767,
}

// imaIndexes says how a code changes the index of the next step, without its sign.
var imaIndexes = [8]int{-1, -1, -1, -1, 2, 4, 6, 8}

// imaHeaderSize is the header size per channel in each block: first sample, index, zero. Codes
// follow in words of the same size, alternating between channels.
const imaHeaderSize = 4

func imaCodec(rate uint32, channels, blockSize int) codec {
	return codec{
		rate: rate, channels: channels, blockSize: blockSize,
		decode:      func(dst, src []byte) { imaBlock(dst, src, channels) },
		decodedSize: func(size int) int { return imaSamples(size, channels) * channels * 2 },
	}
}

// imaSamples returns the number of samples that each channel has in a block, which may be
// truncated. A single channel may end between words.
func imaSamples(size, channels int) int {
	codes := size - imaHeaderSize*channels
	switch {
	case codes < 0:
		return 0
	case channels == 1:
		return 1 + 2*codes
	}
	return 1 + codes/(imaHeaderSize*channels)*8
}

// imaBlock decodes as many samples as fit into dst.
func imaBlock(dst, src []byte, channels int) {
	samples := len(dst) / (2 * channels)
	for channel := range channels {
		header := src[channel*imaHeaderSize:]
		state := imaState{
			sample: int32(int16(binary.LittleEndian.Uint16(header))),
			index:  min(int(header[2]), len(imaSteps)-1),
		}
		out := dst[2*channel:]
		binary.LittleEndian.PutUint16(out, uint16(state.sample))
		for i := range samples - 1 {
			// Eight codes to a word, the lower half of a byte first.
			at := imaHeaderSize*(channels+i/8*channels+channel) + i%8/2
			code := src[at] >> (i % 2 * 4) & 0x0f
			state.next(code)
			binary.LittleEndian.PutUint16(out[2*channels*(i+1):], uint16(state.sample))
		}
	}
}

// imaState is the state on which a code depends.
type imaState struct {
	sample int32
	index  int
}

// next decodes a code: its sign, and a multiple of a quarter of the step plus an eighth, computed
// as in the recommendation by adding shifted steps.
func (s *imaState) next(code byte) {
	step := imaSteps[s.index]
	change := step >> 3
	for bit, part := byte(4), step; bit > 0; bit, part = bit>>1, part>>1 {
		if code&bit != 0 {
			change += part
		}
	}
	if code&8 != 0 {
		change = -change
	}
	s.sample = min(max(s.sample+change, -1<<15), 1<<15-1)
	s.index = min(max(s.index+imaIndexes[code&7], 0), len(imaSteps)-1)
}
