package archiver

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher/convosotest"
)

// waitingStore holds every Put until so many have come together.
type waitingStore struct {
	Store
	together *sync.WaitGroup
}

func (s *waitingStore) Put(ctx context.Context, object store.Object) (store.Stored, error) {
	s.together.Done()
	s.together.Wait()
	return s.Store.Put(ctx, object)
}

// TestDownloadsGoOnWhileOthersAreStored has a store that takes no recording before it
// was given more than there are downloads in flight.
func TestDownloadsGoOnWhileOthersAreStored(t *testing.T) {
	const workers, storing = 2, 6
	day := daysAgo(t, 10)
	server := simulate(t, convosotest.Config{FirstDay: string(day), CallsPerDay: workers + storing, RecordedShare: 1})
	a := archiveOf(t, server)
	var together sync.WaitGroup
	together.Add(workers + storing)
	summary := a.mustRun(day, func(s *setup) {
		s.Config.Workers, s.Config.Storing = workers, storing
		s.Config.MaxRecordings = workers + storing
		s.Store = &waitingStore{s.Store, &together}
	})
	if summary.Archived != workers+storing {
		t.Errorf("%d archived", summary.Archived)
	}
}

// TestDownloadsInFlight has more recordings under way than downloads.
func TestDownloadsInFlight(t *testing.T) {
	const workers, storing, count = 3, 20, 60
	day := daysAgo(t, 10)
	v := newVendor(t)
	var now, most atomic.Int32
	v.onAudio = func(string) {
		n := now.Add(1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		time.Sleep(time.Millisecond) // gives a download too many time to arrive
		now.Add(-1)
	}
	var rows []row
	for i := range count {
		id := string(rune('a'+i/26)) + string(rune('a'+i%26))
		rows = append(rows, callAt(id, day, noon, v.recording("r"+id)))
	}
	v.rows[day] = rows
	summary := v.archive(t).mustRun(day, func(s *setup) { s.Config.Workers, s.Config.Storing = workers, storing })
	if summary.Archived != count || most.Load() > workers {
		t.Errorf("%d archived, up to %d downloads at once", summary.Archived, most.Load())
	}
}
