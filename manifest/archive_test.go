package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

func TestArchiveFile(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		ctx := t.Context()
		l := p.open(t, Options{Run: runA})
		if _, err := l.Archive(ctx); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("a new archive: %v", err)
		}
		a := Archive{APIURL: "https://api.convoso.com/v1", TimeZone: "America/Los_Angeles", Created: noon}
		if err := l.SaveArchive(ctx, a); err != nil {
			t.Fatal(err)
		}
		saved, err := l.Archive(ctx)
		if err != nil || saved.ID == "" || saved.V != 2 || saved.AccountID != "" || saved.TimeZone != a.TimeZone || !saved.Created.Equal(noon) || saved.ConditionalWrites != nil {
			t.Fatalf("%+v, %v", saved, err)
		}
		no := false
		saved.AccountID, saved.ConditionalWrites = "77", &no
		if err := l.SaveArchive(ctx, saved); err != nil {
			t.Fatal(err)
		}
		got, err := l.Archive(ctx)
		if err != nil || got.ID != saved.ID || got.AccountID != "77" || got.ConditionalWrites == nil || *got.ConditionalWrites {
			t.Errorf("%+v, %v", got, err)
		}
		// Another run was first: its file stays.
		text := bytes.Replace(p.files(t, "")[archiveFile], []byte(`"77"`), []byte(`"78"`), 1)
		p.write(t, archiveFile, text)
		if err := l.SaveArchive(ctx, saved); !errors.Is(err, fs.ErrExist) {
			t.Errorf("over another run's: %v", err)
		}
		if got, err := l.Archive(ctx); err != nil || got.AccountID != "78" {
			t.Errorf("%+v, %v", got, err)
		}
		if err := l.SaveArchive(ctx, saved); err != nil {
			t.Errorf("after it was read again: %v", err)
		}
		reader := p.open(t, Options{ReadOnly: true})
		if err := reader.SaveArchive(ctx, a); !errors.Is(err, ErrReadOnly) {
			t.Errorf("read-only: %v", err)
		}
	})
}

// Of two runs that create an archive, one gets the error that the other was first; a lost reply does not
// count as another run.
func TestCreationOfArchive(t *testing.T) {
	p := place{objects: newObjects()}
	won, lost := 0, 0
	var group errgroup.Group
	results := make(chan error, 8)
	for i := range cap(results) {
		l := p.open(t, Options{Run: fmt.Sprintf("20250502T09000%dZ-aaaaaaaa", i)})
		group.Go(func() error { results <- l.SaveArchive(t.Context(), Archive{}); return nil })
	}
	_ = group.Wait()
	close(results)
	for err := range results {
		switch {
		case err == nil:
			won++
		case errors.Is(err, fs.ErrExist):
			lost++
		default:
			t.Error(err)
		}
	}
	if won != 1 || lost != 7 {
		t.Errorf("%d made it, %d were told of another one", won, lost)
	}
	p = place{objects: newObjects()}
	p.objects.got = func(string) error { return errServer }
	l := p.open(t, Options{Run: runA})
	a := Archive{ID: "mine", Created: noon}
	if err := l.SaveArchive(t.Context(), a); !errors.Is(err, errServer) {
		t.Errorf("a lost reply: %v", err)
	}
	if err := l.SaveArchive(t.Context(), a); err != nil {
		t.Errorf("once more: %v", err)
	}
}

func TestArchiveFileKeepsUnknownFields(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		p.write(t, archiveFile, sample(t, "archive.json"))
		l := p.open(t, Options{Run: runA})
		a, err := l.Archive(t.Context())
		if err != nil || a.V != 1 {
			t.Fatal(a, err)
		}
		a.AccountID = "77"
		if err := l.SaveArchive(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		fields := func(text []byte) (m map[string]any) {
			if err := json.Unmarshal(text, &m); err != nil {
				t.Fatal(err)
			}
			return m
		}
		want := fields(sample(t, "archive.json"))
		want["account_id"], want["v"] = "77", 2.0
		if got := fields(p.files(t, "")[archiveFile]); !reflect.DeepEqual(got, want) || len(got) < 8 {
			t.Errorf("got %v, want %v", got, want)
		}
		for text, v := range map[string]int{`{"v":3,"kind":"archive"}`: 3, `{"v":2,"kind":"archive","id":7}`: 0, `nonsense`: 0, ``: 0} {
			p.write(t, archiveFile, []byte(text))
			later := (*VersionError)(nil)
			_, err := l.Archive(t.Context())
			if err == nil || errors.Is(err, fs.ErrNotExist) || errors.As(err, &later) != (v > 0) || v > 0 && later.V != v {
				t.Errorf("%s: %v", text, err)
			}
		}
		if err := loadDay(t, l, testDay).Note(t.Context(), recording("1", Pending)); err == nil {
			t.Error("an archive of a later version takes a line")
		}
	})
}

