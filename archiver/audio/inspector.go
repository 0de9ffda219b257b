package audio

import (
	"errors"
	"net/http"
	"time"
)

// HeadSize is how many bytes from its start decide whether a body is text. All of a
// shorter body is looked at.
const HeadSize = 512

// Result is what an [Inspector] found.
type Result struct {
	Verdict Verdict
	// Format is set where Verdict is Audio.
	Format Format
	// Duration is how long the audio plays, 0 where that is not known. It is
	// computed from headers: the frame that only describes a stream (Xing, Info) is
	// counted as one that plays, and a broken last frame is not.
	Duration time.Duration
	// LastFrameBroken says that an MP3, AAC or AMR stream ends inside a frame, or an
	// Ogg stream between two pages without a last one. It is also set beside Unknown, for a body that ends inside what would be its only one.
	LastFrameBroken bool
	// ContainerMismatch says how the lengths that a container states contradict the
	// bytes received, and is "" where they do not, or where the container was
	// written as a stream and states none. It is also set beside Unknown, for a
	// container that breaks off before it shows that it holds audio.
	ContainerMismatch string
	// Garbage counts bytes of an MP3, AAC or AMR stream that belong to no frame and
	// no tag, zeros aside.
	Garbage int64
	// NotFound says that a body of JSON or text reads "not found" in any spelling.
	NotFound bool
}

// parser follows the structure of one format.
type parser interface {
	// write takes the next bytes.
	write(p []byte)
	// finish judges a body of total bytes, all of which were written.
	finish(total int64) Result
}

// errFinished is returned for bytes that come too late to count.
var errFinished = errors.New("inspect audio: written to after the end")

// Inspector judges one body. The zero value is ready for use. It is not safe for
// concurrent use.
type Inspector struct {
	head      [HeadSize]byte
	n         int // bytes in head
	total     int64
	decided   bool
	verdict   Verdict // HTML, JSON or Text, once decided; Unknown for binary data
	text      text
	parser    parser // of binary data, once decided
	announced bool   // the head is that of the parser's format
	done      bool
	result    Result
}

// NewInspector returns an Inspector for one body.
func NewInspector() *Inspector { return new(Inspector) }

// Write takes the next bytes of the body and keeps none of p. It fails only after
// Finish.
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

// IsText reports whether the body is known to be text: HTML, JSON or other. It is
// false until HeadSize bytes have come or Finish was called, and does not change
// after that, so that a caller may stop reading.
func (i *Inspector) IsText() bool { return i.decided && i.verdict != Unknown }

// IsAnnounced reports whether the first bytes are those of a format of audio, which
// only Finish can confirm. Like IsText it is false until HeadSize bytes have come or
// Finish was called.
func (i *Inspector) IsAnnounced() bool { return i.announced }

// Head returns what the first bytes show: HTML, JSON or Text, or Unknown for binary
// data, which only Finish can judge. ok is false until HeadSize bytes have come or
// Finish was called.
func (i *Inspector) Head() (v Verdict, ok bool) { return i.verdict, i.decided }

// Finish judges the body, of which no more comes. Calling it again returns the same.
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
		i.result = i.parser.finish(i.total)
		if i.result.Verdict != Audio {
			if v := latin1Verdict(i.head[:i.n]); v == Text {
				i.result = Result{Verdict: v}
			}
		}
	}
	return i.result
}

// decide chooses between text and the parser of a format by the head.
func (i *Inspector) decide() {
	head := i.head[:i.n]
	i.decided = true
	i.verdict = textVerdict(head, i.n == HeadSize)
	if i.verdict == Unknown && !startsFrame(head) {
		i.verdict = latin1Verdict(head)
	}
	if i.verdict == Unknown {
		i.parser, i.announced = parserFor(head)
	}
	i.pass(head)
}

func (i *Inspector) pass(p []byte) {
	if i.parser != nil {
		i.parser.write(p)
		return
	}
	i.text.write(p)
}

// parserFor returns the parser of the format that a binary head announces, or of what
// the body may be all the same.
func parserFor(head []byte) (p parser, announced bool) {
	has := func(at int, magic string) bool {
		return len(head) >= at+len(magic) && string(head[at:at+len(magic)]) == magic
	}
	switch {
	case (has(0, "RIFF") || has(0, "RF64") || has(0, "BW64")) && has(8, "WAVE"):
		return new(wav), true
	case has(0, "OggS"):
		return new(ogg), true
	case has(0, "fLaC"):
		return new(flac), true
	case has(4, "ftyp"):
		return new(mp4), true
	case isAMR(head):
		return new(amr), true
	case has(0, ".snd"):
		return new(au), true
	case has(0, "ID3"):
		return newFrames(), true
	case startsFrame(head):
		return newFrames(), latin1Verdict(head) != Text
	}
	// A stream of frames may have been cut at its front. An archive, a picture or a
	// program may hold such a stream too and is none.
	if http.DetectContentType(head) == "application/octet-stream" {
		return newFrames(), false
	}
	return nothing{}, false
}

// startsFrame reports whether a body begins with a sync word of MPEG audio or ADTS.
// Its bytes may still be Latin-1 text.
func startsFrame(head []byte) bool {
	return len(head) >= 2 && head[0] == 0xFF && head[1]&0xE0 == 0xE0
}

// nothing is the parser of what is certainly no audio.
type nothing struct{}

func (nothing) write([]byte)        {}
func (nothing) finish(int64) Result { return Result{} }
