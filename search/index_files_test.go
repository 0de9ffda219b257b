package search

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/internal/s3test"
	"convoso-archiver/manifest"
)

func TestIndexFollowsTheArchive(t *testing.T) {
	m := newMade(t, 2)
	m.fill(10, 60)
	a, ix := m.open(), openIndex(t, t.TempDir())
	update(t, ix, a)
	for _, step := range []struct {
		name                string
		do                  func()
		days, read, removed int
	}{
		{"nothing", func() {}, 10, 0, 0},
		{"a new day", func() { calls, recordings := m.day(dayAt(10), 10, 40); m.note(dayAt(10), calls, recordings) }, 11, 1, 0},
		{"a call more", func() { m.note(dayAt(3), []manifest.Call{{CallID: "new", Row: m.row(dayAt(3), "new", 0)}}, nil) }, 11, 1, 0},
		{"a recording more", func() { m.note(dayAt(6), nil, []manifest.Recording{m.recording("new", "of nobody")}) }, 11, 1, 0},
		{"a line that is bad", func() { m.breakLine(dayAt(6)) }, 11, 1, 0},
		{"two days gone", func() { m.removeDay(dayAt(0)); m.removeDay(dayAt(4)) }, 9, 0, 2},
		{"no day left", func() {
			for i := range 11 {
				m.removeDay(dayAt(i))
			}
		}, 0, 0, 9},
	} {
		step.do()
		report := update(t, ix, a)
		if report.Days != step.days || report.Read != step.read || report.Removed != step.removed || len(report.Unread) != 0 {
			t.Errorf("%s: %+v", step.name, report)
		}
		wantSame(t, a, ix, Query{})
		wantSame(t, a, ix, Query{Name: "s", Sort: OldestFirst})
		if held, known, err := ix.Coverage(t.Context()); err != nil || held != step.days || known != step.days {
			t.Errorf("%s: %d of %d days held, %v", step.name, held, known, err)
		}
		names, err := a.Names(t.Context())
		got, err2 := a.WithIndex(ix).Names(t.Context())
		if isFatal(err) || isFatal(err2) || fmt.Sprint(got) != fmt.Sprint(names) {
			t.Errorf("%s: names %v, %v, want %v, %v", step.name, got, err2, names, err)
		}
	}
}

// Each search tries an unreadable day again, and finds the other days.
func TestIndexOfUnreadableDay(t *testing.T) {
	m := newMade(t, 3)
	m.fill(4, 30)
	later := filepath.Join(m.dir, "manifest", dayAt(2), manifest.NewRunID(testTime)+"-000001.jsonl")
	if err := os.WriteFile(later, []byte("{\"v\":99,\"kind\":\"recording\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, ix := m.open(), openIndex(t, t.TempDir())
	for range 2 {
		if report := update(t, ix, a); len(report.Unread) != 1 || report.Unread[0].Day != dayAt(2) {
			t.Fatalf("%+v", report)
		}
		if _, problems := answer(t, a.WithIndex(ix).Search(t.Context(), Query{})); len(problems) != 1 {
			t.Fatalf("problems %q", problems)
		}
		wantSame(t, a, ix, Query{})
		wantSame(t, a, ix, Query{WithRecording: true, Sort: OldestFirst})
		wantCount(t, a, ix, Query{WithRecording: true})
	}
	if err := os.Remove(later); err != nil {
		t.Fatal(err)
	}
	if _, problems := answer(t, a.WithIndex(ix).Search(t.Context(), Query{})); len(problems) != 0 {
		t.Errorf("before the update: problems %q", problems)
	}
	if report := update(t, ix, a); report.Read != 1 || len(report.Unread) != 0 {
		t.Errorf("%+v", report)
	}
	wantSame(t, a, ix, Query{})
}

// A search during an update finds the calls that exist before and after it, exactly once.
func TestSearchWhileUpdating(t *testing.T) {
	m := newMade(t, 12)
	var writing sync.RWMutex // blocks reads between removing and writing a day
	day := func(i, calls int) {
		var rows []manifest.Call
		for k := range calls {
			row := fmt.Sprintf(`{"status":"SALE","call_length":"7","call_date":"%s 10:%02d:%02d"}`, dayAt(i), k/60, k%60)
			rows = append(rows, manifest.Call{CallID: fmt.Sprint(k), Row: []byte(row)})
		}
		writing.Lock()
		defer writing.Unlock()
		m.removeDay(dayAt(i))
		m.note(dayAt(i), rows, nil)
	}
	const calls = 70
	for i := range 5 {
		day(i, calls)
	}
	a, ix := m.open(), openIndex(t, t.TempDir())
	update(t, ix, a)
	stop := make(chan struct{})
	var group sync.WaitGroup
	for _, q := range []Query{{Statuses: []string{"sale"}}, {Sort: OldestFirst}, {MinLength: 7, Sort: LongestFirst, Limit: 1e6}} {
		group.Go(func() {
			for {
				times := map[string]int{}
				writing.RLock()
				for c, err := range a.WithIndex(ix).Search(t.Context(), q) {
					if err != nil {
						t.Error(err)
					}
					times[c.Day+" "+c.ID]++
				}
				writing.RUnlock()
				for i := range 5 {
					for k := range calls {
						if n := times[fmt.Sprint(dayAt(i), " ", k)]; n > 1 || n == 0 && k < calls/2 {
							t.Errorf("call %d of %s was found %d times", k, dayAt(i), n)
						}
					}
				}
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond): // a moment without any search, in which the log can be emptied
				}
			}
		})
	}
	for round := range 6 {
		for i := range 5 {
			day(i, calls/(1+(round+1)%2))
		}
		update(t, ix, a)
	}
	close(stop)
	group.Wait()
}

