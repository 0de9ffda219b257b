package convosotest

import (
	"encoding/binary"
	"io"
)

// Kind is the format of a recording.
type Kind string

// The formats of recordings.
const (
	KindMP3 Kind = "mp3" // MPEG-2.5 layer III, 8 kHz, mono, 64 kbit/s, frames alone as real recordings are
	KindID3 Kind = "id3" // the same behind an ID3v2 tag
	KindWAV Kind = "wav" // 8 bit PCM at 8 kHz
	KindOgg Kind = "ogg" // Ogg pages with Opus headers and valid checksums
)

const (
	wavHeaderSize  = 44
	oggHeaderSize  = 27 + 1 + 19 // page header, one lace, OpusHead
	oggTagsSize    = 27 + 1 + 22 // page header, one lace, OpusTags
	oggPagePackets = 16
	oggPacketSize  = 250
	oggPageSize    = 27 + oggPagePackets + oggPagePackets*oggPacketSize
	largestUnit    = oggPageSize
)

// audio describes a recording's bytes. They are made unit by unit, each from the
// seed and its number alone, so that a body of any size takes no memory.
type audio struct {
	kind  Kind
	seed  uint64
	units int64
}

// newAudio returns audio of about the size asked for.
func newAudio(kind Kind, seed uint64, size int64) audio {
	units := max(1, (size+frameSize/2)/frameSize)
	switch kind {
	case KindID3, KindWAV:
		units = max(2, units)
	case KindOgg:
		units = 2 + max(1, size/oggPageSize)
	}
	return audio{kind: kind, seed: seed, units: units}
}

func (a audio) size() int64 {
	switch a.kind {
	case KindWAV:
		return wavHeaderSize + (a.units-1)*frameSize
	case KindOgg:
		return oggHeaderSize + oggTagsSize + (a.units-2)*oggPageSize
	}
	return a.units * frameSize
}

func (a audio) contentType() string {
	switch a.kind {
	case KindWAV:
		return "audio/x-wav"
	case KindOgg:
		return "audio/ogg"
	}
	return "audio/mpeg"
}

// unit writes unit number i to the start of buf, which has room for largestUnit,
// and returns its length.
func (a audio) unit(buf []byte, i int64) int {
	switch a.kind {
	case KindWAV:
		if i == 0 {
			return wavHeader(buf, a.size())
		}
		fillNoise(buf[:frameSize], mix(a.seed, uint64(i)))
		return frameSize
	case KindOgg:
		return a.oggPage(buf, i)
	case KindID3:
		if i == 0 {
			return id3Tag(buf)
		}
	}
	return mpegFrame(buf, mix(a.seed, uint64(i)))
}

// mpegFrame writes the frame header of every real file looked at, and noise.
func mpegFrame(buf []byte, seed uint64) int {
	copy(buf, "\xff\xe3\x88\xc4")
	fillNoise(buf[4:frameSize], seed)
	return frameSize
}

// fillNoise writes pseudo-random bytes, none of which is 0xff: no frame sync can
// stand where none belongs.
func fillNoise(buf []byte, seed uint64) {
	const withoutLowBits = 0xfefefefefefefefe
	for ; len(buf) >= 8; buf = buf[8:] {
		seed += golden
		binary.LittleEndian.PutUint64(buf, scramble(seed)&withoutLowBits)
	}
	for i := range buf {
		buf[i] = byte(seed>>(8*i)) & 0xfe
	}
}

// id3Tag writes an ID3v2.3 tag with a comment-free padding of one frame's size.
func id3Tag(buf []byte) int {
	const content = frameSize - 10
	clear(buf[:frameSize])
	copy(buf, "ID3\x03\x00\x00\x00\x00")
	buf[8], buf[9] = content>>7, content&0x7f // sizes in ID3 have seven bits a byte
	copy(buf[10:], "TSSE\x00\x00\x00\x0a\x00\x00\x00simulator")
	return frameSize
}

// wavHeader writes the header of a WAV file of the given size in all.
func wavHeader(buf []byte, size int64) int {
	le := binary.LittleEndian
	copy(buf, "RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	le.PutUint32(buf[4:], uint32(size-8))
	le.PutUint32(buf[24:], bytesPerSecond)
	le.PutUint32(buf[28:], bytesPerSecond)
	le.PutUint16(buf[32:], 1)
	le.PutUint16(buf[34:], 8)
	copy(buf[36:], "data")
	le.PutUint32(buf[40:], uint32(size-wavHeaderSize))
	return wavHeaderSize
}

// oggPage writes page number i: the two headers of Opus, then pages of packets.
func (a audio) oggPage(buf []byte, i int64) int {
	const beginning, end = 2, 4
	le := binary.LittleEndian
	clear(buf[:27])
	copy(buf, "OggS")
	le.PutUint32(buf[14:], uint32(a.seed))
	le.PutUint32(buf[18:], uint32(i))
	var size int
	switch i {
	case 0:
		buf[5] = beginning
		buf[26], buf[27] = 1, 19
		copy(buf[28:], "OpusHead\x01\x01\x38\x01\x40\x1f\x00\x00\x00\x00\x00")
		size = oggHeaderSize
	case 1:
		buf[26], buf[27] = 1, 22
		copy(buf[28:], "OpusTags\x06\x00\x00\x00simula\x00\x00\x00\x00")
		size = oggTagsSize
	default:
		if i == a.units-1 {
			buf[5] = end
		}
		le.PutUint64(buf[6:], uint64(i-1)*oggPagePackets*960)
		buf[26] = oggPagePackets
		for k := range oggPagePackets {
			buf[27+k] = oggPacketSize
		}
		fillNoise(buf[27+oggPagePackets:oggPageSize], mix(a.seed, uint64(i)))
		size = oggPageSize
	}
	le.PutUint32(buf[22:], oggChecksum(buf[:size]))
	return size
}

// oggChecksum is the CRC-32 of the Ogg specification: polynomial 04c11db7, not
// reflected, starting from 0, which hash/crc32 does not offer.
func oggChecksum(page []byte) uint32 {
	var crc uint32
	for _, b := range page {
		crc ^= uint32(b) << 24
		for range 8 {
			top := crc >> 31
			crc = crc<<1 ^ 0x04c11db7*top
		}
	}
	return crc
}

// body reads a recording's bytes.
type body struct {
	audio audio
	next  int64 // number of the unit after the one in rest
	rest  []byte
	unit  [largestUnit]byte
}

// newBody returns a reader of all bytes of the recording.
func newBody(a audio) *body { return &body{audio: a} }

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(b.rest) == 0 {
			if b.next == b.audio.units {
				break
			}
			b.rest = b.unit[:b.audio.unit(b.unit[:], b.next)]
			b.next++
		}
		copied := copy(p[n:], b.rest)
		b.rest = b.rest[copied:]
		n += copied
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}
