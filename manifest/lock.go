// Locks an archive in a folder against a second run.

package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

const lockFile = treeManifest + "/lock"

// holderText is what is in the lock file, for the message to the second process. It begins at the second byte:
// Windows lets no other process read the first byte, which is the locked one.
const (
	holderText   = "process %d, started %s"
	holderOffset = 1
)

// lockArchive takes the one lock of an archive on disk. The system frees it when the process dies. The lock
// is never on a segment, so that readers are not kept out.
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
		err = lockFailure(err)
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

// TryLock looks whether a file of an archive's file system can be locked, as the archive's lock is. The file exists
// and keeps its content. holder is "another run" with what is known of it where another process has locked the file,
// and "" else. The lock is shared, and freed at once: two that look do not disturb each other, but a run that starts
// at that moment fails.
func TryLock(path string) (holder string, err error) {
	lock := flock.New(path, flock.SetFlag(os.O_RDWR))
	free, err := lock.TryRLock()
	switch {
	case err != nil:
		return "", lockFailure(err)
	case free:
		return "", lock.Unlock()
	}
	f, err := os.Open(path)
	if err != nil {
		return "another run", nil //nolint:nilerr // it is locked, which is what was asked
	}
	defer f.Close() // read only
	return "another run" + readHolder(f), nil
}

// LockFile returns where the lock of an archive in a folder is.
func LockFile(folder string) string { return filepath.Join(folder, filepath.FromSlash(lockFile)) }

// lockFailure says what to do where the file system does not lock. Any error may mean that: some file systems answer
// as if a disk were broken.
func lockFailure(err error) error {
	if opening, ok := errors.AsType[*fs.PathError](err); ok && opening.Op == "open" {
		return fmt.Errorf("lock archive: %w", err)
	}
	return fmt.Errorf("lock archive: the file system does not lock files (%w), and without a lock two runs could harm "+
		"the archive: mount it with locking (NFS: a lock service, Lustre: -o flock) or use another file system", err)
}

func writeHolder(f *os.File) error {
	text := fmt.Appendf(nil, holderText+"\n", os.Getpid(), time.Now().UTC().Format(time.RFC3339))
	_, err := f.WriteAt(text, holderOffset)
	if err == nil {
		err = f.Truncate(holderOffset + int64(len(text)))
	}
	if err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	return nil
}

// readHolder says which process holds the lock, if it has written that already.
func readHolder(f io.ReaderAt) string {
	var pid int
	var started string
	if _, err := fmt.Fscanf(io.NewSectionReader(f, holderOffset, 1<<10), holderText, &pid, &started); err != nil {
		return ""
	}
	return fmt.Sprintf(" ("+holderText+")", pid, started)
}
