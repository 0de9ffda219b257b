// Records which calls and recordings a case holds.

package evidence

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"convoso-archiver/manifest"
)

const (
	kindHold = "hold"
	stemHold = "hold"

	holdAdd     = "add"
	holdRelease = "release"

	maxCaseName  = 100    // characters
	idsPerLine   = 10_000 // of a record, so that a line stays far below the maximum
	linesPerFile = 10
)

// HeldID identifies a call, and one recording of it, under a hold. Recording is empty for a call without recordings.
type HeldID struct {
	Day       string `json:"day"`
	Call      string `json:"call_id"`
	Recording string `json:"recording_id"`
}

// holdRecord is a line of evidence/hold-*. A long list is split into several lines.
type holdRecord struct {
	manifest.RecordHead
	State string   `json:"state"` // add or release
	Case  string   `json:"case"`
	IDs   []HeldID `json:"ids"` // empty for a release

	file string
}

// Case is the state of one case.
type Case struct {
	Name     string
	Since    time.Time // of the first hold since the last release
	Released time.Time // zero while it holds
	IDs      []HeldID  // that it holds, sorted, without duplicates; none after the release
	Past     []HeldID  // that it holds or once held, likewise
	latest   time.Time // of all its records
}

// Holds are the holds of an archive.
type Holds struct {
	cases      []Case // by name
	recordings map[string][]string
	calls      map[string][]string
}

// LoadHolds reads the holds of an archive. An unreadable line, or one of an unknown kind, is an error, because it may
// contain a hold.
func LoadHolds(ctx context.Context, ledger *manifest.Ledger) (*Holds, error) {
	records, err := readHolds(ctx, ledger)
	if err != nil {
		return nil, err
	}
	return foldHolds(records), nil
}

// readHolds reads the records of all holds, in order of precedence.
func readHolds(ctx context.Context, ledger *manifest.Ledger) (records []holdRecord, err error) {
	err = ledger.Records(ctx, stemHold, func(file string, raw []byte) error {
		r := holdRecord{file: file}
		if err := json.Unmarshal(raw, &r); err != nil {
			return errors.New("a line is not a record of a hold: restore the file from a copy")
		}
		if r.Kind != kindHold || r.State != holdAdd && r.State != holdRelease || r.Case == "" {
			return errors.New("a line is a record of a hold that this version does not know: use a newer version of the program")
		}
		records = append(records, r)
		return nil
	})
	sortHolds(records)
	return records, err
}

// sortHolds sorts records. The latest record of a case decides; within one second, the one that holds comes last.
func sortHolds(records []holdRecord) {
	slices.SortStableFunc(records, func(a, b holdRecord) int {
		return cmp.Or(a.Time.Compare(b.Time), -strings.Compare(a.State, b.State)) // release, add
	})
}

// foldHolds returns the holds of sorted records.
func foldHolds(records []holdRecord) *Holds {
	byName := map[string]*Case{}
	for _, r := range records {
		c := byName[r.Case]
		if c == nil {
			c = &Case{Name: r.Case, Released: r.Time}
			byName[r.Case] = c
		}
		c.latest = r.Time
		switch {
		case r.State == holdRelease:
			c.Released, c.IDs = r.Time, nil
			continue
		case !c.Released.IsZero():
			c.Since, c.Released = r.Time, time.Time{}
		}
		c.IDs, c.Past = append(c.IDs, r.IDs...), append(c.Past, r.IDs...)
	}
	h := &Holds{recordings: map[string][]string{}, calls: map[string][]string{}}
	for _, name := range sortedKeys(byName) {
		c := byName[name]
		c.IDs, c.Past = sortedIDs(c.IDs), sortedIDs(c.Past)
		h.cases = append(h.cases, *c)
		for _, id := range c.IDs {
			addCase(h.calls, id.Call, name)
			addCase(h.recordings, id.Recording, name)
		}
	}
	return h
}

func compareHeld(a, b HeldID) int {
	return cmp.Or(strings.Compare(a.Day, b.Day), strings.Compare(a.Call, b.Call), strings.Compare(a.Recording, b.Recording))
}

// sortedIDs sorts in place and removes duplicates.
func sortedIDs(ids []HeldID) []HeldID {
	slices.SortFunc(ids, compareHeld)
	return slices.Compact(ids)
}

// addCase adds a case to those of an id. It must be called in the order of cases.
func addCase(to map[string][]string, id, name string) {
	if list := to[id]; id != "" && (len(list) == 0 || list[len(list)-1] != name) {
		to[id] = append(list, name)
	}
}

// Of returns the cases that hold a recording by its id, sorted; nil for none. Only OfCall covers a recording that
// became known after its call was held.
func (h *Holds) Of(recordingID string) []string { return h.recordings[recordingID] }

// OfCall returns the cases that hold a call: its row, and each of its recordings, known then or later; nil for none.
func (h *Holds) OfCall(callID string) []string { return h.calls[callID] }

// OfEither returns the cases that hold a recording of a call, by the id of either.
func (h *Holds) OfEither(recordingID, callID string) []string {
	all := slices.Concat(h.recordings[recordingID], h.calls[callID])
	slices.Sort(all)
	return slices.Compact(all)
}

// Cases returns all cases sorted by name, including released ones.
func (h *Holds) Cases() []Case { return h.cases }

