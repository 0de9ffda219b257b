// Groups requests for a recording into one line of the access log.

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

// Kinds of sessions. A reason has no line of its own in the log.
const (
	opensCall    = "details"
	readsWave    = "waveform" // the page reads a recording before anybody presses Play
	playsAudio   = "play"
	givesAReason = "reason"
)

// play identifies a session: what a user does with a call or recording, and from which address.
type play struct{ what, user, from, day, recording, call string }

// session is when a user did something last, and the reason that the user gave for it.
type session struct {
	last   time.Time
	reason string
}

// plays are the sessions. It is safe for concurrent use.
type plays struct {
	mu   sync.Mutex
	open map[play]session
}

// goesOn reports whether a session still lasts, and extends it. It returns the session's reason.
func (p *plays) goesOn(key play, now time.Time) (reason string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.open[key]
	if !ok || now.Sub(s.last) > sessionEnds {
		return "", false
	}
	p.open[key] = session{now, s.reason}
	return s.reason, true
}

// begin starts a session. If there are too many, it first forgets those that have ended, and other ones until
// half of the maximum is left.
func (p *plays) begin(key play, reason string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil || len(p.open) >= maxSessions {
		kept := map[play]session{}
		for k, s := range p.open {
			if now.Sub(s.last) <= sessionEnds && len(kept) < maxSessions/2 {
				kept[k] = s
			}
		}
		p.open = kept
	}
	p.open[key] = session{now, reason}
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

// noteRefused logs a request that is refused. It is refused also if the log cannot be written.
func (s *Server) noteRefused(r *http.Request, line Access) {
	if s.Log == nil {
		return
	}
	u := userOf(r)
	line.Time, line.User, line.From = time.Now(), u.name, u.from
	if err := s.Log.Write(r.Context(), line); err != nil && r.Context().Err() == nil {
		s.Logger.Error("the access log cannot be written: a refused request is not noted", "err", err)
	}
}

// noteUnseen logs that a user with limits asked for a call or recording that the user may not see, or that does not exist.
// Both are logged, so that the time of the answer does not tell them apart. Ids that the archive does not have could be any
// text, so the line must not have them.
func (s *Server) noteUnseen(r *http.Request, line Access, day string) {
	if !userOf(r).isLimited() {
		return
	}
	if isDay(day) {
		line.Day = day
	}
	s.noteRefused(r, line)
}

// mayOpen notes in the access log that a user opens a call, unless the session of an earlier opening still lasts. If it
// returns false, it has answered the request with an error.
func (s *Server) mayOpen(w http.ResponseWriter, r *http.Request, day, id string) bool {
	u := userOf(r)
	key := play{what: opensCall, user: u.name, from: u.from, day: day, call: id}
	if _, goesOn := s.plays.goesOn(key, time.Now()); goesOn {
		return true
	}
	if !s.note(w, r, Access{What: opensCall, Day: day, CallID: id}) {
		return false
	}
	s.plays.begin(key, "", time.Now())
	return true
}

// reasonFor returns the reason that the user gave for a recording. With RequireReason, there must be one. If ok is false,
// it has answered the request with an error.
func (s *Server) reasonFor(w http.ResponseWriter, r *http.Request, ref *recording) (reason string, ok bool) {
	reason, given := s.plays.goesOn(playOf(userOf(r), ref, givesAReason), time.Now())
	if s.RequireReason && !given {
		s.refuse(w, r, http.StatusForbidden, "Give a reason before you listen.", "Open the call and give a reason beside the player.")
		return "", false
	}
	return reason, true
}

// mayPlay logs that a recording is played, or read for its waveform, unless a session of it with the same reason still
// lasts. If it returns false, it has answered the request with an error.
func (s *Server) mayPlay(w http.ResponseWriter, r *http.Request, ref *recording, reason string) bool {
	key := playOf(userOf(r), ref, playsAudio)
	if r.URL.Query().Has(readsWave) {
		key.what = readsWave
	}
	if noted, goesOn := s.plays.goesOn(key, time.Now()); goesOn && noted == reason {
		return true
	}
	if !s.note(w, r, Access{What: key.what, Day: ref.day, RecordingID: ref.id, CallID: ref.callID, Reason: reason}) {
		return false
	}
	s.plays.begin(key, reason, time.Now())
	return true
}

func playOf(u *user, ref *recording, what string) play {
	return play{what: what, user: u.name, from: u.from, day: ref.day, recording: ref.id}
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

// listen takes the reason for a recording. The lines of the log that follow name it.
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
	s.plays.begin(playOf(userOf(r), ref, givesAReason), reason, time.Now())
	w.WriteHeader(http.StatusNoContent)
}
