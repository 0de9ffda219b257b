package archiver

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// someWAV returns a tenth of a second of silence.
func someWAV() []byte {
	const rate, size = 8000, 1600
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x10\x00data\x00\x00\x00\x00")
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8+size))
	binary.LittleEndian.PutUint32(b[24:], rate)
	binary.LittleEndian.PutUint32(b[28:], 2*rate)
	binary.LittleEndian.PutUint32(b[40:], size)
	return append(b, make([]byte, size)...)
}

// purged is a world with one good day, and one whose first recording is gone at the source. It is
// older than the vendor keeps audio, so one answer is enough to write it off.
func purged(w *world, file string) (day fetcher.Date, gone *worldRecording, run func(trial) night) {
	day = w.ago(30)
	gone = w.recordedCalls(day, 1)[0]
	gone.broken, gone.file = true, file
	w.recordedCalls(day.AddDays(1), 1) // proves that the host works
	return day, gone, func(o trial) night {
		change := o.config
		o.config = func(c *Config) {
			spanOf(day, day.AddDays(1))(c)
			c.PurgeAfter, c.Order = 5*oneDay, Ascending
			if change != nil {
				change(c)
			}
		}
		o.vendor = w.isWellLater()
		return w.try(o)
	}
}

// isWellLater delivers audio five seconds after the request, so after its answers that others do
// not exist.
func (w *world) isWellLater() *hooked {
	return &hooked{world: w, audio: func(_ *http.Request, token string) (*http.Response, error) {
		w.mu.Lock()
		broken := slices.ContainsFunc(w.calls, func(c *worldCall) bool {
			return slices.ContainsFunc(c.recorded, func(r *worldRecording) bool { return r.token == token && r.broken })
		})
		w.mu.Unlock()
		if !broken {
			time.Sleep(5 * time.Second)
		}
		return nil, nil
	}}
}

// TestAdoptionBeforeLoss has a recording in the store, under a name that a killed run may have
// chosen, which the source no longer has.
func TestAdoptionBeforeLoss(t *testing.T) {
	for name, test := range map[string]struct {
		file, stored string
		body         []byte
	}{
		"name of an MP3":        {"call.mp3", "call.mp3", frames(4)},
		"without a name":        {"", "77.mp3", frames(4)},
		"MP3 named as a WAV":    {"call.wav", "call.mp3", frames(4)},
		"WAV named as an MP3":   {"call.mp3", "call.wav", someWAV()},
		"name of a WAV":         {"call.wav", "call.wav", someWAV()},
		"MP3 with the id in it": {"call.mp3", "call-77.mp3", frames(4)},
		"WAV with the id in it": {"call.mp3", "call-77.wav", someWAV()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day, gone, run := purged(w, test.file)
				gone.id = "77"
				w.put(test.stored, test.body)
				n := run(trial{})
				s := w.state(day, gone)
				if s.Outcome != manifest.Archived || s.Key != test.stored || s.Size != int64(len(test.body)) || n.Adopted != 1 || n.Lost != 0 {
					t.Errorf("%s, %d adopted, %d lost", told(s), n.Adopted, n.Lost)
				}
				w.mustClose(day, 1)
			})
		})
	}
}

// noteOld writes a line dated at the end of its day.
func (w *world) noteOld(date fetcher.Date, line manifest.Recording) {
	w.t.Helper()
	line.Time = date.End(w.zone)
	w.note(date, line)
}

// TestLinesLostAndVendorToo loses the lines of a day whose audio the vendor has deleted. Runs do not write off
// what is stored: they find it before anything becomes lost.
func TestLinesLostAndVendorToo(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(30)
		recordings := w.recordedCalls(day, 3)
		run := func() night { return w.try(trial{config: spanOf(day, day.AddDays(1)), vendor: w.isWellLater()}) }
		if n := run(); n.err != nil || n.Archived != 3 {
			t.Fatalf("%v: %+v", n.err, n.Summary)
		}
		if err := os.RemoveAll(filepath.Join(w.dir, "manifest", string(day))); err != nil {
			t.Fatal(err)
		}
		for _, r := range recordings {
			r.broken = true
		}
		w.recordedCalls(day.AddDays(1), 2) // proves that the host works
		if n := run(); n.err != nil || n.Pending != 3 || n.Lost != 0 {
			t.Errorf("%v: %+v", n.err, n.Summary)
		}
		time.Sleep(25 * time.Hour)
		if n := run(); n.err != nil || n.Adopted != 3 || n.Lost != 0 {
			t.Errorf("%v: %+v", n.err, n.Summary)
		}
		w.mustClose(day, 3)
	})
}

