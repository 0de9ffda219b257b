package manifest

import "strings"

// Outcome says what became of a recording.
type Outcome string

// The outcomes this version writes. A later version may write others; see Final.
const (
	Archived Outcome = "archived" // stored and hashed
	Pending  Outcome = "pending"  // no link yet, or told once that it is not there
	Failed   Outcome = "failed"   // the source could not deliver it now
	Rejected Outcome = "rejected" // what came is not audio, or the link may not be followed
	Lost     Outcome = "lost"     // gone at the source
	Damaged  Outcome = "damaged"  // stored once, the stored bytes are missing or wrong
)

// Final reports whether the recording needs no more work. An outcome this version does not know is
// final: whoever wrote it knew more, and leaving a recording alone is the mistake that can be undone.
func (o Outcome) Final() bool {
	switch o {
	case "", Pending, Failed, Rejected, Damaged:
		return false
	}
	return true
}

// waits reports whether o is one of the outcomes that any other outcome outranks.
func (o Outcome) waits() bool {
	return o == Pending || o == Failed || o == Rejected
}

// The stable first words of a recording line's reason. Free text may follow after a space.
const (
	// ReasonNotFound: the source said that the audio is not there.
	ReasonNotFound = "not_found"
	// ReasonNoLink: the call row carried no link.
	ReasonNoLink = "no_link"
)

const listingMark = "listing="

// NotFoundReason is the reason to note for an answer that the audio is not there, given to a link that
// came from the named listing. The id must hold no space. State.NotFoundListing gives it back, so that
// a later run can tell whether it was told twice by links from two listings.
func NotFoundReason(listing string) string {
	return ReasonNotFound + " " + listingMark + listing
}

// notFound takes apart what NotFoundReason made.
func notFound(reason string) (listing string, ok bool) {
	rest, ok := strings.CutPrefix(reason, ReasonNotFound)
	if !ok || rest != "" && rest[0] != ' ' {
		return "", false
	}
	for word := range strings.FieldsSeq(rest) {
		if id, found := strings.CutPrefix(word, listingMark); found {
			return id, true
		}
	}
	return "", true
}
