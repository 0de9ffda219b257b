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

// recording returns a valid recording with all fields set.
func recording(id string, outcome Outcome) Recording {
	r := Recording{
		RecordingID: id, Outcome: outcome, Time: noon, CallID: "c" + id, FirstSeen: noon, Attempts: 1, Source: "ab." + id,
	}
	if outcome == Archived || outcome == Damaged {
		sum := sha256.Sum256([]byte(id))
		r.Key, r.Size, r.SHA256 = "audio/"+id+".mp3", 1000, hex.EncodeToString(sum[:])
		r.ContentType, r.ETag, r.Host = "audio/mpeg", `"`+id+`"`, "media.convoso.com"
	}
	return r
}

// later is a recording a number of seconds after noon.
func later(id string, outcome Outcome, seconds int) Recording {
	r := recording(id, outcome)
	r.Time = noon.Add(time.Duration(seconds) * time.Second)
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
	d, err := l.Load(t.Context(), day)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func note(t testing.TB, d *Day, list ...Recording) {
	t.Helper()
	if err := d.Note(t.Context(), list...); err != nil {
		t.Fatal(err)
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

func statusOf(t testing.TB, l *Ledger, day string) Status {
	t.Helper()
	s, err := l.Status(t.Context(), day)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// faultsOf reads a day and returns its faults.
func faultsOf(t testing.TB, l *Ledger, day string) (faults []Fault, d *Day) {
	t.Helper()
	d, err := l.Read(t.Context(), day, nil, func(f Fault) error {
		faults = append(faults, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return faults, d
}

// wantFaults reads a day and compares the kinds of its faults.
func wantFaults(t testing.TB, l *Ledger, day string, want ...FaultKind) {
	t.Helper()
	faults, _ := faultsOf(t, l, day)
	var got []FaultKind
	for _, f := range faults {
		got = append(got, f.Kind)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("faults %+v, want %v", faults, want)
	}
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	return fileBytes(t, filepath.Join("..", "testdata", "manifest", name))
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

func fileBytes(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// outcomes returns a day's outcomes for comparison.
func outcomes(d *Day) map[string]Outcome {
	m := map[string]Outcome{}
	for id, s := range d.Recordings() {
		m[id] = s.Outcome
	}
	return m
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
