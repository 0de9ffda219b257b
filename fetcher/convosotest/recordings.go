// Generates the recordings of the simulated account.

package convosotest

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// recording is one audio file with its history.
type recording struct {
	call  int32
	part  uint8 // its index among the recordings of the call
	flags recordingFlags
	audio audio
	named string // its file name if not derived from the pattern
	sha   string // in hex; "" until first requested

	fault     Fault
	faultLeft int // remaining requests with the fault; negative for all

	firstListed int64 // simulated clock, Unix nanoseconds; 0 for never
	listings    uint32
	requests    int32
	whole       int32 // requests that received the complete body
}

type recordingFlags uint16

const (
	recordingSameID     recordingFlags = 1 << iota // has the id of the previous recording
	recordingSplit                                 // shares its id with another
	recordingWithoutID                             // no recording_id
	recordingWithoutTag                            // no filename
	recordingNamed                                 // named is valid
	recordingLateRow                               // not listed at first
	recordingLateLink                              // no link at first
	recordingUnlisted                              // no longer listed
	recordingRedirect                              // its link redirects
)

func (r *recording) has(flag recordingFlags) bool { return r.flags&flag != 0 }

// makeRecordings generates the recordings of calls, with their peculiarities.
func (s *Server) makeRecordings() {
	recorded := 0
	for i := range s.calls {
		c := &s.calls[i]
		c.first = int32(len(s.recordings))
		if c.has(callLive) || share(mix(s.config.Seed, domainRecorded, uint64(i))) >= s.config.RecordedShare {
			continue
		}
		recorded++
		s.recordCall(int32(i), recorded)
	}
	s.nameRecordings()
	s.chooseKinds()
	s.shareRecordings()
}

func (s *Server) recordCall(i int32, recorded int) {
	c := &s.calls[i]
	random := mix(s.config.Seed, domainRecorded, uint64(i), 1)
	parts := 1
	if share(random) < s.config.SeveralShare {
		parts = 2 + int(random&1)
	}
	split := s.config.Oddities.SplitNames && recorded%40 == 3
	if split {
		parts++
	}
	for part := range parts {
		j := len(s.recordings)
		r := recording{call: i, part: uint8(part)}
		r.audio = newAudio(KindMP3, mix(s.config.Seed, domainAudio, uint64(j)), s.sizeOf(j))
		if split && part >= parts-2 {
			r.flags |= recordingSplit
		}
		if split && part == parts-1 {
			r.flags |= recordingSameID
		}
		if s.config.Oddities.Redirects && mix(s.config.Seed, domainLink, uint64(j), 1)%8 == 0 {
			r.flags |= recordingRedirect
		}
		s.recordings = append(s.recordings, r)
	}
	c.count = uint8(parts)
}

// nameRecordings selects the recordings with a hostile name, another one's name, no name or no id.
// None has two of these.
func (s *Server) nameRecordings() {
	order := permutation(mix(s.config.Seed, domainName), len(s.recordings))
	order = slices.DeleteFunc(order, func(j int32) bool { return s.recordings[j].has(recordingSplit) })
	choose := func(count int, mark func(r *recording, k int)) {
		count = min(count, len(order))
		for k, j := range order[:count] {
			mark(&s.recordings[j], k)
		}
		order = order[count:]
	}
	some := max(1, len(s.recordings)/50)
	names := s.config.Oddities.HostileNames
	choose(len(names), func(r *recording, k int) { r.flags |= recordingNamed; r.named = names[k] })
	if s.config.Oddities.MissingNames {
		choose(some, func(r *recording, _ int) { r.flags |= recordingWithoutTag })
	}
	if s.config.Oddities.MissingIDs {
		choose(some, func(r *recording, _ int) { r.flags |= recordingWithoutID })
	}
	if s.config.Oddities.DuplicateNames && len(order) > some {
		others := order[some:]
		choose(some, func(r *recording, k int) {
			r.flags |= recordingNamed
			r.named = s.filename(others[k%len(others)])
		})
	}
}

// chooseKinds selects recordings with formats other than plain MP3.
func (s *Server) chooseKinds() {
	if !s.config.Oddities.OtherKinds {
		return
	}
	order := permutation(mix(s.config.Seed, domainOddity, 2), len(s.recordings))
	kinds := []Kind{KindWAV, KindOgg, KindID3, KindULaw, KindGSM, KindADPCM, KindAU}
	count := max(len(s.recordings)/8, min(len(kinds), (len(s.recordings)+1)/2))
	for k, j := range order[:count] {
		if r := &s.recordings[j]; int(j) >= len(s.config.BigRecordings) {
			r.audio = newAudio(kinds[k%len(kinds)], r.audio.seed, r.audio.size())
		}
	}
}

