// Inspects a body while it streams past, and determines its format.

package audio

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
)

// HeadSize is the number of bytes at the start that decide whether a body is text. A shorter body
// is checked completely.
const HeadSize = 512

// parser parses the structure of one format from header to header.
type parser interface {
	// need returns the size of the next header, 0 if nothing more can be learned.
	need() int
	// step takes a header of that size. It sets the bytes that the cursor must skip after it.
	step(c *cursor, h []byte)
	// finish judges a body of total bytes, all of which the cursor has read.
	finish(c *cursor, total int64) Result
}

// errFinished is returned for bytes after Finish.
var errFinished = errors.New("inspect audio: written to after the end")

// Inspector judges one body. The zero value is ready for use. It is not safe for
// concurrent use.
type Inspector struct {
	head    [HeadSize]byte
	n       int // bytes in head
	total   int64
	decided bool
	verdict Verdict // HTML, JSON or Text, once decided; Unknown for binary data
	text    text
	front   int // stray bytes before the audio
	parser  parser
	cursor  cursor
	done    bool
	result  Result
}

// NewInspector returns an Inspector for one body.
func NewInspector() *Inspector { return new(Inspector) }

// IsAudio reports whether a body that begins with start is audio of a known format.
// 64 KiB are enough, fewer if the body is shorter.
func IsAudio(start []byte) bool {
	i := NewInspector()
	_, _ = i.Write(start) // fails only after Finish
	return i.Finish().Verdict == Audio
}

// Write takes the next bytes of the body and does not retain p. It fails only after Finish.
func (i *Inspector) Write(p []byte) (int, error) {
	if i.done {
		return 0, errFinished
	}
	written := len(p)
	i.total += int64(written)
	if !i.decided {
		k := copy(i.head[i.n:], p)
		i.n += k
		p = p[k:]
		if i.n < len(i.head) {
			return written, nil
		}
		i.decide()
	}
	i.pass(p)
	return written, nil
}

// IsText reports whether the body is known to be text: HTML, JSON or other. It is false until
// HeadSize bytes have arrived or Finish was called, and does not change afterwards, so a caller may
// stop reading.
func (i *Inspector) IsText() bool { return i.decided && i.verdict != Unknown }

// Finish judges the complete body. Further calls return the same result.
func (i *Inspector) Finish() Result {
	if i.done {
		return i.result
	}
	if !i.decided {
		i.decide()
	}
	i.done = true
	switch {
	case i.total == 0:
		i.result = Result{Verdict: Empty}
	case i.verdict != Unknown:
		i.result = Result{Verdict: i.verdict, NotFound: i.verdict != HTML && i.text.saysNotFound()}
	default:
		i.result = i.finishBinary()
	}
	return i.result
}

func (i *Inspector) finishBinary() Result {
	r := i.parser.finish(&i.cursor, i.total-int64(i.front))
	switch {
	case r.Duration == 0 && latin1Verdict(i.head[:i.n]) == Text:
		return Result{Verdict: Text} // it only started like a frame
	case r.Verdict != Audio:
		return Result{}
	case i.front > 0:
		r.Oddities = slices.Insert(r.Oddities, 0, oddFront)
	}
	return r
}

// decide chooses between text and the parser of a format using the head.
func (i *Inspector) decide() {
	head := i.head[:i.n]
	i.decided = true
	i.verdict = textVerdict(head, i.n == HeadSize)
	front := len(head) - len(trimFront(head))
	if i.verdict == Unknown && !startsFrame(head[front:]) {
		i.verdict = latin1Verdict(head)
	}
	if i.verdict == Unknown {
		i.front = front
		i.parser = parserFor(head[front:])
	}
	i.pass(head[i.front:])
}

func (i *Inspector) pass(p []byte) {
	if i.parser == nil {
		i.text.write(p)
		return
	}
	for size := i.parser.need(); size > 0; size = i.parser.need() {
		header, rest, ok := i.cursor.take(p, size)
		if !ok {
			return
		}
		p = rest
		i.parser.step(&i.cursor, header)
	}
}

// trimFront returns the head without the byte order marks and blank lines that scripts send by
// mistake before a body.
func trimFront(head []byte) []byte {
	for {
		trimmed := bytes.TrimLeft(bytes.TrimPrefix(head, []byte(utf8Mark)), " \t\r\n")
		if len(trimmed) == len(head) {
			return head
		}
		head = trimmed
	}
}

// parserFor returns the parser of the format in a binary head, or of a possible format without a
// magic number.
func parserFor(head []byte) parser {
	has := func(at int, magic string) bool {
		return len(head) >= at+len(magic) && string(head[at:at+len(magic)]) == magic
	}
	switch {
	case (has(0, "RIFF") || has(0, "RF64") || has(0, "BW64")) && has(8, "WAVE"):
		return new(wav)
	case has(0, "OggS"):
		return new(ogg)
	case has(0, "fLaC"):
		return new(flac)
	case has(4, "ftyp"):
		return new(mp4)
	case has(0, amrNarrow):
		return &amr{magic: len(amrNarrow), sizes: amrSizes}
	case has(0, amrWide):
		return &amr{magic: len(amrWide), sizes: amrWideSizes}
	case has(0, ".snd"):
		return new(au)
	case has(0, "ID3"), startsFrame(head):
		return new(frames)
	}
	// The start of a stream of frames may be missing. But an archive, a picture or a program may contain such a
	// stream without being audio.
	if http.DetectContentType(head) == "application/octet-stream" {
		return new(frames)
	}
	return nothing{}
}

// startsFrame reports whether a body begins with a sync word of MPEG audio or ADTS.
// Its bytes may still be Latin-1 text.
func startsFrame(head []byte) bool {
	return len(head) >= 2 && head[0] == 0xFF && head[1]&0xE0 == 0xE0
}

// nothing is the parser of a body that is certainly not audio.
type nothing struct{}

func (nothing) need() int                    { return 0 }
func (nothing) step(*cursor, []byte)         {}
func (nothing) finish(*cursor, int64) Result { return Result{} }
