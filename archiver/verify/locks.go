package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"
)

// looksAtLocks reports whether locks are looked at: quick mode asks for no object.
func (r *run) looksAtLocks() bool { return r.Lock != nil && r.Config.Mode != Quick }

// checkLock looks at the lock of an object, and tells of it as f names it.
func (r *run) checkLock(ctx context.Context, f Finding, key string, noted time.Time) {
	fault, detail, err := r.Lock(ctx, key, noted)
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, fs.ErrNotExist): // gone since its bytes were read
		r.find(Finding{Kind: NotReadable, Day: f.Day, RecordingID: f.RecordingID, Key: f.Key, File: f.File, Detail: "it went while it was checked"})
	case err != nil:
		r.noteTrouble(err)
		f.Kind, f.Detail = NotReadable, fmt.Sprintf("its lock: %v", err)
		r.find(f)
	case fault != "":
		f.Kind, f.Detail = fault, detail
		r.find(f)
	}
}

// checkSeals looks at the locks of the seals, of which no day tells.
func (r *run) checkSeals(ctx context.Context) error {
	if !r.looksAtLocks() {
		return nil
	}
	r.count(func(s *Summary) { s.LocksChecked = true })
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(max(r.Config.Workers, 1))
	for info, err := range r.Ledger.Objects().ListFiles(ctx, "seals/") {
		if err != nil {
			r.find(Finding{Kind: NotReadable, File: "seals/", Detail: err.Error()})
			break
		}
		group.Go(func() error {
			r.checkLock(working, Finding{File: info.Name()}, info.Name(), time.Time{})
			return nil
		})
	}
	_ = group.Wait() // what it finds is told one by one
	return ctx.Err()
}
