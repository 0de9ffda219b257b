package archiver

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// open opens the archive to write to its ledger, like another command.
func (w *world) open(do func(l *manifest.Ledger) error) {
	w.t.Helper()
	opened, err := Open(context.Background(), Location{Folder: w.dir}, Archive, "", slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	defer opened.Close(context.Background())
	if err := do(opened.Ledger); err != nil {
		w.t.Fatal(err)
	}
}

// intent returns the intent to erase calls of a day, and recordings of other calls.
func intent(day fetcher.Date, calls []string, recordings ...string) *manifest.ErasureRecord {
	r := manifest.NewErasureRecord(manifest.ErasureIntent, "E")
	for _, id := range calls {
		r.Calls = append(r.Calls, manifest.ErasedID{Day: string(day), ID: id})
	}
	for _, id := range recordings {
		r.Recordings = append(r.Recordings, manifest.ErasedID{Day: string(day), ID: id})
	}
	return r
}

// wantNoFile fails if a file below the archive's folder, other than the given ones, has a text in its name or
// content.
func (w *world) wantNoFile(text string, except ...string) {
	w.t.Helper()
	for _, name := range w.files() {
		data, err := os.ReadFile(filepath.Join(w.dir, name))
		if err != nil {
			w.t.Fatal(err)
		}
		isExcepted := false
		for _, prefix := range except {
			isExcepted = isExcepted || strings.HasPrefix(filepath.ToSlash(name), prefix)
		}
		if !isExcepted && (strings.Contains(name, text) || strings.Contains(string(data), text)) {
			w.t.Errorf("%s tells of %s", name, text)
		}
	}
}

// TestErasedStaysAway erases archived and waiting recordings and one that is listed later: no run fetches, notes or
// adopts them, and the day closes, whether or not it was open and lines and audio are already removed.
func TestErasedStaysAway(t *testing.T) {
	for name, carriedOut := range map[string]bool{"intended": false, "carried out": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(5)
				kept, gone, waits := w.recordedCalls(day, 2), w.call(string(day)+" 15:00:00", 2), w.call(string(day)+" 16:00:00", 1)
				waits.recorded[0].link = time.Now().AddDate(1, 0, 0)
				if n := w.try(trial{config: spanOf(day, day)}); n.Archived != 4 || n.DaysClosed != 0 {
					t.Fatalf("%d archived, %d days closed", n.Archived, n.DaysClosed)
				}
				w.open(func(l *manifest.Ledger) error {
					err := l.PutRecords(context.Background(), manifest.ErasureStem, intent(day, []string{gone.id, waits.id}))
					if err != nil || !carriedOut {
						return err
					}
					for _, r := range gone.recorded {
						if err := os.Remove(filepath.Join(w.dir, r.file)); err != nil {
							return err
						}
					}
					_, err = l.EraseLines(context.Background(), string(day))
					return err
				})
				waits.recorded[0].link = time.Now()
				late := &worldRecording{id: "late", token: "tokenlate", file: "late.mp3", link: time.Now(), ready: time.Now()}
				gone.recorded = append(gone.recorded, late)
				other := w.call(string(day)+" 17:00:00", 1)
				for range 2 {
					n := w.try(trial{config: all(spanOf(day, day), func(c *Config) { c.Relist = true })})
					if n.err != nil || n.incomplete() || n.DaysClosed != 1 {
						t.Errorf("%v, incomplete %v, open %+v", n.err, n.incomplete(), n.OpenDays)
					}
				}
				if w.requested[late.token]+w.requested[waits.recorded[0].token] > 0 || w.requested[gone.recorded[0].token] != 1 {
					t.Errorf("fetched: %v", w.requested)
				}
				status := w.mustRead(day)
				if status[gone.recorded[0].id] != manifest.Erased || status[gone.recorded[1].id] != manifest.Erased || status[waits.recorded[0].id] != manifest.Erased ||
					status[kept[0].id] != manifest.Archived || status[other.recorded[0].id] != manifest.Archived || len(status) != 6 {
					t.Errorf("%v", status)
				}
				w.wantNoFile(late.file)
				if carriedOut {
					for _, r := range append(gone.recorded, waits.recorded...) {
						w.wantNoFile(r.file)
					}
				}
			})
		})
	}
}

// mustRead returns the outcomes of a day's recordings.
func (w *world) mustRead(date fetcher.Date) map[string]manifest.Outcome {
	outcomes := map[string]manifest.Outcome{}
	for id, s := range w.day(date).Recordings() {
		outcomes[id] = s.Outcome
	}
	return outcomes
}

// TestErasedAudioIsNobodyElses has two recordings with one key. The first is erased and its audio not yet removed: that
// audio is not adopted for the second.
func TestErasedAudioIsNobodyElses(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		first := w.recordedCalls(day, 1)[0]
		w.try(trial{config: spanOf(day, day), template: "{{.campaign_id}}"})
		w.open(func(l *manifest.Ledger) error {
			return l.PutRecords(context.Background(), manifest.ErasureStem, intent(day, []string{"1000"}, first.id))
		})
		second := w.call(string(day)+" 16:00:00", 1).recorded[0]
		same := func(*http.Request, string) (*http.Response, error) {
			return answered(http.StatusOK, first.audio()), nil
		}
		n := w.try(trial{config: all(spanOf(day, day), func(c *Config) { c.Relist = true }), template: "{{.campaign_id}}", vendor: &hooked{world: w, audio: same}})
		if s := w.state(day, second); n.Archived != 1 || n.Adopted != 0 || s.Key == "7.mp3" || s.Outcome != manifest.Archived {
			t.Errorf("%d archived, %d adopted, %s", n.Archived, n.Adopted, told(s))
		}
	})
}

