// Finds and removes the audio of erased recordings.

package evidence

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/internal/retry"
	"convoso-archiver/manifest"
)

// wanted holds the ids of an intent.
type wanted struct {
	erasure           string
	days              []string
	recordings, calls map[string]bool
	ofDay             map[string][]string // recordings
	dated             map[dated]bool      // for an expiry, which concerns a recording on a single day; nil for an erasure
}

// dated is a recording on one of its days.
type dated struct{ day, id string }

func newWanted(intent manifest.ErasureRecord) *wanted {
	w := &wanted{erasure: intent.Erasure, recordings: map[string]bool{}, calls: map[string]bool{}, ofDay: map[string][]string{}}
	for _, list := range []struct {
		ids []manifest.ErasedID
		to  map[string]bool
	}{{intent.Recordings, w.recordings}, {intent.Calls, w.calls}} {
		for _, id := range list.ids {
			list.to[id.ID] = true
			w.days = append(w.days, id.Day)
		}
	}
	for _, id := range intent.Recordings {
		w.ofDay[id.Day] = append(w.ofDay[id.Day], id.ID)
	}
	slices.Sort(w.days)
	w.days = slices.Compact(w.days)
	return w
}

// has reports whether a recording is erased, by its own id or with its call, or expires.
func (w *wanted) has(day, id, call string) bool {
	if w.dated != nil {
		return w.dated[dated{day, id}]
	}
	return w.recordings[id] || w.calls[call]
}

// audioOf is a recording to erase, and the possible places of its audio.
type audioOf struct {
	day, id, call string
	keys          []string // from lines that say that it was stored
	maybe         []string // under which a killed run may have stored it
	shared        string   // another recording with one of these keys
	unsure        string   // another recording that waits for one of maybe, whose file does not identify its owner
}