// shareRecordings also lists some recordings under the next call, if that is on the same day and
// has none.
func (s *Server) shareRecordings() {
	if !s.config.Oddities.SharedRecordings {
		return
	}
	left := max(1, len(s.recordings)/50)
	for i := 0; i+1 < len(s.calls) && left > 0; i++ {
		c, next := &s.calls[i], &s.calls[i+1]
		if c.count != 1 || c.flags != 0 || s.recordings[c.first].has(recordingWithoutID) {
			continue // nothing would show that both rows have the same recording
		}
		if next.count != 0 || s.peculiar(int32(i+1)) || s.dayOf(c.at) != s.dayOf(next.at) {
			continue
		}
		next.borrowed = c.first
		left--
	}
}

// spreadFaults selects late recordings and those with a fault, spread over the days.
func (s *Server) spreadFaults() error {
	order := s.spreadOverDays()
	take := func(count int, what string, mark func(*recording)) error {
		if count > len(order) {
			return fmt.Errorf("configure simulator: %d recordings are too few for all that is to be wrong with them, at %s", len(s.recordings), what)
		}
		for _, j := range order[:count] {
			mark(&s.recordings[j])
		}
		order = order[count:]
		return nil
	}
	if err := take(s.config.Late.Recordings, "late recordings", func(r *recording) { r.flags |= recordingLateRow }); err != nil {
		return err
	}
	if err := take(s.config.Late.Links, "late links", func(r *recording) { r.flags |= recordingLateLink }); err != nil {
		return err
	}
	for _, fault := range slices.Sorted(maps.Keys(s.config.MediaFaults)) {
		times := timesLeft(s.config.FaultTimes[fault])
		mark := func(r *recording) { r.fault, r.faultLeft = fault, times }
		if err := take(s.config.MediaFaults[fault], string(fault), mark); err != nil {
			return err
		}
	}
	return nil
}

// spreadOverDays returns all recordings in an order that alternates between days.
func (s *Server) spreadOverDays() []int32 {
	days := make([][]int32, s.config.Days)
	for _, j := range permutation(mix(s.config.Seed, domainFault), len(s.recordings)) {
		day := int(s.recordings[j].call) / s.config.CallsPerDay
		days[day] = append(days[day], j)
	}
	order := make([]int32, 0, len(s.recordings))
	for round := 0; len(order) < len(s.recordings); round++ {
		for _, day := range days {
			if round < len(day) {
				order = append(order, day[round])
			}
		}
	}
	return order
}

// timesLeft turns "times, 0 for ever" into a count that is negative for ever.
func timesLeft(times int) int {
	if times <= 0 {
		return -1
	}
	return times
}

// firstRecordingID has twelve digits, like on the vendor's page.
const firstRecordingID = 400_000_000_000

// recordingID returns the API's id of recording number j.
func (s *Server) recordingID(j int32) string {
	r := &s.recordings[j]
	if r.has(recordingWithoutID) {
		return ""
	}
	if r.has(recordingSameID) {
		j--
	}
	return strconv.FormatInt(firstRecordingID+int64(s.config.Seed%1000)*100_000_000+int64(j), 10)
}

// ref returns this package's name of recording number j.
func (s *Server) ref(j int32) string {
	if r := &s.recordings[j]; r.has(recordingWithoutID) || r.has(recordingSplit) {
		return s.uniqueID(j)
	}
	return s.recordingID(j)
}

// byRef returns the recording of a ref, an id or a link's unique id.
func (s *Server) byRef(ref string) (int32, bool) {
	if n, err := strconv.ParseInt(ref, 10, 64); err == nil && len(ref) == 12 {
		j := n - firstRecordingID - int64(s.config.Seed%1000)*100_000_000
		if j >= 0 && j < int64(len(s.recordings)) && s.recordingID(int32(j)) == ref {
			return int32(j), true
		}
	}
	return s.byUniqueID(ref)
}

// uniqueID returns the 32 characters that identify a recording in its link: its scrambled number
// and a checksum.
func (s *Server) uniqueID(j int32) string {
	key := uint32(mix(s.config.Seed, domainLink))
	check := mix(s.config.Seed, domainLink, uint64(j), 2)
	return fmt.Sprintf("%08x%016x%08x", uint32(j)^key, check, uint32(scramble(check)))
}

func (s *Server) byUniqueID(id string) (int32, bool) {
	if len(id) != 32 {
		return 0, false
	}
	n, err := strconv.ParseUint(id[:8], 16, 32)
	if err != nil {
		return 0, false
	}
	j := int64(uint32(n) ^ uint32(mix(s.config.Seed, domainLink)))
	if j >= int64(len(s.recordings)) || s.uniqueID(int32(j)) != id {
		return 0, false
	}
	return int32(j), true
}

