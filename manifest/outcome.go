// Defines the outcomes of recordings.

package manifest

// Outcome says what became of a recording.
type Outcome string

// The outcomes this version knows. A later version may write others; see Final.
const (
	Archived Outcome = "archived" // stored and hashed
	Pending  Outcome = "pending"  // no link yet, or one answer that it is not there
	Failed   Outcome = "failed"   // the source could not deliver it now
	Rejected Outcome = "rejected" // the answer is not audio, or the link is not allowed
	Lost     Outcome = "lost"     // the vendor no longer has it
	Damaged  Outcome = "damaged"  // stored once, the stored bytes are missing or wrong
	Erased   Outcome = "erased"   // removed on purpose
	Expired  Outcome = "expired"  // removed at the end of its retention
)

// CauseNotFound is the cause of a line that notes the answer that the audio is not there. The ledger counts
// such lines, see State; all other causes are the caller's words.
const CauseNotFound = "not_found"

// Final reports whether the outcome is final by itself: archived, erased, expired, and every outcome that this
// version does not know, because the later version that wrote it knew more, and a recording that is not requested can
// still be requested later. All others are final only by their line; see State.Final.
func (o Outcome) Final() bool {
	switch o {
	case "", Pending, Failed, Rejected, Lost, Damaged:
		return false
	}
	return true
}
