// Looks up calls and recordings by id, and caches the latest ones.

package web

import (
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"convoso-archiver/search"
)

// The catalog caches recent reads for a short time, because a page, its call and each range of its audio are
// separate requests.
const (
	keepFor   = 10 * time.Second
	keptDays  = 3
	keptCalls = 40_000 // in all cached days
	keptRefs  = 4096
	daysAt    = 2 // read in parallel: each takes memory
	refFor    = 30 * time.Second
	headBytes = 4096 // at the beginning of a recording, to detect its format
)

// catalog looks up calls and recordings by id. It is safe for concurrent use.
type catalog struct {
	archive *search.Archive
	busy    chan struct{}

	mu      sync.Mutex
	days    map[string]*loadedDay
	refs    map[string]*recording // by day, a slash, and id
	names   []string              // days of the archive, ascending
	namesAt time.Time
}

type loadedDay struct {
	calls []search.Call
	err   error // a *search.DayError: not all calls could be read
	at    time.Time
}

// recording holds what is needed to send a recording.
type recording struct {
	day, id, callID string
	fields          search.Fields
	wall            time.Time
	search.Recording
	at time.Time

	typeOf *contentType // detected from its first bytes
}

type contentType struct {
	mu      sync.Mutex
	known   bool
	name    string // media type
	plays   bool   // browsers play it
	decoded bool   // the server decodes it for browsers
}

func newCatalog(a *search.Archive) *catalog {
	return &catalog{archive: a, busy: make(chan struct{}, daysAt), days: map[string]*loadedDay{}, refs: map[string]*recording{}}
}

// allDays returns the days of the archive within a span, ascending.
func (c *catalog) allDays(ctx context.Context, q search.Query) ([]string, error) {
	c.mu.Lock()
	names, fresh := c.names, time.Since(c.namesAt) < keepFor
	c.mu.Unlock()
	if !fresh {
		var err error
		if names, err = c.archive.Days(ctx, search.Query{}); err != nil {
			return nil, err
		}
		c.mu.Lock()
		c.names, c.namesAt = names, time.Now()
		c.mu.Unlock()
	}
	return slices.DeleteFunc(slices.Clone(names), func(day string) bool {
		return !q.From.IsZero() && day < q.From.Format(time.DateOnly) || !q.To.IsZero() && day > q.To.Format(time.DateOnly)
	}), nil
}

// day returns the calls of a day. An error that is a [search.DayError] comes with the readable calls.
func (c *catalog) day(ctx context.Context, day string) ([]search.Call, error) {
	if d := c.kept(day); d != nil {
		return d.calls, d.err
	}
	select {
	case c.busy <- struct{}{}:
		defer func() { <-c.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d := c.kept(day); d != nil { // another request has read it meanwhile
		return d.calls, d.err
	}
	calls, err := c.archive.Day(ctx, day)
	if _, some := errors.AsType[*search.DayError](err); err != nil && !some {
		return nil, err
	}
	c.keep(day, &loadedDay{calls, err, time.Now()})
	return calls, err
}

func (c *catalog) kept(day string) *loadedDay {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, d := range c.days {
		if time.Since(d.at) > keepFor {
			delete(c.days, name)
		}
	}
	return c.days[day]
}

// keep caches a day and drops the oldest ones. A very large day is not cached.
func (c *catalog) keep(day string, d *loadedDay) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(d.calls) > keptCalls {
		return
	}
	delete(c.days, day)
	for {
		oldest, calls := "", len(d.calls)
		for name, other := range c.days {
			calls += len(other.calls)
			if oldest == "" || other.at.Before(c.days[oldest].at) {
				oldest = name
			}
		}
		if oldest == "" || len(c.days) < keptDays && calls <= keptCalls {
			break
		}
		delete(c.days, oldest)
	}
	c.days[day] = d
}

// forget makes the next request read a day again.
func (c *catalog) forget(day string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.days, day)
	maps.DeleteFunc(c.refs, func(_ string, r *recording) bool { return r.day == day })
}

// call returns a call by its day and id, nil if there is none.
func (c *catalog) call(ctx context.Context, day, id string) (*search.Call, error) {
	if !isDay(day) || id == "" {
		return nil, nil
	}
	calls, err := c.day(ctx, day)
	for i := range calls {
		if calls[i].ID == id {
			return &calls[i], nil
		}
	}
	return nil, err
}

// recording returns a recording by its day and id, nil where there is none.
func (c *catalog) recording(ctx context.Context, day, id string) (*recording, error) {
	if !isDay(day) || id == "" {
		return nil, nil
	}
	name := day + "/" + id
	c.mu.Lock()
	ref := c.refs[name]
	c.mu.Unlock()
	if ref != nil && time.Since(ref.at) < refFor {
		return ref, nil
	}
	calls, err := c.day(ctx, day)
	for i := range calls {
		for _, r := range calls[i].Recordings {
			if r.ID == id {
				return c.remember(name, newRecording(&calls[i], r), ref), nil
			}
		}
	}
	return nil, err
}

func newRecording(c *search.Call, r search.Recording) *recording {
	return &recording{day: c.Day, id: r.ID, callID: c.ID, fields: c.Fields, wall: c.Wall, Recording: r, at: time.Now(), typeOf: &contentType{}}
}

func (c *catalog) remember(name string, ref, old *recording) *recording {
	if old != nil && old.State.SHA256 == ref.State.SHA256 {
		ref.typeOf = old.typeOf
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.refs) >= keptRefs {
		clear(c.refs)
	}
	c.refs[name] = ref
	return ref
}

// sum is the SHA-256 in hex, "" if unknown.
func (r *recording) sum() string {
	if r.State == nil || r.State.SHA256 == ([32]byte{}) {
		return ""
	}
	return hex.EncodeToString(r.State.SHA256[:])
}

func isDay(text string) bool {
	day, err := time.Parse(time.DateOnly, text)
	return err == nil && day.Format(time.DateOnly) == text
}
