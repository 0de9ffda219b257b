package manifest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const (
	testDay = "2025-05-01"
	runA    = "20250502T090000Z-aaaaaaaa"
	runB    = "20250503T090000Z-bbbbbbbb"
	runC    = "20250504T090000Z-cccccccc"
)

var noon = time.Date(2025, 5, 2, 12, 0, 0, 0, time.UTC)

// recording is a valid recording with everything set.
func recording(id string, outcome Outcome) Recording {
	r := Recording{
		RecordingID: id, Outcome: outcome, Time: noon, CallID: "c" + id, FirstSeen: noon, Attempts: 1,
	}
	if outcome == Archived || outcome == Damaged {
		sum := sha256.Sum256([]byte(id))
		r.Key, r.Size, r.SHA256 = "audio/"+id+".mp3", 1000, hex.EncodeToString(sum[:])
		r.ContentType, r.ETag = "audio/mpeg", `"`+id+`"`
	}
	return r
}

func openRoot(t testing.TB, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

// openDir opens a ledger that is closed when the test ends.
func openDir(t testing.TB, dir string, o Options) *Ledger {
	t.Helper()
	l, err := OpenDir(openRoot(t, dir), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

func loadDay(t testing.TB, l *Ledger, day string) *Day {
	t.Helper()
	d, err := l.Day(t.Context(), day)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func note(t testing.TB, d *Day, list ...Recording) {
	t.Helper()
	for _, r := range list {
		if err := d.Note(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

func closeDay(t testing.TB, d *Day, line DayLine) {
	t.Helper()
	if err := d.Close(t.Context(), line); err != nil {
		t.Fatal(err)
	}
}

func closeLedger(t testing.TB, l *Ledger) {
	t.Helper()
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "testdata", "manifest", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// archiveWith makes an archive whose test day holds data.
func archiveWith(t testing.TB, data []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	writeFile(t, filepath.Join(dir, "manifest", testDay+".jsonl"), data)
	return dir
}

func writeFile(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// outcomes lists a day's recordings for comparing.
func outcomes(d *Day) map[string]Outcome {
	m := map[string]Outcome{}
	for id, s := range d.Recordings() {
		m[id] = s.Outcome
	}
	return m
}

func allDays(t testing.TB, l *Ledger) []DayStatus {
	t.Helper()
	return collect(t, l.Days(t.Context()))
}

func collect[V any](t testing.TB, seq iter.Seq2[V, error]) []V {
	t.Helper()
	var list []V
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

func lineCount(data []byte) int { return bytes.Count(data, []byte{'\n'}) }

func numbered(n int) string { return fmt.Sprintf("r%06d", n) }

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
