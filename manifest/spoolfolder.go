package manifest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// spoolFolder is the folder that holds the spools of all runs of one archive on this machine. Making, finding
// and deleting spools is done under one short lock, SPOOLDIR/lock; without it a spool could be taken
// for dead in the moment between its making and its locking.
type spoolFolder struct {
	dir     string
	objects Objects
	archive string // id of the archive in the bucket, "" while there is none
}

const lockPause = 20 * time.Millisecond

func (f spoolFolder) locked(ctx context.Context, work func() error) error {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return fmt.Errorf("make spool folder: %w", err)
	}
	lock := flock.New(filepath.Join(f.dir, "lock"))
	if _, err := lock.TryLockContext(ctx, lockPause); err != nil {
		return fmt.Errorf("lock spool folder: %w", err)
	}
	err := work()
	if unlockErr := lock.Unlock(); unlockErr != nil {
		err = errors.Join(err, fmt.Errorf("unlock spool folder: %w", unlockErr))
	}
	return err
}

// create makes and locks the spool of a run, and notes the archive that it is for.
func (f spoolFolder) create(ctx context.Context, run, archive string) (*spool, error) {
	var s *spool
	err := f.locked(ctx, func() (err error) {
		s, err = f.take(run)
		if err == nil && s == nil {
			err = fmt.Errorf("run %s: %w", run, ErrLocked)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err = s.belongTo(archive); err == nil {
		err = f.sync()
	}
	if err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

// sync makes the names of the spools durable.
func (f spoolFolder) sync() error {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return fmt.Errorf("open spool folder: %w", err)
	}
	return errors.Join(syncDir(root, "."), root.Close())
}

// take locks the spool of a run, nil if its run lives. The folder is made if it is missing.
func (f spoolFolder) take(run string) (*spool, error) {
	dir := filepath.Join(f.dir, run)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make spool: %w", err)
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock spool: %w", err)
	}
	if !locked {
		return nil, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open spool: %w", err), lock.Unlock())
	}
	return newSpool(f, run, root, lock), nil
}

// uploadDead uploads and deletes the spools of runs that died, those of this archive. It tries all of them.
func (f spoolFolder) uploadDead(ctx context.Context, log *slog.Logger) error {
	var dead []*spool
	err := f.locked(ctx, func() (err error) {
		dead, err = f.takeDead()
		return err
	})
	errs := []error{err}
	for _, s := range dead {
		errs = append(errs, f.settleDead(ctx, s, log))
	}
	return errors.Join(errs...)
}

func (f spoolFolder) takeDead() (dead []*spool, err error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("list spool folder: %w", err)
	}
	for _, entry := range entries {
		if !entry.IsDir() || !runPattern.MatchString(entry.Name()) {
			continue
		}
		s, err := f.take(entry.Name())
		if err != nil {
			return dead, err
		}
		if s != nil {
			s.dead = true
			dead = append(dead, s)
		}
	}
	return dead, nil
}

// finish frees the lock of a spool and deletes it if everything was uploaded. What is left is for the
// next run. It works on although ctx has ended: the lock must be freed.
func (f spoolFolder) finish(ctx context.Context, s *spool) error {
	return f.locked(context.WithoutCancel(ctx), func() error {
		left, err := s.days()
		empty := err == nil && len(left) == 0
		// Windows deletes no file that is open; nobody can take the lock meanwhile.
		err = errors.Join(err, s.root.Close(), s.lock.Unlock())
		if err == nil && empty {
			err = os.RemoveAll(filepath.Join(f.dir, s.run))
		}
		if err != nil {
			return fmt.Errorf("close spool: %w", err)
		}
		return nil
	})
}
