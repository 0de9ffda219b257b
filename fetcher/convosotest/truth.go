// Returns the true data of the simulated account to tests.

package convosotest

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"iter"
)

// Call is the current truth about a call: moved calls have their new time.
type Call struct {
	ID         string // "" if the row has none
	Day        string // the date of its time in the account's zone, as 2006-01-02
	CallDate   string // wall clock as in the row; "" if the row has no valid one
	ListedDay  string // the day of the listing that contains it; differs from Day for stray calls
	Instant    int64  // Unix seconds
	Hidden     bool   // held back, or taken out by SetCallListed: in no listing
	InProgress bool   // its row has no call_length

	LeadID, ListID, CampaignID, QueueID, UserID string
	PhoneNumber, NumberDialed                   string
	FirstName, LastName                         string
	Status, CallType, CalledCount               string

	// Recordings are the recordings with this as their first call, so that iterating over calls
	// visits each recording once.
	Recordings []Recording
	// Borrowed is a recording of another call also listed under this one, or nil.
	Borrowed *Recording
}

// Recording is the current truth about a recording.
type Recording struct {
	// Ref identifies the recording in this package: its id, or its UID if it has no id or shares
	// it. Methods accept either.
	Ref      string
	ID       string // recording_id as the API sends it; "" if it sends none
	UID      string // the 32 characters that identify it in its link
	CallID   string // the first call that lists it
	Day      string // the day of that call
	CallDate string // as in Call
	Filename string // as the API sends it; "" if it sends none
	Kind     Kind
	Size     int64 // bytes

	Fault      Fault // current fault of its download
	FaultTimes int   // remaining requests with the fault; negative for ever
	Late       bool  // still not listed, or without a link
	Unlisted   bool  // taken out of listings by SetListed
	Redirects  bool  // its link leads to the body by a redirect

	server *Server
	number int32
}

// Calls iterates over all calls in chronological order. The server may be used concurrently.
func (s *Server) Calls() iter.Seq[Call] {
	return func(yield func(Call) bool) {
		for i := range s.calls {
			s.mu.Lock()
			c := s.callTruth(int32(i))
			s.mu.Unlock()
			if !yield(c) {
				return
			}
		}
	}
}

// Recordings iterates over all recordings, each once, in the order of their calls.
func (s *Server) Recordings() iter.Seq[Recording] {
	return func(yield func(Recording) bool) {
		for j := range s.recordings {
			s.mu.Lock()
			r := s.recordingTruth(int32(j))
			s.mu.Unlock()
			if !yield(r) {
				return
			}
		}
	}
}

// Recording returns the recording of a ref, an id or a UID.
func (s *Server) Recording(ref string) (Recording, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j, ok := s.byRef(ref)
	if !ok {
		return Recording{}, false
	}
	return s.recordingTruth(j), true
}

func (s *Server) callTruth(i int32) Call {
	c := &s.calls[i]
	code, _ := s.status(i)
	truth := Call{
		ID: s.callID(i), Day: s.dayOf(c.at), CallDate: s.callDate(i), ListedDay: s.dayOf(c.at), Instant: c.at,
		Hidden: c.flags&(callHidden|callUnlisted) != 0, InProgress: s.inProgress(i, s.config.Now().Unix()),
		LeadID: s.leadID(i), ListID: s.listID(i), CampaignID: s.campaignID(i), QueueID: s.queueID(i), UserID: s.userID(i),
		PhoneNumber: s.phone(i), NumberDialed: s.numberDialed(i), FirstName: s.firstName(i), LastName: s.lastName(i),
		Status: code, CallType: s.callType(i), CalledCount: s.calledCount(i),
	}
	if c.has(callStray) {
		truth.ListedDay = s.dayOf(c.at + daySeconds)
	}
	if c.has(callWithoutID) {
		truth.ID = ""
	}
	if c.has(callWithoutDate) {
		truth.CallDate = ""
	}
	for j := c.first; j < c.first+int32(c.count); j++ {
		truth.Recordings = append(truth.Recordings, s.recordingTruth(j))
	}
	if c.borrowed >= 0 {
		borrowed := s.recordingTruth(c.borrowed)
		truth.Borrowed = &borrowed
	}
	return truth
}

func (s *Server) recordingTruth(j int32) Recording {
	r := &s.recordings[j]
	c := &s.calls[r.call]
	truth := Recording{
		Ref: s.ref(j), ID: s.recordingID(j), UID: s.uniqueID(j),
		CallID: s.callID(r.call), Day: s.dayOf(c.at), CallDate: s.callDate(r.call),
		Filename: s.filename(j), Kind: r.audio.kind, Size: r.audio.size(),
		Late:      r.flags&(recordingLateRow|recordingLateLink) != 0,
		Unlisted:  r.has(recordingUnlisted),
		Redirects: r.has(recordingRedirect),
		server:    s, number: j,
	}
	if c.has(callWithoutDate) {
		truth.CallDate = ""
	}
	if r.fault != FaultNone && r.faultLeft != 0 {
		truth.Fault, truth.FaultTimes = r.fault, r.faultLeft
	}
	return truth
}

// Body returns a reader of the recording's bytes.
func (r Recording) Body() io.Reader { return newBody(r.server.recordings[r.number].audio) }

// BadWAV returns a reader of the body that FaultBadWAV sends instead.
func (r Recording) BadWAV() io.Reader {
	body, _ := badWAV(r.server.recordings[r.number].audio)
	return body
}

// SHA256 returns the SHA-256 of the recording's bytes in hex. The first call reads the body.
func (r Recording) SHA256() string {
	s := r.server
	s.mu.Lock()
	known := s.recordings[r.number].sha
	s.mu.Unlock()
	if known != "" {
		return known
	}
	sum := sha256.New()
	_ = sendBytes(sum, r.Body()) // neither the body nor a hash can fail
	known = hex.EncodeToString(sum.Sum(nil))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recordings[r.number].sha = known
	return known
}

// Link returns the recording's link as in a listing now. It is a bearer secret like a real one.
func (r Recording) Link() string {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	return r.server.link(r.number, r.server.generation)
}
