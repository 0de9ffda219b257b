package archiver

import (
	"time"

	"convoso-archiver/manifest"
)

// betweenAnswers is how far apart two "not found" answers must lie before a
// recording is taken for lost: no outage that was seen lasted as long.
const betweenAnswers = 24 * time.Hour

// finding is what one request for a recording led to, when it led to no body that
// can be stored.
type finding struct {
	outcome  manifest.Outcome // Pending, Failed or Rejected
	reason   string
	notFound bool // the source says that it does not have the recording
	denied   bool // 401 or 403
}

// dayAge says what a day's age means for its recordings.
type dayAge struct {
	settled bool // the day no longer changes
	expired bool // beyond the age at which the vendor deletes audio
}

// confirmsLoss reports whether one more "not found" means that a recording is gone:
// told twice, a day apart, by links of two listings, on a settled day; beyond the
// purge age once is enough. What was archived and damaged is never given up.
func confirmsLoss(prior manifest.State, listing string, age dayAge, now time.Time) bool {
	switch {
	case prior.Outcome == manifest.Damaged:
		return false
	case age.expired:
		return true
	case !age.settled || prior.NotFoundSince.IsZero():
		return false
	}
	return now.Sub(prior.NotFoundSince) >= betweenAnswers && prior.NotFoundListing != listing
}

// final reports whether a recording is never asked for again: archived or lost, or
// asked for in vain once more after it had waited for giveUp. What was archived
// once and is damaged waits for as long as it takes.
func final(s manifest.State, giveUp time.Duration) bool {
	switch {
	case s.Outcome.Final():
		return true
	case s.Outcome == manifest.Damaged:
		return false
	}
	return !s.Time.Before(s.FirstSeen.Add(giveUp))
}
