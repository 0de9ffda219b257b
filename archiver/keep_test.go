package archiver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// deliversSame is a world whose recordings all have the same bytes, like silent ones.
func (w *world) deliversSame(body []byte) *hooked {
	return &hooked{world: w, audio: func(*http.Request, string) (*http.Response, error) {
		return answered(http.StatusOK, body), nil
	}}
}

// slowStore returns ten seconds after it has stored a body.
type slowStore struct{ Store }

func (s slowStore) Put(ctx context.Context, o store.Object) (store.Info, error) {
	info, err := s.Store.Put(ctx, o)
	if err == nil {
		time.Sleep(10 * time.Second)
	}
	return info, err
}

// archivedLine returns a line of an earlier run.
func archivedLine(id, key string, body []byte) manifest.Recording {
	sum := sha256.Sum256(body)
	return manifest.Recording{
		RecordingID: id, Outcome: manifest.Archived, Key: key, Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:]), CallID: "1",
	}
}

// TestTakenKey puts an object under the key that a recording should get.
func TestTakenKey(t *testing.T) {
	body, other := frames(4), frames(5)
	spoil := func(w *world, date fetcher.Date) {
		w.put("manifest/"+string(date)+"/19990101T000000Z-00000000-000001.jsonl", []byte("{\"v\":1,\"kind\":\"recording\",\n{}\n"))
	}
	for name, test := range map[string]struct {
		there   []byte
		before  func(w *world, date fetcher.Date)
		adopted bool
	}{
		"the same bytes, which no line names": {there: body, adopted: true},
		"other bytes":                         {there: other},
		"the same bytes, of another recording": {there: body, before: func(w *world, date fetcher.Date) {
			w.note(date, archivedLine("5", "call.mp3", body))
		}},
		"the same bytes, of another day's": {there: body, before: func(w *world, date fetcher.Date) {
			w.note(date.AddDays(-90), archivedLine("5", "call.mp3", body))
		}},
		"of one with the same id on another day": {there: body, before: func(w *world, date fetcher.Date) {
			w.note(date.AddDays(-90), archivedLine("77", "call.mp3", body))
		}},
		"of one that was damaged once": {there: body, before: func(w *world, date fetcher.Date) {
			damaged := archivedLine("5", "call.mp3", body)
			damaged.Outcome = manifest.Damaged
			w.note(date.AddDays(-1), archivedLine("5", "call.mp3", body), damaged)
		}},
		"of one that only waits for it": {there: body, adopted: true, before: func(w *world, date fetcher.Date) {
			w.note(date.AddDays(-1), manifest.Recording{RecordingID: "5", Outcome: manifest.Pending, Key: "call.mp3"})
		}},
		"of one whose line cannot be read, perhaps": {there: body, before: func(w *world, date fetcher.Date) {
			spoil(w, date.AddDays(-90))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(5)
				r := w.recordedCalls(day, 1)[0]
				r.id, r.file = "77", "call.mp3"
				w.put("call.mp3", test.there)
				if test.before != nil {
					test.before(w, day)
				}
				n := w.try(trial{vendor: w.deliversSame(body), config: spanOf(day, day)})
				s := w.state(day, r)
				wanted, adopted := "call-77.mp3", 0
				if test.adopted {
					wanted, adopted = "call.mp3", 1
				}
				if s.Outcome != manifest.Archived || s.Key != wanted || n.Archived != 1 || n.Adopted != adopted {
					t.Errorf("%s under %q, %d adopted; %v", s.Outcome, s.Key, n.Adopted, n.OpenDays)
				}
				for file, want := range map[string][]byte{"call.mp3": test.there, wanted: body} {
					if got, err := os.ReadFile(filepath.Join(w.dir, file)); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%s is not as it was, or not as it was sent: %v", file, err)
					}
				}
			})
		})
	}
}