// No byte of an erased day is left in the file or in SQLite's log.
func TestErasedIsOverwritten(t *testing.T) {
	m := newMade(t, 4)
	m.fill(6, 60)
	const day = 3
	var calls []manifest.Call
	for i := range 100 { // enough for several blocks and runs, each with unique words
		row := fmt.Sprintf(`{"id":"%d","phone_number":"1%010d","first_name":"canary%dfirst","last_name":"kanari%dlast","agent_comment":"secret%dcomment"}`,
			i, 7*i+3e9, i, i, i)
		calls = append(calls, manifest.Call{CallID: fmt.Sprint(i), Row: []byte(row)})
	}
	m.note(dayAt(day), calls, nil)
	folder := t.TempDir()
	a, ix := m.open(), openIndex(t, folder)
	update(t, ix, a)
	pieces := piecesOf(t, ix, dayNumber(dayAt(day)))
	if n := countIn(t, folder, pieces); n != len(pieces) {
		t.Fatalf("%d of %d pieces of the day are in the file: this test would see nothing", n, len(pieces))
	}
	stubs := make([]manifest.Call, 0, len(calls))
	for _, c := range calls {
		stubs = append(stubs, manifest.Call{CallID: c.CallID, Row: []byte("{}")})
	}
	m.removeDay(dayAt(day))
	m.note(dayAt(day), stubs, nil)
	if report := update(t, ix, a); report.Read != 1 {
		t.Fatalf("%+v", report)
	}
	fresh := t.TempDir() // pieces shared with other days do not count
	anew := openIndex(t, fresh)
	update(t, anew, a)
	if left, others := countIn(t, folder, pieces), countIn(t, fresh, pieces); left > others || others > 3 {
		t.Errorf("%d of %d pieces of an erased day are left, %d of which other days have", left, len(pieces), others)
	}
	for _, q := range []Query{{Name: "canary"}, {Name: "kanari7last"}, {Comment: "secret9comment"}, {Number: "3000000003"}} {
		if wantSame(t, a, ix, q) != 0 {
			t.Errorf("%+v finds what is erased", q)
		}
	}
	wantSame(t, a, ix, Query{})
}

