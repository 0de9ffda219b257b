// Writes the rows of the simulated call log.

package convosotest

import (
	"strconv"
	"time"
)

// rowContext is the common context of an answer's rows.
type rowContext struct {
	now        time.Time
	generation uint32
	recordings bool // include_recordings
}

// rowKey returns the key of a row if results are keyed by id.
func (s *Server) rowKey(i int32) string {
	if s.calls[i].has(callWithoutID) {
		return "x" + strconv.Itoa(int(i))
	}
	return s.callID(i)
}

// writeRow writes the row of a call with the fields of the vendor's page, in that order. The caller
// must hold the lock.
func (s *Server) writeRow(w *jsonWriter, i int32, ctx rowContext) {
	odd := &s.config.Oddities
	random := mix(s.config.Seed, domainOddity, uint64(i), 3)
	numbers := odd.NumberIDs && random%3 == 0
	code, name := s.status(i)
	w.open('{')
	if !s.calls[i].has(callWithoutID) {
		w.id("id", s.callID(i), numbers)
	}
	w.id("lead_id", s.leadID(i), numbers)
	w.id("list_id", s.listID(i), numbers)
	w.id("campaign_id", s.campaignID(i), numbers)
	w.text("campaign", "Campaign "+s.campaignID(i))
	w.text("user", s.user(i))
	w.id("user_id", s.userID(i), numbers)
	w.text("phone_number", s.phone(i))
	w.text("number_dialed", s.numberDialed(i))
	w.nullable("first_name", s.firstName(i), s.nullForm(random>>8))
	w.nullable("last_name", s.lastName(i), s.nullForm(random>>12))
	w.text("status", code)
	w.text("status_name", name)
	s.writeLength(w, i, ctx.now)
	s.writeDate(w, i, random)
	s.writeComment(w, i, random, ctx)
	if ctx.recordings {
		s.writeRecordings(w, i, random, ctx)
	}
	if queue := s.queueID(i); queue != "" {
		w.id("queue_id", queue, numbers)
	} else {
		w.nullable("queue_id", "", nullAlways)
	}
	w.text("called_count", s.calledCount(i))
	w.text("caller_id_displayed", "15559990002")
	w.text("term_reason", s.termReason(i))
	w.text("call_type", s.callType(i))
	w.text("queue_position", "1")
	w.text("queue_seconds", "0.00")
	w.nullable("originating_agent_id", "", max(nullAlways, s.nullForm(random>>16)))
	w.text("session_id", s.sessionID(i))
	if odd.ExtraFields {
		s.writeExtra(w, i, ctx)
	}
	w.close('}')
}

func (s *Server) sessionID(i int32) string {
	digits := strconv.FormatUint(mix(s.config.Seed, domainSession, uint64(i)), 16)
	return digits + "0000000000000000@192.0.2.1:5060"
}

// nullForm is how a field without a value is written.
type nullForm int

const (
	nullNever  nullForm = iota // write the value
	nullAlways                 // null
	nullText                   // the text "null"
)

// nullForm selects the form of a field of a row.
func (s *Server) nullForm(random uint64) nullForm {
	switch {
	case s.config.Oddities.NullFields && random%8 == 1:
		return nullAlways
	case s.config.Oddities.LiteralNulls && random%8 == 2:
		return nullText
	}
	return nullNever
}

func (w *jsonWriter) id(name, value string, number bool) {
	if number {
		w.raw(name, value)
		return
	}
	w.text(name, value)
}

func (w *jsonWriter) nullable(name, value string, form nullForm) {
	switch form {
	case nullAlways:
		w.raw(name, "null")
	case nullText:
		w.text(name, "null")
	default:
		w.text(name, value)
	}
}

func (s *Server) writeLength(w *jsonWriter, i int32, now time.Time) {
	if s.inProgress(i, now.Unix()) {
		w.raw("call_length", "null")
		return
	}
	w.text("call_length", strconv.FormatInt(s.seconds(i), 10))
}

func (s *Server) writeDate(w *jsonWriter, i int32, random uint64) {
	if !s.calls[i].has(callWithoutDate) {
		w.text("call_date", s.callDate(i))
		return
	}
	forms := [...]string{"null", `""`, `"0000-00-00 00:00:00"`, `"null"`}
	w.raw("call_date", forms[random>>20%uint64(len(forms))])
}

func (s *Server) callDate(i int32) string { return formatWall(wallOf(s.calls[i].at, s.zone)) }

// writeComment writes the agent's comment; with extra fields, some agents paste a
// recording's link there.
func (s *Server) writeComment(w *jsonWriter, i int32, random uint64, ctx rowContext) {
	if j, ok := s.linkedRecording(i, ctx); ok && s.config.Oddities.ExtraFields && random>>24%4 == 0 {
		w.text("agent_comment", "listen: "+s.link(j, ctx.generation)+" (checked)")
		return
	}
	w.nullable("agent_comment", "", s.nullForm(random>>24))
}

