// Counts the requests that the simulator received.

package convosotest

import (
	"net/url"
	"slices"
	"time"
)

// Stats is what the simulator saw since it was made or since ResetStats.
type Stats struct {
	API, Media HostStats

	// Recordings holds, by Recording.Ref, those that were asked for. Hops, requests
	// that a redirect led to, are not among them.
	Recordings map[string]RecordingStats
	// Windows are the requests for pages, in their order, that the hidden limit let pass.
	Windows []WindowRequest

	Hops       int // media requests that a redirect of this host led to
	BadLinks   int // media requests whose address was no link, changed, or expired
	TokenLeaks int // media requests that held the API token
	Referers   int // media requests with a Referer header
	TokenInURL int // API requests with the token in their address
}

// HostStats is what one host saw.
type HostStats struct {
	Requests           int         // all requests
	Refused            int         // answers 429
	MaxConcurrent      int         // most requests at the same time
	Connections        int         // connections accepted
	OpenConnections    int         // connections open now
	MaxOpenConnections int         // most connections at the same time
	Starts             []time.Time // when requests came in; the first 200,000
}

// RecordingStats counts the requests for one recording.
type RecordingStats struct {
	Requests int // all
	Whole    int // those that got the whole body
}

// WindowRequest is a request for a page.
type WindowRequest struct {
	StartTime, EndTime string
	Limit, Offset      int
	Order              string
	Params             url.Values // all parameters but the token
}

// Stats returns what was seen so far. At most 20,000 window requests are kept.
func (s *Server) Stats() Stats {
	stats := Stats{API: s.api.snapshot(), Media: s.media.snapshot(), Recordings: map[string]RecordingStats{}}
	s.api.mu.Lock()
	stats.TokenInURL = s.tokenInURL
	s.api.mu.Unlock()
	s.media.mu.Lock()
	stats.Hops, stats.BadLinks, stats.TokenLeaks, stats.Referers = s.hops, s.badLinks, s.leaks, s.referers
	s.media.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	stats.Windows = slices.Clone(s.windowsSeen)
	for j := range s.recordings {
		if r := &s.recordings[j]; r.requests > 0 {
			stats.Recordings[s.ref(int32(j))] = RecordingStats{Requests: int(r.requests), Whole: int(r.whole)}
		}
	}
	return stats
}

// ResetStats sets all counts to zero. Faults that last for some requests, rules and
// everything else that happened stay as they are.
func (s *Server) ResetStats() {
	s.api.reset()
	s.media.reset()
	s.api.mu.Lock()
	s.tokenInURL = 0
	s.api.mu.Unlock()
	s.media.mu.Lock()
	s.hops, s.badLinks, s.leaks, s.referers = 0, 0, 0, 0
	s.media.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.windowsSeen = nil
	for j := range s.recordings {
		s.recordings[j].requests, s.recordings[j].whole = 0, 0
	}
}
