package evidence

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/manifest"
)

// TestHolds adds to cases, releases one and reopens it, each in a separate run within one second.
func TestHolds(t *testing.T) {
	w := newWorld(t)
	add := func(name string, added int, ids ...HeldID) {
		t.Helper()
		w.write(func(ledger *manifest.Ledger) {
			got, err := AddHold(t.Context(), ledger, name, ids)
			if err != nil || got != added {
				t.Errorf("%d ids are new, want %d: %v", got, added, err)
			}
		})
	}
	release := func(name string) (c Case) {
		t.Helper()
		w.write(func(ledger *manifest.Ledger) {
			var err error
			c, err = ReleaseHold(t.Context(), ledger, name)
			w.must(err)
		})
		return c
	}
	check := func(recording string, cases ...string) {
		t.Helper()
		w.write(func(ledger *manifest.Ledger) {
			h, err := LoadHolds(t.Context(), ledger)
			w.must(err)
			if got := h.Of(recording); !slices.Equal(got, cases) {
				t.Errorf("%s is held by %q, want %q", recording, got, cases)
			}
		})
	}
	one, two, three := HeldID{"2026-03-01", "c1", "r1"}, HeldID{"2026-03-01", "c1", "r2"}, HeldID{"2026-03-02", "c2", ""}
	add("Smith v. Jones", 1, one)
	add("Smith v. Jones", 2, two, one, three, two)
	add("Smith v. Jones", 0, one, two)
	add("another", 1, two)
	check("r1", "Smith v. Jones")
	check("r2", "Smith v. Jones", "another")
	check("")
	if got := release("Smith v. Jones"); !slices.Equal(got.IDs, []HeldID{one, two, three}) {
		t.Errorf("it held %v", got)
	}
	if got := release("Smith v. Jones"); len(got.IDs) > 0 || got.Released.IsZero() || len(got.Past) != 3 {
		t.Errorf("released twice: %v", got)
	}
	check("r1")
	check("r2", "another")
	add("Smith v. Jones", 1, three)
	w.write(func(ledger *manifest.Ledger) {
		h, err := LoadHolds(t.Context(), ledger)
		w.must(err)
		c, known := h.Case("Smith v. Jones")
		if !known || !c.Released.IsZero() || c.Since.IsZero() || !slices.Equal(c.IDs, []HeldID{three}) || len(c.Past) != 3 {
			t.Errorf("taken up again: %+v", c)
		}
		if got := h.OfCall("c2"); !slices.Equal(got, []string{"Smith v. Jones"}) {
			t.Errorf("the call is held by %q", got)
		}
		if got := h.OfEither("r9", "c1"); !slices.Equal(got, []string{"another"}) {
			t.Errorf("a later recording of a held call is held by %q", got)
		}
		if _, err := ReleaseHold(t.Context(), ledger, "smith"); !errors.Is(err, ErrNoCase) {
			t.Errorf("an unknown case: %v", err)
		}
	})
}

// TestLongHold splits a list over lines and files.
func TestLongHold(t *testing.T) {
	w := newWorld(t)
	ids := make([]HeldID, linesPerFile*idsPerLine+1)
	for i := range ids {
		ids[i] = HeldID{"2026-03-01", fmt.Sprintf("c%d", i), fmt.Sprintf("r%d", i)}
	}
	w.write(func(ledger *manifest.Ledger) {
		added, err := AddHold(t.Context(), ledger, "all", ids)
		w.must(err)
		h, err := LoadHolds(t.Context(), ledger)
		w.must(err)
		if c, _ := h.Case("all"); added != len(ids) || len(c.IDs) != len(ids) {
			t.Errorf("%d of %d, %d read", added, len(ids), len(c.IDs))
		}
	})
	files, err := filepath.Glob(filepath.Join(w.dir, "evidence", "hold-*"))
	w.must(err)
	if len(files) != 2 {
		t.Errorf("files: %q", files)
	}
}

// TestHoldsNotRead: an unreadable record that may contain a hold is never ignored.
func TestHoldsNotRead(t *testing.T) {
	for name, line := range map[string]string{
		"no JSON":       `{"v":1,"kind":"hold"`,
		"another kind":  `{"v":1,"kind":"hold-query","state":"add","case":"a"}`,
		"another state": `{"v":1,"kind":"hold","state":"suspend","case":"a"}`,
		"no case":       `{"v":1,"kind":"hold","state":"add","ids":[]}`,
		"other ids":     `{"v":1,"kind":"hold","state":"add","case":"a","ids":"all"}`,
	} {
		w := newWorld(t)
		w.must(os.MkdirAll(filepath.Join(w.dir, "evidence"), 0o700))
		w.must(os.WriteFile(filepath.Join(w.dir, "evidence", "hold-20260301T000000Z-00000000-000001.jsonl"), []byte(line+"\n"), 0o600))
		w.write(func(ledger *manifest.Ledger) {
			if _, err := LoadHolds(t.Context(), ledger); err == nil {
				t.Errorf("%s: no error", name)
			}
		})
	}
}

// TestFoldHolds puts the records of two machines in order: in doubt, the hold wins.
func TestFoldHolds(t *testing.T) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	record := func(second int, state string, ids ...HeldID) holdRecord {
		return holdRecord{RecordHead: manifest.RecordHead{Time: at.Add(time.Duration(second) * time.Second)}, State: state, Case: "a", IDs: ids}
	}
	id := HeldID{"2026-03-01", "c", "r"}
	for name, test := range map[string]struct {
		records []holdRecord
		held    bool
	}{
		"added":                           {[]holdRecord{record(0, holdAdd, id)}, true},
		"released":                        {[]holdRecord{record(0, holdAdd, id), record(1, holdRelease)}, false},
		"read in another order":           {[]holdRecord{record(1, holdRelease), record(0, holdAdd, id)}, false},
		"both within one second":          {[]holdRecord{record(0, holdAdd, id), record(0, holdRelease)}, true},
		"a release of nothing":            {[]holdRecord{record(0, holdRelease)}, false},
		"added again, read the other way": {[]holdRecord{record(2, holdAdd, id), record(1, holdRelease), record(0, holdAdd, id)}, true},
	} {
		sortHolds(test.records)
		h := foldHolds(test.records)
		c, known := h.Case("a")
		if held := len(h.Of("r")) > 0; held != test.held || !known || c.Released.IsZero() != held {
			t.Errorf("%s: held %v, %+v", name, held, c)
		}
	}
}

func TestCheckCase(t *testing.T) {
	for name, good := range map[string]bool{
		"Smith v. Jones":                  true,
		"2:25-cv-01234 (Acme)":            true,
		"Ärzte & Söhne, 17 calls":         true,
		"123456":                          true,
		"2025 case 17, request 2026":      true,
		strings.Repeat("é", 100):          true,
		"":                                false,
		" a":                              false,
		"a ":                              false,
		"a\nb":                            false,
		"a\x00b":                          false,
		"a\u202eb":                        false,
		"a\xffb":                          false,
		strings.Repeat("a", 101):          false,
		"1234567":                         false,
		"the caller of (415) 555-0142":    false,
		"+1 415.555.0142":                 false,
		"４１５５５５０":                         false,
		"from 5 5 5 0 1 4 2 to the north": false,
		"⁵⁵⁵⁰⁰⁰⁰³⁴³":                      false,
		"①②③④⑤⑥⑦⑧":                        false,
		"555\u200b000\u200b0343":          false,
		"a\u200bb":                        false,
	} {
		if err := CheckCase(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}
