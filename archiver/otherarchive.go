// Defines the error for an archive of another account, API or zone.

package archiver

import (
	"errors"
	"fmt"

	"convoso-archiver/manifest"
)

// ErrOtherArchive says that the archive belongs to another account, API or zone. The error is an
// [OtherArchiveError].
var ErrOtherArchive = errors.New("the archive belongs to another account, API address or time zone")

// The properties that an archive is bound to.
const (
	OfAPI     = "API address"
	OfZone    = "time zone"
	OfAccount = "account"
)

// OtherArchiveError says how a run differs from its archive. It matches [ErrOtherArchive] with
// errors.Is.
type OtherArchiveError struct {
	Of      string // [OfAPI], [OfZone] or [OfAccount]
	Archive string // the archive's
	Run     string // this run's
	// Unproved says that no run has confirmed the account yet, so API and zone may be values given to a rebuild.
	Unproved bool
}

// otherSettings returns the difference between the address or zone of an archive and those of a run, nil if
// there is none.
func otherSettings(a manifest.Archive, apiURL, zone string) *OtherArchiveError {
	e := &OtherArchiveError{Of: OfAPI, Archive: a.APIURL, Run: apiURL, Unproved: a.AccountID == ""}
	if a.APIURL == apiURL {
		e.Of, e.Archive, e.Run = OfZone, a.TimeZone, zone
	}
	if e.Archive == e.Run {
		return nil
	}
	return e
}

// Error returns one lower-case line with both values, neither of which is a secret.
func (e *OtherArchiveError) Error() string {
	if e.Of == OfAccount {
		return fmt.Sprintf("the archive belongs to account %s, the token to account %s", e.Archive, e.Run)
	}
	return fmt.Sprintf("the archive was made with the %s %s, this run has %s", e.Of, e.Archive, e.Run)
}

// Is reports whether target is [ErrOtherArchive].
func (e *OtherArchiveError) Is(target error) bool { return target == ErrOtherArchive }
