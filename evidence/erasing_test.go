package evidence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

func TestCheckReason(t *testing.T) {
	for reason, ok := range map[string]bool{
		"request 2025-17":                  true,
		"GDPR Art. 17, ticket 123456":      true,
		"":                                 false,
		"  ":                               false,
		"call 4155550142":                  false,
		"call +1 (415) 555-0142":           false,
		"call 415.555.01":                  false,
		"call 415 555 0":                   false,
		"12 calls of 2025-05-01 and 05-02": false, // it might be a number
		"line\nfeed":                       false,
		"٤١٥٥٥٥٠١٤٢":                       false,
		"⁵⁵⁵⁰⁰⁰⁰³⁴³":                       false,
		"①②③④⑤⑥⑦⑧":                         false,
		"555\u200b000\u200b0343":           false,
		"a\u200bb":                         false,
		strings.Repeat("x", maxReason):     true,
		strings.Repeat("x", maxReason+1):   false,
		"\xff":                             false,
	} {
		if err := CheckReason(reason); (err == nil) != ok {
			t.Errorf("%q: %v", reason, err)
		}
	}
}

// rowKeys are keys by the ids of recordings, by the ids of their calls.
type rowKeys map[string]map[string][]string

// Of implements RowKeys.
func (k rowKeys) Of(_ string, row []byte) map[string][]string {
	var call struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(row, &call)
	return k[call.ID]
}

const erasedDay = "2026-03-01"

// erasing calls do with the Erasing of the world's archive.
func (w *world) erasing(keys rowKeys, do func(e *Erasing)) {
	w.t.Helper()
	d, err := store.OpenDisk(w.dir, store.DiskOptions{})
	w.must(err)
	defer d.Close()
	w.write(func(l *manifest.Ledger) { do(&Erasing{Ledger: l, Store: d, Now: w.now, Keys: keys}) })
}

// chosen returns recordings of keepDay, with their calls.
func chosen(ids ...string) (list []Chosen) {
	for _, id := range ids {
		list = append(list, Chosen{Day: id[:len(erasedDay)], Call: "c" + id, Recordings: []ChosenRecording{{ID: id}}})
	}
	return list
}

func (w *world) audio(id string) string { return filepath.Join(w.dir, id[:len(erasedDay)], id+".mp3") }

// note notes a recording that is, or may be, stored under a key.
func (w *world) note(l *manifest.Ledger, id, key string, outcome manifest.Outcome) {
	w.t.Helper()
	d, err := l.Load(w.t.Context(), erasedDay)
	w.must(err)
	w.must(d.NoteCalls(w.t.Context(), []manifest.Call{{CallID: "c" + id, Time: w.now, Row: json.RawMessage(`{"id":"c` + id + `"}`)}}))
	r := manifest.Recording{RecordingID: id, Outcome: outcome, Key: key, CallID: "c" + id, Time: w.now, Attempts: 1}
	if outcome == manifest.Archived {
		r.Size, r.SHA256 = 5, strings.Repeat("ab", 32)
	}
	w.must(d.Note(w.t.Context(), r))
}

func (w *world) store(key string) string {
	w.t.Helper()
	name := filepath.Join(w.dir, filepath.FromSlash(key))
	w.must(os.MkdirAll(filepath.Dir(name), 0o700))
	w.must(os.WriteFile(name, []byte("audio"), 0o600))
	return name
}

func (w *world) wantFile(name string, stands bool) {
	w.t.Helper()
	if _, err := os.Stat(name); stands != (err == nil) {
		w.t.Errorf("%s: %v, want it there: %v", filepath.Base(name), err, stands)
	}
}

func nothingElse([]string) error { return nil }