// TestNoAdoptionBeforeLoss has another object under the key of a missing recording.
func TestNoAdoptionBeforeLoss(t *testing.T) {
	body := frames(4)
	for name, test := range map[string]struct {
		stored  []byte
		before  func(w *world, day fetcher.Date)
		waits   bool // nothing is decided
		another bool // another missing recording has the same key
	}{
		"nothing":                           {},
		"JSON":                              {stored: []byte(`{"success":false}`)},
		"half of it":                        {stored: body[:1000]},
		"what another one of the day has":   {stored: body, before: func(w *world, day fetcher.Date) { w.noteOld(day.AddDays(1), archivedLine("5", "call.mp3", body)) }},
		"what one of another day has":       {stored: body, before: func(w *world, day fetcher.Date) { w.noteOld(day.AddDays(-90), archivedLine("5", "call.mp3", body)) }},
		"what the same id has, another day": {stored: body, before: func(w *world, day fetcher.Date) { w.noteOld(day.AddDays(-90), archivedLine("77", "call.mp3", body)) }},
		"what differs in case alone":        {stored: body, before: func(w *world, day fetcher.Date) { w.noteOld(day.AddDays(-90), archivedLine("5", "CALL.mp3", body)) }},
		"what another one waits for": {stored: body, before: func(w *world, day fetcher.Date) {
			w.noteOld(day.AddDays(-90), manifest.Recording{RecordingID: "5", Outcome: manifest.Pending, Key: "call.mp3"})
		}},
		"what two may have stored": {stored: body, another: true},
		"what a line may name that cannot be read": {stored: body, waits: true, before: func(w *world, day fetcher.Date) {
			w.put("manifest/"+string(day.AddDays(-90))+"/19990101T000000Z-00000000-000001.jsonl", []byte("{\"v\":1,\"kind\":\"recording\",\n{}\n"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day, gone, run := purged(w, "call.mp3")
				gone.id = "77"
				lost := 1
				if test.another {
					other := w.call(string(day)+" 11:00:00", 1).recorded[0]
					other.broken, other.file = true, "call.mp3"
					lost = 2
				}
				if test.stored != nil {
					w.put("call.mp3", test.stored)
				}
				if test.before != nil {
					test.before(w, day)
				}
				n := run(trial{})
				outcome := manifest.Lost
				if test.waits {
					outcome, lost = manifest.Pending, 0
				}
				if s := w.state(day, gone); s.Outcome != outcome || n.Adopted != 0 || n.Lost != lost {
					t.Errorf("%s, %d adopted, %d lost", told(s), n.Adopted, n.Lost)
				}
				if w.isClosed(day) == test.waits {
					t.Errorf("closed: %v, %+v", !test.waits, n.OpenDays)
				}
			})
		})
	}
}

// TestLeadCalledTwice names files by lead: one lead was called on two days, and the audio of the
// earlier call is gone. The later day's file is never adopted for it.
func TestLeadCalledTwice(t *testing.T) {
	for name, test := range map[string]func(w *world, day fetcher.Date){
		"in one run": nil,
		"after the later day's manifest is gone": func(w *world, day fetcher.Date) {
			if err := os.RemoveAll(filepath.Join(w.dir, "manifest", string(day))); err != nil {
				w.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day, gone, run := purged(w, "call.mp3")
				later := w.calls[1].recorded[0]
				o := trial{template: "leads/{{.campaign_id}}.mp3"}
				run(o)
				if test != nil {
					test(w, day.AddDays(1))
					run(o)
				}
				if s := w.state(day, gone); s.Outcome != manifest.Lost {
					t.Error(told(s))
				}
				if s := w.state(day.AddDays(1), later); s.Outcome != manifest.Archived || s.Key != "leads/7.mp3" {
					t.Error(told(s))
				}
				w.mustBeWhole(day, day.AddDays(1))
			})
		})
	}
}

// TestLeadsAtRandom stores many recordings in parallel, while the earlier calls of the same leads
// are searched in the store.
func TestLeadsAtRandom(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		const leads = 30
		day := w.ago(6)
		for i, r := range append(w.recordedCalls(day, leads), w.recordedCalls(day.AddDays(1), leads)...) {
			r.file = string(rune('a'+i%leads)) + ".mp3"
			r.broken = i < leads
		}
		n := w.try(trial{
			vendor: w.isWellLater(),
			config: all(spanOf(day, day.AddDays(1)), func(c *Config) {
				c.Order, c.PurgeAfter, c.Workers = Ascending, 5*oneDay, 8
			}),
			store: func(s Store) Store { return slowStore{s} },
		})
		if n.Archived != leads || n.Lost != leads || n.Adopted != 0 {
			t.Errorf("%d archived, %d lost, %d adopted: %v", n.Archived, n.Lost, n.Adopted, n.err)
		}
		w.mustBeWhole(day, day.AddDays(1))
	})
}

// Stat ignores case.
func (s foldedStore) Stat(ctx context.Context, name string) (store.Info, error) {
	if info, err := s.Store.Stat(ctx, name); err == nil {
		return info, nil
	}
	entries, _ := os.ReadDir(s.dir)
	for _, e := range entries {
		if strings.EqualFold(e.Name(), name) {
			info, err := s.Store.Stat(ctx, e.Name())
			info.Key = name
			return info, err
		}
	}
	return s.Store.Stat(ctx, name)
}

