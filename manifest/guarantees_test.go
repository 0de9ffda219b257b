package manifest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestFilesAreForTheirOwner looks at the mode of whatever a ledger makes: the archive's
// own files, what a repair keeps aside, and a spool with what waits in it.
func TestFilesAreForTheirOwner(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes: the folder's access list counts")
	}
	dir, spool := t.TempDir(), t.TempDir()
	disk := openDir(t, dir, Options{})
	if err := disk.SaveArchive(t.Context(), Archive{APIURL: "https://api.convoso.com/v1", TimeZone: "UTC"}); err != nil {
		t.Fatal(err)
	}
	work := func(l *Ledger) {
		t.Helper()
		d := loadDay(t, l, testDay)
		defer d.Release()
		if err := d.NoteCalls(t.Context(), []Call{{CallID: "1", Time: time.Now(), Row: []byte(`{"id":"1"}`)}}); err != nil {
			t.Fatal(err)
		}
		note(t, d, recording("1", Archived))
	}
	work(disk)
	closeLedger(t, disk)
	name := filepath.Join(dir, "manifest", testDay+".jsonl")
	writeFile(t, name, append(append([]byte("no line\n"), readFile(t, name)...), `{"torn`...))
	disk = openDir(t, dir, Options{})
	if _, err := disk.Mend(t.Context(), testDay, "a test"); err != nil {
		t.Fatal(err)
	}

	objects := newObjects()
	archiveIn(t, objects)
	work(openBucket(t, objects, spool, Options{}))

	seen := map[string]int{}
	for tree, base := range map[string]string{"archive": dir, "spool": spool} {
		err := filepath.WalkDir(base, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || path == base {
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
			seen[tree]++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// Both folders, lock, archive.json, the day, its torn end and the copy aside, the rows;
	// lock, and the run's folder with lock, archive, and both trees with a file each.
	if seen["archive"] != 8 || seen["spool"] != 8 {
		t.Errorf("saw %v names", seen)
	}
}

// TestAuditOfAnEditedLine edits the hash in a line of a closed day, which leaves all
// counts as they were: the day line alone can tell.
func TestAuditOfAnEditedLine(t *testing.T) {
	edit := func(data []byte) []byte {
		at := bytes.Index(data, []byte(`"sha256":"`)) + len(`"sha256":"`)
		forged := bytes.Clone(data)
		copy(forged[at:], strings.Repeat("0", 64))
		return forged
	}
	closed := func(l *Ledger) {
		t.Helper()
		d := loadDay(t, l, testDay)
		defer d.Release()
		note(t, d, recording("a", Archived), recording("b", Archived))
		closeDay(t, d, DayLine{Kept: []string{"recordings"}, ListedAt: noon, Calls: 2})
	}
	check := func(l *Ledger) {
		t.Helper()
		if _, faults := auditLedger(t, l); len(faults) != 1 || faults[0].Kind != FaultDayLine {
			t.Errorf("faults %+v", faults)
		}
	}
	t.Run("on disk", func(t *testing.T) {
		dir := t.TempDir()
		l := openDir(t, dir, Options{})
		closed(l)
		closeLedger(t, l)
		name := filepath.Join(dir, "manifest", testDay+".jsonl")
		if err := os.WriteFile(name, edit(readFile(t, name)), 0o600); err != nil {
			t.Fatal(err)
		}
		check(openDir(t, dir, Options{}))
	})
	t.Run("in a bucket", func(t *testing.T) {
		objects := newObjects()
		l := openBucket(t, objects, t.TempDir(), Options{Run: runA})
		closed(l)
		closeLedger(t, l)
		key := segment(treeManifest, runA, 1)
		objects.objects[key] = edit(objects.objects[key])
		check(openBucket(t, objects, t.TempDir(), Options{Run: runB}))
	})
}
