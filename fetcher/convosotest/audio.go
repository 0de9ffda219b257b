// Writes the audio of simulated recordings in each format.

package convosotest

import (
	"io"
	"time"
)

// Kind is the format of a recording.
type Kind string

// The formats of recordings. Browsers play the ones up to KindOgg.
const (
	KindMP3   Kind = "mp3"       // MPEG-2.5 layer III, 8 kHz, mono, 64 kbit/s, without tags, like real recordings
	KindID3   Kind = "id3"       // the same after an ID3v2 tag
	KindWAV   Kind = "wav"       // PCM of 16 bits at 8 kHz
	KindULaw  Kind = "wav-ulaw"  // WAV with mu-law samples
	KindOgg   Kind = "ogg"       // Opus in Ogg pages with valid checksums
	KindGSM   Kind = "wav-gsm"   // WAV with GSM 06.10 in Microsoft's blocks of two frames
	KindADPCM Kind = "wav-adpcm" // WAV with IMA ADPCM
	KindAU    Kind = "au"        // Sun audio with mu-law samples
)

// sampleRate is the sample rate of all recordings in Hz; the 48 kHz of Opus are nominal.
const sampleRate = 8000

// audio describes a recording's bytes. They are generated unit by unit, each from the seed and its
// number, so a body of any size takes no memory.
type audio struct {
	kind  Kind
	seed  uint64
	units int64
}

// layout describes the units of a format: first header units, then sound units of equal size.
type layout struct {
	heads    int64 // number of header units
	headSize int64 // bytes of all of them
	size     int64 // bytes of a unit of sound
	samples  int64 // samples per unit
	note     int64 // units of sound per note
}

func (k Kind) layout() layout {
	switch k {
	case KindID3:
		return layout{heads: 1, headSize: frameSize, size: frameSize, samples: frameSamples, note: 6}
	case KindWAV:
		return layout{heads: 1, headSize: pcmHeaderSize, size: 2 * frameSamples, samples: frameSamples, note: 6}
	case KindULaw:
		return layout{heads: 1, headSize: ulawHeaderSize, size: frameSamples, samples: frameSamples, note: 6}
	case KindAU:
		return layout{heads: 1, headSize: auHeaderSize, size: frameSamples, samples: frameSamples, note: 6}
	case KindGSM:
		return layout{heads: 1, headSize: blocksHeaderSize, size: gsmUnitSize, samples: 2 * gsmBlockSamples, note: gsmNoteUnits}
	case KindADPCM:
		return layout{heads: 1, headSize: blocksHeaderSize, size: adpcmBlockSize, samples: adpcmBlockSamples, note: 7}
	case KindOgg:
		return layout{heads: 2, headSize: oggHeaderSize + oggTagsSize, size: oggPageSize, samples: oggPageSamples, note: 1}
	}
	return layout{size: frameSize, samples: frameSamples, note: 6}
}

const largestUnit = oggPageSize

// newAudio returns audio of about the given size.
func newAudio(kind Kind, seed uint64, size int64) audio {
	l := kind.layout()
	return audio{kind: kind, seed: seed, units: l.heads + max(1, (size-l.headSize+l.size/2)/l.size)}
}

func (a audio) size() int64 {
	l := a.kind.layout()
	return l.headSize + (a.units-l.heads)*l.size
}

// samples returns the number of samples.
func (a audio) samples() int64 {
	l := a.kind.layout()
	return (a.units - l.heads) * l.samples
}

func (a audio) duration() time.Duration { return playing(a.samples()) }

// playing returns the duration of n samples.
func playing(samples int64) time.Duration {
	return time.Duration(samples) * (time.Second / sampleRate)
}

func (a audio) contentType() string {
	switch a.kind {
	case KindWAV, KindULaw, KindGSM, KindADPCM:
		return "audio/x-wav"
	case KindAU:
		return "audio/basic"
	case KindOgg:
		return "audio/ogg"
	}
	return "audio/mpeg"
}

// extension returns the file extension of the format, as far as the vendor has one.
func (a audio) extension() string {
	switch a.kind {
	case KindWAV, KindULaw, KindGSM, KindADPCM:
		return ".wav"
	case KindAU:
		return ".au"
	case KindOgg:
		return ".ogg"
	}
	return ".mp3"
}

// sound writes unit number n of the sound, of a note with the tone, to the start of buf, which must
// have space for largestUnit.
func (a audio) sound(buf []byte, l layout, n int64, tone int) {
	switch a.kind {
	case KindMP3, KindID3:
		mpegFrame(buf, tone, mix(a.seed, uint64(n)))
	case KindWAV:
		pcmUnit(buf, tone)
	case KindULaw, KindAU:
		ulawUnit(buf, tone)
	case KindGSM:
		gsmUnit(buf, tone, n%l.note)
	case KindADPCM:
		adpcmBlock(buf, tone, n*l.samples)
	case KindOgg:
		a.oggPage(buf, l.heads+n, tone)
	}
}

// header writes header unit number i and returns its length.
func (a audio) header(buf []byte, i int64) int {
	switch a.kind {
	case KindOgg:
		return a.oggHeader(buf, i)
	case KindID3:
		return id3Tag(buf)
	case KindAU:
		return len(a.appendAUHeader(buf[:0]))
	}
	return len(a.appendWAVHeader(buf[:0]))
}

// body reads a recording's bytes.
type body struct {
	audio   audio
	layout  layout
	next    int64 // number of the unit after the one in rest
	tone    int   // of the current note
	noteEnd int64 // number of the first sound unit after it
	rest    []byte
	unit    [largestUnit]byte
}

// newBody returns a reader of all bytes of the recording.
func newBody(a audio) *body { return &body{audio: a, layout: a.kind.layout()} }

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(b.rest) == 0 {
			if b.next == b.audio.units {
				break
			}
			b.make()
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

// make puts the next unit into rest.
func (b *body) make() {
	n := b.next - b.layout.heads
	b.next++
	if n < 0 {
		b.rest = b.unit[:b.audio.header(b.unit[:], b.next-1)]
		return
	}
	if n == b.noteEnd {
		b.tone = b.audio.tone(n / b.layout.note)
		b.noteEnd += b.layout.note
	}
	b.audio.sound(b.unit[:], b.layout, n, b.tone)
	b.rest = b.unit[:b.layout.size]
}
