// Reads the records of erasures, and looks up erased ids.

package manifest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// ErasureStem is the stem of the files of evidence/ that hold erasures.
const ErasureStem = "erase"

const kindErasure = "erasure"

// The states of an erasure in its records.
const (
	ErasureIntent    = "intent"    // from here on every reader and writer obeys
	ErasureLines     = "lines"     // these lines get stubs without ids
	ErasureDone      = "done"      // the erasure is complete
	ErasureWithdrawn = "withdrawn" // nothing was removed, and the intent is void
)

// ErasureRecord is a line of evidence/erase-*. An erasure may have several records of one state, which are combined.
// They contain no personal data except ids.
type ErasureRecord struct {
	RecordHead            // of kind "erasure", which NewErasureRecord sets
	State      string     `json:"state"`
	Erasure    string     `json:"erasure"` // its id, which stubs contain
	Reason     string     `json:"reason,omitzero"`
	Recordings []ErasedID `json:"recordings,omitempty"` // of an intent
	Calls      []ErasedID `json:"calls,omitempty"`      // likewise; this includes recordings of these calls, even later ones
	Digests    []string   `json:"digests,omitempty"`    // of lines replaced by stubs; an audit accepts no other stub
}

// NewErasureRecord returns a record of an erasure.
func NewErasureRecord(state, erasure string) *ErasureRecord {
	return &ErasureRecord{RecordHead: RecordHead{Kind: kindErasure}, State: state, Erasure: erasure}
}

// IsErasure reports whether a line of evidence/ is an erasure record.
func (r *ErasureRecord) IsErasure() bool { return r.Kind == kindErasure && r.Erasure != "" }

// ErasedID identifies a recording or a call on a day that has lines for it. An id on several days has one entry per
// day.
type ErasedID struct {
	Day  string `json:"day"`
	ID   string `json:"id"`
	Call string `json:"call_id,omitzero"` // of a recording, if its lines name one
}

// ErasuresError means that a file of evidence/ with erasures or expiries cannot be read, so it is unknown what must be
// hidden.
type ErasuresError struct {
	File string // relative to the archive's root
	Line int
}

// Error implements error. It omits the file, which the read error contains.
func (e *ErasuresError) Error() string {
	what := "an erasure"
	if strings.HasPrefix(e.File, string(TreeEvidence)+"/"+expireStem) {
		what = "an expiry"
	}
	return fmt.Sprintf("line %d is not a record of %s: restore the file from a copy", e.Line, what)
}

// Erasures are the recordings and calls that must no longer be downloaded, written or shown: those of each intent,
// done or not, unless it is withdrawn. They are immutable; nil means none.
type Erasures struct {
	records           []notedErasure    // source records
	recordings, calls map[string]string // erasures by id
	intents           map[string]ErasureRecord
	done              map[string]bool
	days              map[string][]File // files of evidence/ about each day
	read              map[string]bool   // files
	expiries          *expiries
}

// notedErasure is a record with its file.
type notedErasure struct {
	ErasureRecord
	file File
}

// ErasuresOf returns the erasures of records.
func ErasuresOf(records []ErasureRecord) *Erasures {
	var noted []notedErasure
	for _, r := range records {
		noted = append(noted, notedErasure{r, File{}})
	}
	return newErasures(noted)
}

// Recording returns the erasure of a recording. Recordings of an erased call are erased too, even if not listed: see
// Of.
func (e *Erasures) Recording(id string) (erasure string, ok bool) {
	if e == nil {
		return "", false
	}
	erasure, ok = e.recordings[id]
	return erasure, ok
}

// Call returns the erasure of a call.
func (e *Erasures) Call(id string) (erasure string, ok bool) {
	if e == nil {
		return "", false
	}
	erasure, ok = e.calls[id]
	return erasure, ok
}

// Of returns the erasure of a recording of a call: its own, or its call's.
func (e *Erasures) Of(recordingID, callID string) (erasure string, ok bool) {
	if erasure, ok = e.Recording(recordingID); ok {
		return erasure, ok
	}
	return e.Call(callID)
}

// of is like Of, for the ids in a line.
func (e *Erasures) of(id, call []byte) (erasure string, ok bool) {
	if e.isEmpty() {
		return "", false
	}
	if erasure, ok = e.recordings[string(id)]; ok {
		return erasure, ok
	}
	erasure, ok = e.calls[string(call)]
	return erasure, ok
}

// IsDone reports whether the erasure that a recording or its call belongs to has ended.
func (e *Erasures) IsDone(recordingID, callID string) bool {
	erasure, named := e.Of(recordingID, callID)
	return named && e.done[erasure]
}

// RecordingsOf returns the recordings of a day that intents name, and their calls, "" where no intent names one.
func (e *Erasures) RecordingsOf(day string) map[string]string {
	calls := map[string]string{}
	if e == nil || e.days[day] == nil {
		return calls
	}
	for _, intent := range e.intents {
		for _, id := range intent.Recordings {
			if id.Day == day {
				calls[id.ID] = cmp.Or(id.Call, calls[id.ID])
			}
		}
	}
	return calls
}

// Unfinished returns the intents that are neither done nor withdrawn, by the ids of their erasures.
func (e *Erasures) Unfinished() (list []ErasureRecord) {
	if e == nil {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(e.intents)) {
		if !e.done[id] {
			list = append(list, e.intents[id])
		}
	}
	return list
}

// isEmpty reports whether there are no erasures, which is true for most archives.
func (e *Erasures) isEmpty() bool { return e == nil || len(e.recordings)+len(e.calls) == 0 }

