// Checks the locks of recordings and seals.

package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"
)

// Stored is an object whose locks are checked: a recording, or a file of seals/.
type Stored struct {
	Key string
	// Day and the ids are empty, and Noted is zero, for a file of seals/.
	Day, RecordingID, CallID string
	Noted                    time.Time
}

// looksAtLocks reports whether locks are checked: quick mode sends no requests for objects.
func (r *run) looksAtLocks() bool { return r.Lock != nil && r.Config.Mode != Quick }

// checkLock checks the locks of an object.
func (r *run) checkLock(ctx context.Context, o Stored) {
	found, err := r.Lock(ctx, o)
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, fs.ErrNotExist): // removed since its bytes were read
		found = append(found, Finding{Kind: NotReadable, Detail: "the file was removed during the check"})
	case err != nil:
		r.noteTrouble(err)
		found = append(found, Finding{Kind: NotReadable, Detail: fmt.Sprintf("its lock: %v", err)})
	}
	for _, f := range found {
		f.Day, f.RecordingID = o.Day, o.RecordingID
		if f.Key = o.Key; o.Day == "" {
			f.Key, f.File = "", cmp.Or(f.File, o.Key)
		}
		r.find(f)
	}
}

// checkSeals checks the locks of the seals, which belong to no day.
func (r *run) checkSeals(ctx context.Context) error {
	if !r.looksAtLocks() {
		return nil
	}
	r.count(func(s *Summary) { s.LocksChecked = true })
	group := new(errgroup.Group)
	group.SetLimit(max(r.Config.Workers, 1))
	for info, err := range r.Ledger.Objects().ListFiles(ctx, "seals/") {
		if err != nil {
			r.find(Finding{Kind: NotReadable, File: "seals/", Detail: err.Error()})
			break
		}
		group.Go(func() error {
			r.checkLock(ctx, Stored{Key: info.Name()})
			return nil
		})
	}
	_ = group.Wait() // findings are already recorded
	return ctx.Err()
}
