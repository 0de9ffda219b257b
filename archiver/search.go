// Searches the store for recordings before they are written off.

package archiver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"convoso-archiver/archiver/audio"
	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

// search looks in the store for recordings before they become lost, because a killed run may have stored them. An
// object counts only if it is one complete recording and no other recording, of any day, uses its key.
func (r *run) search(wanted []needed) error {
	type find struct {
		day  *day
		id   string
		info store.Info
	}
	found := map[string][]find{} // objects without metadata, by key in lower case
	for _, w := range wanted {
		for _, id := range w.needs.Search {
			s, _ := w.day.ledger.Recording(id)
			c := &candidate{answer: no}
			w.day.stored[id] = c
			for _, name := range searchKeys(s.Key, id) {
				info, err := r.stat(name)
				switch {
				case errors.Is(err, fs.ErrNotExist):
				case errors.Is(err, store.ErrUnusable), r.hard.Err() != nil:
					return fmt.Errorf("look for recording %s: %w", id, err)
				case err != nil:
					r.log.Warn("cannot look up a recording in the store; it is not given up", "recording_id", id, "err", err)
					c.answer = unknowable
				case info.RecordingID == "":
					name = strings.ToLower(name)
					found[name] = append(found[name], find{w.day, id, info})
				case info.IsOf(id) && (info.CallID == "" || info.CallID == s.CallID):
					if err := r.adoptable(c, info); err != nil {
						return err
					}
				}
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	users := map[string][]user{} // of a key
	unread := false
	err := r.scan(func(e *manifest.Entry) {
		unread = unread || e.Bad != nil
		name := strings.ToLower(string(e.Key)) // a file system may ignore case
		if _, sought := found[name]; sought {
			users[name] = append(users[name], user{e.Day, strings.Clone(string(e.ID)), string(e.CallID)})
		}
	})
	if err != nil {
		return err
	}
	for name, finds := range found {
		for _, f := range finds {
			s, _ := f.day.ledger.Recording(f.id)
			own := user{string(f.day.date), f.id, s.CallID}
			isOther := func(u user) bool { return !u.is(own) }
			if len(finds) > 1 || slices.ContainsFunc(users[name], isOther) || r.keeper.claims.has(name) {
				continue
			}
			c := f.day.stored[f.id]
			if c.answer == yes {
				continue
			}
			if err := r.adoptable(c, f.info); err != nil {
				return err
			}
			if c.answer == yes && unread { // an unreadable line may contain the key
				c.answer = unknowable
			}
		}
	}
	return nil
}

// user is a recording that uses a key.
type user struct{ day, id, call string }

// is reports whether two users are the same recording. A call that has moved to another day keeps
// its ids.
func (u user) is(other user) bool {
	return u.id == other.id && (u.day == other.day || u.call != "" && u.call == other.call)
}

// searchKeys returns the possible keys of a recording, given the expected one.
func searchKeys(wanted, identity string) []string {
	keys := key.Again(wanted, identity)
	if stem, isMP3 := strings.CutSuffix(wanted, audio.MP3.Extension()); isMP3 { // as assumed
		keys = append(keys, key.Again(stem+audio.WAV.Extension(), identity)...)
	}
	return keys
}

func (r *run) stat(name string) (info store.Info, err error) {
	err = r.patiently(func() error {
		info, err = r.store.Stat(r.hard, name)
		return err
	})
	return info, err
}

// adoptable reads an object and reports whether it is one complete recording.
func (r *run) adoptable(c *candidate, info store.Info) error {
	err := r.patiently(func() error {
		sum, result, err := readAudio(r.hard, r.store, info.Key, nil)
		if err != nil {
			return err
		}
		if result.Verdict == audio.Audio && result.Whole && (info.SHA256 == [32]byte{} || info.SHA256 == sum) {
			*c = candidate{answer: yes, info: info, sum: sum, contentType: result.Format.ContentType()}
		}
		return nil
	})
	if errors.Is(err, store.ErrUnusable) || r.hard.Err() != nil {
		return fmt.Errorf("read a stored recording: %w", err)
	}
	if err != nil {
		c.answer = unknowable
	}
	return nil
}

// opener is a store of recordings.
type opener interface {
	Open(ctx context.Context, key string) (io.ReadCloser, error)
}

// readAudio hashes an object and detects its format. It uses the buffer, or allocates one if it is nil.
func readAudio(ctx context.Context, from opener, name string, buffer []byte) (sum [32]byte, result audio.Result, err error) {
	body, err := from.Open(ctx, name)
	if err != nil {
		return sum, result, err
	}
	defer body.Close()
	hash, inspector := sha256.New(), audio.NewInspector()
	in := struct{ io.Reader }{body} // hides File.WriteTo, which would allocate its own buffer
	if _, err := io.CopyBuffer(io.MultiWriter(hash, inspector), in, buffer); err != nil {
		return sum, result, err
	}
	return [32]byte(hash.Sum(nil)), inspector.Finish(), nil
}

// owner implements owners by a pass over the whole ledger. An unreadable line may contain any key.
func (r *run) owner(ctx context.Context, d *day, name, identity, callID string) (string, error) {
	owner, own := "", user{string(d.date), identity, callID}
	err := r.ledger.Scan(ctx, func(e manifest.Entry) error {
		if e.Bad != nil {
			owner = "a line that cannot be read"
			return nil
		}
		stored := e.Outcome == manifest.Archived || e.Outcome == manifest.Damaged || e.Outcome == manifest.Erased || e.Outcome == manifest.Expired // the audio may still exist
		if stored && string(e.Key) == name && !own.is(user{e.Day, string(e.ID), string(e.CallID)}) {
			owner = e.Day + " " + string(e.ID)
		}
		return nil
	})
	return owner, err
}
