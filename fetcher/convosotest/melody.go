// Composes the tones of each recording.

package convosotest

import (
	"iter"
	"time"
)

// All tones are multiples of 125 Hz, so that a unit of every format contains whole periods and can
// be repeated.
const (
	toneStep  = 125 // Hz
	toneCount = 24  // from 250 Hz to 3125 Hz
	silence   = 0   // instead of a tone's number, which is from 1 to toneCount
)

func toneHz(tone int) float64 {
	if tone == silence {
		return 0
	}
	return float64(toneStep * (tone + 1))
}

const (
	phraseNotes = 16 // after which there is another rest
	restNotes   = 3  // about 1.2 s

	// The last part of mix keeps a note apart from the noise of a frame.
	mixNote = 1
	mixRest = 2
)

// tone returns the number of the tone of note number n.
func (a audio) tone(n int64) int {
	phrase, place := n/phraseNotes, int(n%phraseNotes)
	rest := 3 + below(mix(a.seed, uint64(phrase), mixRest), phraseNotes-restNotes-3)
	if place >= rest && place < rest+restNotes {
		return silence
	}
	return 1 + below(mix(a.seed, uint64(n), mixNote), toneCount)
}

// Note is a part of a recording with one tone.
type Note struct {
	Start, End time.Duration
	Hz         float64 // of a sine; 0 for silence
}

// Notes walks the notes that sound one after the other from the recording's start to its end. Each
// of them lasts about 0.4 s. Decoder output is delayed by up to an eighth of a second, because
// units of MP3 and Opus overlap: the last half of a note has its tone in all formats.
func (r Recording) Notes() iter.Seq[Note] {
	return r.server.recordings[r.number].audio.notes()
}

// Duration returns the duration of the recording.
func (r Recording) Duration() time.Duration {
	return r.server.recordings[r.number].audio.duration()
}

func (a audio) notes() iter.Seq[Note] {
	l := a.kind.layout()
	return func(yield func(Note) bool) {
		length, all := l.note*l.samples, a.samples()
		for n := int64(0); n*length < all; n++ {
			note := Note{Start: playing(n * length), End: playing(min((n+1)*length, all)), Hz: toneHz(a.tone(n))}
			if !yield(note) {
				return
			}
		}
	}
}
