// Reads from the seals which archive and which days they sign, without checking them.

package evidence

import (
	"context"

	"convoso-archiver/manifest"
)

// ArchiveOf returns the archive's settings from the newest readable seal, and false if there is none. It
// serves to restore a lost archive.json. It does not check signatures. Errors are those of the archive.
func ArchiveOf(ctx context.Context, objects manifest.Objects) (manifest.Archive, bool, error) {
	seals, _, err := load(ctx, objects)
	for i := len(seals) - 1; i >= 0 && err == nil; i-- {
		if s := &seals[i]; s.bad == nil && s.Archive != "" {
			return manifest.Archive{ID: s.Archive, AccountID: s.AccountID, APIURL: s.APIURL, TimeZone: s.TimeZone}, true, nil
		}
	}
	return manifest.Archive{}, false, err
}

// SealedDays returns those of the days that a readable seal names. It does not check signatures. Errors are those of the
// archive.
func SealedDays(ctx context.Context, objects manifest.Objects, days []string) (named []string, err error) {
	seals, _, err := load(ctx, objects)
	sealed := sealedDaysOf(seals)
	for _, day := range days {
		if sealed[day] != nil {
			named = append(named, day)
		}
	}
	return named, err
}