func TestRunID(t *testing.T) {
	a, b := NewRunID(noon), NewRunID(noon)
	if !runPattern.MatchString(a) || a == b || !strings.HasPrefix(a, "20250502T120000Z-") {
		t.Errorf("%s %s", a, b)
	}
	if _, err := OpenBucket(newObjects(), Options{Run: "../x"}); err == nil {
		t.Error("a run id that is none")
	}
	if _, err := OpenDir(openRoot(t, t.TempDir()), Options{Run: "x"}); err == nil {
		t.Error("a run id that is none")
	}
}

func TestLockFailure(t *testing.T) {
	for _, cause := range []error{syscall.ENOLCK, syscall.ENOSYS, syscall.EIO, &fs.PathError{Op: "flock", Path: "x", Err: syscall.ENOTSUP}} {
		if err := lockFailure(cause); !errors.Is(err, cause) || !strings.Contains(err.Error(), "another file system") {
			t.Errorf("%v: %v", cause, err)
		}
	}
	if err := lockFailure(&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}); strings.Contains(err.Error(), "another file system") {
		t.Errorf("%v", err)
	}
}

// Checking the lock neither takes it nor changes its file.
func TestTryLock(t *testing.T) {
	p := place{dir: t.TempDir()}
	l := p.open(t, Options{Run: runA})
	before, err := os.ReadFile(LockFile(p.dir))
	if err != nil {
		t.Fatal(err)
	}
	holder, err := TryLock(LockFile(p.dir))
	if err != nil || !strings.HasPrefix(holder, fmt.Sprintf("another run (process %d, started 2", os.Getpid())) {
		t.Errorf("held: %q, %v", holder, err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if holder, err := TryLock(LockFile(p.dir)); err != nil || holder != "" {
			t.Errorf("free: %q, %v", holder, err)
		}
	}
	if after, err := os.ReadFile(LockFile(p.dir)); err != nil || string(after) != string(before) {
		t.Errorf("the file holds %q now, %v", after, err)
	}
	p.open(t, Options{Run: runA})
	if _, err := TryLock(filepath.Join(p.dir, "gone")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("gone: %v", err)
	}
	if _, err := os.Stat(filepath.Join(p.dir, "gone")); err == nil {
		t.Error("a look has made a file")
	}
}

// TestFilesAreForTheirOwner checks the mode of all files of a ledger, including those that a repair moves
// aside.
func TestFilesAreForTheirOwner(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes: the folder's access list counts")
	}
	p := place{dir: t.TempDir()}
	l := p.open(t, Options{Run: runA})
	if err := l.SaveArchive(t.Context(), Archive{APIURL: "https://api.convoso.com/v1", TimeZone: "UTC"}); err != nil {
		t.Fatal(err)
	}
	d := loadDay(t, l, testDay)
	if err := d.NoteCalls(t.Context(), []Call{{CallID: "1", Time: time.Now(), Row: []byte(`{"id":"1"}`)}}); err != nil {
		t.Fatal(err)
	}
	note(t, d, recording("1", Archived))
	closeDay(t, d, DayLine{})
	closeLedger(t, l)
	p.write(t, unnamed, []byte("no line\n"))
	p.write(t, "manifest/"+testDay+"/"+runB+"-000002.jsonl", []byte(`{"torn`))
	l = p.open(t, Options{Run: runC})
	if _, err := l.Mend(t.Context(), testDay, "a test"); err != nil {
		t.Fatal(err)
	}
	seen := 0
	err := filepath.WalkDir(p.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == p.dir {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = fs.ModeDir | 0o700
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		seen++
		return nil
	})
	// The 14 names: both top folders and the day's folder in each, the lock, archive.json, the rows,
	// closed.json, the first segment, the formerly bad segment and its copy, the formerly torn segment and
	// its tail, and the segment with the line of the repair.
	if err != nil || seen != 14 {
		t.Errorf("saw %d names, %v", seen, err)
	}
}
