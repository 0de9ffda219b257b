package store_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"convoso-archiver/archiver/store"
	"convoso-archiver/archiver/store/storetest"
)

var (
	_ storetest.Store = (*store.Disk)(nil)
	_ storetest.Store = (*store.S3)(nil)
)

func openDisk(t *testing.T, dir string, o store.DiskOptions) *store.Disk {
	t.Helper()
	d, err := store.OpenDisk(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func put(t *testing.T, s storetest.Store, o store.Object) store.Stored {
	t.Helper()
	stored, err := s.Put(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// files lists everything below a folder but the temporary folder itself.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = append(found, filepath.ToSlash(strings.TrimPrefix(path, dir+string(filepath.Separator))))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("there are the files %q, want %q", got, want)
	}
}

func TestDisk(t *testing.T) {
	for name, prepare := range map[string]func(*store.Disk){
		"links":    func(*store.Disk) {},
		"renames":  func(d *store.Disk) { d.WithoutLinks(true) },
		"by claim": func(d *store.Disk) { d.WithoutLinks(false) },
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Opener {
				dir := filepath.Join(t.TempDir(), "new", "archive")
				t.Cleanup(func() { wantNoParts(t, dir) })
				return func(t *testing.T, owner storetest.Owner) storetest.Store {
					d, err := store.OpenDisk(dir, store.DiskOptions{Owner: owner})
					if err != nil {
						t.Fatal(err)
					}
					prepare(d)
					return d
				}
			})
		})
	}
}

func wantNoParts(t *testing.T, dir string) {
	t.Helper()
	for _, name := range files(t, dir) {
		if strings.HasPrefix(name, ".tmp/") {
			t.Errorf("%s was left", name)
		}
	}
}

func TestDiskModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes: the folder's access list counts")
	}
	dir := filepath.Join(t.TempDir(), "a", "archive")
	d := openDisk(t, dir, store.DiskOptions{})
	part, err := d.NewPart()
	if err != nil {
		t.Fatal(err)
	}
	defer part.Discard()
	put(t, d, storetest.Object("rec", storetest.Body(1, 10), "b/c/name.mp3"))
	seen := 0
	err = filepath.WalkDir(filepath.Dir(dir), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
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
	if err != nil || seen != 7 { // a, archive, .tmp, the part, b, c, name.mp3
		t.Errorf("saw %d names, %v", seen, err)
	}
}

