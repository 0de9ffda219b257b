package archiver

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"time"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/archiver/audio"
	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// Rebuild makes the manifest of days anew of which manifest/ holds nothing, from calls/ and from what is stored. Its
// fields are set before Run is called once.
type Rebuild struct {
	Ledger       *manifest.Ledger
	Store        Store
	Keys         *key.Template // by which the recordings were stored
	KeyPrefixLen int
	APIURL       string // of an archive.json that is lost
	Zone         *time.Location
	Workers      int           // recordings looked up and read at once
	RetryFor     time.Duration // how long a store in trouble is waited for
	Logger       *slog.Logger

	ledgerKeys []uint64 // hashes of keys that other recordings have, sorted
	shared     []uint64 // hashes of keys that more than one recording may have, sorted
	seed       maphash.Seed

	sum Rebuilt
}

// Rebuilt says what a rebuild came to.
type Rebuilt struct {
	Days       int   `json:"days"`       // made anew
	Known      int   `json:"days_known"` // that have a manifest, which was left alone
	Recordings int   `json:"recordings"` // of the days made anew
	Archived   int   `json:"archived"`   // of them, found in the store and noted
	Missing    int   `json:"missing"`    // not found
	Ambiguous  int   `json:"ambiguous"`  // something stands there that may be another recording's, or is no whole recording
	Bytes      int64 `json:"bytes"`      // of those archived
	Archive    bool  `json:"archive"`    // archive.json was made anew
}

// ErrNothingToRebuild says that calls/ holds no day.
var ErrNothingToRebuild = errors.New("calls/ holds no call row: there is nothing to rebuild the manifest from")

// Run rebuilds. What cannot be told is left waiting: the next run of the archive lists these days, closes them, and
// fetches that. The error is one of the archive; a run that was stopped may be repeated.
func (b *Rebuild) Run(ctx context.Context) (Rebuilt, error) {
	b.seed = maphash.MakeSeed()
	var days []string
	for day, err := range b.Ledger.Days(ctx) {
		if err != nil {
			return b.sum, fmt.Errorf("list the days of the archive: %w", err)
		}
		status, err := b.Ledger.Status(ctx, day)
		if err != nil {
			return b.sum, fmt.Errorf("read day %s: %w", day, err)
		}
		if status.Known {
			b.sum.Known++
			continue
		}
		days = append(days, day)
	}
	if len(days) == 0 && b.sum.Known == 0 {
		return b.sum, ErrNothingToRebuild
	}
	if err := b.makeArchive(ctx); err != nil {
		return b.sum, err
	}
	if len(days) == 0 {
		return b.sum, nil
	}
	if err := b.takeKeys(ctx, days); err != nil {
		return b.sum, err
	}
	for _, day := range days {
		if err := b.rebuildDay(ctx, day); err != nil {
			return b.sum, fmt.Errorf("rebuild %s: %w", day, err)
		}
		b.sum.Days++
	}
	return b.sum, nil
}

// makeArchive makes archive.json where it is lost. The next run notes the account.
func (b *Rebuild) makeArchive(ctx context.Context) error {
	_, err := b.Ledger.Archive(ctx)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := b.Ledger.SaveArchive(ctx, manifest.Archive{APIURL: b.APIURL, TimeZone: b.Zone.String()}); err != nil {
		return err
	}
	b.sum.Archive = true
	return nil
}

// sought is a recording to look for.
type sought struct {
	id, call  string
	recording fetcher.Recording
	keys      []string // under which it may stand, the wanted one first
	found     *manifest.Recording
	ambiguous bool
}

// hash is that of a key, whose case a file system may ignore.
func (b *Rebuild) hash(name string) uint64 { return maphash.String(b.seed, strings.ToLower(name)) }

