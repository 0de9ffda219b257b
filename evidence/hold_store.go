// Brings the legal holds in the store in line with the cases.

package evidence

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

// HoldingStore is a store with legal holds; *store.S3 implements it. It is safe for concurrent use.
type HoldingStore interface {
	HasObjectLock(ctx context.Context) (bool, error)
	SetLegalHold(ctx context.Context, key string, on bool) error
	Locks(ctx context.Context, key string) ([]store.Lock, error)
}

// LegalHolds applies the holds of an archive to the legal holds of its store.
type LegalHolds struct {
	Ledger  *manifest.Ledger
	Store   HoldingStore
	Workers int // objects in parallel
}

// heldObject is a stored recording of a call that a case holds, or once held.
type heldObject struct {
	HeldID
	key string
}

// Apply sets the legal hold of each object that a case holds, and clears that of each which it once held and no case
// holds any more. It returns how many are on and how many off now. It is idempotent, so the same call finishes a
// killed one.
func (l *LegalHolds) Apply(ctx context.Context, name string) (on, off int, err error) {
	holds, err := LoadHolds(ctx, l.Ledger)
	if err != nil {
		return 0, 0, err
	}
	c, _ := holds.Case(name)
	objects, err := l.objects(ctx, c.Past)
	if err != nil {
		return 0, 0, err
	}
	var mu sync.Mutex
	var cleared []heldObject
	err = l.each(ctx, objects, func(ctx context.Context, o heldObject) error {
		held := holds.holds(o)
		if err := l.Store.SetLegalHold(ctx, o.key, held); err != nil {
			return fmt.Errorf("legal hold of recording %s: %w", o.Recording, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if held {
			on++
			return nil
		}
		off++
		cleared = append(cleared, o)
		return nil
	})
	if err != nil || len(cleared) == 0 {
		return on, off, err
	}
	// Another machine may have added them to another case meanwhile, and set the hold that was cleared here.
	if holds, err = LoadHolds(ctx, l.Ledger); err != nil {
		return on, off, err
	}
	cleared = slices.DeleteFunc(cleared, func(o heldObject) bool { return !holds.holds(o) })
	return on, off, l.each(ctx, cleared, func(ctx context.Context, o heldObject) error { return l.Store.SetLegalHold(ctx, o.key, true) })
}

func (h *Holds) holds(o heldObject) bool { return len(h.OfEither(o.Recording, o.Call)) > 0 }

// HoldFault is a stored recording whose legal hold does not match the cases.
type HoldFault struct {
	HeldID
	Key   string
	Cases []string // cases that hold it although it is off; none: it is on although no case holds it
}

// Check compares the legal holds of all recordings that a case holds, or once held, with the cases. A recording that
// is not stored has none.
func (l *LegalHolds) Check(ctx context.Context, holds *Holds) (faults []HoldFault, err error) {
	var ids []HeldID
	for _, c := range holds.Cases() {
		ids = append(ids, c.Past...)
	}
	objects, err := l.objects(ctx, sortedIDs(ids))
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	err = l.each(ctx, objects, func(ctx context.Context, o heldObject) error {
		locks, err := l.Store.Locks(ctx, o.key)
		if err != nil {
			return fmt.Errorf("legal hold of recording %s: %w", o.Recording, err)
		}
		cases := holds.OfEither(o.Recording, o.Call)
		isHeld := func(lock store.Lock) bool { return lock.LegalHold }
		isFree := func(lock store.Lock) bool { return !lock.LegalHold }
		if len(cases) > 0 && slices.ContainsFunc(locks, isFree) || len(cases) == 0 && slices.ContainsFunc(locks, isHeld) {
			mu.Lock()
			defer mu.Unlock()
			faults = append(faults, HoldFault{HeldID: o.HeldID, Key: o.key, Cases: cases})
		}
		return nil
	})
	slices.SortFunc(faults, func(a, b HoldFault) int { return compareHeld(a.HeldID, b.HeldID) })
	return faults, err
}

// Held reports whether a case holds, or once held, a recording or its call.
func (c *Case) Held(id HeldID) bool {
	return slices.ContainsFunc(c.Past, func(past HeldID) bool { return past.Call == id.Call || past.Recording == id.Recording })
}

// objects returns the stored recordings of sorted ids: those named, and all others of their calls.
func (l *LegalHolds) objects(ctx context.Context, ids []HeldID) (objects []heldObject, err error) {
	for len(ids) > 0 {
		day := ids[0].Day
		calls, recordings := map[string]bool{}, map[string]bool{}
		for len(ids) > 0 && ids[0].Day == day {
			calls[ids[0].Call], recordings[ids[0].Recording] = true, true
			ids = ids[1:]
		}
		folded, err := l.Ledger.Read(ctx, day, nil, func(manifest.Fault) error { return nil }) // verify reports faults
		if err != nil {
			return nil, fmt.Errorf("read day %s: %w", day, err)
		}
		for id, state := range folded.Recordings() {
			stored := state.Key != "" && (state.Outcome == manifest.Archived || state.Outcome == manifest.Damaged)
			if stored && (calls[state.CallID] || recordings[id]) {
				objects = append(objects, heldObject{HeldID{Day: day, Call: state.CallID, Recording: id}, state.Key})
			}
		}
	}
	return objects, nil
}

// each calls a function for all objects, some in parallel. The first error ends it.
func (l *LegalHolds) each(ctx context.Context, objects []heldObject, do func(context.Context, heldObject) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(l.Workers, 1))
	for _, o := range objects {
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return do(ctx, o)
		})
	}
	return group.Wait()
}