// naming returns an erasure with ids on a day, "" for none.
func (e *Erasures) naming(day string) (erasure string) {
	if e == nil || e.days[day] == nil {
		return ""
	}
	for _, id := range slices.Sorted(maps.Keys(e.intents)) {
		if intent := e.intents[id]; intent.names(day) {
			return id
		}
	}
	return ""
}

func (r *ErasureRecord) names(day string) bool {
	is := func(id ErasedID) bool { return id.Day == day }
	return slices.ContainsFunc(r.Recordings, is) || slices.ContainsFunc(r.Calls, is)
}

// isOpen reports whether an unfinished erasure has ids on the day.
func (e *Erasures) isOpen(day string) bool {
	if e == nil || e.days[day] == nil {
		return false
	}
	for id, intent := range e.intents {
		if !e.done[id] && intent.names(day) {
			return true
		}
	}
	return false
}

// only drops the unfinished erasures except the given ones; with none given, it keeps all.
func (e *Erasures) only(erasures []string) *Erasures {
	if len(erasures) == 0 {
		return e
	}
	return newErasures(slices.DeleteFunc(slices.Clone(e.records), func(r notedErasure) bool {
		return !e.done[r.Erasure] && !slices.Contains(erasures, r.Erasure)
	}))
}

// Erasures returns the current erasures and expiries of the archive. It costs a listing of evidence/, and reading its
// new files.
func (l *Ledger) Erasures(ctx context.Context) (*Erasures, error) {
	l.erasing.Lock()
	defer l.erasing.Unlock()
	old := l.erasures.Load()
	all, err := l.evidence(ctx, "e") // of both kinds
	if err != nil {
		return nil, err
	}
	var files, expiring []StoredSegment
	for _, f := range all {
		switch {
		case strings.HasPrefix(f.Name, expireStem):
			expiring = append(expiring, f)
		case strings.HasPrefix(f.Name, ErasureStem+"-") && (old == nil || !old.read[f.Name]):
			files = append(files, f)
		}
	}
	if old != nil && len(files) == 0 && old.expiries.files == len(expiring) {
		return old, nil
	}
	expiries, err := expiriesOf(expiring)
	if err != nil {
		return nil, err
	}
	found := make([][]ErasureRecord, len(files))
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(l.scans)
	for i, f := range files {
		group.Go(func() (err error) {
			found[i], err = l.readErasures(reading, f)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("read the erasures: %w", err)
	}
	var records []notedErasure
	read := map[string]bool{}
	if old != nil {
		records, read = slices.Clone(old.records), maps.Clone(old.read)
	}
	for i, f := range files {
		read[f.Name] = true
		for _, r := range found[i] {
			records = append(records, notedErasure{r, File{f.file, f.size, f.mod}})
		}
	}
	e := newErasures(records)
	e.read, e.expiries = read, expiries
	l.erasures.Store(e)
	return e, nil
}

// obey returns the known erasures; the first call reads them.
func (l *Ledger) obey(ctx context.Context) (*Erasures, error) {
	if e := l.erasures.Load(); e != nil {
		return e, nil
	}
	return l.Erasures(ctx)
}

// IsRemoved reports whether a recording of a day was erased or has expired by now. A reader that misses the audio of a
// recording asks: the day may have been read before.
func (l *Ledger) IsRemoved(ctx context.Context, day, recordingID, callID string) (bool, error) {
	erasures, err := l.Erasures(ctx)
	if err != nil {
		return false, err
	}
	if _, erased := erasures.Of(recordingID, callID); erased {
		return true, nil
	}
	expired, err := l.Expired(ctx, day, nil)
	return expired[recordingID] != nil, err
}

func (l *Ledger) readErasures(ctx context.Context, f StoredSegment) (list []ErasureRecord, err error) {
	_, err = l.ReadSegment(ctx, f, func(line SegmentLine) error {
		var r ErasureRecord
		switch err := json.Unmarshal(line.Raw, &r); {
		case r.V > formatVersion:
			return l.noteLater(&VersionError{File: f.file, V: r.V})
		case line.Bad != nil || err != nil || !r.IsErasure():
			return &ErasuresError{f.file, line.Number}
		}
		list = append(list, r)
		return nil
	})
	return list, err
}

// newErasures returns the erasures of records, in any order.
func newErasures(records []notedErasure) *Erasures {
	e := &Erasures{
		records: records, recordings: map[string]string{}, calls: map[string]string{}, intents: map[string]ErasureRecord{},
		done: map[string]bool{}, days: map[string][]File{},
	}
	withdrawn := map[string]bool{}
	for _, r := range records {
		switch r.State {
		case ErasureDone:
			e.done[r.Erasure] = true
		case ErasureWithdrawn:
			withdrawn[r.Erasure] = true
		}
	}
	for _, r := range records {
		if r.State == ErasureIntent && !withdrawn[r.Erasure] {
			e.intend(r)
		}
	}
	return e
}

// intend adds an intent. An id in several erasures belongs to the one with the smallest id.
func (e *Erasures) intend(r notedErasure) {
	name := func(names map[string]string, list []ErasedID) {
		for _, id := range list {
			if was, known := names[id.ID]; id.ID != "" && (!known || r.Erasure < was) {
				names[id.ID] = r.Erasure
			}
			if !slices.Contains(e.days[id.Day], r.file) {
				e.days[id.Day] = append(e.days[id.Day], r.file)
			}
		}
	}
	name(e.recordings, r.Recordings)
	name(e.calls, r.Calls)
	whole := e.intents[r.Erasure]
	r.Recordings, r.Calls = slices.Concat(whole.Recordings, r.Recordings), slices.Concat(whole.Calls, r.Calls)
	e.intents[r.Erasure] = r.ErasureRecord
}
