package search

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"convoso-archiver/manifest"
)

// After the intent, neither an existing index nor reading the day returns more than the ids of an erased call, and the
// index's files contain nothing else of it.
func TestIntentIsObeyed(t *testing.T) {
	m := newMade(t, 1)
	const day, mark = "2025-05-01", "Quetzalcoatl"
	var calls []manifest.Call
	var recordings []manifest.Recording
	for i := range 3 {
		id := fmt.Sprint("call", i)
		row := fmt.Sprintf(`{"id":%q,"call_date":"2025-05-01 10:0%d:00","first_name":"%s%d","agent_comment":"%s%d"}`, id, i, mark, i, mark, i)
		calls = append(calls, manifest.Call{CallID: id, Row: []byte(row)})
		r := m.recording(fmt.Sprint("r", i), id)
		r.Outcome, r.Key, r.SHA256 = manifest.Archived, fmt.Sprintf("%s%d.mp3", mark, i), strings.Repeat("ab", 32)
		recordings = append(recordings, r)
	}
	m.note(day, calls, recordings)
	a, folder := m.open(), t.TempDir()
	ix := openIndex(t, folder)
	update(t, ix, a)
	intent := manifest.NewErasureRecord(manifest.ErasureIntent, "E")
	intent.Calls = []manifest.ErasedID{{Day: day, ID: "call1"}}
	m.write(func(l *manifest.Ledger) {
		if err := l.PutRecords(t.Context(), manifest.ErasureStem, intent); err != nil {
			t.Fatal(err)
		}
	})
	if report := update(t, ix, a); report.Read != 1 {
		t.Errorf("%d days were read again", report.Read)
	}
	if n := wantSame(t, a, ix, Query{}); n != 3 {
		t.Errorf("%d calls", n)
	}
	for _, from := range []*Archive{a, a.WithIndex(ix)} {
		for c, err := range NewLoader(from).Complete(t.Context(), from.Search(t.Context(), Query{})) {
			if err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprintf("%+v %s", c, c.Row)
			for _, r := range c.Recordings {
				text += fmt.Sprintf("%+v", r.State)
			}
			if erased := c.ID == "call1"; strings.Contains(text, mark) == erased || c.Erased != erased || len(c.Recordings) != 1 || erased && c.Recordings[0].Outcome != manifest.Erased {
				t.Errorf("%s", text)
			}
		}
	}
	names, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(text), strings.ToLower(mark)+"1") || strings.Contains(string(text), mark+"1") {
			t.Errorf("%s holds what is erased", name)
		}
	}
}
