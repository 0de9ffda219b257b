package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

// What a killed run left is uploaded by the next one before anything is read, torn line cut off, under
// numbers that are free.
func TestDeadSpool(t *testing.T) {
	objects, spool := newObjects(), t.TempDir()
	id := archiveIn(t, objects)
	objects.objects[segment("manifest", runA, 1)] = lineOf(t, recording("1", Archived))
	dir := deadSpool(t, spool, runA, id)
	// Segment 2 was sealed, and stored, but the run died before it heard of it.
	sealed := lineOf(t, recording("2", Archived))
	objects.objects[segment("manifest", runA, 2)] = sealed
	writeFile(t, filepath.Join(dir, "manifest", testDay, runA+"-000002.jsonl"), sealed)
	writeFile(t, filepath.Join(dir, "manifest", testDay+".jsonl"), append(lineOf(t, recording("3", Archived)), `{"v":1,"kind"`...))
	writeFile(t, filepath.Join(dir, "calls", testDay+".jsonl"), sample(t, "calls.jsonl"))
	writeFile(t, filepath.Join(dir, "manifest", "2025-05-02.jsonl"), []byte(`{"v":1,"ki`))
	writeFile(t, filepath.Join(spool, "notes.txt"), nil)

	alive := openBucket(t, objects, spool, Options{Run: runC})
	l := openBucket(t, objects, spool, Options{Run: runB})
	if got, want := objects.puts, []string{segment("calls", runA, 1), segment("manifest", runA, 3)}; !reflect.DeepEqual(got, want) {
		t.Errorf("stored %v, want %v", got, want)
	}
	if got := outcomes(loadDay(t, l, testDay)); len(got) != 3 {
		t.Errorf("got %v", got)
	}
	if got, want := spoolEntries(t, spool), []string{runB, runC, "notes.txt"}; !reflect.DeepEqual(got, want) {
		t.Errorf("spools %v, want %v", got, want)
	}
	note(t, loadDay(t, alive, testDay), recording("4", Archived)) // its spool was left alone
}

