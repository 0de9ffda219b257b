// Writes tones as Opus audio in Ogg.

package convosotest

import (
	_ "embed"
	"encoding/binary"
	"fmt"
)

const (
	oggHeaderSize  = 27 + 1 + 19                     // page header, one lace, OpusHead
	oggTagsSize    = 27 + 1 + 8 + 4 + 9 + 4 + 4 + 21 // page header, one lace, OpusTags with the seed
	oggPagePackets = 10
	oggPacketSize  = 120
	oggPageSize    = 27 + oggPagePackets + oggPagePackets*oggPacketSize
	oggPageSamples = oggPagePackets * sampleRate / 25 // a packet plays 40 ms
)

// opusSounds holds a packet for silence and each tone. sounds/README.md describes how it was made.
//
//go:embed sounds/opus.bin
var opusSounds string

// oggHeader writes one of the two pages with the headers of Opus.
func (a audio) oggHeader(buf []byte, i int64) int {
	const beginning = 2
	content := buf[28:28]
	flags := byte(0)
	if i == 0 {
		flags = beginning
		content = append(content, "OpusHead\x01\x01\x38\x01\x40\x1f\x00\x00\x00\x00\x00"...)
	} else {
		content = append(content, "OpusTags\x09\x00\x00\x00simulator\x01\x00\x00\x00\x15\x00\x00\x00"...)
		content = fmt.Appendf(content, "seed=%016x", a.seed)
	}
	buf[27] = byte(len(content))
	return a.closePage(buf, i, flags, 0, 1, 28+len(content))
}

// oggPage writes page number i with packets of a tone.
func (a audio) oggPage(buf []byte, i int64, tone int) {
	const end = 4
	flags := byte(0)
	if i == a.units-1 {
		flags = end
	}
	for k := range oggPagePackets {
		buf[27+k] = oggPacketSize
	}
	packets := buf[27+oggPagePackets : oggPageSize]
	copy(packets, opusSounds[tone*oggPacketSize:][:oggPacketSize])
	repeat(packets, oggPacketSize)
	const positionRate = 48000 // of Opus, independent of the actual rate
	position := (i - 1) * oggPageSamples * (positionRate / sampleRate)
	a.closePage(buf, i, flags, position, oggPagePackets, oggPageSize)
}

// closePage writes the header of a page whose laces and packets are already written, and returns
// its size.
func (a audio) closePage(buf []byte, i int64, flags byte, position int64, laces byte, size int) int {
	le := binary.LittleEndian
	clear(buf[:27])
	copy(buf, "OggS")
	buf[5] = flags
	le.PutUint64(buf[6:], uint64(position))
	le.PutUint32(buf[14:], uint32(a.seed))
	le.PutUint32(buf[18:], uint32(i))
	buf[26] = laces
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