// piecesOf returns pieces of the values of a day.
func piecesOf(t *testing.T, ix *Index, day int64) (pieces [][]byte) {
	t.Helper()
	const length = 24
	add := func(data []byte) {
		for piece := range slices.Chunk(data[:len(data)/length*length], length) {
			pieces = append(pieces, piece)
		}
	}
	for _, text := range []string{"SELECT data FROM block WHERE id/16777216=?", "SELECT data FROM run WHERE place/256=? AND place%256 IN (10,11,12)"} {
		rows, err := ix.db.QueryContext(t.Context(), text, day)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var data []byte
			if err := rows.Scan(&data); err != nil {
				t.Fatal(err)
			}
			add(data)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if len(pieces) < 100 {
		t.Fatalf("only %d pieces", len(pieces))
	}
	return pieces
}

// countIn counts the pieces in the files of a folder.
func countIn(t *testing.T, folder string, pieces [][]byte) (n int) {
	t.Helper()
	var all []byte
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all = append(all, data...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range pieces {
		if bytes.Contains(all, piece) {
			n++
		}
	}
	return n
}

// For any damage to the file, answers are correct, and the next update repairs it.
func TestDamagedIndex(t *testing.T) {
	m := newMade(t, 5)
	m.fill(8, 60)
	a := m.open()
	whole := t.TempDir()
	ix := openIndex(t, whole)
	update(t, ix, a)
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(whole, "it-v2.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	damages := map[string]func([]byte) []byte{
		"no database":      func([]byte) []byte { return []byte(strings.Repeat("not a database ", 1000)) },
		"empty":            func([]byte) []byte { return nil },
		"cut in half":      func(b []byte) []byte { return b[:len(b)/2] },
		"cut by a byte":    func(b []byte) []byte { return b[:len(b)-1] },
		"the head alone":   func(b []byte) []byte { return b[:100] },
		"zeros in front":   func(b []byte) []byte { clear(b[:8192]); return b },
		"zeros in the end": func(b []byte) []byte { clear(b[8192:]); return b },
	}
	for i := range 16 {
		damages[fmt.Sprintf("random bytes %d", i)] = func(b []byte) []byte {
			r := rand.New(rand.NewPCG(9, uint64(i)))
			for range 1 + i*i/2 {
				at := r.IntN(len(b))
				for k := at; k < min(at+40, len(b)); k++ {
					b[k] = byte(r.Uint32())
				}
			}
			return b
		}
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if err := os.WriteFile(filepath.Join(folder, "it-v2.sqlite"), damage(slices.Clone(good)), 0o600); err != nil {
				t.Fatal(err)
			}
			ix := openIndex(t, folder)
			update(t, ix, a)
			for _, q := range []Query{{}, {Sort: OldestFirst, Number: "5309"}, {Statuses: []string{"sale"}}, {Name: "s"}} {
				wantSame(t, a, ix, q)
			}
			update(t, ix, a)
			if held, known, err := ix.Coverage(t.Context()); err != nil || held != 8 || known != 8 {
				t.Errorf("after the next update %d of %d days are held, %v", held, known, err)
			}
			wantSame(t, a, ix, Query{})
		})
	}
}

// Tables without their own checksums are modified without the index.
func TestIndexWithoutTable(t *testing.T) {
	m := newMade(t, 6)
	m.fill(3, 30)
	a := m.open()
	for _, text := range []string{"DROP TABLE run", "DROP TABLE name", "DROP TABLE day", "DELETE FROM block", "DELETE FROM fact", "UPDATE run SET data=x'00'", "PRAGMA user_version=0"} {
		ix := openIndex(t, t.TempDir())
		update(t, ix, a)
		if _, err := ix.db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		wantSame(t, a, ix, Query{Number: "5309"})
		wantSame(t, a, ix, Query{})
		if _, err := a.WithIndex(ix).Names(t.Context()); err != nil {
			t.Errorf("%s: names: %v", text, err)
		}
		update(t, ix, a)
		wantSame(t, a, ix, Query{Number: "5309"})
	}
}

