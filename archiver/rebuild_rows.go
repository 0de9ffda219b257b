// Reads the recordings that a rebuild looks for from calls/.

package archiver

import (
	"context"
	"slices"
	"time"

	"convoso-archiver/archiver/audio"
	"convoso-archiver/archiver/key"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// sought is a recording to look for.
type sought struct {
	id, call string
	hasID    bool   // otherwise its identity was derived from the link, which is not stored
	file     string // hash of its file name
	length   string // of the call, from the newest row
	at       time.Time
	keys     []soughtKey // keys with an object in the store
	double   bool        // another recording of the day has the same id, so the two cannot be distinguished

	noted     *manifest.State // it has a line
	expired   *manifest.ExpiryRecord
	past      string // why it is expired although no expiry names it: its audio is missing and its retention has ended; empty: it is not
	found     *manifest.Recording
	plays     time.Duration // duration of the object found, 0 if metadata proves it
	ambiguous bool
	elsewhere bool // it belongs to another day
}

// soughtKey is a possible key of a recording.
type soughtKey struct {
	key string
	own bool // it contains the recording's id
}

// seek returns the recordings of all rows of a day, each once, and the number of lines that it could not
// read. It leaves out recordings that an erasure names, and adds them to erased: their call ids by their own
// ids.
func (b *Rebuild) seek(ctx context.Context, day string, erased map[string]string) (list []*sought, unreadable int, err error) {
	keys := &keyMaker{template: b.Keys, prefixLen: b.KeyPrefixLen}
	byCall := map[string][]*sought{}
	var possible []soughtKey
	err = b.Ledger.ReadCalls(ctx, day, func(c manifest.Call) error {
		call, err := fetcher.ParseCall(c.Row)
		if err != nil {
			unreadable++
			return nil
		}
		facts := keys.factsOf(fetcher.Date(day), &call)
		for i := range call.Recordings {
			r := &call.Recordings[i]
			if _, isErased := b.erasures.Of(r.Identity, call.ID); isErased {
				erased[r.Identity] = call.ID
				continue
			}
			s := &sought{id: r.Identity, call: call.ID, hasID: r.ID != "", file: r.FileHash}
			if i := slices.IndexFunc(byCall[call.ID], s.is); i >= 0 && call.ID != "" {
				s = byCall[call.ID][i]
			} else {
				byCall[call.ID] = append(byCall[call.ID], s)
				list = append(list, s)
			}
			if r.ID != "" && !s.hasID {
				s.id, s.hasID = r.Identity, true
			}
			s.length, s.at = facts.length, c.Time // the latest row counts
			possible = keys.possible(facts, r, s.id, possible[:0])
			for _, k := range possible {
				if b.names.matters(k) && !slices.Contains(s.keys, k) {
					s.keys = append(s.keys, k)
				}
			}
		}
		return nil
	}, func(manifest.Fault) { unreadable++ })
	seen := map[string]*sought{}
	for _, s := range list {
		if other := seen[s.id]; other != nil {
			other.double, s.double = true, true
		}
		seen[s.id] = s
	}
	return list, unreadable, err
}

// is reports whether two rows of a call list the same recording: they have the same file name, and their ids
// do not differ.
func (s *sought) is(other *sought) bool {
	return s.id == other.id && (s.file == other.file || s.file == "" || other.file == "") ||
		s.file == other.file && s.file != "" && s.hasID != other.hasID
}

// possible adds the possible keys of a recording: one for each format with its own extension.
func (m *keyMaker) possible(call callFacts, r *fetcher.Recording, identity string, keys []soughtKey) []soughtKey {
	stem, err := m.stem(call, r, identity)
	if err != nil {
		return keys
	}
	for _, format := range []audio.Format{audio.MP3, audio.WAV, audio.Ogg, audio.AU, audio.AAC, audio.FLAC, audio.MP4, audio.AMR} {
		names, err := stem.Names(format)
		if err != nil {
			continue
		}
		for i, name := range key.Again(names.Wanted(), identity) {
			if s := (soughtKey{name, i > 0}); !slices.Contains(keys, s) {
				keys = append(keys, s)
			}
		}
	}
	return keys
}
