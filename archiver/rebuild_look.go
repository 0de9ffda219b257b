// Looks in the store for one recording of a rebuild.

package archiver

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"convoso-archiver/archiver/audio"
	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

// rank orders keys by how certainly they identify a recording, then by the order in which their
// objects were stored.
type rank int

const (
	rankWanted   rank = iota // any recording with this file name
	rankOwn                  // with the recording's id
	rankOther                // with the id and a hash: the name with the id was taken by other bytes
	rankReplaced             // the replacement of damaged audio
)

// standingCandidate is a stored object that may be the recording.
type standingCandidate struct {
	info   store.Info
	rank   rank
	sum    string // prefix in the key, hex
	mine   bool   // its metadata says so
	doubt  bool   // its name may belong to another recording
	line   manifest.Recording
	plays  time.Duration // duration, if known and not proved by metadata
	isGood bool          // it is one complete recording with the stored bytes
}

// look looks for one recording in the store.
func (b *Rebuild) look(ctx context.Context, day string, s *sought) error {
	list, err := b.candidates(ctx, day, s)
	if err != nil {
		return fmt.Errorf("look for recording %s: %w", s.id, err)
	}
	if s.elsewhere {
		return nil
	}
	for i := range list {
		c := &list[i]
		if c.doubt {
			continue
		}
		if err := b.examine(ctx, s, c, len(list) == 1); err != nil {
			return fmt.Errorf("read recording %s: %w", s.id, err)
		}
	}
	c, ambiguous := choose(list)
	if s.ambiguous = ambiguous; c != nil {
		s.found, s.plays = &c.line, c.plays
	}
	return nil
}

// doubtShort marks recordings as ambiguous that are much shorter than their call, because half of a recording may
// look complete. For a call with several recordings, it adds up their durations. Recordings that are already noted,
// or whose metadata have their hash, are not checked.
func doubtShort(list []*sought) {
	type playing struct {
		plays  time.Duration
		proved bool
	}
	calls := map[string]playing{}
	for _, s := range list {
		c := calls[s.call]
		c.plays += s.plays
		c.proved = c.proved || s.noted != nil || s.elsewhere || s.found != nil && s.plays == 0
		calls[s.call] = c
	}
	for _, s := range list {
		if c := calls[s.call]; s.found != nil && !c.proved && lengthOff(c.plays, s.length) < 0 {
			s.found, s.ambiguous = nil, true
		}
	}
}

// choose returns the candidate that is the recording. The result is ambiguous if there are candidates but no proof.
// Metadata is the strongest proof; without it, the key with the highest rank decides, and lower ranks do not count.
func choose(list []standingCandidate) (found *standingCandidate, ambiguous bool) {
	if len(list) == 0 {
		return nil, false
	}
	slices.SortStableFunc(list, func(a, b standingCandidate) int { return cmp.Compare(b.rank, a.rank) })
	if i := slices.IndexFunc(list, func(c standingCandidate) bool { return c.mine && c.isGood }); i >= 0 {
		return &list[i], false
	}
	for _, c := range list {
		if c.rank == list[0].rank && (c.mine || !c.isGood || c.line.SHA256 != list[0].line.SHA256) {
			return nil, true
		}
	}
	return &list[0], false
}

