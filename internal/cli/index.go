package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"

	"convoso-archiver/search"
)

// openIndex opens the search index of an archive below the state folder. An archive is told from others by its id and
// by where it is, for a copy may be older. The error says what to do about the state folder; searches can go on
// without an index.
func openIndex(ctx context.Context, stateDir, archiveID, location string) (*search.Index, error) {
	sum := sha256.Sum256([]byte(archiveID + "\x00" + location))
	const enough = 16
	ix, err := search.OpenIndex(ctx, filepath.Join(stateDir, "index"), hex.EncodeToString(sum[:enough]))
	if err != nil && ctx.Err() == nil {
		return nil, stateTrouble(err)
	}
	return ix, err
}

// stateTrouble adds to an error of the index what to do about it.
func stateTrouble(err error) error {
	return fmt.Errorf("%w: free some space, or give another --state-dir", err)
}
