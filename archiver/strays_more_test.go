package archiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// TestStrayThatIsNotStored keeps a day open until the stray that it listed has a line.
func TestStrayThatIsNotStored(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day, own := w.ago(6), w.ago(900)
		w.recordedCalls(w.ago(7), 2)
		w.recordedCalls(day, 3)
		stray := w.call(string(own)+" 11:11:00", 1)
		stray.visible = time.Now().Add(1000 * oneDay)
		o := trial{vendor: w.withStrays(day, stray), config: spanOf(w.ago(7), day), store: func(s Store) Store {
			return &refusing{Store: s, id: stray.recorded[0].id}
		}}
		n := w.try(o)
		if d := w.day(day); len(d.Windows()) > 0 {
			t.Errorf("a window line, and the recording that the window listed has no line: %+v", n.OpenDays)
		}
		time.Sleep(25 * time.Hour)
		n = w.try(o)
		if w.isClosed(day) {
			t.Errorf("closed, and the stray has no line and is not stored: %s; open days %+v", told(w.state(own, stray.recorded[0])), n.OpenDays)
		}
		// From now on the store works.
		for range 3 {
			time.Sleep(25 * time.Hour)
			o.store = nil
			o.config = func(c *Config) { c.Span.CatchUp = true }
			w.try(o)
		}
		if s := w.state(own, stray.recorded[0]); s.Outcome != manifest.Archived {
			t.Errorf("three runs later: %s", told(s))
		}
	})
}

type refusing struct {
	Store
	id string
}

func (s *refusing) Put(ctx context.Context, o store.Object) (store.Info, error) {
	if o.RecordingID == s.id {
		return store.Info{}, errors.New("input/output error")
	}
	return s.Store.Put(ctx, o)
}

// TestStraysInMemory limits the rows of other days in memory.
func TestStraysInMemory(t *testing.T) {
	const strays, comment = 30_000, 2000
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(6)
		text := strings.Repeat("x", comment)
		row := func(i int) map[string]any {
			wall := string(day) + " 10:00:00"
			if i >= 500 {
				wall = string(w.ago(30)) + " 10:00:00"
			}
			return map[string]any{"id": fmt.Sprint(i), "call_date": wall, "call_length": "1", "agent_comment": text, "recording": []any{}}
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		peak := uint64(0)
		vendor := &hooked{world: w, page: func(r *http.Request) *http.Response {
			q := r.URL.Query()
			if q.Get("start_time") != day.Window().From.Format(fetcher.WallLayout) {
				return nil
			}
			offset, _ := strconv.Atoi(q.Get("offset"))
			rows := []any{}
			for i := offset; i < min(offset+500, strays+500); i++ {
				rows = append(rows, row(i))
			}
			body, _ := json.Marshal(map[string]any{"success": true, "data": map[string]any{"total_found": strays + 500, "results": rows}})
			if offset%5000 == 0 {
				runtime.GC()
				runtime.ReadMemStats(&after)
				peak = max(peak, after.HeapAlloc-before.HeapAlloc)
			}
			return answered(http.StatusOK, body)
		}}
		w.try(trial{vendor: vendor, config: spanOf(day, day)})
		if peak > 64<<20 {
			t.Errorf("%d MiB are held", peak>>20)
		}
	})
}
