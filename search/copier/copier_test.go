package copier

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"convoso-archiver/archiver/key"
	"convoso-archiver/manifest"
	"convoso-archiver/search"
)

// folderSource is a folder of recordings. Reading one fails a configured number of times.
type folderSource struct {
	dir   string
	fails atomic.Int64
	err   error
}

func (s *folderSource) Open(_ context.Context, name string) (io.ReadCloser, error) {
	if s.fails.Add(-1) >= 0 {
		return nil, s.err
	}
	return os.Open(filepath.Join(s.dir, name))
}

// recorded is a call with one recording, stored in the source.
func (s *folderSource) recorded(t *testing.T, id, body string) *search.Call {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, id+".mp3"), []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return &search.Call{
		Day: "2025-05-28", Wall: time.Date(2025, 5, 28, 14, 58, 38, 0, time.UTC),
		Fields: search.Fields{ID: "call-" + id, User: "Ann", PhoneNumber: "5550142", Length: 7},
		Recordings: []search.Recording{{ID: id, Outcome: manifest.Archived, Key: id + ".mp3", State: &manifest.State{
			Size: int64(len(body)), SHA256: sha256.Sum256([]byte(body)), ContentType: "audio/mpeg",
		}}},
	}
}

// copyAll copies calls into a folder.
func copyAll(t *testing.T, dir string, o Options, calls ...*search.Call) (Counts, error) {
	t.Helper()
	c, err := Start(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range calls {
		if err := c.Add(call, call.Recordings[0]); err != nil {
			break // Finish returns it too
		}
	}
	return c.Finish()
}

// inBubble runs a test with fake time.
func inBubble(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func template(t *testing.T, text string) *key.Template {
	t.Helper()
	made, err := key.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestNames: equal names are assigned in the order of adding, and no existing file is replaced.
func TestNames(t *testing.T) {
	s := &folderSource{dir: t.TempDir()}
	var calls []*search.Call
	for i := range 40 {
		calls = append(calls, s.recorded(t, fmt.Sprintf("r%02d", i), fmt.Sprint("body ", i)))
	}
	for range 3 {
		dir := t.TempDir()
		for _, stands := range []string{"b/Ann.mp3", "r05"} { // a name that is taken, and another of another kind
			path := filepath.Join(dir, stands)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("another's"), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		o := Options{Source: s, Workers: 4, Names: template(t, "{{.user | lower | replace \"ann\" \"b\"}}/{{.user}}")}
		for round := range 2 {
			counts, err := copyAll(t, dir, o, calls...)
			if err != nil || counts.Copied != 40*(1-round) || counts.There != 40*round {
				t.Fatalf("%+v, %v", counts, err)
			}
		}
		if read(t, dir, "b/Ann.mp3") != "another's" || read(t, dir, "b/Ann-r00.mp3") != "body 0" || read(t, dir, "b/Ann-r39.mp3") != "body 39" {
			t.Error("wrong names")
		}
		// In an empty folder the first one has the plain name.
		dir = t.TempDir()
		if counts, err := copyAll(t, dir, o, calls...); err != nil || counts.Copied != 40 || read(t, dir, "b/Ann.mp3") != "body 0" {
			t.Errorf("%+v, %v", counts, err)
		}
	}
}

// TestOwnNames: a recording never replaces the index, the playlist or the folder of the parts.
func TestOwnNames(t *testing.T) {
	s, dir := &folderSource{dir: t.TempDir()}, t.TempDir()
	call := s.recorded(t, "r1", "body")
	for _, name := range []string{"Index.CSV", "playlist.m3u8", ".find/x.mp3"} {
		if err := os.MkdirAll(filepath.Join(s.dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte("body"), 0o600); err != nil {
			t.Fatal(err)
		}
		call.Recordings[0].Key = name
		counts, err := copyAll(t, dir, Options{Source: s}, call)
		isParts := strings.HasPrefix(name, ".find")
		if err != nil || counts.Copied == 1 == isParts || counts.Unread == 1 != isParts || !strings.HasPrefix(read(t, dir, IndexFile), "file,") || !strings.HasPrefix(read(t, dir, PlaylistFile), playlistStart) {
			t.Errorf("%s: %+v, %v", name, counts, err)
		}
	}
}

// TestTables: the index keeps the rows of earlier copies whose file still exists.
func TestTables(t *testing.T) {
	s, dir := &folderSource{dir: t.TempDir()}, t.TempDir()
	first, second, third := s.recorded(t, "r1", "one"), s.recorded(t, "r2", "two"), s.recorded(t, "#3", "three")
	if _, err := copyAll(t, dir, Options{Source: s}, first, second); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "r1.mp3")); err != nil {
		t.Fatal(err)
	}
	if _, err := copyAll(t, dir, Options{Source: s}, third); err != nil {
		t.Fatal(err)
	}
	index := strings.Split(read(t, dir, IndexFile), "\r\n")
	if len(index) != 4 || !strings.HasPrefix(index[1], "#3.mp3,#3,call-#3,2025-05-28,") || !strings.HasPrefix(index[2], "r2.mp3,r2,call-r2,") {
		t.Errorf("%q", index)
	}
	want := playlistStart + playlistMark + "#EXTINF:7,2025-05-28, Ann\n./#3.mp3\n#EXTINF:7,2025-05-28, Ann\nr2.mp3\n"
	if got := read(t, dir, PlaylistFile); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, foreign := range []string{"", "#EXTM3U\nsong.mp3\n"} {
		dir := t.TempDir()
		name := PlaylistFile
		if foreign == "" {
			name = IndexFile
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(foreign), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Start(t.Context(), dir, Options{Source: s}); !errors.Is(err, ErrForeign) {
			t.Errorf("%s of something else: %v", name, err)
		}
		if got := read(t, dir, name); got != foreign {
			t.Errorf("it is %q now", got)
		}
	}
}

// TestLengths: an entry of the playlist has the length of its recording, not of its call, even after later copies.
func TestLengths(t *testing.T) {
	s, dir := &folderSource{dir: t.TempDir()}, t.TempDir()
	short, several, unknown, plain := s.recorded(t, "r1", "one"), s.recorded(t, "r2", "two"), s.recorded(t, "r3", "three"), s.recorded(t, "r4", "four")
	short.Recordings[0].State.Reason = "a broken last frame; plays 18 s, call_length is 31 s"
	several.Recordings = append(several.Recordings, search.Recording{ID: "lost", Outcome: manifest.Lost})
	unknown.Length = -1
	plain.Recordings[0].State.Reason = "plays music"
	copies := [][]*search.Call{{short, several, unknown}, {plain}}
	for _, calls := range copies {
		if counts, err := copyAll(t, dir, Options{Source: s, Workers: 1}, calls...); err != nil || counts.Copied != len(calls) {
			t.Fatal(counts, err)
		}
	}
	const title = ",2025-05-28, Ann\n"
	want := playlistStart + playlistMark + "#EXTINF:7" + title + "r4.mp3\n" +
		"#EXTINF:18" + title + "r1.mp3\n#EXTINF:-1" + title + "r2.mp3\n#EXTINF:-1" + title + "r3.mp3\n"
	if got := read(t, dir, PlaylistFile); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	// A lost playlist means unknown lengths.
	if err := os.Remove(filepath.Join(dir, PlaylistFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := copyAll(t, dir, Options{Source: s, Workers: 1}, plain); err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, dir, PlaylistFile), strings.Replace(want, "#EXTINF:18", "#EXTINF:-1", 1); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestFormulas: no text in the index is one that a spreadsheet would take for a formula.
func TestFormulas(t *testing.T) {
	s := &folderSource{dir: t.TempDir()}
	call := s.recorded(t, "r1", "body")
	call.FirstName, call.LastName, call.Comment, call.Campaign = "=1+1", "@home", "-2", "3 = 3"
	dir := t.TempDir()
	if _, err := copyAll(t, dir, Options{Source: s, Workers: 1}, call); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(read(t, dir, IndexFile))).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	got := map[string]string{}
	for i, name := range rows[0] {
		got[name] = rows[1][i]
	}
	for name, want := range map[string]string{"first_name": "'=1+1", "last_name": "'@home", "agent_comment": "'-2", "campaign": "3 = 3", "file": "r1.mp3"} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

// TestBusy: two copies into one folder exclude each other, and a killed one does no harm.
func TestBusy(t *testing.T) {
	s, dir := &folderSource{dir: t.TempDir()}, t.TempDir()
	one, err := Start(t.Context(), dir, Options{Source: s})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), dir, Options{Source: s}); !errors.Is(err, ErrBusy) {
		t.Errorf("a second copy: %v", err)
	}
	if _, err := one.Finish(); err != nil {
		t.Error(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, ".find"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, left := range []string{"lock", "1", "17"} {
		if err := os.WriteFile(filepath.Join(dir, ".find", left), []byte("half a bo"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	counts, err := copyAll(t, dir, Options{Source: s}, s.recorded(t, "r1", "body"))
	if err != nil || counts.Copied != 1 || read(t, dir, "r1.mp3") != "body" {
		t.Errorf("after a killed copy: %+v, %v", counts, err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".find")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of the parts is left: %v", err)
	}
}

// TestFailures: unreadable recordings are retried, and finally skipped.
func TestFailures(t *testing.T) {
	passing := errors.New("the store is busy")
	for _, test := range []struct {
		name    string
		fails   int64
		err     error
		passes  bool
		damaged bool
		left    bool
	}{
		{"passes", 2, passing, true, false, false},
		{"stays", 3, passing, true, false, true},
		{"is not tried again", 1, fs.ErrPermission, false, false, true},
		{"missing", 1, fs.ErrNotExist, false, true, true},
	} {
		inBubble(t, test.name, func(t *testing.T) {
			s, dir := &folderSource{dir: t.TempDir(), err: test.err}, t.TempDir()
			s.fails.Store(test.fails)
			var left []Failure
			counts, err := copyAll(t, dir, Options{
				Source: s, Passing: func(err error) bool { return errors.Is(err, passing) }, Tell: func(f Failure) { left = append(left, f) },
			}, s.recorded(t, "r1", "body"))
			if err != nil || len(left) > 0 != test.left || test.left && (left[0].RecordingID != "r1" || left[0].Damaged != test.damaged) ||
				counts.Damaged+counts.Unread != len(left) || counts.Copied != 1-len(left) {
				t.Errorf("%+v, %+v, %v", counts, left, err)
			}
		})
	}
}

// TestStoreInTrouble: a store that delivers nothing ends the copy.
func TestStoreInTrouble(t *testing.T) { synctest.Test(t, testStoreInTrouble) }

func testStoreInTrouble(t *testing.T) {
	busy := errors.New("the store is busy")
	s := &folderSource{dir: t.TempDir(), err: busy}
	s.fails.Store(1 << 20)
	var calls []*search.Call
	for i := range 60 {
		calls = append(calls, s.recorded(t, fmt.Sprintf("r%d", i), "body"))
	}
	counts, err := copyAll(t, t.TempDir(), Options{Source: s, Workers: 4, Passing: func(error) bool { return true }}, calls...)
	if !errors.Is(err, busy) || counts.Unread < maxTrouble || counts.Unread > 40 || counts.Copied != 0 {
		t.Errorf("%+v, %v", counts, err)
	}
}

// TestStopped: a stopped copy says why, and its tables contain the copied files.
func TestStopped(t *testing.T) {
	s, dir := &folderSource{dir: t.TempDir()}, t.TempDir()
	why := errors.New("enough")
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	c, err := Start(ctx, dir, Options{Source: s, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	added := 0
	for i := range 1000 {
		if i == 20 {
			stop(why)
		}
		call := s.recorded(t, fmt.Sprintf("r%d", i), strings.Repeat("body", 1+i))
		if err = c.Add(call, call.Recordings[0]); err != nil {
			break
		}
		added++
	}
	if !errors.Is(err, why) || added < 20 || added > 200 {
		t.Errorf("%d were added: %v", added, err)
	}
	counts, err := c.Finish()
	if !errors.Is(err, why) || counts.Copied+counts.Unfinished != counts.Added || counts.Added != added {
		t.Errorf("%+v, %v", counts, err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.mp3"))
	if rows := bytes.Count([]byte(read(t, dir, IndexFile)), []byte("\r\n")) - 1; err != nil || rows != len(files) || rows != counts.Copied {
		t.Errorf("%d rows, %d files, %d copied", rows, len(files), counts.Copied)
	}
}

// TestWithoutLinks names a part if the file system has no links.
func TestWithoutLinks(t *testing.T) {
	dir := t.TempDir()
	f, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.newPart()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.file.WriteString("body"); err != nil {
		t.Fatal(err)
	}
	if err := p.sync(); err != nil {
		t.Fatal(err)
	}
	if there, err := f.rename(p, "x.mp3"); there || err != nil {
		t.Errorf("%v, %v", there, err)
	}
	if there, err := f.rename(p, "x.mp3"); !there || err != nil {
		t.Errorf("it is there: %v, %v", there, err)
	}
	if err := f.close(); err != nil || read(t, dir, "x.mp3") != "body" {
		t.Error(err)
	}
}

// TestRemovedMeanwhile: a recording that is erased during the copy is left out, and is not damage.
func TestRemovedMeanwhile(t *testing.T) {
	s := &folderSource{dir: t.TempDir()}
	there, erased, missing := s.recorded(t, "r1", "one"), s.recorded(t, "r2", "two"), s.recorded(t, "r3", "three")
	for _, name := range []string{"r2.mp3", "r3.mp3"} {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	var damaged []string
	counts, err := copyAll(t, t.TempDir(), Options{
		Source: s,
		Removed: func(_ context.Context, day, recordingID, callID string) (bool, error) {
			return day == erased.Day && recordingID == "r2" && callID == erased.ID, nil
		},
		Tell: func(f Failure) {
			if f.Damaged {
				damaged = append(damaged, f.RecordingID)
			}
		},
	}, there, erased, missing)
	if err != nil || counts.Copied != 1 || counts.Unread != 1 || counts.Damaged != 1 || len(damaged) != 1 || damaged[0] != "r3" {
		t.Errorf("%+v, %v, %v", counts, damaged, err)
	}
}
