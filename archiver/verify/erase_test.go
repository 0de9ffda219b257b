package verify

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"convoso-archiver/manifest"
)

// TestErasedIsNoDamage: an intended, partial or complete erasure is not damage, with or without audio, and a repair
// restores nothing and leaves the day closed.
func TestErasedIsNoDamage(t *testing.T) {
	f := newFixture(t)
	for i := range 4 {
		f.store(firstDay, fmt.Sprint("a", i), fmt.Sprintf("one/%d.mp3", i))
	}
	d := f.load(firstDay)
	if err := d.Close(t.Context(), manifest.DayLine{}); err != nil {
		t.Fatal(err)
	}
	intent := manifest.NewErasureRecord(manifest.ErasureIntent, "E")
	intent.Recordings, intent.Calls = []manifest.ErasedID{{Day: firstDay, ID: "a1"}}, []manifest.ErasedID{{Day: firstDay, ID: "ca2"}}
	if err := f.ledger.PutRecords(t.Context(), manifest.ErasureStem, intent); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		for _, c := range []Config{{Mode: Full}, {Mode: Quick}, {Mode: Full, Repair: true}, {Mode: Quick, Repair: true}} {
			if s := f.verify(c); len(s.Findings)+len(s.UnknownFiles) > 0 || s.Recordings != 2 || s.Damaged+s.Restored+s.MendedDays > 0 {
				t.Errorf("%+v: %+v", c, s)
			}
		}
		if status, err := f.ledger.Status(t.Context(), firstDay); err != nil || len(status.Lines) != 1 {
			t.Errorf("the day is open: %+v, %v", status, err)
		}
	}
	check()
	if err := os.Remove(filepath.Join(f.dir, "one", "1.mp3")); err != nil {
		t.Fatal(err)
	}
	check()
	if err := os.Remove(filepath.Join(f.dir, "one", "2.mp3")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ledger.EraseLines(t.Context(), firstDay); err != nil {
		t.Fatal(err)
	}
	check()
}

// erasing erases a recording before it opens the first one, as another process may while a verification runs.
type erasing struct {
	Store
	erase func()
	once  sync.Once
}

func (s *erasing) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	s.once.Do(s.erase)
	return s.Store.Open(ctx, key)
}

// TestErasedMeanwhile: a recording that is erased or expires after its day was read is not damage either.
func TestErasedMeanwhile(t *testing.T) {
	f := newFixture(t)
	for i := range 4 {
		f.store(firstDay, fmt.Sprint("a", i), fmt.Sprintf("one/%d.mp3", i))
	}
	v := f.verifier(Config{Mode: Full, Workers: 1})
	v.Store = &erasing{Store: f.disk, erase: func() {
		intent := manifest.NewErasureRecord(manifest.ErasureIntent, "E")
		intent.Recordings = []manifest.ErasedID{{Day: firstDay, ID: "a1"}}
		if err := f.ledger.PutRecords(t.Context(), manifest.ErasureStem, intent); err != nil {
			t.Error(err)
		}
		expiry := &manifest.ExpiryRecord{State: manifest.ErasureIntent, Class: "sales", Ended: firstDay, Recordings: []string{"a2"}}
		if err := f.ledger.PutExpiry(t.Context(), firstDay, expiry); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"1.mp3", "2.mp3", "3.mp3"} {
			if err := os.Remove(filepath.Join(f.dir, "one", name)); err != nil {
				t.Error(err)
			}
		}
	}}
	if err := v.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(t, v.Summary(), map[Kind]int{Missing: 1}) // a3, which nobody erased
}