func TestIndexFormats(t *testing.T) {
	m := newMade(t, 7)
	m.fill(2, 20)
	a, folder := m.open(), t.TempDir()
	old, newer, other := filepath.Join(folder, "it-v0.sqlite"), filepath.Join(folder, "it-v3.sqlite"), filepath.Join(folder, "other-v0.sqlite")
	for _, name := range []string{old, old + "-wal", newer, other} {
		if err := os.WriteFile(name, []byte("of another version"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ix := openIndex(t, folder)
	update(t, ix, a)
	wantSame(t, a, ix, Query{})
	for name, stays := range map[string]bool{old: false, old + "-wal": false, newer: true, other: true} {
		if _, err := os.Stat(name); (err == nil) != stays {
			t.Errorf("%s: %v", filepath.Base(name), err)
		}
	}
	info, err := os.Stat(filepath.Join(folder, "it-v2.sqlite"))
	if err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// A file with this name and another format is recreated.
	if _, err := ix.db.ExecContext(t.Context(), "PRAGMA user_version=77"); err != nil {
		t.Fatal(err)
	}
	again := openIndex(t, folder)
	if held, _, err := again.Coverage(t.Context()); err != nil || held != 0 {
		t.Errorf("%d days held, %v", held, err)
	}
	// The first index, whose file was removed, switches to the new file.
	if report := update(t, ix, a); report.Read != 2 {
		t.Errorf("%+v", report)
	}
	if report := update(t, again, a); report.Read != 0 {
		t.Errorf("%+v", report)
	}
}

func TestIndexCannotBeWritten(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "a file")
	if err := os.WriteFile(parent, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenIndex(t.Context(), filepath.Join(parent, "index"), "it")
	var wrong *IndexError
	if !errors.As(err, &wrong) || !strings.HasPrefix(wrong.File, parent) {
		t.Errorf("below a file: %v", err)
	}
}

// A full disk ends an update, and searches continue.
func TestFullDisk(t *testing.T) {
	m := newMade(t, 8)
	m.fill(12, 120)
	a, ix := m.open(), openIndex(t, t.TempDir())
	ix.db.SetMaxOpenConns(1)
	if _, err := ix.db.ExecContext(t.Context(), "PRAGMA max_page_count=14"); err != nil { // SQLite then returns the error of a full disk
		t.Fatal(err)
	}
	_, err := ix.Update(t.Context(), a, nil)
	var wrong *IndexError
	if !errors.As(err, &wrong) {
		t.Fatalf("%v", err)
	}
	held, known, err := ix.Coverage(t.Context())
	if err != nil || held == 0 || held == known || known != 12 {
		t.Fatalf("%d of %d days held, %v", held, known, err)
	}
	wantSame(t, a, ix, Query{})
	wantSame(t, a, ix, Query{Statuses: []string{"sale"}, Sort: LongestFirst, Limit: 20})
	wantLookups(t, a, ix)
	if _, err := ix.db.ExecContext(t.Context(), "PRAGMA max_page_count=1000000"); err != nil {
		t.Fatal(err)
	}
	if report := update(t, ix, a); report.Read != 12-held {
		t.Errorf("%+v, %d were held", report, held)
	}
	wantSame(t, a, ix, Query{})
}

func TestIndexOnS3(t *testing.T) {
	server := s3test.Start(t, false)
	server.Setenv(t)
	objects, err := store.OpenS3(t.Context(), store.S3Options{Bucket: server.Bucket, Endpoint: server.Endpoint, Prefix: "calls of 2025"})
	if err != nil {
		t.Fatal(err)
	}
	m := newMade(t, 9)
	write := func(first, days int) {
		l, err := manifest.OpenBucket(objects, manifest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i := first; i < first+days; i++ {
			calls, recordings := m.day(dayAt(i), i, 40)
			noteInto(t, l, dayAt(i), calls, recordings)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	write(0, 6)
	l, err := manifest.OpenBucket(objects, manifest.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	a, ix := New(l, m.zone), openIndex(t, t.TempDir())
	if report := update(t, ix, a); report.Read != 6 {
		t.Fatalf("%+v", report)
	}
	write(5, 2)
	if report := update(t, ix, a); report.Read != 2 || report.Days != 7 {
		t.Errorf("%+v", report)
	}
	if report := update(t, ix, a); report.Read != 0 {
		t.Errorf("%+v", report)
	}
	all, _ := answer(t, a.Search(t.Context(), Query{}))
	for range 15 {
		wantSame(t, a, ix, m.randomQuery(all))
	}
}
