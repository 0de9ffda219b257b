package evidence

import (
	"slices"
	"testing"
	"time"

	"convoso-archiver/manifest"
)

// TestFoldErasures: the records of one erasure are combined in any order; a call on two days counts once.
func TestFoldErasures(t *testing.T) {
	at := func(minute int) manifest.RecordHead {
		return manifest.RecordHead{Time: time.Date(2025, 5, 1, 9, minute, 0, 0, time.UTC)}
	}
	ids := func(day string, ids ...string) (list []manifest.ErasedID) {
		for _, id := range ids {
			list = append(list, manifest.ErasedID{Day: day, ID: id})
		}
		return list
	}
	got := foldErasures([]manifest.ErasureRecord{
		{RecordHead: at(9), Erasure: "a", State: manifest.ErasureDone},
		{RecordHead: at(2), Erasure: "c", State: manifest.ErasureIntent, Calls: ids("2025-05-01", "9")},
		{RecordHead: at(1), Erasure: "a", State: manifest.ErasureIntent, Reason: "one", Calls: ids("2025-05-01", "1", "2"), Recordings: ids("2025-05-01", "7")},
		{RecordHead: at(1), Erasure: "a", State: manifest.ErasureIntent, Reason: "one", Calls: ids("2025-05-02", "2", "3")},
		{RecordHead: at(4), Erasure: "b", State: manifest.ErasureWithdrawn},
		{RecordHead: at(3), Erasure: "b", State: manifest.ErasureIntent, Reason: "two", Recordings: ids("2025-05-01", "8", "8")},
		{RecordHead: at(3), Erasure: "c", State: manifest.ErasureLines},
	})
	want := []Erasure{
		{ID: "a", Time: at(1).Time, State: ErasureDone, Reason: "one", Calls: 3, Recordings: 1},
		{ID: "c", Time: at(2).Time, State: ErasureUnfinished, Calls: 1},
		{ID: "b", Time: at(3).Time, State: ErasureWithdrawn, Reason: "two", Recordings: 1},
	}
	ends := []time.Time{at(9).Time, {}, at(4).Time}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i, e := range got {
		if ended := e.Ended; ended != nil && !ended.Equal(ends[i]) || ended == nil && !ends[i].IsZero() {
			t.Errorf("%s ended %v, want %v", e.ID, ended, ends[i])
		}
		if e.Ended = nil; e != want[i] {
			t.Errorf("got %+v, want %+v", e, want[i])
		}
	}
}

// TestFoldExpiries: each day and class of an expiry is listed once, without withdrawn recordings, in any
// order of the records.
func TestFoldExpiries(t *testing.T) {
	at := manifest.RecordHead{Time: time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)}
	record := func(state, expiry, day, class string, ids ...string) manifest.ExpiryRecord {
		return manifest.ExpiryRecord{RecordHead: at, State: state, Expiry: expiry, Day: day, Class: class, Ended: "2026-04-30", Recordings: ids}
	}
	const intent, withdrawn, done, removing = manifest.ErasureIntent, manifest.ErasureWithdrawn, manifest.ErasureDone, manifest.ClaimRemoved
	got := foldExpiries([]manifest.ExpiryRecord{
		record(withdrawn, "a", "2025-05-01", "short", "2"),
		record(done, "a", "", ""),
		record(intent, "b", "2025-05-02", "short", "2", "9"),
		record(intent, "a", "2025-05-02", "short", "2"),
		record(intent, "a", "2025-05-01", "short", "1", "2"),
		record(intent, "a", "2025-05-01", "short", "3"),
		record(intent, "a", "2025-05-01", "other", "4"),
		record(removing, "a", "2025-05-01", ""),
		record(intent, "c", "2025-05-03", "short", "5"),
		record(withdrawn, "c", "2025-05-03", "short", "5"),
	})
	one := func(id, day, class, state string, recordings int) Expiry {
		return Expiry{ID: id, Time: at.Time, Day: day, State: state, Outcome: manifest.Expired, Recordings: recordings, Class: class, Ended: "2026-04-30"}
	}
	want := []Expiry{
		one("a", "2025-05-01", "other", ErasureDone, 1), one("a", "2025-05-01", "short", ErasureDone, 2), one("a", "2025-05-02", "short", ErasureDone, 1),
		one("b", "2025-05-02", "short", ErasureUnfinished, 2), one("c", "2025-05-03", "short", ErasureWithdrawn, 0),
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
