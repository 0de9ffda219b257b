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

func put(t *testing.T, s storetest.Store, o store.Object) store.Info {
	t.Helper()
	info, err := s.Put(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// wantTaken checks that Put refuses a key, and whether it reports the same bytes.
func wantTaken(t *testing.T, s storetest.Store, o store.Object, same bool) {
	t.Helper()
	_, err := s.Put(t.Context(), o)
	taken, ok := errors.AsType[*store.TakenError](err)
	if !ok || taken.Same != same {
		t.Errorf("put: %v, want a TakenError with same %t", err, same)
	}
}

// files lists everything below a folder except the temporary folder itself.
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
		"by claim": (*store.Disk).WithoutLinks,
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Place {
				dir := filepath.Join(t.TempDir(), "new", "archive")
				t.Cleanup(func() { wantNoParts(t, dir) })
				open := func(t *testing.T) storetest.Store {
					d, err := store.OpenDisk(dir, store.DiskOptions{})
					if err != nil {
						t.Fatal(err)
					}
					prepare(d)
					return d
				}
				return storetest.Place{Open: open, OneRun: name == "by claim"}
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

// On a file system without links, a killed run leaves an empty claim. It is not an object, and is
// not overwritten.
func TestDiskStaleClaim(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "name.mp3"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := openDisk(t, dir, store.DiskOptions{})
	if _, err := d.Stat(t.Context(), "name.mp3"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty file is an object: %v", err)
	}
	wantTaken(t, d, storetest.Object("rec", storetest.Body(1, 10), "name.mp3"), false)
	d.WithoutLinks()
	wantTaken(t, d, storetest.Object("rec", storetest.Body(1, 10), "name.mp3"), false)
	for info, err := range d.List(t.Context(), "") {
		t.Errorf("listed %+v, %v", info, err)
	}
}

// Links below the destination are refused: those at the top before anything is stored, others when
// they are encountered.
func TestDiskLinkedFolders(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("making symbolic links needs a privilege on Windows")
	}
	outside := t.TempDir()
	for _, c := range []struct {
		link, target string
		reads        bool
		text         string
	}{
		{"manifest", outside, false, "its folder manifest is a symbolic link"},
		{"calls", outside, false, "its folder calls is a symbolic link"},
		{".tmp", outside, false, "its folder .tmp is a symbolic link"},
		{"CANARY", outside, true, "a folder in it is a symbolic link"},
		{"CANARY", filepath.Join(outside, "not mounted"), true, "a folder in it is a symbolic link"},
		{"CANARY", ".", true, "a folder in it is a symbolic link"},
	} {
		dir := t.TempDir()
		if err := os.Symlink(c.target, filepath.Join(dir, c.link)); err != nil {
			t.Fatal(err)
		}
		_, err := store.OpenDisk(dir, store.DiskOptions{})
		wantLinked(t, err, c.text)
		if _, err := store.OpenDisk(dir, store.DiskOptions{ReadOnly: true}); !c.reads {
			wantLinked(t, err, c.text)
		} else if err != nil {
			t.Errorf("open %s for reading: %v", c.link, err)
		}
		wantFiles(t, outside)
	}

	dir := t.TempDir()
	d := openDisk(t, dir, store.DiskOptions{})
	body := storetest.Body(1, 10)
	put(t, d, storetest.Object("rec", body, "a/b/x.mp3"))
	for link, target := range map[string]string{"top": outside, "a/out": outside, "a/within": "b"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"top/CANARY.mp3", "top/CANARY/x.mp3", "a/out/CANARY.mp3", "a/within/CANARY.mp3"} {
		_, err := d.Put(t.Context(), storetest.Object("rec", body, key))
		wantLinked(t, err, "a folder of its key is a symbolic link")
		wantLinked(t, d.CheckFolders(key), "a folder of its key is a symbolic link")
	}
	for _, key := range []string{"CANARY.mp3", "a/b/CANARY.mp3", "a/missing/b/CANARY.mp3", ""} {
		if err := d.CheckFolders(key); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
	if err := os.WriteFile(filepath.Join(outside, "CANARY.mp3"), body, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"top/CANARY.mp3", "a/out/CANARY.mp3", "a/out/missing/CANARY.mp3"} {
		_, err := d.Stat(t.Context(), key)
		wantLinked(t, err, "a folder of its key is a symbolic link")
		_, err = d.Open(t.Context(), key)
		wantLinked(t, err, "a folder of its key is a symbolic link")
	}
	for info, err := range d.List(t.Context(), "") {
		if err != nil || info.Key != "a/b/x.mp3" {
			t.Errorf("listed %+v, %v", info, err)
		}
	}
	wantFiles(t, outside, "CANARY.mp3")
}

func wantLinked(t *testing.T, err error, text string) {
	t.Helper()
	if !errors.Is(err, store.ErrLinkedFolder) || !errors.Is(err, store.ErrUnusable) || store.IsRetriable(err) {
		t.Fatalf("got %v, want ErrLinkedFolder", err)
	}
	if !strings.Contains(err.Error(), text+": the program follows no links below the destination: ") || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("the error is %q, want one that says %q", err, text)
	}
}

// A link to a file is not an object, but its name is taken.
func TestDiskLinkedFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("making symbolic links needs a privilege on Windows")
	}
	dir, outside := t.TempDir(), t.TempDir()
	body := storetest.Body(1, 10)
	secret := filepath.Join(outside, "same.mp3")
	if err := os.WriteFile(secret, body, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "file.mp3")); err != nil {
		t.Fatal(err)
	}
	d := openDisk(t, dir, store.DiskOptions{})
	wantTaken(t, d, storetest.Object("rec", body, "file.mp3"), false)
	if r, err := d.Open(t.Context(), "file.mp3"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened a link: %v, %v", r, err)
	}
	for info, err := range d.List(t.Context(), "") {
		t.Errorf("listed %+v, %v", info, err)
	}
	wantFiles(t, outside, "same.mp3")
}

// Names taken by something other than a file, and files in place of folders.
func TestDiskOddNeighbours(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, store.DiskOptions{})
	body := storetest.Body(1, 10)
	put(t, d, storetest.Object("rec-1", body, "a.mp3/x.mp3"))
	put(t, d, storetest.Object("rec-2", body, "plain"))
	for _, key := range []string{"a.mp3", "plain/below.mp3", "plain/deep/below.mp3"} {
		wantTaken(t, d, storetest.Object("rec", body, key), false)
	}
	// A person deletes files during the run.
	if err := os.RemoveAll(filepath.Join(dir, "a.mp3")); err != nil {
		t.Fatal(err)
	}
	put(t, d, storetest.Object("rec-3", body, "a.mp3/y.mp3"))
	wantFiles(t, dir, "a.mp3/y.mp3", "plain")
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
	if part, err := d.NewPart(); err == nil {
		t.Errorf("made the part %v", part)
	}
	if err := d.CleanTemp(t.Context()); err == nil {
		t.Error("cleaned up a folder opened for reading")
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

// A name that the file system cannot store concerns only one recording.
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
