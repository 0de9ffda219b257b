// Writes tones as MP3 audio.

package convosotest

import (
	_ "embed"
	"encoding/binary"
)

const (
	frameSamples = 576 // per frame: 72 ms
	mpegRecord   = 72
)

// mpegSounds holds the start of a frame for silence and each tone: header, side information and
// main data. sounds/README.md describes how it was made.
//
//go:embed sounds/mp3.bin
var mpegSounds string

// mpegFrame writes a frame that is independent of earlier ones. After its main data, which decoders
// ignore, it has noise, which makes each frame unique.
func mpegFrame(buf []byte, tone int, seed uint64) {
	copy(buf, mpegSounds[tone*mpegRecord:][:mpegRecord])
	fillNoise(buf[mpegRecord:frameSize], seed)
}

// fillNoise writes pseudo-random bytes, none of which is 0xff: so it contains no frame sync.
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
	copy(buf, "ID3\x03\x00\x00\x00\x00\x00")
	buf[8], buf[9] = content>>7, content&0x7f // sizes in ID3 have seven bits per byte
	copy(buf[10:], "TSSE\x00\x00\x00\x0a\x00\x00\x00simulator")
	return frameSize
}