// takeKeys learns which keys belong to recordings of days that have a manifest, and which two recordings may have.
func (b *Rebuild) takeKeys(ctx context.Context, days []string) error {
	err := b.Ledger.Scan(ctx, func(e manifest.Entry) error {
		if e.Bad != nil {
			return e.Bad // it may name any key
		}
		b.ledgerKeys = append(b.ledgerKeys, b.hash(string(e.Key)))
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the manifest of the other days: run verify --repair first: %w", err)
	}
	var wanted []uint64
	for _, day := range days {
		list, err := b.seek(ctx, day)
		if err != nil {
			return fmt.Errorf("read the calls of %s: %w", day, err)
		}
		for _, s := range list {
			for _, name := range s.keys {
				wanted = append(wanted, b.hash(name))
			}
		}
	}
	slices.Sort(b.ledgerKeys)
	slices.Sort(wanted)
	for i := 1; i < len(wanted); i++ {
		if wanted[i] == wanted[i-1] {
			b.shared = append(b.shared, wanted[i])
		}
	}
	return nil
}

// seek returns the recordings of a day's rows, each once. The last row of a call counts.
func (b *Rebuild) seek(ctx context.Context, day string) ([]*sought, error) {
	rows := map[string]manifest.Call{}
	var order []string
	err := b.Ledger.Calls(ctx, day, func(c manifest.Call) error {
		if _, known := rows[c.CallID]; !known {
			order = append(order, c.CallID)
		}
		rows[c.CallID] = c
		return nil
	})
	if err != nil {
		return nil, err
	}
	keys := &keyMaker{template: b.Keys, prefixLen: b.KeyPrefixLen}
	var list []*sought
	seen := map[string]*sought{}
	for _, id := range order {
		call, err := fetcher.ParseCall(rows[id].Row)
		if err != nil {
			continue // a row that is no object has no recording that could be told
		}
		facts := keys.factsOf(fetcher.Date(day), &call)
		for i := range call.Recordings {
			r := &call.Recordings[i]
			s := &sought{id: r.Identity, call: call.ID, recording: *r}
			if other := seen[s.id]; other != nil { // two recordings of the day with one id: which is which is not known
				other.ambiguous, s.ambiguous = true, true
			}
			seen[s.id] = s
			s.keys = keys.possible(facts, r, s.id)
			list = append(list, s)
		}
	}
	return list, nil
}

// possible returns the keys under which a recording may stand: of each format whose extension its name would get.
func (m *keyMaker) possible(call callFacts, r *fetcher.Recording, identity string) (keys []string) {
	for _, format := range []audio.Format{audio.MP3, audio.WAV, audio.Ogg, audio.AU, audio.AAC, audio.FLAC, audio.MP4, audio.AMR} {
		names, err := m.names(call, r, identity, format)
		if err != nil {
			continue
		}
		for _, name := range key.Again(names.Wanted(), identity) {
			if !slices.Contains(keys, name) {
				keys = append(keys, name)
			}
		}
	}
	return keys
}

// rebuildDay looks for the recordings of a day, and notes those that are there.
func (b *Rebuild) rebuildDay(ctx context.Context, day string) error {
	list, err := b.seek(ctx, day)
	if err != nil {
		return err
	}
	group, looking := errgroup.WithContext(ctx)
	group.SetLimit(max(b.Workers, 1))
	for _, s := range list {
		group.Go(func() error { return b.look(looking, day, s) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	ledger, err := b.Ledger.Load(ctx, day)
	if err != nil {
		return err
	}
	var lines []manifest.Recording
	for _, s := range list {
		b.sum.Recordings++
		switch {
		case s.found != nil:
			lines = append(lines, *s.found)
			b.sum.Archived++
			b.sum.Bytes += s.found.Size
		case s.ambiguous:
			b.sum.Ambiguous++
		default:
			b.sum.Missing++
		}
	}
	if err := ledger.Note(ctx, lines...); err != nil && !errors.Is(err, manifest.ErrUnflushed) {
		return err
	}
	return ledger.Flush(ctx)
}

// look looks for one recording in the store.
func (b *Rebuild) look(ctx context.Context, day string, s *sought) error {
	for _, name := range s.keys {
		var info store.Info
		err := b.patiently(ctx, func() (err error) {
			info, err = b.Store.Stat(ctx, name)
			return err
		})
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, store.ErrBadKey):
			continue
		case err != nil:
			return fmt.Errorf("look for recording %s: %w", s.id, err)
		}
		switch b.judgeObject(s, info) {
		case no:
			continue
		case unknowable:
			s.ambiguous = true
			continue
		}
		line, err := b.line(ctx, s, info)
		if err != nil {
			return fmt.Errorf("read recording %s: %w", s.id, err)
		}
		if line == nil {
			s.ambiguous = true
			continue
		}
		s.found, s.ambiguous = line, false
		return nil
	}
	return nil
}

// judgeObject says whether an object is a recording: by its metadata, or, where it has none, by its key alone, which
// must then be nobody else's.
func (b *Rebuild) judgeObject(s *sought, info store.Info) answer {
	name := b.hash(info.Key)
	_, known := slices.BinarySearch(b.ledgerKeys, name)
	_, shared := slices.BinarySearch(b.shared, name)
	switch {
	case info.RecordingID != "" && s.recording.ID == "" && info.CallID == s.call && s.call != "":
		s.id = info.RecordingID // made of the link, which is not kept
		return yes
	case info.RecordingID != "" && info.IsOf(s.id) && (info.CallID == "" || info.CallID == s.call):
		return yes
	case info.RecordingID != "":
		return no
	case known || shared || s.ambiguous || s.recording.ID == "":
		return unknowable
	}
	return yes
}

// line is what is noted of an object, nil where it does not read as one whole recording. One whose metadata has the hash
// of its bytes is not read: the store vouches for it as it does for verify --quick.
func (b *Rebuild) line(ctx context.Context, s *sought, info store.Info) (*manifest.Recording, error) {
	line := &manifest.Recording{
		RecordingID: s.id, Outcome: manifest.Archived, Key: info.Key, Size: info.Size, CallID: s.call, Attempts: 1, ETag: info.ETag,
		Reason: "rebuilt from the store",
	}
	if info.RecordingID != "" && info.SHA256 != [32]byte{} {
		line.SHA256 = hex.EncodeToString(info.SHA256[:])
		return line, nil
	}
	var sum [32]byte
	var result audio.Result
	err := b.patiently(ctx, func() (err error) {
		sum, result, err = readAudio(ctx, b.Store, info.Key)
		return err
	})
	if err != nil {
		return nil, err
	}
	if result.Verdict != audio.Audio || !result.Whole && info.RecordingID == "" {
		return nil, nil
	}
	line.SHA256, line.ContentType = hex.EncodeToString(sum[:]), result.Format.ContentType()
	return line, nil
}

// patiently does what needs the store again while that is in trouble.
func (b *Rebuild) patiently(ctx context.Context, op func() error) error {
	began := time.Now()
	for attempt := 1; ; attempt++ {
		err := op()
		if err == nil || !store.IsRetriable(err) || ctx.Err() != nil || time.Since(began) > b.RetryFor {
			return err
		}
		select {
		case <-time.After(delayAfter(attempt)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
