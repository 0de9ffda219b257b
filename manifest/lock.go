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

// holderText is the content of the lock file, for the message of a second process. It starts at the second
// byte, because on Windows no other process can read the locked first byte.
const (
	holderText   = "process %d, started %s"
	holderOffset = 1
)

// lockArchive takes the one lock of an archive on disk. The system frees it when the process dies. The lock
// is never on a segment, so it does not block readers.
func lockArchive(root *os.Root) (*flock.Flock, error) {
	if err := makeDir(root, treeManifest); err != nil {
		return nil, err
	}
	// Created through the root first, so that a link out of the archive is refused.
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

// TryLock tests whether a file of an archive's file system can be locked like the archive's lock. The file must
// exist and keeps its content. holder describes the other run if another process has locked the file, and is ""
// otherwise. The lock is shared and released at once: two tests do not conflict, but a run that starts at that
// moment fails.
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

// LockFile returns the path of the lock of an archive in a folder.
func LockFile(folder string) string { return filepath.Join(folder, filepath.FromSlash(lockFile)) }

// lockFailure adds advice for file systems without locks. Any error may mean that, because some file systems report
// it like a broken disk.
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

// readHolder returns the holder of the lock, if it has already been written.
func readHolder(f io.ReaderAt) string {
	var pid int
	var started string
	if _, err := fmt.Fscanf(io.NewSectionReader(f, holderOffset, 1<<10), holderText, &pid, &started); err != nil {
		return ""
	}
	return fmt.Sprintf(" ("+holderText+")", pid, started)
}