// candidates returns the objects under the possible keys of a recording. It notes if the recording belongs to another
// day.
func (b *Rebuild) candidates(ctx context.Context, day string, s *sought) (list []standingCandidate, err error) {
	seen := map[string]bool{}
	foreign := false // an object with the same file name belongs to another recording
	add := func(name string, c standingCandidate) error {
		if _, stands := b.names.of(name, s.id, s.call); !stands || seen[name] {
			return nil
		}
		seen[name] = true
		err := b.patiently(ctx, func() (err error) {
			c.info, err = b.Store.Stat(ctx, name)
			return err
		})
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, store.ErrBadKey) {
			return nil
		}
		if err != nil {
			return err
		}
		switch b.whose(day, s, &c) {
		case yes:
			c.doubt = c.doubt && !c.mine
			list = append(list, c)
		case unknowable:
			c.doubt = true
			list = append(list, c)
		}
		return nil
	}
	for _, k := range s.keys {
		c := standingCandidate{rank: rankWanted}
		if k.own {
			c.rank = rankOwn
		}
		if err := add(k.key, c); err != nil {
			return nil, err
		}
	}
	for _, name := range b.later(s) {
		later, _ := key.ParseLater(name)
		c := standingCandidate{sum: later.Sum, rank: rankOther}
		switch may, sure := later.Replaces(s.id); {
		case may:
			c.rank, c.doubt = rankReplaced, !sure
		case !later.IsOf(s.id):
			foreign = foreign || !seen[name]
			continue
		}
		if err := add(name, c); err != nil {
			return nil, err
		}
	}
	for i := range list {
		list[i].doubt = list[i].doubt || foreign && list[i].rank == rankWanted && !list[i].mine
	}
	return list, nil
}

// later returns the names in the store that may be later keys of the recording, or of another one with its file name.
func (b *Rebuild) later(s *sought) (names []string) {
	for _, k := range s.keys {
		for _, name := range b.names.laterThan(k) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// whose reports whether an object belongs to the recording: by its metadata or, without metadata, by its key if
// no other recording may have it.
func (b *Rebuild) whose(day string, s *sought, c *standingCandidate) answer {
	info := &c.info
	if info.RecordingID != "" {
		unnamed := !s.hasID && info.CallID == s.call && s.call != "" // its identity was derived from the link, which is not stored
		if !unnamed && (!info.IsOf(s.id) || info.CallID != "" && info.CallID != s.call) {
			return no
		}
		if info.CallDay != "" && info.CallDay != day && b.known[info.CallDay] {
			s.elsewhere = true
			return no
		}
		c.mine = true
		return yes
	}
	u, _ := b.names.of(info.Key, s.id, s.call)
	newest, isMoved := b.names.moved[b.names.hash(info.Key)]
	switch {
	case u&useShared != 0 || s.double || !s.hasID:
		return unknowable
	case u&useNoted != 0, isMoved && newest.day != day:
		s.elsewhere = true
		return no
	}
	return yes
}

// examine makes the line of an object, and reports whether it is good: one complete recording with the stored bytes. If
// nothing else is known, the hash in its metadata suffices, as for verify --quick.
func (b *Rebuild) examine(ctx context.Context, s *sought, c *standingCandidate, alone bool) error {
	c.line = manifest.Recording{
		RecordingID: s.id, Outcome: manifest.Archived, Key: c.info.Key, Size: c.info.Size, CallID: s.call, Attempts: 1, ETag: c.info.ETag,
		Reason: "rebuilt from the store",
	}
	noted := ""
	if c.mine && c.info.SHA256 != [32]byte{} {
		noted = hex.EncodeToString(c.info.SHA256[:])
	}
	if c.mine && !s.hasID {
		c.line.RecordingID = c.info.RecordingID
	}
	if noted != "" && alone {
		c.line.SHA256, c.isGood = noted, true
		return nil
	}
	var sum [32]byte
	var result audio.Result
	buffer := b.buffers.Get().(*[]byte)
	defer b.buffers.Put(buffer)
	err := b.patiently(ctx, func() (err error) {
		sum, result, err = readAudio(ctx, b.Store, c.info.Key, *buffer)
		return err
	})
	if err != nil {
		return err
	}
	c.line.SHA256, c.line.ContentType = hex.EncodeToString(sum[:]), result.Format.ContentType()
	if noted != "" {
		c.isGood = noted == c.line.SHA256
		return nil
	}
	c.plays = result.Duration
	c.isGood = result.Verdict == audio.Audio && result.Whole && (c.sum == "" || c.sum == c.line.SHA256[:len(c.sum)])
	return nil
}