// TestErasingOrphans: audio that a killed run stored without a line is removed too, unless it may belong to
// another recording.
func TestErasingOrphans(t *testing.T) {
	w := newWorld(t)
	w.keepDay(erasedDay, 2)
	first, second := erasedDay+"-0", erasedDay+"-1"
	waiting, again := w.store("w/waits.mp3"), w.store("w/waits-waits.wav")
	unnoted, claimed, foreign := w.store("u/unnoted.mp3"), w.store("u/claimed.mp3"), w.store("u/foreign.mp3")
	quarantined, neighbour := w.store("quarantine/"+erasedDay+"/waits.bin"), w.store("quarantine/"+erasedDay+"/waits2.bin")
	w.write(func(l *manifest.Ledger) {
		w.note(l, "waits", "w/waits.mp3", manifest.Pending)
		w.note(l, "other", "u/claimed.mp3", manifest.Archived)
	})
	keys := rowKeys{"c" + first: {"unnoted": {"u/unnoted.mp3", "u/claimed.mp3", "u/missing.mp3", "manifest/archive.json"}, first: {"u/foreign.mp3"}}}
	list := append(chosen(first), Chosen{Day: erasedDay, Call: "cwaits", Recordings: []ChosenRecording{{ID: "waits"}}})
	w.erasing(keys, func(e *Erasing) {
		kept, err := e.Check(t.Context(), list)
		if err != nil || len(kept) > 0 {
			t.Fatalf("%+v, %v", kept, err)
		}
		intent, err := e.Begin(t.Context(), "request 7", list)
		w.must(err)
		made, err := e.Finish(t.Context(), intent, nothingElse)
		if err != nil || made.Audio != 4 || made.Quarantine != 1 || made.Calls != 2 || made.Recordings != 2 {
			t.Errorf("%+v, %v", made, err)
		}
	})
	for _, name := range []string{w.audio(first), waiting, again, unnoted, quarantined} {
		w.wantFile(name, false)
	}
	for _, name := range []string{w.audio(second), claimed, foreign, neighbour, filepath.Join(w.dir, "manifest", "archive.json")} {
		w.wantFile(name, true)
	}
}

// TestErasingSharedAudio: audio that another recording shares is not removed, unless both are
// erased.
func TestErasingSharedAudio(t *testing.T) {
	w := newWorld(t)
	w.keepDay(erasedDay, 1)
	first := erasedDay + "-0"
	w.write(func(l *manifest.Ledger) { w.note(l, "twin", erasedDay+"/"+first+".mp3", manifest.Archived) })
	w.erasing(nil, func(e *Erasing) {
		kept, err := e.Check(t.Context(), chosen(first))
		if err != nil || len(kept) != 1 || kept[0].Shared != "twin" || kept[0].Recording != first {
			t.Fatalf("%+v, %v", kept, err)
		}
		both := append(chosen(first), Chosen{Day: erasedDay, Call: "ctwin", Recordings: []ChosenRecording{{ID: "twin"}}})
		if kept, err := e.Check(t.Context(), both); err != nil || len(kept) > 0 {
			t.Fatalf("%+v, %v", kept, err)
		}
		intent, err := e.Begin(t.Context(), "request 7", both)
		w.must(err)
		_, err = e.Finish(t.Context(), intent, nothingElse)
		w.must(err)
	})
	w.wantFile(w.audio(first), false)
}

// TestErasingFreedKey continues with an erasure that was stopped after its audio was removed and another recording was
// stored under the freed key.
func TestErasingFreedKey(t *testing.T) {
	w := newWorld(t)
	w.keepDay(erasedDay, 2)
	first := erasedDay + "-0"
	w.erasing(nil, func(e *Erasing) {
		_, err := e.Begin(t.Context(), "request 7", chosen(first))
		w.must(err)
	})
	w.must(os.Remove(w.audio(first)))
	w.must(os.WriteFile(w.audio(first), []byte("audio of another"), 0o600))
	w.write(func(l *manifest.Ledger) { w.note(l, "later", erasedDay+"/"+first+".mp3", manifest.Archived) })
	w.erasing(nil, func(e *Erasing) {
		unfinished, err := e.Unfinished(t.Context())
		if err != nil || len(unfinished) != 1 {
			t.Fatalf("%+v, %v", unfinished, err)
		}
		_, err = e.Finish(t.Context(), unfinished[0], nothingElse)
		w.must(err)
		if unfinished, err := e.Unfinished(t.Context()); err != nil || len(unfinished) != 0 {
			t.Errorf("%+v, %v", unfinished, err)
		}
		d, err := e.Ledger.Load(t.Context(), erasedDay)
		w.must(err)
		for id, want := range map[string]manifest.Outcome{first: manifest.Erased, "later": manifest.Archived} {
			if s, _ := d.Recording(id); s.Outcome != want {
				t.Errorf("%s is %s", id, s.Outcome)
			}
		}
	})
	w.wantFile(w.audio(first), true)
}