// A system that died may have kept later lines of a spool and lost earlier ones: what stands behind the hole
// may build upon what stood there, so it is dropped, and found again.
func TestDeadSpoolWithAHole(t *testing.T) {
	objects, spool := newObjects(), t.TempDir()
	dir := deadSpool(t, spool, runA, archiveIn(t, objects))
	before := lineOf(t, recording("1", Archived))
	hole := append(bytes.Clone(before), make([]byte, 300)...)
	writeFile(t, filepath.Join(dir, "manifest", testDay+".jsonl"), append(hole, lineOf(t, recording("3", Archived))...))

	l := openBucket(t, objects, spool, Options{Run: runB})
	if got := objects.objects[segment("manifest", runA, 1)]; !bytes.Equal(got, before) {
		t.Errorf("uploaded %q", got)
	}
	if got := outcomes(loadDay(t, l, testDay)); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func lineOf(t testing.TB, r Recording) []byte {
	t.Helper()
	r.Run = runA
	line, err := r.line()
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func TestUploadFailures(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault func(m *memoryObjects)
		want  []string // segments in the bucket in the end
	}{
		{"server error", func(m *memoryObjects) {
			m.put = func(string) error { m.put = nil; return errServer }
		}, []string{segment("manifest", runA, 1)}},
		{"reply lost", func(m *memoryObjects) {
			m.got = func(string) error { m.got = nil; return errServer }
		}, []string{segment("manifest", runA, 1)}},
		{"reply lost, and the client's own retry finds it", func(m *memoryObjects) {
			m.got = func(string) error { m.got = nil; return fs.ErrExist }
		}, []string{segment("manifest", runA, 1)}},
		{"number taken by other bytes", func(m *memoryObjects) {
			m.objects[segment("manifest", runA, 1)] = lineOf(t, recording("other", Archived))
		}, []string{segment("manifest", runA, 1), segment("manifest", runA, 2)}},
		{"number taken by the same bytes and more", func(m *memoryObjects) {
			m.objects[segment("manifest", runA, 1)] = append(lineOf(t, recording("1", Archived)), lineOf(t, recording("2", Archived))...)
		}, []string{segment("manifest", runA, 1), segment("manifest", runA, 2)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			objects, spool := newObjects(), t.TempDir()
			l := openBucket(t, objects, spool, Options{Run: runA})
			d := loadDay(t, l, testDay)
			note(t, d, recording("1", Archived))
			objects.set(func() { test.fault(objects) })
			if err := l.Flush(t.Context()); err != nil && !errors.Is(err, errServer) {
				t.Errorf("flush: %v", err)
			}
			if err := l.Flush(t.Context()); err != nil {
				t.Errorf("second flush: %v", err)
			}
			if got := objects.keys("manifest/2"); !reflect.DeepEqual(got, test.want) {
				t.Errorf("stored %v, want %v", got, test.want)
			}
			if got, want := objects.objects[test.want[len(test.want)-1]], lineOf(t, recording("1", Archived)); !bytes.Equal(got, want) {
				t.Errorf("last segment holds %s", got)
			}
			note(t, d, recording("5", Archived))
			closeLedger(t, l)
			if left := spoolEntries(t, spool); len(left) != 0 {
				t.Errorf("left in the spool: %v", left)
			}
		})
	}
}

// What cannot be uploaded at all stays for the next run, in the order in which it was noted.
func TestCloseKeepsWhatCannotBeUploaded(t *testing.T) {
	objects, spool := newObjects(), t.TempDir()
	archiveIn(t, objects)
	down := func() { objects.put = func(string) error { return errServer } }
	objects.set(down)
	l := openBucket(t, objects, spool, Options{Run: runA})
	d := loadDay(t, l, testDay)
	for i := range 3 {
		note(t, d, recording(fmt.Sprint(i), Archived))
		if err := l.Flush(t.Context()); !errors.Is(err, errServer) {
			t.Errorf("flush: %v", err)
		}
	}
	if err := d.Close(t.Context(), DayLine{}); !errors.Is(err, errServer) {
		t.Errorf("close day: %v", err)
	}
	if err := l.Close(t.Context()); !errors.Is(err, errServer) {
		t.Errorf("close: %v", err)
	}
	if _, err := OpenObjects(t.Context(), objects, Options{SpoolDir: spool}); !errors.Is(err, errServer) {
		t.Errorf("open: %v", err)
	}
	objects.set(func() { objects.put = nil })
	l = openBucket(t, objects, spool, Options{Run: runB})
	if got := outcomes(loadDay(t, l, testDay)); len(got) != 3 {
		t.Errorf("got %v", got)
	}
	if got, want := objects.puts, []string{segment("manifest", runA, 1), segment("manifest", runA, 2)}; !reflect.DeepEqual(got, want) {
		t.Errorf("stored %v, want %v", got, want)
	}
}

// The clock uploads, tries again after a failure, and stops with the ledger.
func TestUploadByClock(t *testing.T) {
	spool := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		objects := newObjects()
		l, err := OpenObjects(t.Context(), objects, Options{Run: runA, SpoolDir: spool})
		if err != nil {
			t.Fatal(err)
		}
		d := loadDay(t, l, testDay)
		note(t, d, recording("1", Archived))
		stored := func() int { return len(objects.keys("manifest/2")) }

		time.Sleep(59 * time.Second)
		synctest.Wait()
		if stored() != 0 {
			t.Error("uploaded before the minute is over")
		}
		objects.set(func() { objects.put = func(string) error { return errServer } })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		note(t, d, recording("2", Archived))
		objects.set(func() { objects.put = nil })
		if stored() != 0 {
			t.Error("stored although the bucket was down")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if stored() != 2 {
			t.Errorf("%d segments after the second try, want 2", stored())
		}
		note(t, d, recording("3", Archived))
		closeLedger(t, l)
		if stored() != 3 {
			t.Errorf("%d segments after close, want 3", stored())
		}
	})
}