// TestOneKeyForSeveral downloads recordings with the same bytes in parallel. Each should get the
// key under which another one is stored but not yet noted.
func TestOneKeyForSeveral(t *testing.T) {
	body := frames(4)
	for name, test := range map[string]struct {
		template string
		files    [2]string // of the recordings 10000 and 10010
		before   string    // other bytes under that key
	}{
		"the same name":                  {files: [2]string{"call.mp3", "call.mp3"}},
		"the name with the other's id":   {files: [2]string{"call-10010.mp3", "call.mp3"}, before: "call.mp3"},
		"names that differ in case":      {files: [2]string{"CALL.mp3", "call.mp3"}},
		"the same name of two days":      {template: "{{.campaign_id}}.mp3", files: [2]string{"a.mp3", "b.mp3"}},
		"the other's id, of two days":    {files: [2]string{"x/call-10010.mp3", "x/call.mp3"}, before: "x_call.mp3"},
		"one name with the other's hash": {files: [2]string{"call-10010_" + firstDigits(body) + ".mp3", "call.mp3"}, before: "call.mp3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				first, second := w.ago(6), w.ago(5)
				if !strings.Contains(name, "days") {
					second = first
				}
				one, other := w.call(string(first)+" 09:00:00", 1), w.call(string(second)+" 10:00:00", 1)
				one.recorded[0].file, other.recorded[0].file = test.files[0], test.files[1]
				one.recorded[0].id, other.recorded[0].id = "10000", "10010"
				if test.before != "" {
					w.put(test.before, frames(7))
				}
				n := w.try(trial{
					vendor: w.deliversSame(body), config: spanOf(first, second), template: test.template,
					store: func(s Store) Store { return slowStore{s} },
				})
				if n.err != nil || n.Archived != 2 || n.Adopted != 0 {
					t.Errorf("%v, %d archived, %d of them adopted", n.err, n.Archived, n.Adopted)
				}
				a, b := w.state(first, one.recorded[0]), w.state(second, other.recorded[0])
				if a.Key == b.Key || a.Key == "" || b.Key == "" {
					t.Errorf("keys %q and %q", a.Key, b.Key)
				}
			})
		})
	}
}

func firstDigits(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:4])
}

// foldedStore is a store on a file system that ignores case: names that differ only in case lead to
// the same file.
type foldedStore struct {
	Store
	dir string
}

func (s foldedStore) Put(ctx context.Context, o store.Object) (store.Info, error) {
	entries, _ := os.ReadDir(s.dir)
	for _, e := range entries {
		if strings.EqualFold(e.Name(), o.Key) && e.Name() != o.Key {
			o.Key = e.Name() // the name on disk, as Disk reports it
		}
	}
	return s.Store.Put(ctx, o)
}

// TestFileSystemIgnoresCase has two recordings with the same bytes, whose names differ only in
// case.
func TestFileSystemIgnoresCase(t *testing.T) {
	for name, slow := range map[string]bool{"one after another": false, "at once": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(5)
				r := w.recordedCalls(day, 2)
				r[0].file, r[1].file = "CALL.mp3", "call.mp3"
				vendor := w.deliversSame(frames(4))
				same := vendor.audio
				vendor.audio = func(request *http.Request, token string) (*http.Response, error) {
					if token == r[1].token {
						time.Sleep(time.Second)
					}
					return same(request, token)
				}
				n := w.try(trial{
					vendor: vendor,
					config: all(spanOf(day, day), func(c *Config) { c.Workers = map[bool]int{true: 4, false: 1}[slow] }),
					store: func(s Store) Store {
						s = foldedStore{s, w.dir}
						if slow {
							s = slowStore{s}
						}
						return s
					},
				})
				a, b := w.state(day, r[0]), w.state(day, r[1])
				if n.Archived != 2 || n.Adopted != 0 || strings.EqualFold(a.Key, b.Key) {
					t.Errorf("%d archived, %d of them adopted, keys %q and %q", n.Archived, n.Adopted, a.Key, b.Key)
				}
			})
		})
	}
}

