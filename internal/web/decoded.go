package web

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"convoso-archiver/internal/wave"
)

// maxDecodedBytes is how large a recording may be that is decoded for browsers: it is held in memory while it is sent.
// As GSM that is nearly three hours.
const maxDecodedBytes = 16 << 20

// decodingWait is how long a recording waits for others that are decoded, which are sent as slowly as their listeners
// take them.
const decodingWait = 5 * time.Second

// isDecoded reports whether a recording is known to be of a kind that is decoded for browsers.
func (t *contentType) isDecoded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known && t.decoded
}

// sendDecoded answers with a recording as PCM WAV, or a range of that.
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
		s.refuse(w, r, http.StatusServiceUnavailable, "Too many recordings of this kind are played at this moment.", "Try again in a minute.")
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
	_ = body.Close() // it was only read
	if err != nil {
		s.trouble(w, r, "read a recording", err)
		return
	}
	decoder, err := wave.NewReader(bytes.NewReader(data))
	if err != nil {
		s.refuse(w, r, http.StatusUnsupportedMediaType, title, "Its form is not understood. Download it and play it with another program.")
		return
	}
	h := w.Header()
	h.Set("Accept-Ranges", "bytes")
	etag := ""
	if sum := ref.sum(); sum != "" {
		etag = `"` + sum + `-wav"`
		h.Set("ETag", etag)
	}
	if etag != "" && matchesTag(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	asked := r.Header.Get("Range")
	if condition := r.Header.Get("If-Range"); condition != "" && condition != etag {
		asked = ""
	}
	part := parseRange(asked, decoder.Size())
	if part.unsatisfiable {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", decoder.Size()))
		s.refuse(w, r, http.StatusRequestedRangeNotSatisfiable, "The recording has no such part.", "Load the page again.")
		return
	}
	if _, err := decoder.Seek(part.offset, io.SeekStart); err != nil {
		s.trouble(w, r, "decode a recording", err)
		return
	}
	h.Set("Content-Type", "audio/wav")
	h.Set("Content-Disposition", "inline")
	h.Set("Content-Length", strconv.FormatInt(part.length, 10))
	status := http.StatusOK
	if part.partial {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", part.offset, part.offset+part.length-1, decoder.Size()))
		status = http.StatusPartialContent
	}
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if err := copySlowly(w, io.LimitReader(decoder, part.length), part.length); err != nil {
		panic(http.ErrAbortHandler) // the length was promised: the client must see that it is cut
	}
}
