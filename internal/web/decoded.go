// Decodes audio that browsers do not play.

package web

import (
	"bytes"
	"io"
	"net/http"
	"time"

	"convoso-archiver/internal/wave"
)

// maxDecodedBytes is the maximum size of a recording to decode for browsers, because it is held in memory while it is
// sent. It is nearly three hours of GSM.
const maxDecodedBytes = 16 << 20

// decodingWait is how long a request waits for a free decoder. Decoders are busy for as long as their listeners take
// to receive the audio.
const decodingWait = 5 * time.Second

// isDecoded reports whether a recording has a known format that is decoded for browsers.
func (t *contentType) isDecoded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known && t.decoded
}

// sendDecoded answers with a recording as PCM WAV, or a range of it.
func (s *Server) sendDecoded(w http.ResponseWriter, r *http.Request, ref *recording) {
	const title = "This recording cannot be played here."
	if ref.Size > maxDecodedBytes {
		s.refuse(w, r, http.StatusUnsupportedMediaType, title, "It is too large to be decoded. Download it and play it with another program.")
		return
	}
	select {
	case s.decodings <- struct{}{}:
		defer func() { <-s.decodings }()
	case <-time.After(decodingWait):
		s.refuse(w, r, http.StatusServiceUnavailable, "Too many recordings of this kind are being played at the moment.", "Try again in a minute.")
		return
	case <-r.Context().Done():
		return
	}
	body, err := s.Audio.OpenRange(r.Context(), ref.Key, 0, ref.Size)
	if err != nil {
		s.unreadable(w, r, ref, err)
		return
	}
	data, err := io.ReadAll(body)
	_ = body.Close() // read only
	if err != nil {
		s.trouble(w, r, "read a recording", err)
		return
	}
	decoder, err := wave.NewReader(bytes.NewReader(data))
	if err != nil {
		s.refuse(w, r, http.StatusUnsupportedMediaType, title, "Its format is unknown. Download it and play it with another program.")
		return
	}
	version := ref.sum()
	if version != "" {
		version += "-wav"
	}
	part, ok := s.partOf(w, r, version, decoder.Size())
	if !ok {
		return
	}
	if _, err := decoder.Seek(part.offset, io.SeekStart); err != nil {
		s.trouble(w, r, "decode a recording", err)
		return
	}
	w.Header().Set("Content-Type", "audio/wav")
	w.Header().Set("Content-Disposition", "inline")
	writePart(w, part, decoder.Size())
	if r.Method == http.MethodHead {
		return
	}
	if err := copySlowly(w, io.LimitReader(decoder, part.length), part.length); err != nil {
		panic(http.ErrAbortHandler) // the header has the full length: the client must notice the truncation
	}
}