// filename returns the recording's file name in the vendor's pattern, unless it has another one.
func (s *Server) filename(j int32) string {
	r := &s.recordings[j]
	switch {
	case r.has(recordingWithoutTag):
		return ""
	case r.has(recordingNamed):
		return r.named
	}
	c := &s.calls[r.call]
	epoch := c.at
	if c.has(callMoved) {
		epoch -= daySeconds
	}
	for k := c.first; k < j; k++ {
		epoch += int64(s.recordings[k].audio.duration()/time.Second) + 1
	}
	tail := "-in-" + strconv.FormatInt(epoch, 10) + ".mp3"
	extension := r.audio.extension()
	if extension == ".wav" || j%2 == 0 && extension != ".mp3" {
		tail = "-all" + extension
	}
	fraction := 1 + below(mix(s.config.Seed, domainName, uint64(j)), 9999)
	return fmt.Sprintf("%d_%s_%s_%s_%s_%d_%d%s", s.config.AccountID, s.userID(r.call), s.phone(r.call), s.leadID(r.call),
		s.campaignID(r.call), epoch, fraction, tail)
}

const (
	linkPrefix = "/play-recording-public/"
	hopPrefix  = "/recording-file/"
)

// linkPath returns the part of a link between the prefix and the query: the base64 of URL-encoded
// JSON, like in the vendor's sample.
func (s *Server) linkPath(j int32) string {
	plain := url.QueryEscape(fmt.Sprintf(`{"account_id":%d,"u_id":"%s"}`, s.config.AccountID, s.uniqueID(j)))
	return base64.StdEncoding.EncodeToString([]byte(plain))
}

// secret returns the rlt value of links of a generation: 43 characters of base64,
// with + and / among them, which break when a client re-encodes the query.
func (s *Server) secret(generation uint32) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	rlt := make([]byte, 0, 43)
	rlt = append(rlt, s.config.LinkSecret...)
	for shift := 30; shift >= 0; shift -= 6 {
		rlt = append(rlt, alphabet[generation>>shift&63])
	}
	rlt = append(rlt, '+')
	for k := uint64(0); len(rlt) < 41; k++ {
		rlt = append(rlt, alphabet[mix(s.config.Seed, domainLink, uint64(generation), 3, k)&63])
	}
	return string(append(rlt, '/', alphabet[generation&63]))
}

// link returns the complete link of a recording.
func (s *Server) link(j int32, generation uint32) string {
	return s.mediaOrigin() + linkPrefix + s.linkPath(j) + s.linkName(j) + "?rlt=" + s.secret(generation)
}

// linkName returns the end of the path of a link, behind what opens it.
func (s *Server) linkName(j int32) string {
	if name := s.filename(j); s.config.Oddities.NamedLinks && name != "" {
		return "/" + url.PathEscape(name)
	}
	return ""
}

// resolve returns the recording with the link in a request's raw address. It compares the address
// byte for byte: an encoded + or = makes it a different one.
func (s *Server) resolve(address string) (j int32, hop, ok bool) {
	rest, hop := strings.CutPrefix(address, hopPrefix)
	if !hop {
		rest, ok = strings.CutPrefix(address, linkPrefix)
		if !ok {
			return 0, false, false
		}
	}
	token, query, _ := strings.Cut(rest, "?")
	name := ""
	if i := strings.LastIndexByte(token, '/'); s.config.Oddities.NamedLinks && i >= 0 {
		token, name = token[:i], token[i:]
	}
	plain, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return 0, hop, false
	}
	_, id, _ := strings.Cut(string(plain), "%22u_id%22%3A%22")
	s.mu.Lock() // the file name depends on flags that other goroutines change
	j, ok = s.byUniqueID(strings.TrimSuffix(id, "%22%7D"))
	ok = ok && s.linkPath(j) == token && s.linkName(j) == name
	s.mu.Unlock()
	if !ok {
		return 0, hop, false
	}
	return j, hop, s.validQuery(query)
}

// validQuery reports whether the query contains an issued secret that has not expired.
func (s *Server) validQuery(query string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	from := len("rlt=") + len(s.config.LinkSecret)
	if len(query) < from+6 {
		return false
	}
	var generation uint64
	for _, b := range []byte(query[from : from+6]) {
		generation = generation<<6 | uint64(max(0, strings.IndexByte(alphabet, b)))
	}
	s.mu.Lock()
	current := uint64(s.generation)
	s.mu.Unlock()
	if generation > current || (s.config.Listing.LinksExpire > 0 && current-generation >= uint64(s.config.Listing.LinksExpire)) {
		return false
	}
	return query == "rlt="+s.secret(uint32(generation))
}
