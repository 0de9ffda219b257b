// Groups requests for a recording into one play for the access log.

package web

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// A recording is logged once per session. A session ends when no range was requested for this time.
const (
	sessionEnds = 30 * time.Minute
	maxSessions = 20_000
)

// play identifies a listening session or an opened call: the user, the call or recording, and the address.
type play struct{ user, from, day, recording, call string }

// plays are the sessions of listening. It is safe for concurrent use.
type plays struct {
	mu   sync.Mutex
	last map[play]time.Time
}

// goesOn reports whether a session still lasts, and extends it.
func (p *plays) goesOn(key play, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, ok := p.last[key]
	if !ok || now.Sub(last) > sessionEnds {
		return false
	}
	p.last[key] = now
	return true
}

// begin starts a session.
func (p *plays) begin(key play, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil || len(p.last) >= maxSessions {
		kept := map[play]time.Time{}
		for k, last := range p.last {
			if now.Sub(last) <= sessionEnds && len(kept) < maxSessions/2 {
				kept[k] = last
			}
		}
		p.last = kept
	}
	p.last[key] = now
}

// note logs an access before anything is sent. If it returns false, it has answered the request with an error.
func (s *Server) note(w http.ResponseWriter, r *http.Request, lines ...Access) bool {
	if s.Log == nil || len(lines) == 0 {
		return true
	}
	u := userOf(r)
	for i := range lines {
		lines[i].Time, lines[i].User, lines[i].From = time.Now(), u.name, u.from
	}
	if err := s.Log.Write(r.Context(), lines...); err != nil {
		if r.Context().Err() == nil {
			s.Logger.Error("the access log cannot be written, so nothing can be played or downloaded", "err", err)
		}
		s.refuse(w, r, http.StatusServiceUnavailable, "The access log cannot be written.",
			"Nothing can be opened, played or downloaded until this is repaired. Tell the administrator of this page.")
		return false
	}
	return true
}

// noteRefused logs a download that a user has no right to. If the log cannot be written, the download is refused too.
func (s *Server) noteRefused(r *http.Request, line Access) {
	if s.Log == nil {
		return
	}
	u := userOf(r)
	line.Time, line.User, line.From = time.Now(), u.name, u.from
	if err := s.Log.Write(r.Context(), line); err != nil && r.Context().Err() == nil {
		s.Logger.Error("the access log cannot be written: a refused download is not noted", "err", err)
	}
}

// mayOpen notes in the access log that a user opens a call, unless the session of an earlier opening still lasts. If it
// returns false, it has answered the request with an error.
func (s *Server) mayOpen(w http.ResponseWriter, r *http.Request, day, id string) bool {
	u := userOf(r)
	key := play{user: u.name, from: u.from, day: day, call: id}
	if s.plays.goesOn(key, time.Now()) {
		return true
	}
	if !s.note(w, r, Access{What: "details", Day: day, CallID: id}) {
		return false
	}
	s.plays.begin(key, time.Now())
	return true
}

// mayPlay logs the start of a session, unless one still lasts. With RequireReason, only listen starts a session. If
// it returns false, it has answered the request with an error.
func (s *Server) mayPlay(w http.ResponseWriter, r *http.Request, ref *recording) bool {
	u := userOf(r)
	key := play{user: u.name, from: u.from, day: ref.day, recording: ref.id}
	if s.plays.goesOn(key, time.Now()) {
		return true
	}
	if s.RequireReason {
		s.refuse(w, r, http.StatusForbidden, "Give a reason before you listen.", "Open the call and give a reason beside the player.")
		return false
	}
	return s.begin(w, r, key, ref, "")
}

func (s *Server) begin(w http.ResponseWriter, r *http.Request, key play, ref *recording, reason string) bool {
	if !s.note(w, r, Access{What: "play", Day: ref.day, RecordingID: ref.id, CallID: ref.callID, Reason: reason}) {
		return false
	}
	s.plays.begin(key, time.Now())
	return true
}

const maxReason = 300 // bytes

// reasonOf returns the reason from a form, and whether it is acceptable.
func (s *Server) reasonOf(w http.ResponseWriter, r *http.Request) (reason string, ok bool) {
	reason = strings.TrimSpace(r.PostFormValue("reason"))
	switch {
	case len(reason) > maxReason:
		s.refuse(w, r, http.StatusBadRequest, "The reason is too long.", "Use at most 300 characters.")
	case reason == "" && s.RequireReason:
		s.refuse(w, r, http.StatusBadRequest, "Give a reason.", "This archive asks for a reason before each play and download.")
	default:
		return strings.ToValidUTF8(reason, ""), true
	}
	return "", false
}

// listen starts a session with a reason.
func (s *Server) listen(w http.ResponseWriter, r *http.Request) {
	if !s.readForm(w, r) {
		return
	}
	ref, ok := s.recordingAt(w, r, r.PostFormValue("day"), r.PostFormValue("recording"))
	if !ok {
		return
	}
	reason, ok := s.reasonOf(w, r)
	if !ok {
		return
	}
	u := userOf(r)
	if s.begin(w, r, play{user: u.name, from: u.from, day: ref.day, recording: ref.id}, ref, reason) {
		w.WriteHeader(http.StatusNoContent)
	}
}
