package verify

import (
	"fmt"
	"os"
	"path/filepath"
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