// TestNoKey has a template that fails on one call's values, and a name whose folder is a file: this
// fails only that recording, the others continue, and it does not count towards --max-recordings.
func TestNoKey(t *testing.T) {
	for name, test := range map[string]struct{ template, there string }{
		"the template fails": {template: `{{if eq .filename "odd.mp3"}}{{slice .filename 0 99}}{{end}}{{.filename}}`},
		"a file is there":    {template: `{{if eq .filename "odd.mp3"}}a/{{end}}{{.filename}}`, there: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(5)
				r := w.recordedCalls(day, 4)
				r[0].file = "odd.mp3"
				if test.there != "" {
					w.put(test.there, []byte("a file"))
				}
				n := w.try(trial{template: test.template, config: all(spanOf(day, day), func(c *Config) {
					c.MaxRecordings, c.Workers = 3, 1
				})})
				s := w.state(day, r[0])
				if s.Outcome != manifest.Failed || s.Cause != causeKey || n.Failed != 1 {
					t.Errorf("%s, %s: %s", s.Outcome, s.Cause, s.Reason)
				}
				if n.Archived != 3 {
					t.Errorf("%d archived, stopped by %q", n.Archived, n.Stopped)
				}
				if w.isClosed(day) {
					t.Error("the day is closed")
				}
			})
		})
	}
}

// TestDamagedGetsANewKey damages a recording repeatedly, after the time to give up: each time it is
// requested again, and stored under a key that it never had.
func TestDamagedGetsANewKey(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		r := w.recordedCalls(day, 1)[0]
		keys := map[string]bool{}
		for i := range 4 {
			if n := w.try(trial{config: spanOf(day, day)}); n.Archived != 1 || n.DaysClosed != 1 {
				t.Fatalf("%d archived, open days %+v", n.Archived, n.OpenDays)
			}
			s := w.state(day, r)
			if s.Outcome != manifest.Archived || keys[s.Key] {
				t.Fatalf("after %d times %s, under a key had before: %v", i, s.Outcome, keys[s.Key])
			}
			w.mustBeWhole(day)
			keys[s.Key] = true
			w.note(day, manifest.Recording{RecordingID: r.id, Outcome: manifest.Damaged, Key: s.Key, CallID: s.CallID, Source: s.Source})
			time.Sleep(20 * oneDay)
		}
		if w.requested[r.token] != 4 {
			t.Errorf("%d requests", w.requested[r.token])
		}
	})
}

// TestQuarantine keeps a body of an unknown format, once for each different body, unless it repeats
// the link of the recording.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		r := w.recordedCalls(day, 2)
		unknown := bytes.Repeat([]byte{0x00, 0x01, 0x9d, 0x07}, 500)
		vendor := &hooked{world: w, audio: func(r *http.Request, token string) (*http.Response, error) {
			body := unknown
			if strings.HasSuffix(token, "10010") {
				body = append(bytes.Clone(body), r.URL.RequestURI()...)
			}
			return answered(http.StatusOK, body), nil
		}}
		quarantine := func() (names []string) {
			for _, name := range w.files() {
				if strings.HasPrefix(name, "quarantine") {
					names = append(names, filepath.ToSlash(name))
				}
			}
			return names
		}
		first := "quarantine/" + string(day) + "/" + r[0].id
		for range 2 {
			if n := w.try(trial{vendor: vendor, config: spanOf(day, day)}); n.Rejected != 2 || n.Archived != 0 {
				t.Errorf("%d rejected, %d archived", n.Rejected, n.Archived)
			}
			if kept := quarantine(); len(kept) != 1 || kept[0] != first+".bin" {
				t.Errorf("kept %q", kept)
			}
		}
		unknown = append(unknown, 5)
		w.try(trial{vendor: vendor, config: spanOf(day, day)})
		if kept := quarantine(); len(kept) != 2 {
			t.Errorf("of another body kept %q", kept)
		}
		if s := w.state(day, r[1]); !strings.Contains(s.Reason, "contains its secret link") {
			t.Errorf("%s", s.Reason)
		}
	})
}

// TestClaims checks that a claim holds a key until it is released, and that a wait ends with its
// context.
func TestClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c claims
		release, err := c.claim(t.Context(), "a.mp3")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.claim(t.Context(), "b.mp3"); err != nil {
			t.Error("another key is held as well")
		}
		claimed := make(chan func(), 1)
		go func() {
			release, _ := c.claim(t.Context(), "a.mp3")
			claimed <- release
		}()
		synctest.Wait()
		if len(claimed) > 0 {
			t.Fatal("one key is claimed twice")
		}
		release()
		release = <-claimed
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := c.claim(ctx, "a.mp3")
			ended <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || !c.has("a.mp3") {
			t.Errorf("a claim that the run's end cut short: %v", err)
		}
		release()
		if c.has("a.mp3") {
			t.Error("a key is held that was released")
		}
	})
}
