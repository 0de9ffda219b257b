// Names the causes for waiting recordings, for programs and for people.

package archiver

import (
	"cmp"

	"convoso-archiver/manifest"
)

// The causes in the line of a recording that is not archived. They are stable words for programs;
// the line's reason is for people.
const (
	causeNotFound   = "not_found"        // the source does not have the recording
	causeNoLink     = "no_link"          // the row has no link yet
	causeNameless   = "nameless"         // the row has neither id nor file name nor link
	causeDenied     = "denied"           // 401 or 403
	causeHost       = "host_not_allowed" // the link or a redirect points to another host
	causeBadLink    = "bad_link"         // the link is not a valid URL
	causeRefused    = "refused"          // 429 or 503 until no retry was left
	causeStatus     = "bad_status"       // any other status
	causeConnection = "connection"       // no answer, a reset, a stall, a truncated body
	causeNotAudio   = "not_audio"        // a body that is not audio
	causeKey        = "no_key"           // no key can be made, or all are taken
	causeMoved      = "moved"            // the API lists it under another day now
)

// CauseText explains to people why a recording is not archived.
func CauseText(s *manifest.State) string {
	switch s.Cause {
	case causeNotFound:
		return "the vendor cannot find the audio"
	case causeNoLink:
		return "no link yet"
	case causeNameless:
		return "no id, no file name and no link"
	case causeDenied:
		return "the media host denies access"
	case causeHost, causeStatus:
		return s.Reason
	case causeBadLink:
		return "the link is not a valid URL"
	case causeRefused:
		return "the media host asks to slow down"
	case causeConnection:
		return "the connection to the media host failed"
	case causeNotAudio:
		return "the answer is not audio"
	case causeKey:
		return "no free key"
	}
	switch {
	case s.Outcome == manifest.Damaged:
		return "the stored copy is damaged"
	case s.Outcome == "":
		return "not tried yet"
	}
	return cmp.Or(s.Reason, string(s.Outcome))
}
