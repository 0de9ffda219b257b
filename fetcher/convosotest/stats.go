// Counts the requests that the simulator received.

package convosotest

import (
	"net/url"
	"slices"
	"time"
)

// Stats counts the requests since the creation of the simulator or the last ResetStats.
type Stats struct {
	API, Media HostStats

	// Recordings holds the requested recordings by Recording.Ref. It excludes hops, which are
	// requests after a redirect.
	Recordings map[string]RecordingStats
	// Windows are the page requests in order, without those refused by the hidden limit.
	Windows []WindowRequest

	Hops       int // media requests after a redirect of this host
	BadLinks   int // media requests whose address was no link, changed, or expired
	TokenLeaks int // media requests with the API token
	Referers   int // media requests with a Referer header
	TokenInURL int // API requests with the token in their address
}

// HostStats counts the requests to one host.
type HostStats struct {
	Requests           int         // all requests
	Refused            int         // answers 429
	MaxConcurrent      int         // maximum parallel requests
	Connections        int         // connections accepted
	OpenConnections    int         // connections open now
	MaxOpenConnections int         // maximum parallel connections
	Starts             []time.Time // arrival times of the first 200,000 requests
}

// RecordingStats counts the requests for one recording.
type RecordingStats struct {
	Requests int // all
	Whole    int // those that received the complete body
}

// WindowRequest is a request for a page.
type WindowRequest struct {
	StartTime, EndTime string
	Limit, Offset      int
	Order              string
	Params             url.Values // all parameters except the token
}

// Stats returns the counts so far. At most 20,000 window requests are kept.
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

// ResetStats sets all counts to zero. Faults with a duration, rules and all other state stay
// unchanged.
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
