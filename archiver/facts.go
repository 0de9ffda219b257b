package archiver

import (
	"time"

	"convoso-archiver/fetcher"
)

// facts are what is kept of a call for one of its recordings when the page that
// listed it is gone.
type facts struct {
	callID string
	length string            // call_length in seconds, "" where it is not known
	date   time.Time         // wall clock; the start of its day where call_date cannot be read
	fields map[string]string // that the key template names; nil where it names none of a call's
}

// factsOf takes the facts from a row.
func (r *run) factsOf(day *sharedDay, call *fetcher.Call) facts {
	f := facts{callID: call.ID, length: call.CallLength}
	date, readable := call.Date()
	if !readable {
		date, _ = fetcher.ParseWall(string(day.date))
	}
	f.date = date
	if !r.Keys.NamesOnly("recording_id", "filename", "type", "new") {
		f.fields = r.Keys.Pick(call.Fields()) // which reads the whole row
	}
	return f
}
