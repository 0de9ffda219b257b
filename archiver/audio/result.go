// Defines the result of an inspection, and its possible oddities.

package audio

import "time"

// Result is the result of an [Inspector].
type Result struct {
	Verdict Verdict
	// Format is set if Verdict is Audio.
	Format Format
	// Duration is the duration of the audio, 0 if unknown. It is computed from headers: a frame
	// that only describes a stream (Xing, Info) counts, an incomplete last frame does not.
	Duration time.Duration
	// Oddities lists anomalies inside audio, each in a few fixed words without values, so that they can be in a
	// remark. The body is audio in any case.
	Oddities []string
	// Cut says that audio is truncated: it ends inside a frame, or before the length in the
	// container. One of Oddities says how.
	Cut bool
	// Whole says that audio is provably complete: every frame is complete with nothing between or
	// after them, or the bytes agree with the length in the container. It is false if the format
	// cannot show that.
	Whole bool
	// NotFound says that a body of JSON or text says "not found" in any spelling.
	NotFound bool
}

// The oddities.
const (
	oddFront    = "bytes before the audio"
	oddNoSound  = "no sound found"
	oddHeader   = "the header is damaged"
	oddShort    = "shorter than its header says"
	oddLong     = "longer than its header says"
	oddNoPad    = "a chunk without its pad byte"
	oddFrame    = "the last frame is incomplete"
	oddStray    = "bytes that belong to no frame"
	oddPage     = "the last page is incomplete"
	oddLastPage = "the last page is missing"
	oddIndex    = "the index is missing"
)

func (r *Result) odd(text string) { r.Oddities = append(r.Oddities, text) }

func (r *Result) cut(text string) {
	r.Cut = true
	r.odd(text)
}
