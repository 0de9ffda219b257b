// Writes tones as WAV audio.

package convosotest

import (
	_ "embed"
	"encoding/binary"
	"fmt"
)

const (
	commentSize      = 8 + 4 + 8 + 18 // LIST, INFO, ICMT with the seed in hex
	pcmHeaderSize    = 12 + 8 + 16 + commentSize + 8
	ulawHeaderSize   = 12 + 8 + 18 + 12 + commentSize + 8
	blocksHeaderSize = 12 + 8 + 20 + 12 + commentSize + 8
	auHeaderSize     = 24 + 24 // header, annotation with the seed in hex
)

const (
	gsmBlockSize      = 65
	gsmBlockSamples   = 320
	gsmUnitSize       = 2 * gsmBlockSize
	gsmNoteUnits      = 5
	adpcmBlockSize    = 256
	adpcmBlockSamples = 2*(adpcmBlockSize-4) + 1
)

// gsmSounds holds the blocks of a note of silence and of each tone. sounds/README.md describes how
// it was made.
//
//go:embed sounds/gsm.bin
var gsmSounds string

// wavFormat is a WAV file's fmt chunk.
type wavFormat struct {
	tag       uint16
	byteRate  uint32
	blockSize uint16
	bits      uint16
	extra     []uint16 // after its size; nil for a chunk without even the size
}

func (k Kind) wavFormat() wavFormat {
	switch k {
	case KindULaw:
		return wavFormat{tag: 7, byteRate: sampleRate, blockSize: 1, bits: 8, extra: []uint16{}}
	case KindGSM:
		const byteRate = sampleRate * gsmBlockSize / gsmBlockSamples
		return wavFormat{tag: 0x31, byteRate: byteRate, blockSize: gsmBlockSize, extra: []uint16{gsmBlockSamples}}
	case KindADPCM:
		const byteRate = sampleRate * adpcmBlockSize / adpcmBlockSamples
		return wavFormat{tag: 0x11, byteRate: byteRate, blockSize: adpcmBlockSize, bits: 4, extra: []uint16{adpcmBlockSamples}}
	}
	return wavFormat{tag: 1, byteRate: 2 * sampleRate, blockSize: 2, bits: 16}
}

// appendWAVHeader appends everything before the samples: RIFF, fmt, fact if the codec is not PCM, a
// comment that makes each file unique, data.
func (a audio) appendWAVHeader(b []byte) []byte {
	le := binary.LittleEndian
	f, l := a.kind.wavFormat(), a.kind.layout()
	b = le.AppendUint32(append(b, "RIFF"...), uint32(a.size()-8))
	b = append(b, "WAVEfmt "...)
	chunkSize := 16
	if f.extra != nil {
		chunkSize = 18 + 2*len(f.extra)
	}
	b = le.AppendUint32(b, uint32(chunkSize))
	b = le.AppendUint16(b, f.tag)
	b = le.AppendUint16(b, 1) // channel
	b = le.AppendUint32(b, sampleRate)
	b = le.AppendUint32(b, f.byteRate)
	b = le.AppendUint16(b, f.blockSize)
	b = le.AppendUint16(b, f.bits)
	if f.extra != nil {
		b = le.AppendUint16(b, uint16(2*len(f.extra)))
		for _, value := range f.extra {
			b = le.AppendUint16(b, value)
		}
		b = append(b, "fact\x04\x00\x00\x00"...)
		b = le.AppendUint32(b, uint32(a.samples()))
	}
	b = append(b, "LIST\x1e\x00\x00\x00INFOICMT\x12\x00\x00\x00"...)
	b = append(fmt.Appendf(b, "%016x", a.seed), 0, 0)
	return le.AppendUint32(append(b, "data"...), uint32(a.size()-l.headSize))
}

// appendAUHeader appends the header of Sun audio with an annotation, which makes each file unique.
func (a audio) appendAUHeader(b []byte) []byte {
	const ulaw = 1
	be := binary.BigEndian
	b = append(b, ".snd"...)
	for _, value := range []uint32{auHeaderSize, uint32(a.size() - auHeaderSize), ulaw, sampleRate, 1} {
		b = be.AppendUint32(b, value)
	}
	return append(fmt.Appendf(b, "%016x", a.seed), make([]byte, 8)...)
}

// sine is one period of a sine.
var sine = [64]int16{
	0, 784, 1561, 2322, 3061, 3771, 4445, 5075, 5657, 6184, 6652, 7055, 7391, 7656, 7846, 7961,
	8000, 7961, 7846, 7656, 7391, 7055, 6652, 6184, 5657, 5075, 4445, 3771, 3061, 2322, 1561, 784,
	0, -784, -1561, -2322, -3061, -3771, -4445, -5075, -5657, -6184, -6652, -7055, -7391, -7656, -7846, -7961,
	-8000, -7961, -7846, -7656, -7391, -7055, -6652, -6184, -5657, -5075, -4445, -3771, -3061, -2322, -1561, -784,
}

// sampleOf returns sample number n of a tone. All tones repeat after len(sine) samples, because
// toneStep divides the sample rate by that.
func sampleOf(tone int, n int64) int16 {
	if tone == silence {
		return 0
	}
	return sine[int64(tone+1)*n%int64(len(sine))]
}

func pcmUnit(buf []byte, tone int) {
	for i := range len(sine) {
		binary.LittleEndian.PutUint16(buf[2*i:], uint16(sampleOf(tone, int64(i))))
	}
	repeat(buf[:2*frameSamples], 2*len(sine))
}

func ulawUnit(buf []byte, tone int) {
	for i := range len(sine) {
		buf[i] = ulawOf(sampleOf(tone, int64(i)))
	}
	repeat(buf[:frameSamples], len(sine))
}

// repeat fills buf with copies of its first n bytes.
func repeat(buf []byte, n int) {
	for ; n < len(buf); n *= 2 {
		copy(buf[n:], buf[:n])
	}
}

// ulawOf encodes a sample by G.711: sign, three bits of exponent and four of mantissa, all
// inverted.
func ulawOf(sample int16) byte {
	const bias, largest = 132, 32635
	magnitude, sign := int(sample), 0
	if sample < 0 {
		magnitude, sign = -magnitude, 0x80
	}
	magnitude = min(magnitude, largest) + bias
	exponent := 7
	for mask := 0x4000; magnitude&mask == 0; mask >>= 1 {
		exponent--
	}
	return ^byte(sign | exponent<<4 | magnitude>>(exponent+3)&0x0f)
}

// gsmUnit writes two blocks of a note: RIFF needs an even size.
func gsmUnit(buf []byte, tone int, part int64) {
	at := (int64(tone)*gsmNoteUnits + part) * gsmUnitSize
	copy(buf, gsmSounds[at:][:gsmUnitSize])
}
