// Recreates the manifest of days from calls/ and the store.

package archiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// Rebuild recreates the manifest of days without a manifest, or with only the lines of an earlier rebuild, from
// calls/ and the store. Its fields are set before Run is called once.
type Rebuild struct {
	Ledger       *manifest.Ledger
	Store        RebuildStore
	Keys         *key.Template // used when the recordings were stored
	KeyPrefixLen int
	Archive      manifest.Archive // of an archive.json that is lost
	Proved       bool             // Archive comes from the archive itself, and not from flags
	APIGiven     bool             // the address in Archive is from a flag, not the default
	ZoneGiven    bool             // likewise for the zone
	Workers      int              // recordings looked up and read in parallel
	RetryFor     time.Duration    // how long to retry while the store fails
	Logger       *slog.Logger

	// Retention returns the function that judges missing audio. Run calls it once, after archive.json exists.
	// It may be nil or return nil: then no missing audio counts as expired.
	Retention func(ctx context.Context) (PastRetention, error)

	past     PastRetention
	names    standing
	erasures *manifest.Erasures
	known    map[string]bool // days that have a file
	slots    chan struct{}   // one slot for each recording being looked up
	buffers  sync.Pool       // *[]byte, to read recordings

	mu  sync.Mutex // held by the day that adds its result
	sum Rebuilt
}

// PastRetention returns why a recording whose audio is missing counts as expired, and "" if it does not.
type PastRetention func(ctx context.Context, day, recordingID, callID string) (reason string, err error)

// daysAtOnce is the number of days in parallel: while one waits for the store, others are read.
const daysAtOnce = 4

// RebuildStore is the part of a store that Rebuild uses.
type RebuildStore interface {
	Store
	List(ctx context.Context, prefix string) iter.Seq2[store.Info, error]
}

// Rebuilt is the result of a rebuild.
type Rebuilt struct {
	Days       int    `json:"days"`                // recreated by this rebuild, or by an earlier one without a run after it
	First      string `json:"first_day,omitempty"` // of these days
	Last       string `json:"last_day,omitempty"`
	Known      int    `json:"days_known"`          // with a manifest, which was not changed
	Recordings int    `json:"recordings"`          // of the recreated days
	Archived   int    `json:"archived"`            // of these, found in the store and noted
	Missing    int    `json:"missing"`             // not found
	Expired    int    `json:"expired"`             // whose audio was removed at the end of its retention, by this program or a rule of the bucket
	Erased     int    `json:"erased"`              // that an erasure names
	Ambiguous  int    `json:"ambiguous"`           // an object exists that may belong to another recording, or is incomplete
	Unreadable int    `json:"rows_unreadable"`     // unreadable lines of calls/, whose recordings are unknown
	Bytes      int64  `json:"bytes"`               // of the archived recordings
	Archive    bool   `json:"archive"`             // archive.json was recreated
	Given      bool   `json:"archive_given"`       // with the given account, API and zone, because nothing in the archive contains them
	APIURL     string `json:"api_url,omitempty"`   // in the recreated archive.json
	TimeZone   string `json:"time_zone,omitempty"` // likewise

	// Up to maxRebuildNamed recordings that were not found, and as many that are ambiguous.
	MissingRecordings   []RebuildDoubt `json:"missing_recordings"`
	AmbiguousRecordings []RebuildDoubt `json:"ambiguous_recordings"`
}

// RebuildDoubt identifies a recording that a rebuild left waiting.
type RebuildDoubt struct {
	Day         string `json:"day"`
	RecordingID string `json:"recording_id"`
	CallID      string `json:"call_id"`
}

// maxRebuildNamed limits the memory for names if all recordings of a large archive are lost.
const maxRebuildNamed = 1000

// nameDoubt adds a recording to a list unless the list is full.
func nameDoubt(list []RebuildDoubt, day string, s *sought) []RebuildDoubt {
	if len(list) >= maxRebuildNamed {
		return list
	}
	return append(list, RebuildDoubt{day, s.id, s.call})
}

// ErrNothingToRebuild means that calls/ has no day.
var ErrNothingToRebuild = errors.New("calls/ contains no calls, so the manifest cannot be rebuilt")

// ErrWrongZone means that the zone given for a lost archive.json is not the account's.
var ErrWrongZone = errors.New("the times in file names do not agree with the call dates in this time zone")

