package manifest

import (
	"testing"
	"time"
)

// TestIsRebuilt distinguishes days with only lines of rebuilds from all others.
func TestIsRebuilt(t *testing.T) {
	rebuilds := func(t *testing.T, d *Day, id string) {
		noteAll(t, d.NoteRebuild(t.Context()), d.Note(t.Context(), Recording{RecordingID: id, Outcome: Failed}))
	}
	for name, test := range map[string]struct {
		note func(t *testing.T, d *Day)
		file string // additional file
		want bool
	}{
		"nothing":         {note: func(*testing.T, *Day) {}, want: true},
		"a torn line":     {note: func(*testing.T, *Day) {}, file: `{"v":1,"ki`, want: true},
		"a rebuild":       {note: func(t *testing.T, d *Day) { rebuilds(t, d, "1") }, want: true},
		"a rebuild, torn": {note: func(t *testing.T, d *Day) { rebuilds(t, d, "1") }, file: `{"v":1,"ki`, want: true},
		"a repair":        {note: func(*testing.T, *Day) {}, file: `{"v":1,"kind":"repair","day":"2025-05-01","reason":"","dropped":0,"aside":[],"time":"2025-05-02T09:00:03Z","run":"` + runC + `"}` + "\n", want: true},
		"another run": {note: func(t *testing.T, d *Day) {
			noteAll(t, d.Note(t.Context(), Recording{RecordingID: "1", Outcome: Failed}))
		}},
		"a window behind it": {note: func(t *testing.T, d *Day) { rebuilds(t, d, "1"); noteAll(t, d.NoteWindows(t.Context(), Window{})) }},
		"another run behind it": {
			note: func(t *testing.T, d *Day) { rebuilds(t, d, "1") },
			file: `{"v":1,"kind":"recording","recording_id":"2","outcome":"pending","key":"","size":0,"sha256":"","time":"2025-05-02T09:00:03Z","run":"` + runC + `","call_id":"","first_seen":"2025-05-02T09:00:03Z","attempts":0,"content_type":"","etag":"","host":"","reason":""}` + "\n",
		},
	} {
		inPlaces(t, func(t *testing.T, p place) {
			t.Run(name, func(t *testing.T) {
				l := p.open(t, Options{})
				d, err := l.Load(t.Context(), testDay)
				if err != nil {
					t.Fatal(err)
				}
				test.note(t, d)
				noteAll(t, l.Close(t.Context()))
				if test.file != "" {
					p.write(t, segmentFile(treeManifest, testDay, runC, 1, extPlain), []byte(test.file))
				}
				l = p.open(t, Options{Run: NewRunID(time.Now())})
				if got, err := l.IsRebuilt(t.Context(), testDay); err != nil || got != test.want {
					t.Errorf("%v, %v", got, err)
				}
			})
		})
	}
}

// noteAll fails at the first error other than ErrUnflushed.
func noteAll(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
