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

// Stored is an object whose locks are looked at: a recording, or a file of seals/.
type Stored struct {
	Key string
	// Day and the ids are empty, and Noted is zero, for a file of seals/.
	Day, RecordingID, CallID string
	Noted                    time.Time
}

// looksAtLocks reports whether locks are looked at: quick mode asks for no object.
func (r *run) looksAtLocks() bool { return r.Lock != nil && r.Config.Mode != Quick }

// checkLock looks at the locks of an object.
func (r *run) checkLock(ctx context.Context, o Stored) {
	found, err := r.Lock(ctx, o)
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, fs.ErrNotExist): // gone since its bytes were read
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

// checkSeals looks at the locks of the seals, which belong to no day.
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
	_ = group.Wait() // each finding is added when it is found
	return ctx.Err()
}
