package archiver

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
)

// TestDayWaitsForWhatAnotherListingTook has one day's listing find a recording of the
// next day, which is then listed while the recording is in flight. That day must not be
// concluded before the recording has its line: its own listing took nothing, so that
// nothing else keeps it open.
func TestDayWaitsForWhatAnotherListingTook(t *testing.T) {
	v := newTwoDays(t)
	a := v.archive(t)
	s := a.open()
	r := s.prepare(t.Context())
	defer r.kill()
	r.now = func() time.Time { return v.now }
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- r.workDay(wholeDay(v.first)) }()
	inFlight := <-r.jobs
	go func() { second <- r.workDay(wholeDay(v.second)) }()
	select {
	case <-second: // a day that does wait never comes here, however slow the machine
		t.Error("the day was concluded while its recording was in flight")
		second <- nil
	case <-time.After(300 * time.Millisecond):
	}
	r.jobs <- inFlight
	end := withWorkers(r)
	for _, ended := range []chan error{first, second} {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	end()
	if !isClosed(t, s, v.second) {
		t.Error("the day is open although its recording is archived")
	}
	s.finish()
	for _, kind := range []string{"recording", "window", "day"} {
		if found := a.lines(v.second, kind); len(found) != 1 {
			t.Errorf("%d lines of kind %s", len(found), kind)
		}
	}
}

// TestIncomplete: exit code 0 would say that nothing is left to do, so that whatever a
// run left undone must show here, and nothing else.
func TestIncomplete(t *testing.T) {
	settled, unsettled := OpenDay{Settled: true}, OpenDay{Waiting: 3}
	for name, test := range map[string]struct {
		summary         Summary
		plain, strictly bool
	}{
		"all is well":                    {Summary{Archived: 5, DaysClosed: 1, Known: 2}, false, false},
		"a settled day is open":          {Summary{OpenDays: []OpenDay{settled}}, true, true},
		"waits in a day not settled":     {Summary{OpenDays: []OpenDay{unsettled}, Pending: 3}, false, true},
		"a day not settled":              {Summary{OpenDays: []OpenDay{{}}}, false, false},
		"the last of several days":       {Summary{OpenDays: []OpenDay{{}, unsettled, settled}}, true, true},
		"a manifest that cannot be read": {Summary{OpenDays: []OpenDay{{Unreadable: true}}}, true, true},
		"one lost":                       {Summary{Archived: 5, Lost: 1, DaysClosed: 1}, true, true},
		"one given up":                   {Summary{Archived: 5, GivenUp: 1, DaysClosed: 1}, true, true},
		"stopped by a limit":             {Summary{Archived: 5, Stopped: "max-recordings"}, true, true},
		"clocks apart, a day open":       {Summary{ClocksApart: true, OpenDays: []OpenDay{{}}}, true, true},
		"clocks apart, nothing to close": {Summary{ClocksApart: true}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.summary.Incomplete(false); got != test.plain {
				t.Errorf("incomplete: %v", got)
			}
			if got := test.summary.Incomplete(true); got != test.strictly {
				t.Errorf("strictly incomplete: %v", got)
			}
		})
	}
}

// slowToNote is a store that, when it has stored a first object, waits for a second one
// to come before it says so.
type slowToNote struct {
	Store
	mu    sync.Mutex
	calls int
	again chan struct{} // closed when the second comes
}

func (s *slowToNote) Put(ctx context.Context, object store.Object) (store.Stored, error) {
	s.mu.Lock()
	s.calls++
	first := s.calls == 1
	if s.calls == 2 {
		close(s.again)
	}
	s.mu.Unlock()
	stored, err := s.Store.Put(ctx, object)
	if first {
		select {
		case <-s.again:
		case <-time.After(300 * time.Millisecond): // it is being held back
		}
	}
	return stored, err
}

// TestNoAdoptionOfWhatIsBeingStored has two recordings with one file name and the same
// bytes come together. The second must not take what the first has stored and not yet
// noted for its own: the two would share a file.
func TestNoAdoptionOfWhatIsBeingStored(t *testing.T) {
	const day = fetcher.Date("2025-05-10")
	v := newVendor(t)
	one, other := v.recording("111"), v.recording("222")
	one.Filename, other.Filename = "a.mp3", "a.mp3"
	v.rows[day] = []row{callAt("1", day, noon, one), callAt("2", day, noon, other)}
	a := v.archive(t)
	summary := a.runAt(instant(t, "2025-05-20"+noon), []plannedDay{wholeDay(day)}, func(s *setup) {
		s.Store = &slowToNote{Store: s.Store, again: make(chan struct{})}
	})
	lines := a.recordings(day)
	if summary.Archived != 2 || summary.Adopted != 0 || lines["111"].Key == lines["222"].Key {
		t.Errorf("%d archived, %d of them adopted, under %q and %q",
			summary.Archived, summary.Adopted, lines["111"].Key, lines["222"].Key)
	}
}

// TestPoolIsBounded: all bodies together hold no more memory than the pool has, however
// many there are; what comes then goes to files.
func TestPoolIsBounded(t *testing.T) {
	pool := newChunkPool(poolBytes)
	var lent [][]byte
	for chunk := pool.get(); chunk != nil; chunk = pool.get() {
		if lent = append(lent, chunk); len(lent)*chunkSize > poolBytes {
			t.Fatalf("%d bytes are lent", len(lent)*chunkSize)
		}
	}
	disk, err := store.OpenDisk(t.TempDir(), store.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	b, err := bodyOf(pool, disk.NewPart, make([]byte, 3*chunkSize))
	defer b.discard()
	if err != nil || b.part == nil || b.part.Size() != 3*chunkSize {
		t.Errorf("with an empty pool a body is in part %v, error %v", b.part, err)
	}
	pool.put(lent)
	small, err := bodyOf(pool, disk.NewPart, make([]byte, memoryLimit))
	defer small.discard()
	if err != nil || small.part != nil {
		t.Errorf("a small body is in a file, error %v", err)
	}
	large, err := bodyOf(pool, disk.NewPart, make([]byte, memoryLimit+1))
	defer large.discard()
	if err != nil || large.part == nil || len(large.chunks) > 0 {
		t.Errorf("a large body holds %d chunks, error %v", len(large.chunks), err)
	}
}

// TestQuarantineKeepsNoLink: a body of no known format is kept for a look, unless it
// repeats what opens the recording.
func TestQuarantineKeepsNoLink(t *testing.T) {
	const day, secret = fetcher.Date("2025-05-10"), "opens-the-recording"
	v := newVendor(t)
	plain, telling := v.recording("111"), v.recording("222")
	link := *telling.Link + "?token=" + secret
	telling.Link = &link
	unknown := bytes.Repeat([]byte{0x00, 0x01, 0x9d, 0x07}, 500)
	v.bodies["111"] = unknown
	v.bodies["222"] = append(bytes.Clone(unknown), "/audio/222?token="+secret...)
	v.rows[day] = []row{callAt("1", day, noon, plain, telling)}
	a := v.archive(t)
	summary := a.runAt(instant(t, "2025-05-20"+noon), []plannedDay{wholeDay(day)}, nil)
	if summary.Rejected != 2 || summary.Archived != 0 {
		t.Errorf("%d rejected, %d archived", summary.Rejected, summary.Archived)
	}
	kept, err := os.ReadDir(filepath.Join(a.dir, "quarantine", string(day)))
	if err != nil || len(kept) != 1 || kept[0].Name() != "111.bin" {
		t.Errorf("kept %v, error %v", kept, err)
	}
}
