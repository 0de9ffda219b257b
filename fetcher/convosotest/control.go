// Changes the simulated account while it runs.

package convosotest

import (
	"fmt"
	"time"
)

// SetFault gives the next times requests of a recording a fault, or all if times is 0 or less;
// FaultNone removes it. The recording is given by Ref, id or UID.
func (s *Server) SetFault(ref string, fault Fault, times int) error {
	if fault != FaultNone && !fault.known() {
		return fmt.Errorf("set fault: unknown fault %q", fault)
	}
	return s.change("set fault", ref, func(r *recording) { r.fault, r.faultLeft = fault, timesLeft(times) })
}

// SetListed takes a recording out of all listings or puts it back.
func (s *Server) SetListed(ref string, listed bool) error {
	return s.change("set listed", ref, func(r *recording) {
		r.flags |= recordingUnlisted
		if listed {
			r.flags &^= recordingUnlisted
		}
	})
}

func (s *Server) change(what, ref string, change func(*recording)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	j, ok := s.byRef(ref)
	if !ok {
		return fmt.Errorf("%s: no recording %q", what, ref)
	}
	change(&s.recordings[j])
	return nil
}

// ClearFaults removes the faults of all recordings, and rules, hooks and outages of both hosts.
// Late recordings stay late.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for j := range s.recordings {
		s.recordings[j].fault = FaultNone
	}
	s.apiRules, s.apiHook, s.mediaHook = nil, nil, nil
	s.apiDown, s.apiDownUntil, s.mediaDown = false, time.Time{}, FaultNone
	s.revoked, s.tokenLeft = false, -1
}

// SetMediaDown answers every request for a recording with this fault, until it is
// called with FaultNone.
func (s *Server) SetMediaDown(fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mediaDown = fault
}

// SetMediaHook replaces Config.MediaHook.
func (s *Server) SetMediaHook(hook func(MediaRequest) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mediaHook = hook
}

// SetAPIDown makes the API close every connection without an answer, or ends that.
func (s *Server) SetAPIDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apiDown = down
}

// StopAPIFor does the same for a period of real time.
func (s *Server) StopAPIFor(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apiDownUntil = time.Now().Add(d)
}

// SetAPIHook replaces Config.APIHook.
func (s *Server) SetAPIHook(hook func(APIRequest) APIFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apiHook = hook
}

// AddAPIRules adds rules after the existing ones. Each counts requests from now on.
func (s *Server) AddAPIRules(rules ...APIRule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rule := range rules {
		s.apiRules = append(s.apiRules, &ruleState{APIRule: rule})
	}
}

// FailAPI gives the next times requests to the API a fault, or all if times is 0 or less.
func (s *Server) FailAPI(fault APIFault, times int) {
	s.AddAPIRules(APIRule{Fault: fault, Times: max(0, times)})
}

// SetTokenValid revokes the API token or makes it valid again. It overrides Config.TokenRequests.
func (s *Server) SetTokenValid(valid bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = !valid
	s.tokenLeft = -1
}

// SetAPIRate changes the API's hidden limit.
func (s *Server) SetAPIRate(rate Rate) { s.api.bucket.set(rate) }

// SetMediaRate changes the media host's hidden limit.
func (s *Server) SetMediaRate(rate Rate) { s.media.bucket.set(rate) }

// ReleaseLate makes every late recording and link appear.
func (s *Server) ReleaseLate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for j := range s.recordings {
		s.recordings[j].flags &^= recordingLateRow | recordingLateLink
	}
}

// SetLate takes a recording or only its link out of listings until ReleaseLate, or as defined by
// Config.Late.
func (s *Server) SetLate(ref string, linkOnly bool) error {
	return s.change("set late", ref, func(r *recording) {
		r.firstListed, r.listings = 0, 0
		if linkOnly {
			r.flags |= recordingLateLink
			return
		}
		r.flags |= recordingLateRow
	})
}

// RevealHeldBack lists every call that was held back.
func (s *Server) RevealHeldBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.calls {
		if s.calls[i].has(callHidden) {
			s.reveal(int32(i))
		}
	}
}

// SetCallListed takes a call out of all listings, as if it did not exist yet or was deleted, or
// puts it back. RevealHeldBack does not put it back.
func (s *Server) SetCallListed(callID string, listed bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.calls {
		if s.callID(int32(i)) != callID {
			continue
		}
		c := &s.calls[i]
		switch {
		case c.has(callHidden):
			return fmt.Errorf("set call listed: %q is held back", callID)
		case listed && c.has(callUnlisted):
			c.flags &^= callUnlisted
			s.place(int32(i))
		case !listed && !c.has(callUnlisted):
			s.displace(int32(i))
			c.flags |= callUnlisted
		}
		return nil
	}
	return fmt.Errorf("set call listed: no call %q", callID)
}

// MoveCall moves a call to the same wall-clock time of the next day, once, like Listing.Moved
// during paging. Its recordings keep their ids and names.
func (s *Server) MoveCall(callID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.calls {
		if s.callID(int32(i)) != callID {
			continue
		}
		if s.calls[i].flags&(callMoved|callHidden|callStray|callUnlisted) != 0 {
			return fmt.Errorf("move call: %q has moved, is held back, not listed or a stray", callID)
		}
		s.move(int32(i))
		return nil
	}
	return fmt.Errorf("move call: no call %q", callID)
}

// ClearListingFaults makes listings reliable from now on: totals and order are right, no parameter
// is ignored, both ends of a window are included, every call is listed on its own day, and calls no
// longer move. Calls that have moved stay where they are.
func (s *Server) ClearListingFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.listing
	l.Ignore, l.ExclusiveStart, l.ExclusiveEnd = nil, false, false
	l.TotalChanges, l.TotalError, l.BoundarySwaps, l.HeldBack, l.Moved, s.tieShuffle = 0, 0, 0, 0, 0, 0
	for i := range s.calls {
		c := &s.calls[i]
		c.flags &^= callMoving
		if c.has(callUnlisted) {
			continue
		}
		if c.has(callHidden) {
			s.reveal(int32(i))
		}
		if c.has(callStray) {
			s.displace(int32(i))
			c.flags &^= callStray
			c.key = s.keyOf(c.at)
			s.place(int32(i))
		}
	}
}

// SetClockSkew changes the offset of the hosts' Date header from the simulated clock, as if a
// host's clock was set. Listings do not change.
func (s *Server) SetClockSkew(ahead time.Duration) { s.skew.Store(int64(ahead)) }

// RotateLinks changes the secret in all links, as after another listing.
func (s *Server) RotateLinks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
}

// SetStatus edits the status of a call, like an agent after the call.
func (s *Server) SetStatus(callID, status string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.calls {
		if s.callID(int32(i)) == callID {
			s.edited[int32(i)] = status
			return nil
		}
	}
	return fmt.Errorf("set status: no call %q", callID)
}