// Case returns one case.
func (h *Holds) Case(name string) (Case, bool) {
	i, found := slices.BinarySearchFunc(h.cases, name, func(c Case, name string) int { return strings.Compare(c.Name, name) })
	if !found {
		return Case{}, false
	}
	return h.cases[i], true
}

// CheckCase checks the name of a case. The error does not contain the name.
func CheckCase(name string) error {
	switch {
	case name == "" || strings.TrimSpace(name) != name:
		return errors.New("the name of a case is empty, or begins or ends with a space")
	case !isPrintable(name):
		return errors.New("the name of a case contains a character that cannot be printed")
	case utf8.RuneCountInString(name) > maxCaseName:
		return errors.New("the name of a case has at most 100 characters")
	case longestNumber(name) > maxDigits:
		return errors.New("the name of a case is kept for ever, so it must not contain what may be a phone number: 7 digits, even with other characters between them")
	}
	return nil
}

// AddHold durably notes that a case holds these ids, and returns how many of them are new. The ledger must be open
// for writing. After a kill, the same call notes the rest.
func AddHold(ctx context.Context, ledger *manifest.Ledger, name string, ids []HeldID) (added int, err error) {
	if err := CheckCase(name); err != nil {
		return 0, err
	}
	holds, err := LoadHolds(ctx, ledger)
	if err != nil {
		return 0, err
	}
	c, _ := holds.Case(name)
	fresh := slices.DeleteFunc(sortedIDs(slices.Clone(ids)), func(id HeldID) bool {
		_, known := slices.BinarySearchFunc(c.IDs, id, compareHeld)
		return known
	})
	head := manifest.RecordHead{Kind: kindHold, Time: nextTime(c.latest, time.Now())}
	var records []manifest.Record
	for part := range slices.Chunk(fresh, idsPerLine) {
		records = append(records, &holdRecord{RecordHead: head, State: holdAdd, Case: name, IDs: part})
	}
	for file := range slices.Chunk(records, linesPerFile) {
		if err := ledger.PutRecords(ctx, stemHold, file...); err != nil {
			return 0, err
		}
	}
	return len(fresh), nil
}

// Contested are ids of a hold that erasures or expiries name too.
type Contested struct {
	Lost   []HeldID // they came first: they have removed these, or may have
	Hidden []HeldID // the hold came first: nothing is removed, but readers do not show these until the removal is withdrawn
}

// ContestHold decides about those of the ids of a hold that an erasure or an expiry names. Call it after AddHold. The ledger
// must have been opened for writing.
func ContestHold(ctx context.Context, ledger *manifest.Ledger, ids []HeldID) (Contested, error) {
	c := Contested{Lost: []HeldID{}, Hidden: []HeldID{}}
	erasures, err := ledger.Erasures(ctx)
	if err != nil {
		return c, err
	}
	claimed := map[manifest.Claim]bool{} // whether the hold came first
	var expired map[string]*manifest.ExpiryRecord
	for i, id := range ids {
		if i == 0 || id.Day != ids[i-1].Day {
			if expired, err = ledger.Expired(ctx, id.Day, nil); err != nil {
				return c, err
			}
		}
		var claims []manifest.Claim
		if r := expired[id.Recording]; r != nil {
			claims = append(claims, r.Claim())
		}
		claims = append(claims, erasures.Claims(id.Recording, id.Call)...)
		isFirst := true
		for _, claim := range claims {
			if _, known := claimed[claim]; !known {
				if claimed[claim], err = ledger.ClaimHold(ctx, claim); err != nil {
					return c, err
				}
				if !claimed[claim] && claim.Erasure == "" { // recordings that the expiry withdrew before it claimed are held
					if _, err = ledger.Erasures(ctx); err != nil {
						return c, err
					}
					if expired, err = ledger.Expired(ctx, id.Day, nil); err != nil {
						return c, err
					}
				}
			}
			isFirst = isFirst && (claimed[claim] || claim.Erasure == "" && expired[id.Recording] == nil)
		}
		switch {
		case !isFirst:
			c.Lost = append(c.Lost, id)
		case len(claims) > 0:
			c.Hidden = append(c.Hidden, id)
		}
	}
	return c, nil
}

// ErrNoCase means that no record names a case.
var ErrNoCase = errors.New("no such case")

// ReleaseHold durably notes the release of a case, and returns the case as it was. Releasing a released case changes
// nothing. The error is ErrNoCase if no record names it.
func ReleaseHold(ctx context.Context, ledger *manifest.Ledger, name string) (Case, error) {
	holds, err := LoadHolds(ctx, ledger)
	if err != nil {
		return Case{}, err
	}
	c, known := holds.Case(name)
	if !known {
		return Case{}, ErrNoCase
	}
	if !c.Released.IsZero() {
		return c, nil
	}
	head := manifest.RecordHead{Kind: kindHold, Time: nextTime(c.latest, time.Now())}
	return c, ledger.PutRecords(ctx, stemHold, &holdRecord{RecordHead: head, State: holdRelease, Case: name, IDs: []HeldID{}})
}

// nextTime returns the time of a record that follows another one: at least one second later, even if the clock is
// behind, so that their order is known.
func nextTime(last, now time.Time) time.Time {
	now = now.UTC().Truncate(time.Second)
	if earliest := last.Add(time.Second); now.Before(earliest) {
		return earliest
	}
	return now
}