// Run rebuilds the manifest. A recording that it cannot identify stays waiting: the next archive run lists these
// days, closes them, and downloads it. Errors are those of the archive; a stopped or failed run may be repeated.
func (b *Rebuild) Run(ctx context.Context) (Rebuilt, error) {
	b.sum.MissingRecordings, b.sum.AmbiguousRecordings = []RebuildDoubt{}, []RebuildDoubt{}
	days, err := b.lost(ctx)
	if err == nil {
		b.erasures, err = b.Ledger.Erasures(ctx)
	}
	if err != nil {
		return b.sum, err
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
	if b.Retention != nil {
		if b.past, err = b.Retention(ctx); err != nil {
			return b.sum, fmt.Errorf("read the retention: %w", err)
		}
	}
	if err := b.takeNames(ctx, days); err != nil {
		return b.sum, err
	}
	b.slots = make(chan struct{}, max(b.Workers, 1))
	b.buffers.New = func() any { return new(make([]byte, 64<<10)) }
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(daysAtOnce)
	for _, day := range days {
		group.Go(func() error {
			if err := b.rebuildDay(working, day); err != nil {
				return fmt.Errorf("rebuild %s: %w", day, err)
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			b.sum.Days++
			b.sum.First, b.sum.Last = min(cmp.Or(b.sum.First, day), day), max(b.sum.Last, day)
			return nil
		})
	}
	err = group.Wait()
	for _, list := range [][]RebuildDoubt{b.sum.MissingRecordings, b.sum.AmbiguousRecordings} {
		slices.SortFunc(list, func(x, y RebuildDoubt) int {
			return cmp.Or(cmp.Compare(x.Day, y.Day), cmp.Compare(x.CallID, y.CallID), cmp.Compare(x.RecordingID, y.RecordingID))
		})
	}
	return b.sum, err
}

// lost returns the days to recreate.
func (b *Rebuild) lost(ctx context.Context) (days []string, err error) {
	b.known = map[string]bool{}
	for day, err := range b.Ledger.Days(ctx) {
		if err != nil {
			return nil, fmt.Errorf("list the days of the archive: %w", err)
		}
		b.known[day] = true
		status, err := b.Ledger.Status(ctx, day)
		if err != nil {
			return nil, fmt.Errorf("read day %s: %w", day, err)
		}
		isLost := !status.Known
		if status.Known && len(status.Lines) == 0 {
			isLost, err = b.Ledger.IsRebuilt(ctx, day)
			if _, bad := errors.AsType[*manifest.BadLineError](err); err != nil && !bad {
				return nil, fmt.Errorf("read day %s: %w", day, err)
			}
		}
		if isLost {
			days = append(days, day)
		} else {
			b.sum.Known++
		}
	}
	return days, nil
}

// makeArchive recreates a lost archive.json. The next run adds an unknown account.
func (b *Rebuild) makeArchive(ctx context.Context) error {
	stands, err := b.Ledger.Archive(ctx)
	if err == nil {
		return b.correctArchive(ctx, stands)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !b.Proved {
		if err := b.checkZone(ctx); err != nil {
			return err
		}
	}
	if err := b.Ledger.SaveArchive(ctx, b.Archive); err != nil {
		return err
	}
	b.sum.Archive, b.sum.Given, b.sum.APIURL, b.sum.TimeZone = true, !b.Proved, b.Archive.APIURL, b.Archive.TimeZone
	return nil
}

// correctArchive corrects an address or zone that an earlier rebuild assumed, if no run has noted anything since.
func (b *Rebuild) correctArchive(ctx context.Context, stands manifest.Archive) error {
	wanted := stands
	if b.APIGiven {
		wanted.APIURL = b.Archive.APIURL
	}
	if b.ZoneGiven {
		wanted.TimeZone = b.Archive.TimeZone
	}
	other := otherSettings(stands, wanted.APIURL, wanted.TimeZone)
	switch {
	case other == nil || b.Proved:
		return nil
	case stands.AccountID != "" || b.sum.Known > 0:
		return other
	}
	b.Archive = wanted
	if err := b.checkZone(ctx); err != nil {
		return err
	}
	if err := b.Ledger.SaveArchive(ctx, wanted); err != nil {
		return err
	}
	b.sum.Archive, b.sum.Given, b.sum.APIURL, b.sum.TimeZone = true, true, wanted.APIURL, wanted.TimeZone
	return nil
}

// checkZone compares the given zone with call rows, the newest first.
func (b *Rebuild) checkZone(ctx context.Context) error {
	zone, err := time.LoadLocation(b.Archive.TimeZone)
	if err != nil {
		return fmt.Errorf("load the time zone: %w", err)
	}
	check := zoneCheck{location: zone}
	days := slices.Sorted(func(yield func(string) bool) {
		for day := range b.known {
			if !yield(day) {
				return
			}
		}
	})
	for _, day := range slices.Backward(days) {
		err := b.Ledger.ReadCalls(ctx, day, func(c manifest.Call) error {
			if call, err := fetcher.ParseCall(c.Row); err == nil {
				check.note([]fetcher.Call{call})
			}
			return nil
		}, nil)
		if err != nil {
			return fmt.Errorf("read the calls of %s: %w", day, err)
		}
		if len(check.offsets) >= zoneSamples {
			break
		}
	}
	if gap, known := check.median(); known && gap.Abs() > ZoneMaxGap {
		return fmt.Errorf("%w: they are %s apart in %s", ErrWrongZone, gap.Abs().Round(time.Minute), zone)
	}
	return nil
}

// rebuildDay looks for the recordings of a day that have no line, and notes those that it finds.
func (b *Rebuild) rebuildDay(ctx context.Context, day string) error {
	erased := b.erasures.RecordingsOf(day)
	list, unreadable, err := b.seek(ctx, day, erased)
	if err != nil {
		return err
	}
	expired, err := b.Ledger.Expired(ctx, day, nil)
	if err != nil {
		return err
	}
	ledger, err := b.Ledger.Load(ctx, day)
	if err != nil {
		return err
	}
	if err := b.lookForAll(ctx, day, ledger, expired, list); err != nil {
		return err
	}
	doubtShort(list)
	if err := b.judgeMissing(ctx, day, list); err != nil {
		return err
	}
	lines := append(b.count(day, ledger, list, unreadable), b.countErased(ledger, erased)...)
	if len(lines) == 0 {
		return nil
	}
	if err := ledger.NoteRebuild(ctx); err != nil {
		return err
	}
	if err := ledger.Note(ctx, lines...); err != nil && !errors.Is(err, manifest.ErrUnflushed) {
		return err
	}
	return ledger.Flush(ctx)
}

// lookForAll looks for the recordings of a day that have no line.
func (b *Rebuild) lookForAll(ctx context.Context, day string, ledger *manifest.Day, expired map[string]*manifest.ExpiryRecord, list []*sought) error {
	group, looking := errgroup.WithContext(ctx)
	for _, s := range list {
		if state, noted := ledger.Recording(s.id); noted && state.CallID == s.call {
			s.noted = &state
			continue
		}
		if s.expired = expired[s.id]; s.expired != nil {
			continue
		}
		select {
		case b.slots <- struct{}{}:
		case <-looking.Done():
			return cmp.Or(group.Wait(), context.Cause(ctx))
		}
		group.Go(func() error {
			defer func() { <-b.slots }()
			return b.look(looking, day, s)
		})
	}
	return group.Wait()
}

// judgeMissing marks recordings that were not found as expired if a rule of the bucket may have removed them.
func (b *Rebuild) judgeMissing(ctx context.Context, day string, list []*sought) (err error) {
	for _, s := range list {
		if b.past == nil || s.noted != nil || s.expired != nil || s.found != nil || s.ambiguous || s.elsewhere {
			continue
		}
		s.past, err = b.past(ctx, day, s.id, s.call)
		if _, bad := errors.AsType[*manifest.BadLineError](err); bad {
			return nil // an unreadable row may be that of any call
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// countErased adds a day's erased recordings to the sum, and returns the lines to write, which contain only
// ids. A recording of an unfinished erasure gets no line, because the erasure may be withdrawn.
func (b *Rebuild) countErased(ledger *manifest.Day, calls map[string]string) (lines []manifest.Recording) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sum.Recordings += len(calls)
	b.sum.Erased += len(calls)
	for _, id := range slices.Sorted(maps.Keys(calls)) {
		if _, noted := ledger.Recording(id); !noted && b.erasures.IsDone(id, calls[id]) {
			lines = append(lines, manifest.Recording{RecordingID: id, CallID: calls[id], Outcome: manifest.Erased})
		}
	}
	return lines
}

// count adds a day's recordings to the sum, and returns the lines to note.
func (b *Rebuild) count(day string, ledger *manifest.Day, list []*sought, unreadable int) (lines []manifest.Recording) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sum.Unreadable += unreadable
	given := map[string]bool{} // ids of recordings found for rows without an id
	for _, s := range list {
		if s.found != nil {
			id := s.found.RecordingID
			if state, noted := ledger.Recording(id); noted {
				s.noted = &state
			}
			s.elsewhere = given[id]
			given[id] = true
		}
		if s.elsewhere {
			continue
		}
		b.sum.Recordings++
		switch {
		case s.noted != nil && s.noted.Outcome == manifest.Expired:
			b.sum.Expired++
		case s.expired != nil:
			b.sum.Expired++
			lines = append(lines, manifest.Recording{RecordingID: s.id, CallID: s.call, Outcome: manifest.Expired, Reason: s.expired.Reason()})
		case s.past != "":
			b.sum.Expired++
			lines = append(lines, manifest.Recording{RecordingID: s.id, CallID: s.call, Outcome: manifest.Expired, Reason: s.past})
		case s.noted != nil:
			b.sum.Archived++
			b.sum.Bytes += s.noted.Size
		case s.found != nil:
			lines = append(lines, *s.found)
			b.sum.Archived++
			b.sum.Bytes += s.found.Size
		case s.ambiguous:
			b.sum.Ambiguous++
			b.sum.AmbiguousRecordings = nameDoubt(b.sum.AmbiguousRecordings, day, s)
		default:
			b.sum.Missing++
			b.sum.MissingRecordings = nameDoubt(b.sum.MissingRecordings, day, s)
		}
	}
	return lines
}

// patiently repeats an operation while the store fails.
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
