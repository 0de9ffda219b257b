// Binds an archive to one account, API and zone, and refuses another.

package archiver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

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

// checkArchive fails if the archive belongs to another account, API or zone, and binds a new
// archive.
func (r *run) checkArchive() error {
	archive, err := r.readArchive(r.soft)
	switch {
	case errors.Is(err, fs.ErrNotExist) && r.config.DryRun:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		archive, err = r.newArchive()
	case err != nil:
		err = fmt.Errorf("read the archive's settings: %w", err)
	default:
		archive, err = r.takeOver(archive)
	}
	if err != nil {
		return err
	}
	if other := otherSettings(archive, r.config.APIURL, r.config.Zone.String()); other != nil {
		return other
	}
	r.account.archive = archive
	if r.config.DryRun {
		return nil
	}
	return r.updateArchive(archive)
}

// takeOver gives an archive the address and zone of this run if no run has noted anything yet, because an API that
// never answered must not bind the archive.
func (r *run) takeOver(archive manifest.Archive) (manifest.Archive, error) {
	if otherSettings(archive, r.config.APIURL, r.config.Zone.String()) == nil {
		return archive, nil
	}
	unused, err := r.ledger.IsUnused(r.soft, archive)
	if err != nil || !unused {
		return archive, err
	}
	archive.APIURL, archive.TimeZone = r.config.APIURL, r.config.Zone.String()
	if r.config.DryRun {
		return archive, nil
	}
	if archive, err = r.replaceArchive(archive); err != nil {
		return archive, fmt.Errorf("note what the archive belongs to: %w", err)
	}
	return archive, nil
}

// updateArchive notes the format that this run writes, and whether the store honours conditions,
// before any line.
func (r *run) updateArchive(archive manifest.Archive) error {
	honours := r.config.Conditions
	same := honours == nil || archive.ConditionalWrites != nil && *archive.ConditionalWrites == *honours
	if archive.V >= manifest.FormatVersion && same {
		return nil
	}
	if honours != nil {
		archive.ConditionalWrites = honours
	}
	archive, err := r.replaceArchive(archive)
	if err != nil {
		return fmt.Errorf("save the archive's format: %w", err)
	}
	r.account.archive = archive
	return nil
}

// errUnseenArchive ends a run on a store that does not return what it accepted: there, a run could not see other
// runs or earlier lines.
var errUnseenArchive = errors.New("the store accepted manifest/archive.json and does not return it: " +
	"run the same command again in a few minutes; if the error stays, --dest is a cache or a delayed replica: use the store itself")

// newArchive writes archive.json for a new archive, and returns the stored one: another run may
// have written it first. It reads it once.
func (r *run) newArchive() (manifest.Archive, error) {
	archive := manifest.Archive{APIURL: r.config.APIURL, TimeZone: r.config.Zone.String(), ConditionalWrites: r.config.Conditions}
	err := r.patiently(func() error { return r.ledger.SaveArchive(r.soft, archive) })
	if err == nil || isContested(err) {
		archive, err = r.storedArchive(r.soft)
	}
	if err != nil {
		return archive, fmt.Errorf("save the archive's settings: %w", err)
	}
	return archive, nil
}

// replaceArchive saves archive.json, and returns the one that another run has saved at the same time, if any.
func (r *run) replaceArchive(archive manifest.Archive) (manifest.Archive, error) {
	err := r.patiently(func() error { return r.ledger.SaveArchive(r.soft, archive) })
	if isContested(err) {
		return r.storedArchive(r.soft)
	}
	return archive, err
}

// isContested reports whether another run saved archive.json at the same time. This run then could not replace it, or did
// not find its own.
func isContested(err error) bool {
	return errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist)
}

// storedArchive reads an archive.json of which the store has said that it exists. It tries a few times: versitygw does not
// return a file while another run replaces it.
func (r *run) storedArchive(ctx context.Context) (manifest.Archive, error) {
	const attempts = 4
	for attempt := 1; ; attempt++ {
		archive, err := r.readArchive(ctx)
		if !errors.Is(err, fs.ErrNotExist) {
			return archive, err
		}
		if attempt == attempts {
			return archive, errUnseenArchive
		}
		select {
		case <-time.After(delayAfter(attempt)):
		case <-ctx.Done():
			return archive, context.Cause(ctx)
		}
	}
}

// readArchive reads archive.json.
func (r *run) readArchive(ctx context.Context) (archive manifest.Archive, err error) {
	err = r.patiently(func() (err error) {
		archive, err = r.ledger.Archive(ctx)
		return err
	})
	return archive, err
}