// TestErasingOvertaken: no recording is erased that a case has held since the intent was noted. The run that
// noted the intent withdraws it, so that readers show the held recordings as before, also after the release.
// Another run does the same, unless the first one was killed after it had claimed the removal: then the hold
// learns that it came too late.
func TestErasingOvertaken(t *testing.T) {
	for name, c := range map[string]struct{ own, begun, withdrawn bool }{
		"its own run":           {own: true, withdrawn: true},
		"another run":           {withdrawn: true},
		"another run, too late": {begun: true},
	} {
		w := newWorld(t)
		w.keepDay(erasedDay, 2)
		first := erasedDay + "-0"
		held := []HeldID{{Day: erasedDay, Call: "c" + first, Recording: first}}
		var intent manifest.ErasureRecord
		w.erasing(nil, func(e *Erasing) {
			var err error
			intent, err = e.Begin(t.Context(), "request 7", chosen(first))
			w.must(err)
			if c.begun {
				mortal := *e
				mortal.Store = &brittle{Remover: e.Store}
				if _, err := mortal.Finish(t.Context(), intent, nothingElse); !errors.Is(err, errKilled) {
					t.Errorf("%s: not killed: %v", name, err)
				}
			}
			_, err = AddHold(t.Context(), e.Ledger, "A", held)
			w.must(err)
			if c.own {
				wantKept(t, e, intent, c.withdrawn)
			}
		})
		w.erasing(nil, func(e *Erasing) {
			contested, err := ContestHold(t.Context(), e.Ledger, held)
			if err != nil || (len(contested.Lost) > 0) != c.begun || (len(contested.Hidden) > 0) != (!c.own && !c.begun) {
				t.Errorf("%s: contested %+v, %v", name, contested, err)
			}
			if !c.own {
				wantKept(t, e, intent, c.withdrawn)
			}
			unfinished, err := e.Unfinished(t.Context())
			w.must(err)
			d, err := e.Ledger.Load(t.Context(), erasedDay)
			w.must(err)
			s, _ := d.Recording(first)
			if (len(unfinished) == 0) != c.withdrawn || (s.Outcome == manifest.Archived) != c.withdrawn {
				t.Errorf("%s: unfinished %+v, the recording is %s", name, unfinished, s.Outcome)
			}
			h, err := HistoryOf(t.Context(), e.Ledger, first, nil)
			w.must(err)
			if told := strings.Contains(fmt.Sprint(h.Events), "is withdrawn"); told != c.withdrawn {
				t.Errorf("%s: %v", name, h.Events)
			}
		})
		w.wantFile(w.audio(first), true)
	}
}

func wantKept(t *testing.T, e *Erasing, intent manifest.ErasureRecord, withdrawn bool) {
	t.Helper()
	_, err := e.Finish(t.Context(), intent, nothingElse)
	if kept, ok := errors.AsType[*KeptError](err); !ok || kept.Withdrawn != withdrawn || len(kept.Kept) == 0 {
		t.Errorf("%v, want it withdrawn: %v", err, withdrawn)
	}
}

// brittle is a store that fails after a number of removals.
type brittle struct {
	Remover
	left atomic.Int64
}

// Remove removes until the limit.
func (b *brittle) Remove(ctx context.Context, key string) error {
	if b.left.Add(-1) < 0 {
		return errKilled
	}
	return b.Remover.Remove(ctx, key)
}

// TestHeldIsNeverErased plays random sequences of holds, releases and erasures, many of them killed: a recording that
// is held when an erasure starts or continues keeps its audio and its lines. SEQUENCES sets their number.
func TestHeldIsNeverErased(t *testing.T) { playSequences(t, 20, playHolds) }