// writeExtra writes fields that are undocumented but were seen in answers, and some invented ones.
func (s *Server) writeExtra(w *jsonWriter, i int32, ctx rowContext) {
	w.text("queue", "Queue "+s.queueID(i))
	w.text("inbound_number", "5559990003")
	w.raw("flags", `{"scored":true,"tags":["a","b"],"score":0.5}`)
	if j, ok := s.linkedRecording(i, ctx); ok {
		w.name("playback")
		w.open('{')
		w.text("href", s.link(j, ctx.generation))
		w.close('}')
	}
}

// linkedRecording returns a recording with a link in the row.
func (s *Server) linkedRecording(i int32, ctx rowContext) (int32, bool) {
	c := &s.calls[i]
	if !ctx.recordings || c.count == 0 || s.recordings[c.first].flags&(recordingLateRow|recordingLateLink|recordingUnlisted) != 0 {
		return 0, false
	}
	return c.first, true
}

// writeRecordings writes the recording field in one of its possible forms.
func (s *Server) writeRecordings(w *jsonWriter, i int32, random uint64, ctx rowContext) {
	shown := s.shownRecordings(i, ctx)
	forms := s.config.Oddities.RecordingForms
	form := random >> 28 % 8
	switch {
	case len(shown) == 0 && forms:
		empty := [...]string{"[]", "null", `""`, "{}", "", `"null"`, "false", "[null]"}
		if value := empty[form]; value != "" {
			w.raw("recording", value)
		}
	case len(shown) == 1 && forms && form == 0:
		w.name("recording")
		s.writeRecording(w, shown[0], ctx)
	case len(shown) > 0 && forms && form <= 2:
		w.name("recording")
		w.open('{')
		for k, j := range shown {
			w.name(strconv.Itoa(k * 2))
			s.writeRecording(w, j, ctx)
		}
		w.close('}')
	default:
		w.name("recording")
		w.open('[')
		for _, j := range shown {
			s.writeRecording(w, j, ctx)
		}
		w.close(']')
	}
}

// shownRecordings returns the recordings in a row now, and counts the listing.
func (s *Server) shownRecordings(i int32, ctx rowContext) []int32 {
	c := &s.calls[i]
	if s.inProgress(i, ctx.now.Unix()) {
		return nil
	}
	var shown []int32
	for j := c.first; j < c.first+int32(c.count); j++ {
		s.countListing(j, ctx.now)
		if s.recordings[j].flags&(recordingLateRow|recordingUnlisted) == 0 {
			shown = append(shown, j)
		}
	}
	if j := c.borrowed; j >= 0 && s.recordings[j].flags&(recordingLateRow|recordingUnlisted) == 0 {
		shown = append(shown, j)
	}
	return shown
}

// countListing releases a late recording when it is due, and counts the listing of its call.
func (s *Server) countListing(j int32, now time.Time) {
	r := &s.recordings[j]
	late := s.config.Late
	due := late.Listings > 0 && int(r.listings) >= late.Listings
	due = due || (late.After > 0 && r.firstListed != 0 && now.UnixNano()-r.firstListed >= int64(late.After))
	if due {
		r.flags &^= recordingLateRow | recordingLateLink
	}
	if r.firstListed == 0 {
		r.firstListed = now.UnixNano()
	}
	r.listings++
}

func (s *Server) writeRecording(w *jsonWriter, j int32, ctx rowContext) {
	r := &s.recordings[j]
	random := mix(s.config.Seed, domainLink, uint64(j), 4)
	types := [...]string{"pause", "pause", "mp3", "wav", "unheard-of"}
	w.open('{')
	link := s.link(j, ctx.generation)
	form := random % 8
	if !s.config.Oddities.LinkForms {
		form = 7
	}
	if r.has(recordingLateLink) {
		link = ""
	}
	if form != 4 {
		w.nullable("src", link, emptyForm(link))
	}
	w.text("type", types[random>>8%uint64(len(types))])
	w.text("new", [...]string{"yes", "no"}[random>>16%2])
	if id := s.recordingID(j); id != "" {
		w.id("recording_id", id, s.config.Oddities.NumberIDs && random>>20%3 == 0)
	}
	s.writeFilename(w, j)
	switch {
	case form == 0:
	case form == 1 || link == "":
		w.raw("public_url", "null")
	case form == 2:
		w.text("public_url", "")
	case form == 3:
		w.text("public_url", "null")
	default:
		w.text("public_url", link)
	}
	w.close('}')
}

func emptyForm(value string) nullForm {
	if value == "" {
		return nullAlways
	}
	return nullNever
}

// writeFilename writes the file name, or one of the forms of a missing one.
func (s *Server) writeFilename(w *jsonWriter, j int32) {
	if !s.recordings[j].has(recordingWithoutTag) {
		w.text("filename", s.filename(j))
		return
	}
	switch j % 3 {
	case 0:
		w.raw("filename", "null")
	case 1:
		w.text("filename", "")
	}
}
