// Sends recordings, or decodes them for browsers.

package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"convoso-archiver/archiver/audio"
	"convoso-archiver/internal/wave"
)

// playable detects the format of a recording from its first bytes, and whether browsers play it. Other formats are
// decoded, see sendDecoded, or only offered for download.
func playable(head []byte) (mediaType string, plays bool) {
	i := audio.NewInspector()
	_, _ = i.Write(head) // fails only after Finish
	switch format := i.Finish().Format; format {
	case "":
		return "application/octet-stream", false
	case audio.AU, audio.AMR:
		return format.ContentType(), false
	case audio.WAV:
		return format.ContentType(), isPlainWAV(head)
	default:
		return format.ContentType(), true
	}
}

// isPlainWAV reports whether a WAV file holds PCM, IEEE float, A-law or mu-law, which browsers decode.
func isPlainWAV(head []byte) bool {
	const chunkHeader, firstChunk = 8, 12
	for at := firstChunk; at+chunkHeader+2 <= len(head); {
		size := int(uint32(head[at+4]) | uint32(head[at+5])<<8 | uint32(head[at+6])<<16 | uint32(head[at+7])<<24)
		if string(head[at:at+4]) == "fmt " {
			switch uint16(head[at+8]) | uint16(head[at+9])<<8 {
			case 1, 3, 6, 7, 0xfffe:
				return true
			}
			return false
		}
		if size < 0 || size > len(head) {
			return false
		}
		at += chunkHeader + size + size%2
	}
	return false
}

// recordingAt finds a recording that the user may see. If there is none, it has answered the request. A hidden
// recording looks like a missing one.
func (s *Server) recordingAt(w http.ResponseWriter, r *http.Request, day, id string) (*recording, bool) {
	u := userOf(r)
	ref, err := s.catalog.recording(r.Context(), day, id)
	if ref != nil && u.may(&ref.fields) {
		return ref, true
	}
	if ref == nil && err != nil {
		s.trouble(w, r, "look up a recording", err)
		return nil, false
	}
	line := Access{What: "play_refused"}
	if r.URL.Query().Has("download") {
		line.What = "download_refused"
	}
	if ref != nil {
		line.RecordingID, line.CallID = ref.id, ref.callID
	}
	s.noteUnseen(r, line, day)
	s.refuse(w, r, http.StatusNotFound, "There is no such recording.", "It may belong to another day, or you may not see it.")
	return nil, false
}

// audio sends a recording, or a range of it.
func (s *Server) audio(w http.ResponseWriter, r *http.Request) {
	ref, ok := s.recordingAt(w, r, r.PathValue("day"), r.PathValue("id"))
	if !ok {
		return
	}
	download := r.URL.Query().Has("download")
	if download && !userOf(r).Download {
		s.noteRefused(r, Access{What: "download_refused", Day: ref.day, RecordingID: ref.id, CallID: ref.callID})
		s.refuse(w, r, http.StatusForbidden, "You may not download recordings.", "Listen to it on the page.")
		return
	}
	if !ref.Stored() {
		s.refuse(w, r, http.StatusNotFound, "The recording is not in the archive.", sentence(whyNot(ref.Recording)))
		return
	}
	reason, ok := s.reasonFor(w, r, ref)
	if !ok || !download && !s.mayPlay(w, r, ref, reason) {
		return
	}
	if download && (r.Method != http.MethodHead) &&
		!s.note(w, r, Access{What: "download", Day: ref.day, RecordingID: ref.id, CallID: ref.callID, Reason: reason}) {
		return
	}
	s.send(w, r, ref, download)
}

