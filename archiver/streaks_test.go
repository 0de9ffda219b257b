package archiver

import (
	"context"
	"errors"
	"log/slog"
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

// archivedHandler calls a function for each recording that is logged as archived.
type archivedHandler struct {
	slog.Handler
	archived func()
}

func (h *archivedHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *archivedHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }

func (h *archivedHandler) Handle(_ context.Context, record slog.Record) error {
	if record.Message == "recording archived" {
		h.archived()
	}
	return nil
}

// TestStoredInAnOutageProvesNothing has a host fail for good after its first answers,
// whose recordings are stored only while it fails: that they were had before says
// nothing of the host now.
func TestStoredInAnOutageProvesNothing(t *testing.T) {
	const good, refusedBefore = 3, mostRefused - 5
	day := daysAgo(t, 20)
	then := time.Now().Add(-5 * oneDay)
	server := simulate(t, convosotest.Config{FirstDay: string(day), CallsPerDay: good + refusedBefore + mostRefused - 5})
	begin, stored := make(chan struct{}), make(chan struct{})
	var requests, archived atomic.Int64
	server.SetMediaHook(func(convosotest.MediaRequest) convosotest.Fault {
		n := requests.Add(1)
		switch {
		case n <= good:
			return convosotest.FaultNone
		case n == good+refusedBefore:
			close(begin)
		}
		if n >= good+refusedBefore {
			select {
			case <-stored:
			case <-t.Context().Done():
			}
		}
		return convosotest.FaultNotFound
	})
	a := archiveOf(t, server)
	var lines []manifest.Recording
	for recording := range server.Recordings() {
		lines = append(lines, manifest.Recording{
			RecordingID: recording.ID, Outcome: manifest.Pending, Reason: manifest.NotFoundReason("another"), Time: then, FirstSeen: then,
		})
	}
	a.note(day, lines...)
	summary, err := a.run(day, day, func(s *setup) {
		s.Store = &lateStore{s.Store, begin}
		s.Logger = slog.New(&archivedHandler{slog.DiscardHandler, func() {
			if archived.Add(1) == good {
				close(stored)
			}
		}})
	})
	if !errors.Is(err, ErrOutage) || summary.Lost != 0 || summary.Archived != good {
		t.Errorf("the run ended with %v, %d lost, %d archived", err, summary.Lost, summary.Archived)
	}
}
