package search

import (
	"slices"
	"strings"
	"testing"

	"convoso-archiver/manifest"
)

// TestRowsWithoutID: recordings without a call id belong to the only row without an id that lists them, with and
// without an index. If no row does, or several may, each recording is separate.
func TestRowsWithoutID(t *testing.T) {
	m := newMade(t, 3)
	const day = "2025-05-01"
	row := func(recording string) []byte {
		return []byte(`{"id":"","call_date":"2025-05-01 10:00:00","recording":[` + recording + `]}`)
	}
	calls := []manifest.Call{
		{CallID: "row-01", Row: row(`{"recording_id":"1"}`)},
		{CallID: "row-02", Row: row(`{"recording_id":"2"},{"recording_id":"22"}`)},
		{CallID: "row-03", Row: row(`{"recording_id":"3","src":""}`)},
		{CallID: "row-04", Row: row(`{"recording_id":"3"}`)},
		{CallID: "c5", Row: []byte(`{"id":"c5","recording":[{"recording_id":"5"}]}`)},
	}
	var recordings []manifest.Recording
	for _, id := range []string{"1", "2", "22", "3", "4"} {
		recordings = append(recordings, m.recording(id, ""))
	}
	recordings = append(recordings, m.recording("5", "c5"))
	m.note(day, calls, recordings)
	a := m.open()
	list, err := a.Day(t.Context(), day)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range list {
		text := c.ID + ":"
		for _, r := range c.Recordings {
			text += " " + r.ID
		}
		got = append(got, text)
	}
	slices.Sort(got)
	if want := ": 3|: 4|c5: 5|row-01: 1|row-02: 2 22|row-03:|row-04:"; strings.Join(got, "|") != want {
		t.Errorf("%s, want %s", strings.Join(got, "|"), want)
	}
	ix := openIndex(t, t.TempDir())
	update(t, ix, a)
	wantSame(t, a, ix, Query{})
	for _, id := range []string{"1", "3", "22"} {
		if n := wantSame(t, a, ix, Query{Listed: []string{id}}); n != 1 {
			t.Errorf("%d calls have recording %s", n, id)
		}
	}
}
