// Defines the result of an inspection, and the oddities that it may name.

package audio

import "time"

// Result is what an [Inspector] found.
type Result struct {
	Verdict Verdict
	// Format is set where Verdict is Audio.
	Format Format
	// Duration is how long the audio plays, 0 if that is not known. It is
	// computed from headers: the frame that only describes a stream (Xing, Info) is
	// counted as one that plays, and a last frame that is incomplete is not.
	Duration time.Duration
	// Oddities says what is unusual inside audio, each in a few words that never change and hold no value, so that
	// they can be in a remark. It is audio in any case.
	Oddities []string
	// Cut says that audio ends before its format says that it ends: inside a frame, or
	// short of a length that the container states. One of Oddities says how.
	Cut bool
	// Whole says that audio is one whole recording by its own account: every frame is
	// complete and nothing lies between or behind them, or the container states a
	// length and the bytes agree with it. It is false if the format cannot tell.
	Whole bool
	// NotFound says that a body of JSON or text reads "not found" in any spelling.
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
