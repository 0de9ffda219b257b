// Defines the outcomes of recordings.

package manifest

// Outcome is the outcome of a recording.
type Outcome string

// The outcomes this version knows. A later version may write others; see Final.
const (
	Archived Outcome = "archived" // stored and hashed
	Pending  Outcome = "pending"  // no link yet, or a single "not found"
	Failed   Outcome = "failed"   // the source could not deliver it
	Rejected Outcome = "rejected" // the answer is not audio, or the link is not allowed
	Lost     Outcome = "lost"     // the vendor no longer has it
	Damaged  Outcome = "damaged"  // archived, but the stored bytes are missing or wrong
	Erased   Outcome = "erased"   // removed on purpose
	Expired  Outcome = "expired"  // removed at the end of its retention
)

// Outcomes returns the outcomes that this version knows.
func Outcomes() []Outcome {
	return []Outcome{Archived, Pending, Failed, Rejected, Lost, Damaged, Erased, Expired}
}

// CauseNotFound is the cause of a line for a "not found" answer. The ledger counts such lines, see State;
// all other causes are up to the caller.
const CauseNotFound = "not_found"

// Final reports whether the outcome is final by itself: archived, erased, expired, and every outcome that this
// version does not know, because a later version wrote it for a reason, and a skipped recording can still be
// requested later. Other outcomes are final only by their line; see State.Final.
func (o Outcome) Final() bool {
	switch o {
	case "", Pending, Failed, Rejected, Lost, Damaged:
		return false
	}
	return true
}
