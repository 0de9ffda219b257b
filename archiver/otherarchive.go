// Defines the error for an archive of another account, API or zone.

package archiver

import (
	"errors"
	"fmt"
)

// ErrOtherArchive says that the archive belongs to another account, API or zone. The
// error that wraps it is an [OtherArchiveError].
var ErrOtherArchive = errors.New("the archive belongs to another account, API address or time zone")

// What an archive belongs to.
const (
	OfAPI     = "API address"
	OfZone    = "time zone"
	OfAccount = "account"
)

// OtherArchiveError says in what a run differs from its archive. For errors.Is it is
// an [ErrOtherArchive].
type OtherArchiveError struct {
	Of      string // [OfAPI], [OfZone] or [OfAccount]
	Archive string // the archive's
	Run     string // this run's
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