// TestErasedDuringARun erases while a run holds the lines in memory: they are not stored, and the run closes the day.
func TestErasedDuringARun(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		recordings := w.recordedCalls(day, 4)
		bucket := newBucket()
		fetched := 0
		vendor := &hooked{world: w, audio: func(*http.Request, string) (*http.Response, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if fetched++; fetched != 4 {
				return nil, nil
			}
			other, err := manifest.OpenBucket(bucket, manifest.Options{})
			if err == nil {
				err = other.PutRecords(context.Background(), manifest.ErasureStem, intent(day, []string{"1000"}))
			}
			return nil, err
		}}
		n := w.try(trial{vendor: vendor, bucket: bucket, config: spanOf(day, day)})
		if n.err != nil || n.incomplete() || n.DaysClosed != 1 {
			t.Errorf("%v, incomplete %v, open %+v", n.err, n.incomplete(), n.OpenDays)
		}
		for name, text := range bucket.files {
			if strings.Contains(string(text), recordings[0].file) {
				t.Errorf("%s tells of what is erased", name)
			}
		}
	})
}

// TestRebuildBeforeWithdrawal rebuilds a lost manifest while an erasure has an intent and has removed nothing
// yet, like a killed one. The erasure is withdrawn later, because a case holds its recording. The recording
// is archived as before.
func TestRebuildBeforeWithdrawal(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		w.recordedCalls(day, 2)
		w.try(trial{config: spanOf(day, day)})
		w.open(func(l *manifest.Ledger) error {
			return l.PutRecords(context.Background(), manifest.ErasureStem, intent(day, nil, "10010"))
		})
		if err := os.RemoveAll(filepath.Join(w.dir, "manifest", string(day))); err != nil {
			t.Fatal(err)
		}
		for _, want := range []Rebuilt{{Archived: 1, Erased: 1}, {Archived: 2}} {
			opened, err := Open(context.Background(), Location{Folder: w.dir}, Archive, "", slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			rebuild := &Rebuild{Ledger: opened.Ledger, Store: opened.Store.(RebuildStore), Keys: w.keys(""), Workers: 2, Logger: w.log()}
			made, err := rebuild.Run(context.Background())
			if err != nil || made.Archived != want.Archived || made.Erased != want.Erased {
				t.Errorf("%v, %+v, want %+v", err, made, want)
			}
			withdrawn := manifest.NewErasureRecord(manifest.ErasureWithdrawn, "E")
			if err := errors.Join(opened.Ledger.PutRecords(context.Background(), manifest.ErasureStem, withdrawn), opened.Close(context.Background())); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.mustRead(day); len(got) != 2 || got["10010"] != manifest.Archived {
			t.Errorf("%v", got)
		}
	})
}

// TestRebuildObeys rebuilds a lost manifest next to audio that is erased but not yet removed.
func TestRebuildObeys(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		w.recordedCalls(day, 3)
		w.try(trial{config: spanOf(day, day)})
		w.open(func(l *manifest.Ledger) error {
			return l.PutRecords(context.Background(), manifest.ErasureStem, intent(day, []string{"1000"}, "10010"))
		})
		if err := os.RemoveAll(filepath.Join(w.dir, "manifest", string(day))); err != nil {
			t.Fatal(err)
		}
		opened, err := Open(context.Background(), Location{Folder: w.dir}, Archive, "", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		rebuild := &Rebuild{Ledger: opened.Ledger, Store: opened.Store.(RebuildStore), Keys: w.keys(""), Workers: 2, Logger: w.log()}
		for range 2 {
			made, err := rebuild.Run(context.Background())
			if err != nil || made.Archived != 1 || made.Erased != 1 || made.Recordings != 2 || made.Unreadable+made.Ambiguous+made.Missing > 0 {
				text, _ := json.Marshal(made)
				t.Errorf("%v, %s", err, text)
			}
			rebuild.sum = Rebuilt{}
		}
		// An erasure after a rebuild does not prevent another rebuild of the day.
		if err := opened.Ledger.PutRecords(context.Background(), manifest.ErasureStem, intent(day, []string{"1002"})); err != nil {
			t.Fatal(err)
		}
		if made, err := rebuild.Run(context.Background()); err != nil || made.Days != 1 || made.Known+made.Archived > 0 || made.Erased != 1 {
			t.Errorf("%v, %+v", err, made)
		}
		d, err := opened.Ledger.Load(context.Background(), string(day))
		if err != nil {
			t.Fatal(err)
		}
		listed := &fetcher.Call{ID: "1000", Recordings: []fetcher.Recording{{ID: "new", CallID: "1000", Identity: "new"}}}
		if !newDay(plannedDay{date: day}, d).isNoted(listed) {
			t.Error("a recording of an erased call is waited for")
		}
		if err := opened.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := w.mustRead(day); len(got) != 1 || got["10020"] != manifest.Erased {
			t.Errorf("%v", got)
		}
		w.wantNoFile("10010", "calls/", "evidence/", "100200_")
	})
}
