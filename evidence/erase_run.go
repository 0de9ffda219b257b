// Runs an erasure step by step, so that a later run can finish it.

package evidence

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/manifest"
)

// erasePasses is the number of passes over the lines: a concurrent run in a bucket sees the intent before it writes
// its next segment.
const erasePasses = 2

// Finish carries out an intent, from the beginning or from where another run was stopped. It removes audio
// and copies, replaces the lines, and then notes that the erasure is done. Before that note, refresh updates
// copies of the days; if it fails, the erasure stays unfinished. If a case holds one of the recordings by
// now, Finish removes nothing more and returns a *KeptError. It then withdraws the erasure, unless an earlier
// run has claimed the removal, which may have removed something.
func (e *Erasing) Finish(ctx context.Context, intent manifest.ErasureRecord, refresh func(days []string) error) (Erased, error) {
	w := newWanted(intent)
	made := Erased{Erasure: intent.Erasure, Calls: countIDs(intent.Calls), Recordings: countIDs(intent.Recordings), Days: w.days}
	digests := map[string]bool{}
	var audio []audioOf // of all passes: a concurrent run uses the same keys
	for pass := range erasePasses {
		found, err := e.audioOf(ctx, w)
		if err != nil {
			return made, err
		}
		if pass == 0 {
			err = e.claim(ctx, intent, found)
		} else if kept := unsure(found); len(kept) > 0 {
			err = &KeptError{Kept: kept}
		}
		if err != nil {
			return made, err
		}
		audio = append(audio, found...)
		if err := e.removeBodies(ctx, audio, &made); err != nil {
			return made, err
		}
		for _, day := range w.days {
			if err := e.eraseDay(ctx, w, day, audio, &made, digests); err != nil {
				return made, err
			}
		}
	}
	made.Stubs = len(digests)
	if err := refresh(w.days); err != nil {
		return made, err
	}
	if err := e.noteDone(ctx, intent.Erasure, sortedKeys(digests)); err != nil {
		return made, fmt.Errorf("record that the erasure is done: %w", err)
	}
	return made, nil
}

// claim claims the removal before anything is removed. It returns a *KeptError if something must stay.
func (e *Erasing) claim(ctx context.Context, intent manifest.ErasureRecord, audio []audioOf) error {
	var kept []Kept
	looked := false
	look := func(bool) (state string, err error) {
		looked = true
		if kept, err = e.held(ctx, chosenOf(intent)); err != nil {
			return "", err
		}
		if kept = append(kept, unsure(audio)...); len(kept) > 0 {
			return manifest.ErasureWithdrawn, nil
		}
		return manifest.ClaimRemoved, nil
	}
	state, err := e.Ledger.ClaimRemoval(ctx, intent.Claim(), look)
	if err != nil {
		return fmt.Errorf("record that the removal begins: %w", err)
	}
	if !looked { // another run has begun the removal
		if _, err := look(true); err != nil {
			return err
		}
	}
	if isWithdrawn := state == manifest.ErasureWithdrawn; isWithdrawn || len(kept) > 0 {
		return &KeptError{kept, isWithdrawn}
	}
	return nil
}

// unsure returns what must stay, because it may be another recording's.
func unsure(list []audioOf) (kept []Kept) {
	for i := range list {
		if a := &list[i]; a.unsure != "" {
			kept = append(kept, Kept{Day: a.day, Call: a.call, Recording: a.id, Shared: a.unsure})
		}
	}
	return kept
}

// removeBodies removes the audio of recordings.
func (e *Erasing) removeBodies(ctx context.Context, list []audioOf, made *Erased) error {
	removed := make([]int, len(list))
	group, removing := errgroup.WithContext(ctx)
	group.SetLimit(removersAtOnce)
	for i := range list {
		if list[i].shared != "" { // this erasure freed the key, and another recording uses it now
			continue
		}
		group.Go(func() (err error) {
			removed[i], err = e.removeAudio(removing, &list[i])
			return err
		})
	}
	err := group.Wait()
	for _, n := range removed {
		made.Audio += n
	}
	return err
}

// eraseDay removes copies, and then lines with their older versions. A copy may belong to a recording that only a row
// names.
func (e *Erasing) eraseDay(ctx context.Context, w *wanted, day string, audio []audioOf, made *Erased, digests map[string]bool) error {
	if err := e.tidy(ctx, day); err != nil {
		return fmt.Errorf("read day %s: %w", day, err)
	}
	ids := slices.Clone(w.ofDay[day])
	for i := range audio {
		if audio[i].day == day {
			ids = append(ids, audio[i].id)
		}
	}
	err := e.eachLine(ctx, manifest.TreeManifest, day, func(line manifest.SegmentLine) error {
		r, isRecording, err := line.Recording()
		if err == nil && isRecording && w.has(day, r.RecordingID, r.CallID) {
			ids = append(ids, r.RecordingID)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read day %s: %w", day, err)
	}
	slices.Sort(ids)
	n, err := e.removeQuarantine(ctx, day, slices.Compact(ids))
	made.Quarantine += n
	if err != nil {
		return err
	}
	n, err = e.removeAside(ctx, day)
	made.Aside += n
	if err != nil {
		return err
	}
	stubs, err := e.Ledger.EraseLines(ctx, day, w.erasure)
	if err != nil {
		return err
	}
	for _, digest := range stubs {
		digests[digest] = true
	}
	for _, tree := range []manifest.Tree{manifest.TreeManifest, manifest.TreeCalls} {
		for _, name := range []string{string(tree) + "/" + day + "/", string(tree) + "/" + day + ".jsonl"} {
			if err := patiently(ctx, func() error { return e.Store.RemoveOlder(ctx, name) }); err != nil {
				return fmt.Errorf("remove older versions of the lines of %s: %w", day, err)
			}
		}
	}
	return nil
}

// tidy moves torn tails aside, like a run that starts with the day.
func (e *Erasing) tidy(ctx context.Context, day string) error {
	d, err := e.Ledger.Load(ctx, day)
	if err != nil {
		return err
	}
	return d.NoteCalls(ctx, nil)
}

// noteDone notes that the erasure is complete, and which lines the stubs replace.
func (e *Erasing) noteDone(ctx context.Context, erasure string, digests []string) error {
	var records []manifest.Record
	for from := 0; from == 0 || from < len(digests); from += idsPerRecord {
		part := manifest.NewErasureRecord(manifest.ErasureDone, erasure)
		part.Digests = partOf(digests, from)
		records = append(records, part)
	}
	return e.Ledger.PutRecords(ctx, manifest.ErasureStem, records...)
}

// chosenOf returns the calls of an intent, to compare them with holds.
func chosenOf(intent manifest.ErasureRecord) (chosen []Chosen) {
	for _, id := range intent.Calls {
		chosen = append(chosen, Chosen{Day: id.Day, Call: id.ID})
	}
	for _, id := range intent.Recordings {
		chosen = append(chosen, Chosen{Day: id.Day, Recordings: []ChosenRecording{{ID: id.ID}}})
	}
	return chosen
}

// countIDs counts ids, each once.
func countIDs(list []manifest.ErasedID) int {
	seen := map[string]bool{}
	for _, id := range list {
		seen[id.ID] = true
	}
	return len(seen)
}
