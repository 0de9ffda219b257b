// Lists the audio formats, with their media types and file extensions.

package audio

// Format is a format of audio files. The zero value means none.
type Format string

// The recognised formats, which telephone systems use.
const (
	MP3  Format = "mp3"  // MPEG-1, 2 and 2.5 audio, layers I to III
	AAC  Format = "aac"  // AAC in ADTS frames
	WAV  Format = "wav"  // RIFF, RF64 and BW64, of any codec
	Ogg  Format = "ogg"  // Opus, Vorbis, Speex or FLAC in Ogg
	FLAC Format = "flac" // native FLAC
	MP4  Format = "mp4"  // ISO base media with a sound track: m4a, 3gp
	AMR  Format = "amr"  // AMR narrow band and wide band, one channel
	AU   Format = "au"   // Sun and NeXT audio
)

// ContentType returns the media type to serve the format with.
func (f Format) ContentType() string {
	switch f {
	case MP3:
		return "audio/mpeg"
	case AAC:
		return "audio/aac"
	case WAV:
		return "audio/wav"
	case Ogg:
		return "audio/ogg"
	case FLAC:
		return "audio/flac"
	case MP4:
		return "audio/mp4"
	case AMR:
		return "audio/amr"
	case AU:
		return "audio/basic"
	}
	return "application/octet-stream"
}

// Extension returns the file extension of the format with its dot, and "" for no format.
func (f Format) Extension() string {
	switch f {
	case "":
		return ""
	case MP4:
		return ".m4a" // players treat .mp4 as video
	}
	return "." + string(f)
}

// Verdict says what a body is.
type Verdict int

// The verdicts.
const (
	// Unknown is binary data that is not recognised as audio.
	Unknown Verdict = iota
	// Audio is a body that starts like the format in the result.
	Audio
	// Empty is an empty body.
	Empty
	// HTML is markup: HTML, or XML from object stores.
	HTML
	// JSON is text that starts like a JSON object or array.
	JSON
	// Text is any other text.
	Text
)

// String returns the verdict in one word.
func (v Verdict) String() string {
	names := [...]string{Unknown: "unknown", Audio: "audio", Empty: "empty", HTML: "html", JSON: "json", Text: "text"}
	if v < 0 || int(v) >= len(names) {
		return "invalid"
	}
	return names[v]
}
