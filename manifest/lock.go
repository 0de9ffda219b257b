package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

const lockFile = treeManifest + "/lock"

// holder is what stands in the lock file, for the message to whoever comes second. It stands from the
// second byte on: Windows refuses to read the first one, which is the locked one, to everybody else.
type holder struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
}

const holderOffset = 1

// lockArchive takes the one lock of an archive on disk. The system frees it when the process dies. The lock
// is never on a ledger file, so that readers are not kept out.
func lockArchive(root *os.Root) (*flock.Flock, error) {
	if err := makeDir(root, treeManifest); err != nil {
		return nil, err
	}
	// Made through the root first, so that a link that leads out of the archive is refused.
	f, err := root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create lock file: %w", err)
	}
	lock := flock.New(filepath.Join(root.Name(), filepath.FromSlash(lockFile)))
	locked, err := lock.TryLock()
	switch {
	case err != nil:
		err = fmt.Errorf("lock archive: %w", err)
	case !locked:
		err = fmt.Errorf("lock archive: %w%s", ErrLocked, readHolder(f))
	default:
		err = writeHolder(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		if locked {
			err = errors.Join(err, lock.Unlock())
		}
		return nil, err
	}
	return lock, nil
}

func writeHolder(f *os.File) error {
	text, err := json.Marshal(holder{os.Getpid(), time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	text = append(text, '\n')
	if _, err := f.WriteAt(text, holderOffset); err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	if err := f.Truncate(holderOffset + int64(len(text))); err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	return nil
}

// readHolder says who holds the lock, as far as can be told: the holder may not have written it yet.
func readHolder(f io.ReaderAt) string {
	var h holder
	if json.NewDecoder(io.NewSectionReader(f, holderOffset, 1<<10)).Decode(&h) != nil || h.PID == 0 {
		return ""
	}
	return fmt.Sprintf(" (process %d, started %s)", h.PID, h.Started.Format(time.RFC3339))
}
