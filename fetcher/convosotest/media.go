// Serves the simulated media host.

package convosotest

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// MediaHandler returns the media host, for use without Start; then Config.MediaOrigin is the origin
// of links.
func (s *Server) MediaHandler() http.Handler { return http.HandlerFunc(s.serveMedia) }

func (s *Server) serveMedia(w http.ResponseWriter, r *http.Request) {
	defer s.media.begin()()
	w.Header().Set("Date", s.date())
	s.noteLeaks(r)
	if r.Method != http.MethodGet {
		writeHTML(w, http.StatusMethodNotAllowed, "<h1>405 Method Not Allowed</h1>")
		return
	}
	if wait, passes := s.media.bucket.take(); !passes {
		s.media.writeLimit(w, wait, s.hostTime())
		return
	}
	if !s.pause(r, s.config.MediaLatency) {
		return
	}
	j, hop, ok := s.resolve(r.RequestURI)
	if !ok {
		s.media.count(&s.badLinks)
		s.answerMedia(w, r, noRecording, s.refusal())
		return
	}
	if hop {
		s.media.count(&s.hops)
		s.deliver(w, j, FaultNone)
		return
	}
	s.answerMedia(w, r, j, s.nextFault(j))
}

// noRecording is used instead of a recording's number.
const noRecording = -1

// noteLeaks records data that must never reach the media host: the API token, and a referring
// address, which contains a link's secret.
func (s *Server) noteLeaks(r *http.Request) {
	leaked := strings.Contains(r.RequestURI, s.config.Token)
	for _, values := range r.Header {
		for _, value := range values {
			leaked = leaked || strings.Contains(value, s.config.Token)
		}
	}
	if leaked {
		s.media.count(&s.leaks)
	}
	if r.Referer() != "" {
		s.media.count(&s.referers)
	}
}

func (s *Server) refusal() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mediaDown != FaultNone && s.mediaDown.standsAlone() {
		return s.mediaDown
	}
	return s.config.LinkRefusal
}

// nextFault counts a request of a recording and returns its fault.
func (s *Server) nextFault(j int32) Fault {
	s.mu.Lock()
	r := &s.recordings[j]
	r.requests++
	request := MediaRequest{Ref: s.ref(j), Attempt: int(r.requests)}
	hook := s.mediaHook
	s.mu.Unlock()
	if hook != nil {
		if fault := hook(request); fault != FaultNone {
			return fault
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mediaDown != FaultNone:
		return s.mediaDown
	case r.fault == FaultNone || r.faultLeft == 0:
		return FaultNone
	case r.faultLeft > 0:
		r.faultLeft--
	}
	return r.fault
}

// answerMedia answers a request for a recording, or for none, with a fault.
func (s *Server) answerMedia(w http.ResponseWriter, r *http.Request, j int32, fault Fault) {
	if answer, ok := plainAnswer(fault); ok {
		s.writePlain(w, r, answer)
		return
	}
	switch fault {
	case FaultHang:
		s.hang(r)
	case FaultResetEarly:
		s.closeConnection(w, true)
	case FaultRedirectElsewhere, FaultRedirectPrivate, FaultRedirectLoop, FaultRedirectBad:
		s.redirect(w, r, fault)
	case FaultShort, FaultShortByte, FaultShortClose, FaultShortChunked, FaultReset, FaultStall:
		s.breakOff(w, r, j, fault)
	case FaultBadWAV:
		s.deliverBadWAV(w, j)
	case FaultGzip:
		s.deliverGzip(w, j)
	case FaultDrip:
		s.drip(w, r, j)
	default:
		s.deliverOrRedirect(w, r, j, fault)
	}
}

// deliverOrRedirect answers normally, for some recordings with a redirect first.
func (s *Server) deliverOrRedirect(w http.ResponseWriter, r *http.Request, j int32, fault Fault) {
	if s.redirects(j) {
		w.Header().Set("Location", hopPrefix+strings.TrimPrefix(r.RequestURI, linkPrefix))
		w.WriteHeader(http.StatusFound)
		return
	}
	s.deliver(w, j, fault)
}

func (s *Server) redirects(j int32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recordings[j].has(recordingRedirect)
}

// deliver sends the whole recording and counts it as sent.
func (s *Server) deliver(w http.ResponseWriter, j int32, fault Fault) {
	a := s.recordings[j].audio
	s.setAudioType(w, j)
	if fault == FaultWrongType {
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	}
	s.setLength(w, j, a.size())
	w.WriteHeader(http.StatusOK)
	from := newBody(a)
	if sendBytes(w, io.LimitReader(from, a.size()-1)) == nil {
		s.sendLast(w, j, from)
	}
}

// sendLast sends the rest of a recording. It counts it as complete before the last byte is sent, so
// that a client that has everything finds it in Stats.
func (s *Server) sendLast(w io.Writer, j int32, from io.Reader) {
	s.noteWhole(j, 1)
	if sendBytes(w, from) != nil {
		s.noteWhole(j, -1)
	}
}

func (s *Server) noteWhole(j, change int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recordings[j].whole += change
}

// setAudioType sets the Content-Type: the correct one, a generic one or none.
func (s *Server) setAudioType(w http.ResponseWriter, j int32) {
	types := [...]string{"audio/mpeg", "application/octet-stream", "binary/octet-stream", "", "audio/mp3", "application/force-download"}
	kind := mix(s.config.Seed, domainOddity, uint64(j), 4) % uint64(len(types))
	if !s.config.Oddities.ContentTypes || kind == 0 {
		w.Header().Set("Content-Type", s.recordings[j].audio.contentType())
		return
	}
	w.Header()["Content-Type"] = nil // keeps net/http from guessing
	if types[kind] != "" {
		w.Header().Set("Content-Type", types[kind])
	}
}

// setLength sets Content-Length, or makes the body chunked or ended by closing the
// connection.
func (s *Server) setLength(w http.ResponseWriter, j int32, size int64) {
	form := mix(s.config.Seed, domainOddity, uint64(j), 5) % 4
	switch {
	case !s.config.Oddities.NoLength || form > 1:
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	case form == 0:
		endByClosing(w)
	}
}

// endByClosing makes net/http send a body without a length and close the connection
// after it.
func endByClosing(w http.ResponseWriter) { w.Header().Set("Transfer-Encoding", "identity") }

// errClientGone means that a body could not be sent completely.
var errClientGone = errors.New("the client has gone")

// sendBytes copies in pieces of whole frames.
func sendBytes(w io.Writer, from io.Reader) error {
	buf := make([]byte, 64*frameSize)
	for {
		n, err := io.ReadFull(from, buf)
		if n > 0 {
			if _, writeErr := w.Write(buf[:n]); writeErr != nil {
				return errClientGone
			}
		}
		if err != nil {
			return nil // io.EOF or io.ErrUnexpectedEOF: a body has no other end
		}
	}
}
