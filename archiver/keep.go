// Stores a recording under a free key.

package archiver

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"time"

	"convoso-archiver/archiver/audio"
	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// errKeys means that a recording cannot be stored under any key.
var errKeys = errors.New("no free key for the recording")

// owners finds the recording that owns a key, according to the ledger.
type owners interface {
	// owner returns another recording that is stored under a key according to a line, "" for none.
	// It reads the whole ledger, so it is meant for the rare case of a taken key.
	owner(ctx context.Context, day *day, key, identity, callID string) (string, error)
}

// keeper stores bodies under keys, and decides whether an object already stored under a key is the
// recording itself. It is safe for concurrent use.
type keeper struct {
	store  Store
	keys   *keyMaker
	owners owners
	claims claims
	run    string
	lock   store.LockRule
	class  func(campaign string) string // nil: no classes
}

// kept is a recording that is in the store.
type kept struct {
	info    store.Info
	sum     [32]byte
	adopted bool
}

// line returns the ledger line of a kept recording, without times.
func (k *kept) line(j *job, got *download) manifest.Recording {
	return manifest.Recording{
		RecordingID: j.identity, Outcome: manifest.Archived, Key: k.info.Key, Size: k.info.Size, SHA256: hex.EncodeToString(k.sum[:]),
		CallID: j.call.id, Attempts: j.prior.Attempts + j.requests, ContentType: got.audio.Format.ContentType(), ETag: k.info.ETag,
		Host: got.host, Reason: got.remark(j.call.length), Source: j.recording.Source(), Again: j.again,
	}
}

// keep stores a body under the first of the recording's keys that is free or already holds the recording. Each key
// that it tries is claimed until release is called, which must happen after the recording's line is noted. Otherwise
// another recording could adopt this one's object. In a bucket, the line may still be in memory then; code that
// looks for the owner of a key flushes it first. patiently waits while the store fails.
func (k *keeper) keep(ctx context.Context, j *job, got *download, patiently func(func() error) error) (result kept, release func(), err error) {
	var held []func()
	release = func() {
		for _, free := range held {
			free()
		}
	}
	names, err := k.keys.names(j.call, &j.recording, j.identity, got.audio.Format)
	if err != nil {
		return result, release, fmt.Errorf("%w: %w", errKeys, err)
	}
	sum := got.body.sum()
	keys := names.For(j.identity, sum)
	if j.prior.Outcome == manifest.Damaged {
		// Nothing is overwritten: the replacement of damaged audio gets a key that no other body of this
		// recording can have.
		keys = names.For(j.identity+" "+k.run, sum)[1:]
	}
	for _, name := range keys {
		free, err := k.claims.claim(ctx, name)
		if err != nil {
			return result, release, err
		}
		held = append(held, free)
		var taken *store.TakenError
		err = patiently(func() error {
			content, err := got.body.reader()
			if err != nil {
				return err
			}
			result.info, err = k.store.Put(ctx, k.locked(store.Object{
				Key: name, Body: content, Size: got.body.size, SHA256: sum, ContentType: got.audio.Format.ContentType(),
				RecordingID: j.identity, CallID: j.call.id, CallDay: string(j.day.date),
			}, j.call.campaign))
			return err
		})
		if err == nil {
			result.sum = sum
			return result, release, nil
		}
		if !errors.As(err, &taken) {
			return result, release, err
		}
		mine := false
		if taken.Same {
			err = patiently(func() (err error) {
				mine, err = k.isMine(ctx, j.day, taken.Info, j.identity, j.call.id)
				return err
			})
			if err != nil {
				return result, release, err
			}
		}
		if mine {
			return kept{info: taken.Info, sum: sum, adopted: true}, release, nil
		}
	}
	return result, release, fmt.Errorf("%w: other recordings have all of its names", errKeys)
}

// locked adds the lock and the class of retention that a recording is stored with. Bodies under quarantine get none,
// because their content is unknown.
func (k *keeper) locked(o store.Object, campaign string) store.Object {
	if k.locks() {
		o.LockMode, o.LockUntil = k.lock.Mode, k.lock.For.After(time.Now()).Truncate(time.Second)
	}
	if k.class != nil {
		o.Class = k.class(campaign)
	}
	return o
}

// locks reports whether recordings are locked as they are stored.
func (k *keeper) locks() bool { return k.lock.Mode != store.Unlocked && k.lock.After.IsZero() }

// isMine reports whether the object under a key belongs to a recording: its metadata says so or,
// without metadata, no line assigns it to another recording.
func (k *keeper) isMine(ctx context.Context, d *day, info store.Info, identity, callID string) (bool, error) {
	if info.RecordingID != "" {
		return info.IsOf(identity) && (info.CallID == "" || callID == "" || info.CallID == callID), nil
	}
	owner, err := k.owners.owner(ctx, d, info.Key, identity, callID)
	return owner == "", err
}