// audioOf finds the audio of recordings by their lines and, if no line says that they were stored, by their rows. If
// the lines of an erasure are already removed it finds nothing: their audio was removed first.
func (e *Erasing) audioOf(ctx context.Context, w *wanted) ([]audioOf, error) {
	var list []audioOf
	for _, day := range w.days {
		place := map[[2]string]int{}
		of := func(id, call string) *audioOf {
			at := [2]string{id, call}
			if _, known := place[at]; !known {
				place[at] = len(list)
				list = append(list, audioOf{day: day, id: id, call: call})
			}
			return &list[place[at]]
		}
		err := e.eachLine(ctx, manifest.TreeManifest, day, func(line manifest.SegmentLine) error {
			r, isRecording, err := line.Recording()
			if err == nil && isRecording && w.has(day, r.RecordingID, r.CallID) {
				of(r.RecordingID, r.CallID).note(&r)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read day %s: %w", day, err)
		}
		if len(w.calls) == 0 {
			continue
		}
		err = e.eachLine(ctx, manifest.TreeCalls, day, func(line manifest.SegmentLine) error {
			var c struct {
				CallID string          `json:"call_id"`
				Row    json.RawMessage `json:"row"`
			}
			if err := json.Unmarshal(line.Raw, &c); err != nil || !w.calls[c.CallID] {
				return err
			}
			for id, keys := range e.Keys.Of(day, c.Row) {
				of(id, c.CallID).maybeUnder(keys)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read the calls of %s: %w", day, err)
		}
	}
	namesBehind := func(ctx context.Context, front string, chosen func(string) bool) ([]string, error) {
		return e.names(ctx, front+"-", chosen)
	}
	if w.dated != nil { // an expiry has many recordings: listing a folder for each is too slow
		all, err := e.laterNames(ctx)
		if err != nil {
			return nil, fmt.Errorf("look for audio that no line names: %w", err)
		}
		namesBehind = func(_ context.Context, front string, chosen func(string) bool) ([]string, error) {
			return slices.DeleteFunc(slices.Clone(all[front]), func(name string) bool { return !chosen(name) }), nil
		}
	}
	group, listing := errgroup.WithContext(ctx)
	group.SetLimit(removersAtOnce)
	for i := range list {
		group.Go(func() error { return addLater(listing, &list[i], namesBehind) })
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("look for audio that no line names: %w", err)
	}
	return list, e.findUsers(ctx, w, list)
}

// addLater adds keys with a hash or a run, which cannot be derived: a killed run may have stored something there. If a
// line says that the recording was stored, its first keys are those of that line.
func addLater(ctx context.Context, a *audioOf, namesBehind func(ctx context.Context, front string, chosen func(string) bool) ([]string, error)) error {
	first := slices.Concat(a.keys, a.maybe)
	if len(a.keys) > 0 {
		a.maybe = nil
	}
	isLater := func(name string) bool {
		l, ok := key.ParseLater(name)
		_, replaces := l.Replaces(a.id)
		return ok && (l.IsOf(a.id) || replaces) && !slices.Contains(a.keys, name)
	}
	looked := map[string]bool{}
	for _, wanted := range first {
		for _, front := range key.Fronts(wanted) {
			if looked[front] {
				continue
			}
			looked[front] = true
			names, err := namesBehind(ctx, front, isLater)
			if err != nil && !isGone(err) {
				return err
			}
			a.maybeUnder(names)
		}
	}
	return nil
}

// laterNames lists the store once for these keys of all recordings, by the prefix before the id, because there are
// few prefixes.
func (e *Erasing) laterNames(ctx context.Context) (map[string][]string, error) {
	names, err := e.names(ctx, "", func(name string) bool {
		_, ok := key.ParseLater(name)
		return ok
	})
	behind := map[string][]string{}
	for _, name := range names {
		l, _ := key.ParseLater(name)
		behind[l.Front] = append(behind[l.Front], name)
	}
	return behind, err
}

// eachLine calls visit with every stored line of a day, except stubs. A bad line is an error, because it may name a
// recording to remove; a torn line at the end of a segment is ignored.
func (e *Erasing) eachLine(ctx context.Context, tree manifest.Tree, day string, visit func(manifest.SegmentLine) error) error {
	segments, err := e.Ledger.Segments(ctx, tree, day)
	if err != nil {
		return err
	}
	for _, s := range segments {
		var bad error
		_, err := e.Ledger.ReadSegment(ctx, s, func(line manifest.SegmentLine) error {
			if bad != nil {
				return bad
			}
			problem := line.Bad
			if problem == nil && !line.Stub {
				problem = visit(line)
			}
			if problem != nil {
				bad = &manifest.BadLineError{File: s.File(), Line: line.Number, Reason: problem.Error()}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// note adds the keys of a line.
func (a *audioOf) note(r *manifest.Recording) {
	switch r.Outcome {
	case "", manifest.Pending, manifest.Failed, manifest.Rejected, manifest.Lost:
		a.maybeUnder(append(key.Again(r.Key, r.RecordingID), otherFormat(r.Key, r.RecordingID)...))
	default:
		if r.Key != "" && !slices.Contains(a.keys, r.Key) {
			a.keys = append(a.keys, r.Key)
		}
	}
}

func (a *audioOf) maybeUnder(keys []string) {
	for _, name := range keys {
		if !slices.Contains(a.maybe, name) {
			a.maybe = append(a.maybe, name)
		}
	}
}

// otherFormat returns the keys of a recording that turned out to be WAV: the key of a waiting recording assumes
// MP3.
func otherFormat(wanted, id string) []string {
	if stem, isMP3 := strings.CutSuffix(wanted, ".mp3"); isMP3 {
		return key.Again(stem+".wav", id)
	}
	return nil
}

// findUsers reads the whole ledger for other recordings that name the same keys. A possible key under which another
// recording was stored is left alone, and so is a freed key that is in use again.
func (e *Erasing) findUsers(ctx context.Context, w *wanted, list []audioOf) error {
	type place struct {
		i     int
		maybe bool
	}
	places := map[string][]place{}
	for i := range list {
		for _, name := range list[i].keys {
			places[name] = append(places[name], place{i, false})
		}
		for _, name := range list[i].maybe {
			places[name] = append(places[name], place{i, true})
		}
	}
	if len(places) == 0 {
		return nil
	}
	type user struct{ day, id, key string }
	users := map[user]bool{}
	err := e.Ledger.Scan(ctx, func(entry manifest.Entry) error {
		if entry.Bad != nil {
			return entry.Bad // the line may contain any key
		}
		if _, named := places[string(entry.Key)]; !named || w.has(entry.Day, string(entry.ID), string(entry.CallID)) {
			return nil
		}
		users[user{entry.Day, string(entry.ID), string(entry.Key)}] = true
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for other recordings with the same audio: %w: run verify --repair first", err)
	}
	owners, waiting := map[string]string{}, map[string]string{} // by keys
	for u := range users {
		outcome, err := e.outcomeAt(ctx, u.day, u.id, u.key)
		if err != nil {
			return err
		}
		switch waiting[u.key] = u.id; outcome {
		case manifest.Archived:
			owners[u.key] = u.id
			for _, p := range places[u.key] {
				if !p.maybe {
					list[p.i].shared = u.id
				}
			}
		case manifest.Damaged, manifest.Expired:
			owners[u.key] = u.id
		}
	}
	for name, other := range waiting {
		for _, p := range places[name] {
			if !p.maybe {
				continue
			}
			a := &list[p.i]
			if owners[name] == "" {
				info, err := e.stat(ctx, name)
				if err != nil && !isGone(err) {
					return fmt.Errorf("look for the audio of recording %s: %w", a.id, err)
				}
				if err == nil && info.IsOf(a.id) {
					continue
				}
				if err == nil && info.RecordingID == "" {
					a.unsure = other
				}
			}
			a.maybe = slices.DeleteFunc(a.maybe, func(one string) bool { return one == name })
		}
	}
	return nil
}

func (e *Erasing) stat(ctx context.Context, name string) (info store.Info, err error) {
	err = patiently(ctx, func() (err error) {
		info, err = e.Store.Stat(ctx, name)
		return err
	})
	return info, err
}

// outcomeAt returns the final outcome of a recording's lines if they end with a key; otherwise "".
func (e *Erasing) outcomeAt(ctx context.Context, day, id, key string) (manifest.Outcome, error) {
	folded, err := e.Ledger.Read(ctx, day, nil, func(manifest.Fault) error { return nil })
	if err != nil {
		return "", fmt.Errorf("read day %s: %w", day, err)
	}
	if state, known := folded.Recording(id); known && state.Key == key {
		return state.Outcome, nil
	}
	return "", nil
}

// removeAudio removes the audio of a recording and returns the number of objects.
func (e *Erasing) removeAudio(ctx context.Context, a *audioOf) (removed int, err error) {
	for _, name := range slices.Concat(a.keys, a.maybe) {
		stood := false
		err := patiently(ctx, func() error {
			info, err := e.Store.Stat(ctx, name)
			switch {
			case err != nil && !isGone(err):
				return err
			case err == nil && info.RecordingID != "" && !info.IsOf(a.id):
				return e.Store.RemoveOlder(ctx, name) // the newest version belongs to another recording, stored after this one was removed
			}
			stood = stood || err == nil
			return e.Store.Remove(ctx, name)
		})
		if errors.Is(err, store.ErrBadKey) { // no object can have this key
			continue
		}
		if err != nil {
			return removed, fmt.Errorf("remove the audio of recording %s: %w", a.id, err)
		}
		if stood {
			removed++
		}
	}
	return removed, nil
}

// quarantined matches the end of the name, after the id, of a further copy under quarantine; see key.Quarantine.
var quarantined = regexp.MustCompile(`_[0-9a-f]{8}\.bin$`)

// removeQuarantine removes the quarantined copies.
func (e *Erasing) removeQuarantine(ctx context.Context, day string, ids []string) (removed int, err error) {
	of := map[string]string{} // ids by prefix of their copies' names
	for _, id := range ids {
		of[strings.TrimSuffix(key.Quarantine(day, id, [32]byte{})[0], ".bin")] = id
	}
	idOf := func(name string) string {
		return cmp.Or(of[strings.TrimSuffix(name, ".bin")], of[quarantined.ReplaceAllString(name, "")])
	}
	names, err := e.names(ctx, path.Dir(key.Quarantine(day, "", [32]byte{})[0])+"/", func(name string) bool { return idOf(name) != "" })
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		if err := patiently(ctx, func() error { return e.Store.Remove(ctx, name) }); err != nil {
			return removed, fmt.Errorf("remove a copy of recording %s in quarantine/: %w", idOf(name), err)
		}
		removed++
	}
	return removed, nil
}

// removeAside removes copies moved aside from the segments of a day, and partly written files.
func (e *Erasing) removeAside(ctx context.Context, day string) (removed int, err error) {
	for _, tree := range []manifest.Tree{manifest.TreeManifest, manifest.TreeCalls} {
		names, err := e.names(ctx, string(tree)+"/"+day, store.IsAside)
		if err != nil {
			return removed, err
		}
		for _, name := range names {
			if err := patiently(ctx, func() error { return e.Store.RemoveAside(ctx, name) }); err != nil {
				return removed, fmt.Errorf("remove %s: %w", name, err)
			}
			removed++
		}
	}
	return removed, nil
}

// names returns the names below a prefix that match, including those with only older versions.
func (e *Erasing) names(ctx context.Context, prefix string, chosen func(string) bool) (names []string, err error) {
	err = patiently(ctx, func() error {
		names = names[:0]
		for name, err := range e.Store.Names(ctx, prefix) {
			if err != nil {
				return err
			}
			if chosen(name) {
				names = append(names, name)
			}
		}
		return nil
	})
	return names, err
}

// patiently retries an operation while the store fails.
func patiently(ctx context.Context, do func() error) error {
	return retry.If(ctx, store.IsRetriable, func(context.Context) error { return do() })
}
