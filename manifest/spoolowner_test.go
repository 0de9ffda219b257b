package manifest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// archiveIn makes a bucket an archive and returns its id.
func archiveIn(t testing.TB, objects *memoryObjects) string {
	t.Helper()
	data := sample(t, "archive.json")
	objects.objects[archiveFile] = data
	return archiveID(data)
}

// deadSpool makes the spool of a killed run and returns its folder.
func deadSpool(t testing.TB, spools, run, archive string) (dir string) {
	t.Helper()
	dir = filepath.Join(spools, run)
	if archive != "" {
		writeFile(t, filepath.Join(dir, ownerFile), []byte(archive+"\n"))
	}
	return dir
}

// Notes of a killed run go to the archive that they were made for and to no other, whatever the folder of
// spools is called. A run that meets others' leaves them alone, says so, and goes on.
func TestSpoolOfAnotherArchive(t *testing.T) {
	const later = `{"v":1,"kind":"archive","id":"b","account_id":"","api_url":"","time_zone":"","created":"2025-05-02T09:00:00Z"}`
	for name, test := range map[string]struct {
		bucket, spool string // archive ids, "" for none
		empty         bool   // nothing was noted
		uploaded      bool
		kept          bool
	}{
		"this archive's":                   {bucket: "b", spool: "b", uploaded: true},
		"another archive's":                {bucket: "b", spool: "a", kept: true},
		"another archive's, nothing in it": {bucket: "b", spool: "a", empty: true},
		"the archive is gone":              {spool: "a", kept: true},
		"does not say whose":               {bucket: "b", kept: true},
		"does not say whose, nothing new":  {bucket: "b", empty: true},
		"neither says whose":               {kept: true},
	} {
		t.Run(name, func(t *testing.T) {
			objects, spools := newObjects(), t.TempDir()
			if test.bucket != "" {
				objects.objects[archiveFile] = []byte(later + "\n")
			}
			line := lineOf(t, recording("1", Archived))
			file := filepath.Join(deadSpool(t, spools, runA, test.spool), "manifest", testDay+".jsonl")
			writeFile(t, filepath.Join(spools, runA, "lock"), nil)
			if !test.empty {
				writeFile(t, file, line)
			}
			var log bytes.Buffer
			for _, run := range []string{runB, runC} { // the second finds what the first left
				l := openBucket(t, objects, spools, Options{Run: run, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				note(t, loadDay(t, l, "2025-05-02"), recording("2", Archived))
				closeLedger(t, l)
			}
			if got := bytes.Equal(objects.objects[segment("manifest", runA, 1)], line); got != test.uploaded {
				t.Errorf("uploaded: %v", got)
			}
			if kept := slices.Contains(spoolEntries(t, spools), runA); kept != test.kept {
				t.Errorf("kept: %v", kept)
			}
			if test.kept && !bytes.Equal(readFile(t, file), line) {
				t.Error("what was left alone was changed")
			}
			warned := strings.Count(log.String(), "were left alone") == 2 && strings.Contains(log.String(), filepath.Join(spools, runA))
			if warned != test.kept {
				t.Errorf("log:\n%s", log.String())
			}
		})
	}
}

// spoolOf returns the archive that a run's spool is noted for.
func spoolOf(t testing.TB, spools, run string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(spools, run, ownerFile))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// A spool says whose it is before there is a line in it, also that of the run that makes the archive, and of
// one that thought it would.
func TestSpoolSaysWhoseItIs(t *testing.T) {
	objects, spools := newObjects(), t.TempDir()
	first := openBucket(t, objects, spools, Options{Run: runA})
	second := openBucket(t, objects, spools, Options{Run: runB})
	if spoolOf(t, spools, runA) == spoolOf(t, spools, runB) {
		t.Error("two first runs made up the same id")
	}
	for _, l := range []*Ledger{first, second} {
		if err := l.SaveArchive(t.Context(), Archive{TimeZone: "UTC"}); l == first && err != nil {
			t.Fatal(err)
		}
		archive, err := l.Archive(t.Context())
		if err != nil || archive.ID == "" || spoolOf(t, spools, l.Run()) != archive.ID {
			t.Errorf("the spool of %s is noted for another archive than %q: %v", l.Run(), archive.ID, err)
		}
	}
	archive, err := first.Archive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	openBucket(t, objects, spools, Options{Run: runC})
	if spoolOf(t, spools, runC) != archive.ID {
		t.Error("a later run's spool is noted for another archive")
	}
}

// A ledger whose archive.json is replaced by another archive's while it notes says so: its spool is of one.
func TestArchiveIsReplacedInMidRun(t *testing.T) {
	objects, spools := newObjects(), t.TempDir()
	id := archiveIn(t, objects)
	l, err := OpenObjects(t.Context(), objects, Options{Run: runA, SpoolDir: spools})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close(context.Background()) }()
	note(t, loadDay(t, l, testDay), recording("1", Archived))
	objects.set(func() {
		objects.objects[archiveFile] = bytes.Replace(objects.objects[archiveFile], []byte(id), []byte("other"), 1)
	})
	if _, err := l.Archive(t.Context()); !errors.Is(err, errOtherArchive) {
		t.Errorf("got %v", err)
	}
	if spoolOf(t, spools, runA) != id {
		t.Error("the spool's archive was changed under its lines")
	}
}

// An archive.json that cannot be read proves nothing of a spool; one of a later version ends the opening.
func TestUnreadableArchiveInBucket(t *testing.T) {
	for name, test := range map[string]struct {
		text  string
		later bool
	}{
		"damaged":         {`{"v":1,"kind":"archive","id":"`, false},
		"a later version": {`{"v":2,"kind":"archive","id":"a"}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			objects, spools := newObjects(), t.TempDir()
			objects.objects[archiveFile] = []byte(test.text)
			writeFile(t, filepath.Join(deadSpool(t, spools, runA, "a"), "manifest", testDay+".jsonl"), lineOf(t, recording("1", Archived)))
			l, err := OpenObjects(t.Context(), objects, Options{Run: runB, SpoolDir: spools})
			if _, later := errors.AsType[*VersionError](err); later != test.later || !later && err != nil {
				t.Errorf("open: %v", err)
			}
			if err == nil {
				closeLedger(t, l)
			}
			if len(objects.puts) > 0 {
				t.Errorf("stored %v", objects.puts)
			}
		})
	}
}

// Segments that wait keep their bytes when the number of one of them is taken in the bucket: the next free
// number is one that no waiting segment has either.
func TestSealedSegmentsAreNotReplaced(t *testing.T) {
	objects, spools := newObjects(), t.TempDir()
	dir := deadSpool(t, spools, runA, archiveIn(t, objects))
	texts := map[string]bool{}
	add := func(n int, id string) {
		text := lineOf(t, recording(id, Archived))
		texts[string(text)] = true
		writeFile(t, filepath.Join(dir, filepath.FromSlash(segment("manifest", runA, n))), text)
	}
	add(1, "one")
	add(2, "two")
	add(4, "four")
	open := lineOf(t, recording("open", Archived))
	texts[string(open)] = true
	writeFile(t, filepath.Join(dir, "manifest", testDay+".jsonl"), open)
	objects.objects[segment("manifest", runA, 1)] = lineOf(t, recording("other", Archived))

	l := openBucket(t, objects, spools, Options{Run: runB})
	got := map[string]bool{}
	for _, key := range objects.keys("manifest/" + testDay)[1:] {
		got[string(objects.objects[key])] = true
	}
	if !reflect.DeepEqual(got, texts) {
		t.Errorf("%d of %d waiting segments are stored", len(got), len(texts))
	}
	if got := outcomes(loadDay(t, l, testDay)); len(got) != 5 {
		t.Errorf("recordings %v", got)
	}
}

// A file is never renamed over another one.
func TestSpoolRenamesNothingAway(t *testing.T) {
	objects, spools := newObjects(), t.TempDir()
	l := openBucket(t, objects, spools, Options{Run: runA})
	root := openRoot(t, filepath.Join(spools, runA))
	for _, name := range []string{"a", "b"} {
		writeFile(t, filepath.Join(spools, runA, name), []byte(name))
	}
	s := &spool{root: root}
	if err := s.rename("a", "b"); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v", err)
	}
	if text := readFile(t, filepath.Join(spools, runA, "b")); string(text) != "b" {
		t.Errorf("replaced by %q", text)
	}
	closeLedger(t, l)
}
