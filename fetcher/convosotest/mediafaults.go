// Implements the faults of downloads from the simulated media host.

package convosotest

import (
	"compress/gzip"
	"html"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answer is a complete answer without a recording.
type answer struct {
	status      int
	contentType string
	body        string
	retry       RetryAfter
	wait        time.Duration
	echo        bool // % in the body is replaced by the request's address
}

// notFoundBody is the body that the vendor's media host sends with status 200 for audio that was
// purged or does not exist yet.
const notFoundBody = `{"success":false,"code":404,"text":"Recording not found!"}`

// plainAnswer returns the answer of a fault that needs no recording.
func plainAnswer(fault Fault) (answer, bool) {
	const (
		asJSON = "application/json"
		asHTML = "text/html; charset=UTF-8"
	)
	switch fault {
	case FaultNotFound:
		return answer{status: 200, contentType: asJSON, body: notFoundBody}, true
	case Fault404:
		return answer{status: 404, contentType: asHTML, body: "<html><body><h1>404 Not Found</h1></body></html>"}, true
	case Fault410:
		return answer{status: 410}, true
	case FaultHTML:
		return answer{status: 200, contentType: asHTML, body: "<!DOCTYPE html>\n<html><body>Please sign in</body></html>"}, true
	case FaultEmpty:
		return answer{status: 200, contentType: "audio/mpeg"}, true
	case FaultOtherJSON:
		return answer{status: 200, contentType: asJSON, body: `{"status":"queued","position":3}`}, true
	case FaultText:
		return answer{status: 200, contentType: "text/plain", body: "The service is being maintained. Please come back.\n"}, true
	case FaultAuth:
		return answer{status: 401, contentType: asJSON, body: `{"success":false,"code":401,"text":"Unauthorized"}`}, true
	case FaultForbidden:
		return answer{status: 403, contentType: asJSON, body: `{"success":false,"code":403,"text":"Forbidden"}`}, true
	case FaultServer:
		return answer{status: 500, contentType: asHTML, body: "<html><body><h1>500 Internal Server Error</h1></body></html>"}, true
	case FaultBusy:
		return answer{status: 503, contentType: asHTML, body: "<html><body><h1>503</h1></body></html>"}, true
	case FaultBusyWait:
		return answer{status: 503, retry: RetrySeconds, wait: time.Second}, true
	case FaultLimit:
		return answer{status: 429}, true
	case FaultLimitWait:
		return answer{status: 429, retry: RetrySeconds, wait: time.Second}, true
	case FaultLimitDate:
		return answer{status: 429, retry: RetryDate, wait: 2 * time.Second}, true
	case FaultLimitHours:
		return answer{status: 429, retry: RetrySeconds, wait: 2 * time.Hour}, true
	case FaultEcho:
		return answer{status: 500, contentType: asHTML, body: "<html><body>Error at %</body></html>", echo: true}, true
	case FaultEchoOK:
		return answer{status: 200, contentType: asHTML, body: "<html><body>Cannot play %</body></html>", echo: true}, true
	case FaultUnknown:
		return answer{status: 200, contentType: "application/octet-stream", body: unknownBody()}, true
	}
	return answer{}, false
}

// unknownBody returns bytes that start no audio format and no text.
func unknownBody() string {
	content := make([]byte, 4096)
	fillNoise(content, 1)
	copy(content, "\x00\x01\xfe\x02\x90\x80\x00\x03")
	return string(content)
}

func (s *Server) writePlain(w http.ResponseWriter, r *http.Request, a answer) {
	if a.status == http.StatusTooManyRequests {
		s.media.count(&s.media.stats.Refused)
	}
	setRetryAfter(w, a.retry, a.wait, s.hostTime())
	if a.contentType != "" {
		w.Header().Set("Content-Type", a.contentType)
	}
	content := a.body
	if a.echo {
		content = strings.Replace(content, "%", html.EscapeString(s.MediaURL()+r.RequestURI), 1)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, content) // the client may have disconnected
}

func (s *Server) redirect(w http.ResponseWriter, r *http.Request, fault Fault) {
	location := map[Fault]string{
		FaultRedirectElsewhere: s.config.ElsewhereURL,
		FaultRedirectPrivate:   s.config.PrivateURL,
		FaultRedirectLoop:      r.RequestURI,
		FaultRedirectBad:       "http://[::bad" + r.RequestURI,
	}[fault]
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusFound)
}

// breakOff sends a part of the recording and ends the answer in the fault's way.
func (s *Server) breakOff(w http.ResponseWriter, r *http.Request, j int32, fault Fault) {
	a := s.recordings[j].audio
	s.setAudioType(w, j)
	part := a.size()/2/frameSize*frameSize + frameSize/3 // cut in mid-frame
	part = min(part, a.size()-1)
	switch fault {
	case FaultShortByte:
		part = a.size() - 1
		fallthrough
	case FaultShort, FaultReset, FaultStall:
		w.Header().Set("Content-Length", strconv.FormatInt(a.size(), 10))
	case FaultShortClose:
		endByClosing(w)
	}
	w.WriteHeader(http.StatusOK)
	if sendBytes(w, io.LimitReader(newBody(a), part)) != nil {
		return
	}
	flush(w)
	switch fault {
	case FaultShortClose:
		return
	case FaultStall:
		s.hang(r)
	case FaultReset:
		s.closeConnection(w, true)
		return
	}
	panic(http.ErrAbortHandler) // closes the connection without an end of the body
}

// deliverBadWAV sends a WAV file half as long as its header says.
func (s *Server) deliverBadWAV(w http.ResponseWriter, j int32) {
	body, size := badWAV(s.recordings[j].audio)
	w.Header().Set("Content-Type", "audio/wav")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	w.WriteHeader(http.StatusOK)
	_ = sendBytes(w, body) // the client may have disconnected
}

// badWAV returns the body that FaultBadWAV sends instead of a recording.
func badWAV(a audio) (io.Reader, int64) {
	whole := newAudio(KindWAV, a.seed, max(4*frameSize, a.size()))
	size := whole.size() / 2
	return io.LimitReader(newBody(whole), size), size
}

// deliverGzip sends the recording compressed, whether or not the client asked for it.
func (s *Server) deliverGzip(w http.ResponseWriter, j int32) {
	s.setAudioType(w, j)
	w.Header().Set("Content-Encoding", "gzip")
	w.WriteHeader(http.StatusOK)
	packed := gzip.NewWriter(w)
	if sendBytes(packed, newBody(s.recordings[j].audio)) == nil {
		_ = packed.Close() // the client may have disconnected
	}
}

// drip sends the whole recording in eight pieces with pauses between them.
func (s *Server) drip(w http.ResponseWriter, r *http.Request, j int32) {
	const pieces = 8
	a := s.recordings[j].audio
	s.setAudioType(w, j)
	w.Header().Set("Content-Length", strconv.FormatInt(a.size(), 10))
	w.WriteHeader(http.StatusOK)
	from := newBody(a)
	for piece := range int64(pieces - 1) {
		size := a.size()*(piece+1)/pieces - a.size()*piece/pieces
		if sendBytes(w, io.LimitReader(from, size)) != nil {
			return
		}
		flush(w)
		if !s.pause(r, s.config.DripDelay) {
			return
		}
	}
	s.sendLast(w, j, from)
}