// quarantine keeps a body of an unknown format. It reports false, and keeps nothing, if the body repeats the link.
func (k *keeper) quarantine(ctx context.Context, j *job, got *download) (bool, error) {
	content, err := got.body.reader()
	if err != nil {
		return false, fmt.Errorf("read body: %w", err)
	}
	clean, err := withoutAny(content, fetcher.LinkSecrets(j.recording.Link))
	if err != nil || !clean {
		return false, err
	}
	sum := got.body.sum()
	for _, name := range key.Quarantine(string(j.day.date), j.identity, sum) {
		if content, err = got.body.reader(); err != nil {
			return false, fmt.Errorf("read body: %w", err)
		}
		_, err = k.store.Put(ctx, store.Object{
			Key: name, Body: content, Size: got.body.size, SHA256: sum, ContentType: "application/octet-stream",
			RecordingID: j.identity, CallID: j.call.id, CallDay: string(j.day.date),
		})
		taken, isTaken := errors.AsType[*store.TakenError](err)
		if err == nil || isTaken && taken.Same {
			return true, nil
		}
		if !isTaken {
			return false, err
		}
	}
	return false, errKeys
}

// withoutAny reports whether none of the texts is in the body.
func withoutAny(body io.Reader, texts []string) (bool, error) {
	overlap := 1
	for _, text := range texts {
		overlap = max(overlap, len(text))
	}
	window := make([]byte, 0, 32<<10+overlap)
	for {
		n, err := body.Read(window[len(window):cap(window)])
		window = window[:len(window)+n]
		for _, text := range texts {
			if bytes.Contains(window, []byte(text)) {
				return false, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if keep := overlap - 1; len(window) > keep {
			window = append(window[:0], window[len(window)-keep:]...)
		}
	}
}

// keyMaker makes the keys of recordings.
type keyMaker struct {
	template  *key.Template
	prefixLen int
}

// names returns the possible names of a recording.
func (m *keyMaker) names(call callFacts, recording *fetcher.Recording, identity string, format audio.Format) (key.Names, error) {
	stem, err := m.stem(call, recording, identity)
	if err != nil {
		return key.Names{}, err
	}
	names, err := stem.Names(format)
	if err != nil {
		return names, fmt.Errorf("make key of recording %s: %w", identity, err)
	}
	return names, nil
}

// stem returns the part of a recording's names that does not depend on its format.
func (m *keyMaker) stem(call callFacts, recording *fetcher.Recording, identity string) (key.Stem, error) {
	fields := map[string]string{}
	maps.Copy(fields, call.fields)
	fields["recording_id"] = cmp.Or(recording.ID, identity)
	fields["filename"] = recording.Filename
	fields["type"] = recording.Type
	fields["new"] = recording.New
	stem, err := m.template.Stem(fields, call.date, key.Options{RecordingID: identity, PrefixLen: m.prefixLen})
	if err != nil {
		return stem, fmt.Errorf("make key of recording %s: %w", identity, err)
	}
	return stem, nil
}

// wanted returns the key of a missing recording, assuming that it is MP3 like the vendor's
// recordings; "" if no key can be made. A later run looks there before it writes the recording off.
func (m *keyMaker) wanted(j *job) string {
	names, err := m.names(j.call, &j.recording, j.identity, audio.MP3)
	if err != nil {
		return "" // the error is reported when the recording is stored
	}
	return names.Wanted()
}

// claims are the keys that recordings are being stored under. Case is ignored, because some file systems ignore
// it. Its zero value is ready.
type claims struct {
	mu   sync.Mutex
	keys map[string]chan struct{} // closed when the claim ends
}

// claim marks a key as in use, and waits while another recording uses it. A recording that holds a key waits
// only for its alternatives, which are longer, so two recordings never wait for each other.
func (c *claims) claim(ctx context.Context, name string) (release func(), err error) {
	name = strings.ToLower(name)
	mine := make(chan struct{})
	for {
		other := c.enter(name, mine)
		if other == nil {
			break
		}
		select {
		case <-other:
		case <-ctx.Done():
			return func() {}, context.Cause(ctx)
		}
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.keys, name)
		close(mine)
	}, nil
}

// enter claims a key that is free, or returns the channel that another recording's claim closes.
func (c *claims) enter(name string, mine chan struct{}) (other chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other, taken := c.keys[name]; taken {
		return other
	}
	if c.keys == nil {
		c.keys = map[string]chan struct{}{}
	}
	c.keys[name] = mine
	return nil
}

// has reports whether a recording is being stored under the key.
func (c *claims) has(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, taken := c.keys[strings.ToLower(name)]
	return taken
}
