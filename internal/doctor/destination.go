// Examines the destination and the state folder.

package doctor

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

// Archive is the existing archive in the destination.
type Archive struct {
	manifest.Archive
	Err      error // fs.ErrNotExist if there is none yet
	Lost     bool  // archive.json is missing, but call rows exist
	Unused   bool  // it has no lines and no account: the next run sets its address and zone
	DayBytes int64 // mean of the newest closed days, 0 if there are none
}

// State has the facts about the state folder.
type State struct {
	Dir     string
	Nearest string // the folder, or its nearest existing parent
	Err     error  // why it is not writable
	Free    int64  // bytes
	FreeErr error
}

// LookAtState tests the folder for temporary files.
func LookAtState(ctx context.Context, dir string) State {
	seen, err := within(ctx, folderTime, func() State {
		s := State{Dir: filepath.Clean(dir)}
		if s.Nearest, s.Err = store.TryState(dir); s.Nearest != "" {
			s.Free, s.FreeErr = store.FreeSpace(s.Nearest)
		}
		return s
	})
	if err != nil {
		seen.Err = err
	}
	return seen
}

// Folder has the facts about a destination on disk.
type Folder struct {
	State
	Archive Archive
	Holder  string // of the archive's lock, "" for none
	LockErr error  // why files cannot be locked
}

// LookAtFolder tests a destination on disk.
func LookAtFolder(ctx context.Context, dir string) Folder {
	seen, err := within(ctx, folderTime, func() Folder {
		f := Folder{State: State{Dir: filepath.Clean(dir)}}
		if f.Nearest, f.Err = store.TryDisk(dir); f.Nearest != "" {
			f.Free, f.FreeErr = store.FreeSpace(f.Nearest)
		}
		f.Archive = readArchive(ctx, archiver.Location{Folder: dir})
		if f.Err == nil {
			f.Holder, f.LockErr = tryLock(dir, f.Nearest)
		}
		return f
	})
	if err != nil {
		seen.Err = err
	}
	return seen
}

// tryLock tests the archive's lock or, if there is none yet, its own file next to it.
func tryLock(dir, nearest string) (holder string, err error) {
	file := manifest.LockFile(dir)
	if _, err := os.Lstat(file); err == nil {
		return manifest.TryLock(file)
	}
	own, err := os.CreateTemp(nearest, ".probe-*.part")
	if err != nil {
		return "", err
	}
	_, err = manifest.TryLock(own.Name())
	return "", errors.Join(err, own.Close(), os.Remove(own.Name()))
}

// readArchive reads the facts of an archive in a folder.
func readArchive(ctx context.Context, at archiver.Location) (a Archive) {
	opened, err := archiver.Open(ctx, at, archiver.Read, "", slog.New(slog.DiscardHandler))
	if err != nil {
		a.Err = err
		return a
	}
	a = archiveOf(ctx, opened.Ledger)
	if a.Err == nil {
		a.DayBytes, _ = within(ctx, sizeTime, func() int64 { return dayBytes(ctx, opened.Ledger) }) // optional
	}
	a.Err = errors.Join(a.Err, opened.Close(ctx))
	return a
}

// archiveOf reads archive.json, and detects a lost or unused archive.
func archiveOf(ctx context.Context, ledger *manifest.Ledger) (a Archive) {
	if a.Archive, a.Err = ledger.Archive(ctx); a.Err == nil {
		a.Unused, a.Err = ledger.IsUnused(ctx, a.Archive)
	} else if lost, err := ledger.IsLost(ctx); err == nil {
		a.Lost = lost
	}
	return a
}

// dayBytes returns the mean size of the recordings of the newest closed days.
func dayBytes(ctx context.Context, ledger *manifest.Ledger) int64 {
	const newest = 7
	var days []string
	for day, err := range ledger.Days(ctx) {
		if err != nil {
			break
		}
		days = append(days, day)
	}
	var sum, n int64
	for _, day := range days[max(0, len(days)-2*newest):] {
		status, err := ledger.Status(ctx, day)
		if line, closed := status.Line(""); err == nil && closed {
			sum, n = sum+line.Bytes, n+1
		}
	}
	return sum / max(n, 1)
}

// Bucket has the facts about a destination in S3.
type Bucket struct {
	Steps                 // of the first request, for a list of objects
	Opened   error        // error of credentials, region or options
	Tried    *store.Trial // nil if the server did not answer
	TriedErr error        // why an object cannot be created or read
	Archive  Archive
	LocksErr error // of locks
}

// LookAtBucket tests a destination in S3. locks tests whether the bucket has what the settings for locks need.
func LookAtBucket(ctx context.Context, options store.S3Options, locks func(context.Context, *store.S3, *manifest.Ledger) error) (seen Bucket) {
	ctx, cancel := context.WithTimeout(ctx, bucketTime)
	defer cancel()
	opened, err := archiver.Open(ctx, archiver.Location{S3: options}, archiver.Read, "", slog.New(slog.DiscardHandler))
	if err != nil {
		seen.Opened = err
		return seen
	}
	bucket, ok := opened.Store.(*store.S3)
	if !ok {
		seen.Opened = errors.New("open S3: the destination is not a bucket")
		return seen
	}
	noted := &steps{}
	var listed error
	for _, err := range bucket.ListFiles(noted.context(ctx), "") {
		listed = err
		break
	}
	if seen.Steps = noted.ended(listed); seen.Answered && ctx.Err() == nil {
		seen.Archive = archiveOf(ctx, opened.Ledger)
		trial, err := bucket.Try(ctx)
		seen.Tried, seen.TriedErr = &trial, err
		seen.LocksErr = locks(ctx, bucket, opened.Ledger)
	}
	seen.Opened = opened.Close(ctx)
	return seen
}
