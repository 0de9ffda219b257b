// Reads Sun audio.

package wave

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The encodings of Sun audio that are decoded.
const (
	auULaw  = 1
	auPCM8  = 2
	auPCM16 = 3
	auALaw  = 27
)

// sound is the position of a recording's samples and their codec.
type sound struct {
	start, size int64 // bytes
	codec       codec
}

// parseAU reads the header of Sun audio of size bytes.
func parseAU(src io.ReadSeeker, size int64) (sound, error) {
	const headerSize, unknownSize = 24, 1<<32 - 1
	h := make([]byte, headerSize)
	if n, err := readAt(src, h, 0); err != nil {
		return sound{}, err
	} else if n < headerSize {
		return sound{}, fmt.Errorf("header of %d bytes: %w", n, ErrFormat)
	}
	be := binary.BigEndian
	start, length := int64(be.Uint32(h[4:])), int64(be.Uint32(h[8:]))
	encoding, rate, channels := be.Uint32(h[12:]), be.Uint32(h[16:]), be.Uint32(h[20:])
	if start < headerSize || rate < 1 || rate > maxRate || channels < 1 || channels > maxChannels {
		return sound{}, fmt.Errorf("%d channels at %d Hz behind %d bytes: %w", channels, rate, start, ErrFormat)
	}
	c, ok := auCodec(encoding, rate, int(channels))
	if !ok {
		return sound{}, fmt.Errorf("AU encoding %d: %w", encoding, ErrFormat)
	}
	rest := size - start
	if rest <= 0 {
		return sound{}, errNoSound
	}
	if length != unknownSize {
		rest = min(rest, length)
	}
	return sound{start: start, size: rest, codec: c}, nil
}

// auCodec returns the codec of an encoding; with a block length suitable for reading.
func auCodec(encoding, rate uint32, channels int) (codec, bool) {
	const blockFrames = 256
	c := codec{rate: rate, channels: channels, blockSize: blockFrames * channels}
	switch encoding {
	case auULaw:
		c.decode = func(dst []byte, src []byte) { expand(dst, src, ulaw) }
	case auALaw:
		c.decode = func(dst []byte, src []byte) { expand(dst, src, alaw) }
	case auPCM8:
		c.decode = func(dst []byte, src []byte) { expand(dst, src, func(b byte) int16 { return int16(b) << 8 }) }
	case auPCM16:
		c.blockSize *= 2
		c.decode = swapBytes
		c.decodedSize = func(size int) int { return size / (2 * channels) * 2 * channels }
		return c, true
	default:
		return codec{}, false
	}
	c.decodedSize = func(size int) int { return size / channels * channels * 2 }
	return c, true
}

// expand decodes as many samples as fit into dst.
func expand(dst, src []byte, sample func(byte) int16) {
	for i := range len(dst) / 2 {
		binary.LittleEndian.PutUint16(dst[2*i:], uint16(sample(src[i])))
	}
}

// swapBytes turns samples of 16 bits from big endian to little endian.
func swapBytes(dst, src []byte) {
	for i := 0; i < len(dst); i += 2 {
		dst[i], dst[i+1] = src[i+1], src[i]
	}
}

// ulaw decodes a sample of G.711 mu-law.
func ulaw(b byte) int16 {
	const bias = 0x84
	b = ^b
	magnitude := (int16(b&0x0f)<<3+bias)<<(b>>4&7) - bias
	if b&0x80 != 0 {
		return -magnitude
	}
	return magnitude
}

// alaw decodes a sample of G.711 A-law, with every other bit inverted.
func alaw(b byte) int16 {
	b ^= 0x55
	magnitude := int16(b&0x0f)<<4 + 8
	if segment := b >> 4 & 7; segment > 0 {
		magnitude = (magnitude + 0x100) << (segment - 1)
	}
	if b&0x80 == 0 {
		return -magnitude
	}
	return magnitude
}