// Open ignores case.
func (s foldedStore) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if body, err := s.Store.Open(ctx, name); err == nil {
		return body, nil
	}
	entries, _ := os.ReadDir(s.dir)
	for _, e := range entries {
		if strings.EqualFold(e.Name(), name) {
			name = e.Name()
		}
	}
	return s.Store.Open(ctx, name)
}

// TestSearchIgnoresCase searches for a recording when another one's name differs only in case.
func TestSearchIgnoresCase(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day, gone, run := purged(w, "call.mp3")
		later := w.calls[1].recorded[0]
		later.file = "CALL.mp3"
		n := run(trial{store: func(s Store) Store { return foldedStore{s, w.dir} }})
		if s := w.state(day, gone); s.Outcome != manifest.Lost || n.Adopted != 0 {
			t.Errorf("%s, %d adopted", told(s), n.Adopted)
		}
	})
}

// unsureStore fails to look up a key for the given number of times.
type unsureStore struct {
	Store
	err   error
	times int
}

func (s *unsureStore) Stat(ctx context.Context, name string) (store.Info, error) {
	if s.times--; s.times >= 0 {
		return store.Info{}, s.err
	}
	return s.Store.Stat(ctx, name)
}

// TestLookUpBeforeLossFails writes a recording off only after the store answered that it does not
// have it.
func TestLookUpBeforeLossFails(t *testing.T) {
	busy := busyStore(t)
	for name, test := range map[string]struct {
		err   error
		times int
		want  manifest.Outcome
	}{
		"for a moment": {busy, 3, manifest.Lost},
		"for good":     {io.ErrUnexpectedEOF, 1 << 40, manifest.Pending},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				day, gone, run := purged(w, "call.mp3")
				n := run(trial{store: func(s Store) Store { return &unsureStore{s, test.err, test.times} }})
				s, lost := w.state(day, gone), test.want == manifest.Lost
				if n.err != nil || s.Outcome != test.want || (n.Lost == 1) != lost || w.isClosed(day) != lost {
					t.Errorf("%v, %s, %d lost, %+v", n.err, told(s), n.Lost, n.OpenDays)
				}
			})
		})
	}
}

// TestAdoptedCountsTowardsTheLimit adopts no more recordings than a run may archive, and reports
// every day in the summary.
func TestAdoptedCountsTowardsTheLimit(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		const count, limit = 5, 2
		day := w.ago(30)
		for i := range count {
			r := w.recordedCalls(day.AddDays(i), 1)[0]
			w.put(r.file, r.audio())
			r.broken = true
		}
		w.recordedCalls(day.AddDays(count), 1)
		o := trial{vendor: w.isWellLater(), config: all(spanOf(day, day.AddDays(count)), func(c *Config) {
			c.PurgeAfter, c.Order, c.MaxRecordings = 5*oneDay, Ascending, limit+1
		})}
		n := w.try(o)
		if n.err != nil || n.Archived != limit+1 || n.Adopted != limit || n.Lost != 0 || n.Stopped != "max-recordings" {
			t.Errorf("%v: archived %d, adopted %d, lost %d, stopped by %q", n.err, n.Archived, n.Adopted, n.Lost, n.Stopped)
		}
		if told := n.DaysClosed + len(n.OpenDays) + n.DaysNotBegun; told != n.DaysAsked {
			t.Errorf("%d days: %d closed, %d open, %d not begun", n.DaysAsked, n.DaysClosed, len(n.OpenDays), n.DaysNotBegun)
		}
		w.recordedCalls(day.AddDays(count+1), 1)
		time.Sleep(2 * oneDay) // the archive has older audio now, so one answer is not enough
		n = w.try(trial{vendor: w.isWellLater(), config: all(o.config, spanOf(day, day.AddDays(count+1)), func(c *Config) {
			c.MaxRecordings = 0
		})})
		if n.Adopted != count-limit || n.Lost != 0 {
			t.Errorf("then adopted %d, lost %d, open days %+v", n.Adopted, n.Lost, n.OpenDays)
		}
		for i := range count + 1 {
			w.mustBeWhole(day.AddDays(i))
		}
	})
}

// TestAdoptedIsHashed notes the hash of the adopted bytes.
func TestAdoptedIsHashed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day, gone, run := purged(w, "call.mp3")
		body := bytes.Join([][]byte{frames(600), frames(600)}, nil)
		w.put("call.mp3", body)
		run(trial{})
		line := archivedLine("", "", body)
		if s := w.state(day, gone); hexOf(s.SHA256) != line.SHA256 || s.ContentType != "audio/mpeg" {
			t.Error(told(s))
		}
	})
}