// send answers with a recording; its key, size and hash come from the ledger.
func (s *Server) send(w http.ResponseWriter, r *http.Request, ref *recording, download bool) {
	if !download && ref.typeOf.isDecoded() {
		s.sendDecoded(w, r, ref)
		return
	}
	part, ok := s.partOf(w, r, ref.sum(), ref.Size)
	if !ok {
		return
	}
	body, err := s.open(r.Context(), ref, part)
	if err != nil {
		s.unreadable(w, r, ref, err)
		return
	}
	defer body.Close()
	if !download && ref.typeOf.isDecoded() { // known from its first bytes
		s.sendDecoded(w, r, ref)
		return
	}
	mediaType, plays := ref.typeOf.name, ref.typeOf.plays
	if !plays && !download {
		s.refuse(w, r, http.StatusUnsupportedMediaType, "Browsers do not play recordings of this kind.", "Download it and play it with another program.")
		return
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	disposition := "inline"
	if download {
		disposition = "attachment"
	}
	h.Set("Content-Disposition", fmt.Sprintf(`%s; filename="%s"`, disposition, fileName(ref)))
	writePart(w, part, ref.Size)
	if r.Method == http.MethodHead {
		return
	}
	source := io.LimitReader(body, part.length)
	if download && !part.partial && ref.sum() != "" {
		source = &checkedReader{r: source, hash: sha256.New(), left: ref.Size, want: ref.sum()}
	}
	err = copySlowly(w, source, part.length)
	if errors.Is(err, errChecksum) {
		s.Logger.Error("a recording is damaged, and its download was stopped: run verify", "recording_id", ref.id, "day", ref.day)
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the header has the full length: the client must notice the truncation
	}
}

// partOf returns the requested part of a body of the given size and version ("" for none). If nothing is to be sent, it
// has answered the request.
func (s *Server) partOf(w http.ResponseWriter, r *http.Request, version string, size int64) (part byteRange, ok bool) {
	h := w.Header()
	etag := ""
	if version != "" {
		etag = `"` + version + `"`
		h.Set("ETag", etag)
	}
	h.Set("Accept-Ranges", "bytes")
	if etag != "" && matchesTag(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return part, false
	}
	asked := r.Header.Get("Range")
	if condition := r.Header.Get("If-Range"); condition != "" && condition != etag {
		asked = ""
	}
	if part = parseRange(asked, size); part.unsatisfiable {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		s.refuse(w, r, http.StatusRequestedRangeNotSatisfiable, "The browser asked for a part that the recording does not have.", "Load the page again.")
		return part, false
	}
	return part, true
}

// writePart writes the header of a part of a body of the given size.
func writePart(w http.ResponseWriter, part byteRange, size int64) {
	h := w.Header()
	h.Set("Content-Length", strconv.FormatInt(part.length, 10))
	status := http.StatusOK
	if part.partial {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", part.offset, part.offset+part.length-1, size))
		status = http.StatusPartialContent
	}
	w.WriteHeader(status)
}

var errChecksum = errors.New("checksum mismatch")

// checkedReader hashes a body while it is read. If the hash differs from the manifest's, it withholds the last piece,
// so the download fails and the file is not mistaken for the recording.
type checkedReader struct {
	r    io.Reader
	hash hash.Hash
	left int64
	want string
}

// Read implements io.Reader.
func (c *checkedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	_, _ = c.hash.Write(p[:n]) // it never fails
	if c.left -= int64(n); c.left == 0 && hex.EncodeToString(c.hash.Sum(nil)) != c.want {
		return 0, errChecksum
	}
	return n, err
}

// open opens a range and sets the recording's type.
func (s *Server) open(ctx context.Context, ref *recording, part byteRange) (io.ReadCloser, error) {
	body, err := s.Audio.OpenRange(ctx, ref.Key, part.offset, part.length)
	if err != nil {
		return nil, err
	}
	t := ref.typeOf
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known {
		return body, nil
	}
	var head []byte
	if part.offset == 0 && part.length >= min(headBytes, ref.Size) {
		head = make([]byte, min(headBytes, ref.Size))
		n, err := io.ReadFull(body, head)
		head = head[:n]
		if err != nil && n == 0 {
			return nil, errors.Join(err, body.Close())
		}
		body = &rejoined{Reader: io.MultiReader(strings.NewReader(string(head)), body), Closer: body}
	} else if head, err = s.head(ctx, ref); err != nil {
		return nil, errors.Join(err, body.Close())
	}
	t.name, t.plays = playable(head)
	t.decoded = !t.plays && wave.Sniff(head) == wave.Decodes
	t.known = true
	return body, nil
}

type rejoined struct {
	io.Reader
	io.Closer
}

// head reads the first bytes of a recording.
func (s *Server) head(ctx context.Context, ref *recording) ([]byte, error) {
	body, err := s.Audio.OpenRange(ctx, ref.Key, 0, min(headBytes, ref.Size))
	if err != nil {
		return nil, err
	}
	head, err := io.ReadAll(io.LimitReader(body, headBytes))
	return head, errors.Join(err, body.Close())
}

// unreadable answers with the reason why an archived recording cannot be sent.
func (s *Server) unreadable(w http.ResponseWriter, r *http.Request, ref *recording, err error) {
	if errors.Is(err, fs.ErrNotExist) && s.isRemoved(r.Context(), ref) {
		s.refuse(w, r, http.StatusNotFound, "The recording is not in the archive.", textRemoved)
		return
	}
	if errors.Is(err, fs.ErrNotExist) {
		s.Logger.Error("a recording is archived, but its file is missing: run verify", "recording_id", ref.id, "day", ref.day)
		s.refuse(w, r, http.StatusNotFound, "The recording is archived, but its file is missing.", "Tell the administrator of this archive to run verify.")
		return
	}
	s.trouble(w, r, "open a recording", err)
}

const textRemoved = "It was erased, or its retention has ended."

// isRemoved reports whether a recording was erased or has expired since it was looked up.
func (s *Server) isRemoved(ctx context.Context, ref *recording) bool {
	removed, err := s.Ledger.IsRemoved(ctx, ref.day, ref.id, ref.callID)
	if removed {
		s.catalog.forget(ref.day)
	}
	return removed && err == nil
}

// fileName is the name of a download. Unlike the vendor's names, it contains no phone number.
func fileName(ref *recording) string {
	return ref.wall.Format("2006-01-02_150405") + "_" + plainID(ref.id) + plainExtension(ref.Key)
}

// plainID keeps the characters of an id that are safe in file names and headers.
func plainID(id string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, id)
	const longest = 80
	return plain[:min(len(plain), longest)]
}

func plainExtension(key string) string {
	extension := strings.ToLower(path.Ext(key))
	for _, known := range []string{".mp3", ".wav", ".ogg", ".flac", ".m4a", ".aac", ".amr", ".au"} {
		if extension == known {
			return extension
		}
	}
	return ".audio"
}

const pieceBytes = 64 << 10

// copySlowly sends a body with a deadline of one minute per piece: a client may be slow, but not idle.
func copySlowly(w http.ResponseWriter, body io.Reader, length int64) error {
	control := http.NewResponseController(w)
	end := time.Now().Add(longestAnswer)
	buffer := make([]byte, pieceBytes)
	sent := int64(0)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			deadline := time.Now().Add(writeTime)
			if deadline.After(end) {
				deadline = end
			}
			_ = control.SetWriteDeadline(deadline) // test connections do not support it
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
			sent += int64(n)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if length >= 0 && sent != length {
		return io.ErrUnexpectedEOF
	}
	return nil
}
