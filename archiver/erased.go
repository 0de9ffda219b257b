// Removes recordings that a killed run stored after their erasure.

package archiver

import (
	"errors"
	"fmt"
	"io/fs"

	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
)

// removeErased removes from a bucket the audio that a killed run stored of a recording after its erasure: no line
// names it, and no erasure looks for it again. On disk, the lock excludes an erasure during a run. An unfinished
// erasure removes its recordings itself, because a case may hold them by now. If an object cannot be removed, the run
// returns an error at its end.
func (r *run) removeErased(d *day, call *fetcher.Call, recording *fetcher.Recording, identity string) error {
	bucket, isBucket := r.store.(*store.S3)
	if !isBucket || r.config.DryRun {
		return nil
	}
	err := r.patiently(func() error {
		erasures, err := r.ledger.Erasures(r.hard)
		if err != nil || len(erasures.Unfinished()) > 0 {
			return err
		}
		names, err := r.erasedNames(bucket, d.date, call, recording, identity)
		for _, name := range names {
			if err == nil {
				err = r.removeOrphan(bucket, d, name, identity, call.ID)
			}
		}
		return err
	})
	if errors.Is(err, store.ErrUnusable) || r.hard.Err() != nil {
		return err
	}
	if err != nil {
		err = fmt.Errorf("remove recording %s, which was stored after it was erased: %w", identity, err)
		r.log.Error("erased recording not removed", "recording_id", identity, "err", err)
		r.mu.Lock()
		r.unremoved = err
		r.mu.Unlock()
	}
	return nil
}

// erasedNames returns the possible names of a recording, including those with a hash or a run.
func (r *run) erasedNames(bucket *store.S3, day fetcher.Date, call *fetcher.Call, recording *fetcher.Recording, identity string) (names []string, err error) {
	looked := map[string]bool{}
	for _, possible := range r.keys.possible(r.keys.factsOf(day, call), recording, identity, nil) {
		names = append(names, possible.key)
		for _, front := range key.Fronts(possible.key) {
			if looked[front] {
				continue
			}
			looked[front] = true
			for name, err := range bucket.Names(r.hard, front+"-") {
				if err != nil {
					return nil, err
				}
				l, ok := key.ParseLater(name)
				if replaces, _ := l.Replaces(identity); ok && (replaces || l.IsOf(identity)) {
					names = append(names, name)
				}
			}
		}
	}
	return names, nil
}

// removeOrphan removes an object whose metadata says that it is the recording's, unless a line says that it belongs to
// another one.
func (r *run) removeOrphan(bucket *store.S3, d *day, name, identity, callID string) error {
	info, err := bucket.Stat(r.hard, name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, store.ErrBadKey) {
		return nil
	}
	if err != nil || info.RecordingID == "" {
		return err
	}
	isMine, err := r.keeper.isMine(r.hard, d, info, identity, callID)
	if err != nil || !isMine {
		return err
	}
	if owner, err := r.owner(r.hard, d, name, identity, callID); err != nil || owner != "" {
		return err
	}
	return bucket.Remove(r.hard, name)
}