func TestDiskCleanTemp(t *testing.T) {
	dir := t.TempDir()
	killed := openDisk(t, dir, store.DiskOptions{})
	for range 3 {
		part, err := killed.NewPart()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(part.Discard)
		if _, err := part.Write(storetest.Body(1, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, ".tmp", "not-ours"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	next := openDisk(t, dir, store.DiskOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := next.CleanTemp(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("clean up when cancelled: %v", err)
	}
	if err := next.CleanTemp(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir, ".tmp/not-ours")
	put(t, next, storetest.Object("rec", storetest.Body(1, 10), "name.mp3"))
}

// A killed run leaves an empty claim behind where there are no links.
func TestDiskStaleClaim(t *testing.T) {
	dir := t.TempDir()
	claim := filepath.Join(dir, "name.mp3")
	if err := os.WriteFile(claim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := openDisk(t, dir, store.DiskOptions{})
	object := storetest.Object("rec", storetest.Body(1, 10), "name.mp3", "name-rec.mp3")
	if _, err := d.Stat(t.Context(), "name.mp3"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty file is an object: %v", err)
	}
	if _, found, err := d.Find(t.Context(), object.Keys, "rec"); found || err != nil {
		t.Errorf("an empty file was found: %v", err)
	}
	d.WithoutLinks(false)
	if stored := put(t, d, object); stored.Key != "name.mp3" || stored.Adopted {
		t.Errorf("stored %+v", stored)
	}
	wantFiles(t, dir, "name.mp3")

	// Where there are links, an empty file is somebody else's.
	if err := os.Truncate(claim, 0); err != nil {
		t.Fatal(err)
	}
	if stored := put(t, openDisk(t, dir, store.DiskOptions{}), object); stored.Key != "name-rec.mp3" {
		t.Errorf("stored %+v", stored)
	}
}

func TestDiskDoesNotFollowLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("making symbolic links needs a privilege on Windows")
	}
	dir, outside := t.TempDir(), t.TempDir()
	body := storetest.Body(1, 10)
	secret := filepath.Join(outside, "same.mp3")
	if err := os.WriteFile(secret, body, 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"folder": outside, "file.mp3": secret, "dangling.mp3": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	d := openDisk(t, dir, store.DiskOptions{})
	for _, key := range []string{"folder/CANARY.mp3", "folder/CANARY/x.mp3"} {
		_, err := d.Put(t.Context(), storetest.Object("rec", body, key))
		if err == nil || strings.Contains(err.Error(), "CANARY") || store.IsRetriable(err) {
			t.Errorf("put below a link that leads out: %v", err)
		}
	}
	for _, key := range []string{"file.mp3", "dangling.mp3"} {
		if stored := put(t, d, storetest.Object("rec", body, key, "x-"+key)); stored.Key != "x-"+key || stored.Adopted {
			t.Errorf("stored %+v", stored)
		}
		if r, err := d.Open(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("opened a link: %v, %v", r, err)
		}
	}
	if r, err := d.Open(t.Context(), "folder/same.mp3"); err == nil {
		t.Errorf("opened a file outside: %v", r)
	}
	wantFiles(t, outside, "same.mp3")
	for info, err := range d.List(t.Context(), "") {
		if err != nil || !strings.HasPrefix(info.Key, "x-") {
			t.Errorf("listed %+v, %v", info, err)
		}
	}
}

// Names that are taken by what is not a file at all, and folders that are files.
func TestDiskOddNeighbours(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, store.DiskOptions{})
	body := storetest.Body(1, 10)
	put(t, d, storetest.Object("rec-1", body, "a.mp3/x.mp3"))
	put(t, d, storetest.Object("rec-2", body, "plain"))
	for i, keys := range [][]string{{"a.mp3", "1.mp3"}, {"plain/below.mp3", "2.mp3"}, {"plain/deep/below.mp3", "3.mp3"}} {
		if stored := put(t, d, storetest.Object("rec", body, keys...)); stored.Key != keys[1] {
			t.Errorf("case %d: stored %+v", i, stored)
		}
	}
	// A person tidies up during the run.
	if err := os.RemoveAll(filepath.Join(dir, "a.mp3")); err != nil {
		t.Fatal(err)
	}
	put(t, d, storetest.Object("rec-3", body, "a.mp3/y.mp3"))
	wantFiles(t, dir, "1.mp3", "2.mp3", "3.mp3", "a.mp3/y.mp3", "plain")
}

func TestDiskOwnerFails(t *testing.T) {
	broken := errors.New("broken")
	d := openDisk(t, t.TempDir(), store.DiskOptions{Owner: func(context.Context, string) (string, error) { return "", broken }})
	object := storetest.Object("rec", storetest.Body(1, 10), "name.mp3", "name-rec.mp3")
	put(t, d, object) // nobody is asked about a free key
	if _, err := d.Put(t.Context(), object); !errors.Is(err, broken) {
		t.Errorf("put: %v", err)
	}
	if _, _, err := d.Find(t.Context(), object.Keys, "rec"); !errors.Is(err, broken) {
		t.Errorf("find: %v", err)
	}
}

func TestDiskReadOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "archive")
	if _, err := store.OpenDisk(dir, store.DiskOptions{ReadOnly: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open of a missing folder: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d := openDisk(t, dir, store.DiskOptions{ReadOnly: true})
	if stored, err := d.Put(t.Context(), storetest.Object("rec", storetest.Body(1, 10), "name.mp3")); err == nil {
		t.Errorf("stored %+v", stored)
	}
	if entries, err := os.ReadDir(dir); len(entries) > 0 || err != nil {
		t.Errorf("reading made %v, %v", entries, err)
	}
	if d.Root().Name() != dir {
		t.Errorf("the root is %s", d.Root().Name())
	}
}

func TestDiskCannotOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below"), ""} {
		if d, err := store.OpenDisk(dir, store.DiskOptions{}); err == nil {
			t.Errorf("opened %q: %v", dir, d)
		} else if !strings.Contains(err.Error(), dir) {
			t.Errorf("the error does not say where: %v", err)
		}
	}
}

// A name that the file system cannot hold concerns one recording only.
func TestDiskNameTooLong(t *testing.T) {
	d := openDisk(t, t.TempDir(), store.DiskOptions{})
	key := "CANARY" + strings.Repeat("x", 300)
	for _, key := range []string{key, key + "/x"} {
		_, err := d.Put(t.Context(), storetest.Object("rec", storetest.Body(1, 10), key))
		if err == nil || store.IsRetriable(err) || errors.Is(err, store.ErrUnusable) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("put: %v", err)
		}
	}
}
