package archiver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/internal/s3test"
	"convoso-archiver/manifest"
)

// onS3 opens an archive in a bucket.
func onS3(t *testing.T, options store.S3Options) *Opened {
	t.Helper()
	options.TempDir = t.TempDir()
	opened, err := Open(t.Context(), Location{S3: options}, Archive, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// runOn makes a run over a day with an open archive.
func (w *world) runOn(ctx context.Context, opened *Opened, vendor http.RoundTripper, day fetcher.Date, workers int) (Summary, error) {
	client := w.client(vendor, time.Minute)
	defer client.Close()
	config := Config{
		Run: opened.Ledger.Run(), APIURL: "https://api.test/v1", Zone: w.zone, Order: Ascending, Settle: 2 * oneDay, PurgeAfter: 155 * oneDay,
		GiveUp: 14 * oneDay, RetryFor: time.Minute, Calls: AllCalls, Workers: workers, Conditions: opened.Conditions, KeyPrefixLen: opened.KeyPrefixLen,
	}
	spanOf(day, day)(&config)
	a := &Archiver{Config: config, Source: client, Store: opened.Store, Ledger: opened.Ledger, Keys: w.keys(""), Logger: w.log()}
	err := a.Run(ctx)
	return a.Summary(), err
}

// TestKilledOnS3 kills a run after its lines were stored for the first time: flushed recordings
// cost no request again, the others are found in the store, and in the end everything is noted.
func TestKilledOnS3(t *testing.T) {
	server := s3test.Start(t, false)
	server.Setenv(t)
	options := store.S3Options{Bucket: server.Bucket, Endpoint: server.Endpoint, Prefix: "a/prefix"}
	w := newWorld(t)
	const count = 150
	day := w.ago(5)
	recordings := w.recordedCalls(day, count)

	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	segments := filepath.Join(server.Dir, server.Bucket, "a", "prefix", "manifest", string(day), "*.jsonl")
	var served, flushedAt atomic.Int64
	vendor := &hooked{world: w, audio: func(r *http.Request, _ string) (*http.Response, error) {
		n := served.Add(1)
		for n > count/2 && r.Context().Err() == nil { // half of them before lines are stored, and some after
			if found, _ := filepath.Glob(segments); len(found) > 0 {
				flushedAt.CompareAndSwap(0, n)
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if at := flushedAt.Load(); at > 0 && n > at+20 {
			kill()
		}
		return nil, nil
	}}
	killed := onS3(t, options)
	first, err := w.runOn(ctx, killed, vendor, day, 4)
	if err == nil {
		t.Fatal("the run was not killed")
	}
	// Nothing is closed: the ledger's lines in memory are lost.

	opened := onS3(t, options)
	d, err := opened.Ledger.Load(t.Context(), string(day))
	if err != nil {
		t.Fatal(err)
	}
	noted := d.Count()
	if noted == 0 || noted >= first.Archived || len(d.Windows()) > 0 {
		t.Errorf("%d archived, %d of them noted, %d window lines", first.Archived, noted, len(d.Windows()))
	}
	w.mu.Lock()
	w.asked = 0
	w.mu.Unlock()
	second, err := w.runOn(t.Context(), opened, w, day, 4)
	if err != nil || second.Archived != count-noted || second.Known != noted || w.asked != count-noted || second.DaysClosed != 1 {
		t.Errorf("%v: %d archived, %d known, %d requests, open days %+v", err, second.Archived, second.Known, w.asked, second.OpenDays)
	}
	if second.Adopted < first.Archived-noted {
		t.Errorf("%d were stored and not noted, %d adopted", first.Archived-noted, second.Adopted)
	}
	if d, err = opened.Ledger.Load(t.Context(), string(day)); err != nil {
		t.Fatal(err)
	}
	for _, r := range recordings {
		s, _ := d.Recording(r.id)
		body, err := os.ReadFile(filepath.Join(server.Dir, server.Bucket, "a", "prefix", r.file))
		if err != nil || s.Key != r.file || s.SHA256 != sha256.Sum256(body) || !bytes.Equal(body, r.audio()) {
			t.Errorf("recording %s: %s: %v", r.id, told(s), err)
		}
	}
	stored := 0
	for _, err := range opened.Store.List(t.Context(), "") {
		if stored++; err != nil {
			t.Fatal(err)
		}
	}
	if stored != count {
		t.Errorf("%d objects for %d recordings", stored, count)
	}
	if err := opened.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTakenKeyOnS3 puts an object under the key that a recording should get.
func TestTakenKeyOnS3(t *testing.T) {
	server := s3test.Start(t, false)
	server.Setenv(t)
	body := frames(4)
	object := func(id, call string) store.Object {
		return store.Object{Key: "call.mp3", Body: bytes.NewReader(body), Size: int64(len(body)), SHA256: sha256.Sum256(body), RecordingID: id, CallID: call}
	}
	for name, test := range map[string]struct {
		object  store.Object // without an id, as after copying
		twice   bool         // two recordings want it
		adopted int
	}{
		"its own":                               {object: object("10000", "1000"), adopted: 1},
		"of another recording":                  {object: object("5", "1000")},
		"of the same id, another call":          {object: object("10000", "5")},
		"that came by copying":                  {adopted: 1},
		"that came by copying, and two want it": {twice: true, adopted: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			day := w.ago(5)
			r := w.recordedCalls(day, 1+map[bool]int{true: 1}[test.twice])
			for i := range r {
				r[i].file = "call.mp3"
			}
			bucket := server.NewBucket(t, t.Name())
			opened := onS3(t, store.S3Options{Bucket: bucket, Endpoint: server.Endpoint})
			if test.object.RecordingID == "" {
				// The archive's own files have no metadata either.
				if err := opened.Store.(*store.S3).PutFile(t.Context(), "call.mp3", body, ""); err != nil {
					t.Fatal(err)
				}
			} else if _, err := opened.Store.Put(t.Context(), test.object); err != nil {
				t.Fatal(err)
			}
			s, err := w.runOn(t.Context(), opened, w.deliversSame(body), day, 1)
			if err != nil || s.Archived != len(r) || s.Adopted != test.adopted || s.DaysClosed != 1 {
				t.Errorf("%v: %d archived, %d adopted, open days %+v", err, s.Archived, s.Adopted, s.OpenDays)
			}
			d, err := opened.Ledger.Load(t.Context(), string(day))
			if err != nil {
				t.Fatal(err)
			}
			keys := map[string]bool{}
			for id, state := range d.Recordings() {
				if keys[state.Key] || state.Outcome != manifest.Archived || strings.Contains(state.Key, "-") && !strings.Contains(state.Key, id) {
					t.Errorf("recording %s: %s", id, told(state))
				}
				keys[state.Key] = true
			}
			if keys["call.mp3"] != (test.adopted > 0) {
				t.Errorf("keys %v", keys)
			}
			if err := opened.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
