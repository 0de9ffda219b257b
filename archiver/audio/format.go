// Lists the audio formats, with their media types and file extensions.

package audio

// Format is a format of audio files. The zero value stands for none.
type Format string

// The formats that are recognised: those that telephone systems serve.
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

// Extension returns the ending of the format's file names with its dot, and "" for
// no format.
func (f Format) Extension() string {
	switch f {
	case "":
		return ""
	case MP4:
		return ".m4a" // players take .mp4 for video
	}
	return "." + string(f)
}

// Verdict says what a body is.
type Verdict int

// The verdicts.
const (
	// Unknown is binary data that is not known as audio.
	Unknown Verdict = iota
	// Audio is a body that begins as the format does that the result names.
	Audio
	// Empty is a body without a byte.
	Empty
	// HTML is markup: HTML, or XML as object stores send it.
	HTML
	// JSON is text that begins as a JSON object or array does.
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
