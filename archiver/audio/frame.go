// Reads the headers of MPEG and ADTS frames.

package audio

// frameHeaderSize is the number of bytes read of a frame: an ADTS header without checksum. MPEG
// audio uses the first four bytes. No frame is shorter.
const frameHeaderSize = 7

// flicks is a unit of time that every sample rate in use divides evenly, so sums of frames are
// exact.
const flicks = 705_600_000 // per second

// frame is the content of a frame header.
type frame struct {
	size     int64 // bytes with the header
	playtime int64 // in flicks
}

// bitRates holds kbit/s by bit rate index. Index 0 is free format, whose headers do not state the
// frame size: no telephone system writes it, and it is not supported. Index 15 is not allowed.
var bitRates = [...][16]uint16{
	{0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448}, // MPEG-1 layer I
	{0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},    // MPEG-1 layer II
	{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},     // MPEG-1 layer III
	{0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},    // MPEG-2 and 2.5 layer I
	{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},         // MPEG-2 and 2.5 layers II and III
}

// mpegSampleRates holds the sample rates of MPEG-1 in Hz; MPEG-2 has half of them, MPEG-2.5 a
// quarter.
var mpegSampleRates = [3]int64{44100, 48000, 32000}

// aacSampleRates holds sample rates in Hz by sampling frequency index.
var aacSampleRates = [...]int64{
	96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
}

// parseFrame reads the header of an MPEG audio or ADTS frame, from frameHeaderSize bytes.
func parseFrame(h []byte) (frame, bool) {
	if h[0] != 0xFF || h[1]&0xE0 != 0xE0 {
		return frame{}, false
	}
	if isADTS(h) {
		return parseADTS(h)
	}
	return parseMPEG(h)
}

// isADTS recognises AAC by the layer, which is invalid for MPEG audio.
func isADTS(h []byte) bool { return h[1]&0x06 == 0 }

// parseMPEG reads bits AAAAAAAA AAABBCCD EEEEFFGH: sync, version, layer, protection, bit rate,
// sample rate, padding. The other bits do not affect the length, and are not checked, because
// encoders do set reserved values there.
func parseMPEG(h []byte) (frame, bool) {
	const (
		versionReserved, rateReserved = 1, 3
		layer1, layer3                = 3, 1
		version1, version2            = 3, 2
	)
	version, layer := h[1]>>3&3, h[1]>>1&3
	bitRate, sampleRate, padding := h[2]>>4, h[2]>>2&3, int64(h[2]>>1&1)
	if version == versionReserved || sampleRate == rateReserved {
		return frame{}, false
	}
	hz := mpegSampleRates[sampleRate]
	table := 3 - layer
	if version != version1 {
		table = 4
		if layer == layer1 {
			table = 3
		}
		hz /= 2
		if version != version2 {
			hz /= 2
		}
	}
	samples, slot := int64(1152), int64(1)
	switch {
	case layer == layer1:
		samples, slot = 384, 4
	case layer == layer3 && version != version1:
		samples = 576
	}
	bits := int64(bitRates[table][bitRate]) * 1000
	if bits == 0 {
		return frame{}, false
	}
	return frame{size: (samples/8/slot*bits/hz + padding) * slot, playtime: samples * (flicks / hz)}, true
}

// parseADTS reads the sampling frequency, the length of 13 bits and the number of
// blocks of 1024 samples.
func parseADTS(h []byte) (frame, bool) {
	index := int(h[2] >> 2 & 0x0F)
	size := int64(h[3]&3)<<11 | int64(h[4])<<3 | int64(h[5])>>5
	minSize := int64(frameHeaderSize)
	if h[1]&1 == 0 {
		minSize += 2 // with a checksum
	}
	if h[1]&0xF0 != 0xF0 || index >= len(aacSampleRates) || size <= minSize {
		return frame{}, false
	}
	blocks := int64(h[6]&3) + 1
	return frame{size: size, playtime: blocks * 1024 * (flicks / aacSampleRates[index])}, true
}

// sameStream reports whether h, which may be only the first bytes of a header,
// belongs to the stream of the header ref. Bit rate, padding and channel mode may
// change from frame to frame; version, layer and sample rate do not.
func sameStream(ref [3]byte, h []byte) bool {
	mask := [3]byte{0xFF, 0xFE, 0x0C}
	if isADTS(ref[:]) {
		mask[2] = 0xFC // also the profile, instead of the bit rate
	}
	for i := range min(len(h), len(mask)) {
		if (ref[i]^h[i])&mask[i] != 0 {
			return false
		}
	}
	return true
}
