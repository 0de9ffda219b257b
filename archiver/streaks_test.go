package archiver

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// lateStore takes no recording before a channel is closed.
type lateStore struct {
	Store
	begin chan struct{}
}

func (s *lateStore) Put(ctx context.Context, object store.Object) (store.Stored, error) {
	select {
	case <-s.begin:
	case <-ctx.Done():
	}
	return s.Store.Put(ctx, object)
}

// TestStoredInAnOutageProvesNothing has a host fail for good after its first answers,
// whose recordings are stored only while it fails: that they were had before says
// nothing of the host now.
func TestStoredInAnOutageProvesNothing(t *testing.T) {
	const good, stored = 3, mostRefused - 5
	day := daysAgo(t, 20)
	then := time.Now().Add(-5 * oneDay)
	server := simulate(t, convosotest.Config{FirstDay: string(day), CallsPerDay: mostRefused + 30})
	begin := make(chan struct{})
	var requests atomic.Int64
	server.SetMediaHook(func(convosotest.MediaRequest) convosotest.Fault {
		n := requests.Add(1)
		if n == stored {
			close(begin)
		}
		if n <= good {
			return convosotest.FaultNone
		}
		return convosotest.FaultNotFound
	})
	a := archiveOf(t, server)
	for recording := range server.Recordings() {
		a.note(day, manifest.Recording{
			RecordingID: recording.ID, Outcome: manifest.Pending, Reason: manifest.NotFoundReason("another"), Time: then, FirstSeen: then,
		})
	}
	summary, err := a.run(day, day, func(s *setup) { s.Store = &lateStore{s.Store, begin} })
	if !errors.Is(err, ErrOutage) || summary.Lost != 0 || summary.GivenUp != 0 {
		t.Errorf("the run ended with %v, %d lost, %d given up", err, summary.Lost, summary.GivenUp)
	}
	if summary.Archived != good {
		t.Errorf("%d archived", summary.Archived)
	}
}
