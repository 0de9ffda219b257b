// Recognises an archive that has lost its manifest, and one that was never used.

package manifest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// IsUnused reports whether an archive has only archive.json, without an account or any day.
func (l *Ledger) IsUnused(ctx context.Context, a Archive) (bool, error) {
	if a.AccountID != "" {
		return false, nil
	}
	for _, err := range l.Days(ctx) {
		return false, err
	}
	return true, nil
}

// IsLost reports whether the manifest of an archive is lost: archive.json and the files of all days are missing, but
// calls/ has files. It is false if archive.json is unreadable for another reason, which Archive reports.
func (l *Ledger) IsLost(ctx context.Context) (bool, error) {
	if _, err := l.Archive(ctx); !errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	for info, err := range l.objects.ListFiles(ctx, treeManifest+"/") {
		if err != nil {
			return false, fmt.Errorf("look for the manifest: %w", err)
		}
		if name := info.Name(); path.Dir(name) != treeManifest || isSegment(name) {
			return false, nil
		}
	}
	for _, err := range l.objects.ListFiles(ctx, treeCalls+"/") {
		if err != nil {
			return false, fmt.Errorf("look for call rows: %w", err)
		}
		return true, nil
	}
	return false, nil
}
