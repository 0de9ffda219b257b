// Reads from the newest seal which account, API address and zone an archive has.

package evidence

import (
	"context"

	"convoso-archiver/manifest"
)

// ArchiveOf returns what the newest seal that can be read says of the archive, false if there is none: for an
// archive.json that is lost. Signatures are not checked. The error is one of the archive.
func ArchiveOf(ctx context.Context, objects manifest.Objects) (manifest.Archive, bool, error) {
	seals, _, err := load(ctx, objects)
	for i := len(seals) - 1; i >= 0 && err == nil; i-- {
		if s := &seals[i]; s.bad == nil && s.Archive != "" {
			return manifest.Archive{ID: s.Archive, AccountID: s.AccountID, APIURL: s.APIURL, TimeZone: s.TimeZone}, true, nil
		}
	}
	return manifest.Archive{}, false, err
}
