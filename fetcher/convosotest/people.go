// Generates the people and values of a call row.

package convosotest

import (
	"strconv"
)

// The values of a row are derived from the number of its call, so filters and rows agree without
// storing them.

func (s *Server) lead(i int32) uint64 {
	leads := len(s.calls)/3 + 1
	return uint64(below(mix(s.config.Seed, domainLead, uint64(i)), leads))
}

func (s *Server) leadID(i int32) string {
	return strconv.FormatUint(50_000_000+s.lead(i), 10)
}

func (s *Server) phone(i int32) string {
	return strconv.FormatUint(5_550_000_000+s.lead(i)*7%10_000_000, 10)
}

func (s *Server) numberDialed(i int32) string {
	if s.callType(i) == "INBOUND" {
		return "5559990001"
	}
	return s.phone(i)
}

func (s *Server) firstName(i int32) string {
	names := [...]string{"Alex", "Robin", "Kim", "Jo", "Sam", "Zoë", "Pat", "Chris"}
	return names[mix(s.config.Seed, domainPerson, s.lead(i))%uint64(len(names))]
}

func (s *Server) lastName(i int32) string {
	names := [...]string{"Sample", "Example", "O'Test", "Specimen", "Muster", "Placeholder"}
	return names[mix(s.config.Seed, domainPerson, s.lead(i), 1)%uint64(len(names))]
}

const (
	users     = 8
	campaigns = 4
	lists     = 3
	queues    = 2
)

func (s *Server) userNumber(i int32) int {
	return below(mix(s.config.Seed, domainUser, uint64(i)), users)
}

// userID returns the agent's id; the last one is one of the vendor's pseudo-users.
func (s *Server) userID(i int32) string { return userIDOf(s.userNumber(i)) }

func userIDOf(number int) string {
	if number == users-1 {
		return "666666"
	}
	return strconv.Itoa(1_143_800 + number)
}

func (s *Server) user(i int32) string {
	if n := s.userNumber(i); n < users-1 {
		return "Agent " + strconv.Itoa(n+1)
	}
	return "System User"
}

func (s *Server) campaignID(i int32) string {
	return campaignIDOf(below(mix(s.config.Seed, domainCampaign, uint64(i)), campaigns))
}

func campaignIDOf(number int) string { return strconv.Itoa(5051 + number) }

func (s *Server) listID(i int32) string {
	return listIDOf(below(mix(s.config.Seed, domainCampaign, s.lead(i), 1), lists))
}

func listIDOf(number int) string { return strconv.Itoa(20_301 + number) }

// queueID returns the queue of inbound calls and "" for the others.
func (s *Server) queueID(i int32) string {
	if s.callType(i) != "INBOUND" {
		return ""
	}
	return queueIDOf(below(mix(s.config.Seed, domainQueue, uint64(i)), queues))
}

func queueIDOf(number int) string { return strconv.Itoa(7101 + number) }

func (s *Server) callType(i int32) string {
	types := [...]string{"OUTBOUND", "OUTBOUND", "OUTBOUND", "OUTBOUND", "INBOUND", "INBOUND", "MANUAL", "3WAY"}
	return types[mix(s.config.Seed, domainQueue, uint64(i), 1)%uint64(len(types))]
}

func (s *Server) calledCount(i int32) string {
	return strconv.Itoa(1 + below(mix(s.config.Seed, domainLead, uint64(i), 1), 20))
}

// status returns code and name of a call's status. Recorded calls have the codes of answered calls.
func (s *Server) status(i int32) (code, name string) {
	if edited, ok := s.edited[i]; ok {
		return edited, edited
	}
	c := &s.calls[i]
	random := mix(s.config.Seed, domainStatus, uint64(i))
	if c.has(callLive) {
		live := [...][2]string{{"INCALL", "In Call"}, {"QUEUE", "In Queue"}, {"XFER", "Transferring"}}
		pick := live[random%uint64(len(live))]
		return pick[0], pick[1]
	}
	if c.count > 0 || c.borrowed >= 0 {
		talked := [...][2]string{{"SALE", "Sale"}, {"HU", "Hang Up"}, {"NI", "Not Interested"}, {"CB", "Call Back"}}
		pick := talked[random%uint64(len(talked))]
		return pick[0], pick[1]
	}
	missed := [...][2]string{{"NA", "No Answer"}, {"AM", "Answering Machine"}, {"DROP", "Drop"}, {"DC", "Disconnected"}, {"HU", "Hang Up"}}
	pick := missed[random%uint64(len(missed))]
	return pick[0], pick[1]
}

// seconds returns the length of a call, which is the sum of its recordings.
func (s *Server) seconds(i int32) int64 {
	c := &s.calls[i]
	var samples int64
	for j := c.first; j < c.first+int32(c.count); j++ {
		samples += s.recordings[j].audio.samples()
	}
	if c.borrowed >= 0 {
		samples += s.recordings[c.borrowed].audio.samples()
	}
	if samples == 0 {
		return int64(mix(s.config.Seed, domainStatus, uint64(i), 1) % 20)
	}
	return (samples + sampleRate - 1) / sampleRate
}

// inProgress reports whether the call has not ended on the simulated clock.
func (s *Server) inProgress(i int32, now int64) bool {
	c := &s.calls[i]
	return c.has(callLive) || c.at+s.seconds(i) > now
}

func (s *Server) termReason(i int32) string {
	reasons := [...]string{"AGENT", "CALLER", "QUEUETIMEOUT", "ABANDON", "NONE"}
	if s.calls[i].has(callLive) {
		return [...]string{"NONE", ""}[i&1]
	}
	return reasons[mix(s.config.Seed, domainStatus, uint64(i), 2)%uint64(len(reasons))]
}
