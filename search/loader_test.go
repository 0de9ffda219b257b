package search

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/manifest"
)

// sampleArchive is an archive on disk: each day has n calls with one recording each.
func sampleArchive(t *testing.T, days, calls int) (a *Archive, dir string) {
	t.Helper()
	dir = t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const run = "20250610T090000Z-1f0c9a3e"
	for d := 1; d <= days; d++ {
		day := fmt.Sprintf("2025-05-%02d", d)
		var rows, lines strings.Builder
		for c := range calls {
			id := fmt.Sprintf("%d%02d", d, c)
			fmt.Fprintf(&rows, `{"v":1,"kind":"call","call_id":"%[1]s","time":"2025-06-10T09:00:00Z","run":"`+run+`","row":{"id":"%[1]s","user":"Agent","call_date":"%[2]s 10:00:%02[3]d","call_length":"%[3]d","recording":[{"recording_id":"R%[1]s","filename":"name %[1]s.mp3"}]}}`+"\n", id, day, c)
			fmt.Fprintf(&lines, `{"v":1,"kind":"recording","recording_id":"R%[1]s","outcome":"archived","key":"%[1]s.mp3","size":9,"sha256":"e80b14c724dbf0561ba47f6d015bc37bb8da57feb67456e21e2fd3312982d43a","time":"2025-06-10T09:00:00Z","run":"`+run+`","call_id":"%[1]s","first_seen":"2025-06-10T09:00:00Z","attempts":1,"content_type":"audio/mpeg","etag":"","reason":""}`+"\n", id)
		}
		write("calls/"+day+"/"+run+"-000001.jsonl", rows.String())
		write("manifest/"+day+"/"+run+"-000001.jsonl", lines.String())
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := manifest.OpenDir(root, manifest.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(ledger.Close(t.Context()), root.Close()); err != nil {
			t.Error(err)
		}
	})
	return New(ledger, time.UTC), dir
}

// asFromIndex removes data that an index does not have.
func asFromIndex(answers iter.Seq2[Call, error]) iter.Seq2[Call, error] {
	return func(yield func(Call, error) bool) {
		for c, err := range answers {
			c.Row, c.Recordings = nil, slices.Clone(c.Recordings)
			for i := range c.Recordings {
				c.Recordings[i].State = nil
			}
			if !yield(c, err) {
				return
			}
		}
	}
}

func collectCalls(t *testing.T, answers iter.Seq2[Call, error]) (calls []Call, failed []error) {
	t.Helper()
	for c, err := range answers {
		if err != nil {
			failed = append(failed, err)
			continue
		}
		calls = append(calls, c)
	}
	return calls, failed
}

// TestLoader completes answers whose rows were dropped, in every order.
func TestLoader(t *testing.T) {
	a, dir := sampleArchive(t, 25, 60) // more than are loaded at once
	for _, sort := range []Sort{NewestFirst, OldestFirst, LongestFirst, ShortestFirst} {
		q := Query{Sort: sort}
		want, failed := collectCalls(t, a.Search(t.Context(), q))
		if len(want) != 1500 || failed != nil {
			t.Fatalf("%d calls, %v", len(want), failed)
		}
		got, failed := collectCalls(t, NewLoader(a).Complete(t.Context(), asFromIndex(a.Search(t.Context(), q))))
		if failed != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %d calls, %v, or others than without an index", sort, len(got), failed)
		}
	}
	for c := range NewLoader(a).Complete(t.Context(), asFromIndex(a.Search(t.Context(), Query{}))) {
		if !c.IsComplete() {
			t.Error("the first call is not complete")
		}
		break // the consumer may stop early
	}

	// The calls of a day that became unreadable after indexing stay as in the index.
	index, _ := collectCalls(t, asFromIndex(a.Search(t.Context(), Query{})))
	segments, err := filepath.Glob(filepath.Join(dir, "*", "2025-05-07", "*"))
	if err != nil || len(segments) != 2 {
		t.Fatalf("%v, %v", segments, err)
	}
	for _, name := range segments {
		if err := os.WriteFile(name, []byte("{broken\n{}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, failed := collectCalls(t, NewLoader(a).Complete(t.Context(), func(yield func(Call, error) bool) {
		for _, c := range index {
			if !yield(c, nil) {
				return
			}
		}
	}))
	day, ofDay := errors.AsType[*DayError](errors.Join(failed...))
	if len(got) != 1500 || len(failed) != 1 || !ofDay || day.Day != "2025-05-07" {
		t.Errorf("%d calls, %v", len(got), failed)
	}
	for _, c := range got {
		if c.IsComplete() != (c.Day != "2025-05-07") {
			t.Fatalf("call %s of %s: complete %v", c.ID, c.Day, c.IsComplete())
		}
	}
}

// TestFile finds the file of a recording in its row.
func TestFile(t *testing.T) {
	source := nameHash("b.mp3") + ".0123456789abcdef"
	for _, test := range []struct{ recording, id, key, want string }{
		{`[{"recording_id":"1","filename":"a.mp3"},{"recording_id":"1","filename":"b.mp3"}]`, "1#x", "k/c.mp3", "b.mp3"},
		{`[{"recording_id":1,"filename":"a.mp3"},{"recording_id":2,"filename":"c.mp3"}]`, "2", "k/c.mp3", "c.mp3"},
		{`[{"recording_id":1,"filename":"a.mp3"}]`, "1#0123", "k/c.mp3", "a.mp3"},
		{`{"recording_id":"1","filename":"a.mp3"}`, "1", "k/c.mp3", "a.mp3"},
		{`{"3":{"recording_id":"1","filename":"a.mp3"}}`, "1", "k/c.mp3", "a.mp3"},
		{`[]`, "1", "k/c.mp3", "c.mp3"},
		{`null`, "1", "", "/"},
		{`[7,null,{"recording_id":"9","filename":"a.mp3"}]`, "1", "c.mp3", "c.mp3"},
	} {
		c := readRow("2025-05-28", "x", []byte(`{"recording":`+test.recording+`}`), time.UTC)
		if got := c.File(Recording{ID: test.id, Key: test.key, State: &manifest.State{Source: source}}).Filename; got != test.want {
			t.Errorf("%s of %s: %q, want %q", test.id, test.recording, got, test.want)
		}
	}
}