// playSequences plays n random sequences, or the number in SEQUENCES.
func playSequences(t *testing.T, sequences int, play func(t *testing.T, random *rand.Rand)) {
	t.Helper()
	if n, err := strconv.Atoi(os.Getenv("SEQUENCES")); err == nil {
		sequences = n
	}
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("SEED=%d", seed)
	for i := range sequences {
		if !t.Run(strconv.Itoa(i), func(t *testing.T) { play(t, rand.New(rand.NewPCG(seed, uint64(i)))) }) {
			t.Fatalf("sequence %d of SEED=%d", i, seed)
		}
	}
}

func playHolds(t *testing.T, random *rand.Rand) {
	const recordings = 4
	w := newWorld(t)
	w.keepDay(erasedDay, recordings)
	var ids []string
	for i := range recordings {
		ids = append(ids, fmt.Sprintf("%s-%d", erasedDay, i))
	}
	some := func() []string {
		picked := slices.Clone(ids)
		random.Shuffle(len(picked), func(i, j int) { picked[i], picked[j] = picked[j], picked[i] })
		return picked[:1+random.IntN(2)]
	}
	held := map[string]map[string]bool{"A": {}, "B": {}}
	intended := map[string]bool{}
	isHeld := func(id string) bool { return held["A"][id] || held["B"][id] }
	for range 12 {
		name := []string{"A", "B"}[random.IntN(2)]
		stood := map[string]bool{}
		for _, id := range ids {
			_, err := os.Stat(w.audio(id))
			stood[id] = err == nil
		}
		w.erasing(nil, func(e *Erasing) {
			mortal := &brittle{Remover: e.Store}
			mortal.left.Store(random.Int64N(3))
			e.Store = mortal
			switch random.IntN(4) {
			case 0:
				var list []HeldID
				for _, id := range some() {
					list = append(list, HeldID{Day: erasedDay, Call: "c" + id, Recording: id})
					held[name][id] = true
				}
				_, err := AddHold(t.Context(), e.Ledger, name, list)
				w.must(err)
			case 1:
				if len(held[name]) > 0 {
					_, err := ReleaseHold(t.Context(), e.Ledger, name)
					w.must(err)
					held[name] = map[string]bool{}
				}
			case 2:
				picked := some()
				kept, err := e.Check(t.Context(), chosen(picked...))
				w.must(err)
				if slices.ContainsFunc(picked, isHeld) != (len(kept) > 0) {
					t.Fatalf("%v of %v: kept %+v", picked, held, kept)
				}
				if len(kept) > 0 {
					return
				}
				intent, err := e.Begin(t.Context(), "request 7", chosen(picked...))
				w.must(err)
				if random.IntN(3) == 0 { // a hold intervenes
					_, err := AddHold(t.Context(), e.Ledger, name, []HeldID{{Day: erasedDay, Call: "c" + picked[0], Recording: picked[0]}})
					w.must(err)
					held[name][picked[0]] = true
					wantKept(t, e, intent, true)
					return
				}
				for _, id := range picked {
					intended[id] = true
				}
				finishOrDie(t, e, intent, isHeld)
			case 3:
				unfinished, err := e.Unfinished(t.Context())
				w.must(err)
				for _, intent := range unfinished {
					finishOrDie(t, e, intent, isHeld)
				}
			}
		})
		for _, id := range ids {
			if _, err := os.Stat(w.audio(id)); err != nil && stood[id] && isHeld(id) {
				t.Fatalf("%s was held, and went: %v", id, held)
			} else if err != nil && !intended[id] {
				t.Fatalf("%s went, and nobody erased it", id)
			}
		}
	}
}

// finishOrDie continues with an erasure. It must be refused exactly if something of it is held.
func finishOrDie(t *testing.T, e *Erasing, intent manifest.ErasureRecord, isHeld func(string) bool) {
	t.Helper()
	_, err := e.Finish(t.Context(), intent, nothingElse)
	var kept *KeptError
	refused := slices.ContainsFunc(intent.Recordings, func(id manifest.ErasedID) bool { return isHeld(id.ID) })
	if errors.As(err, &kept) != refused || err != nil && !refused && !errors.Is(err, errKilled) {
		t.Fatalf("%v, held %v", err, refused)
	}
}
