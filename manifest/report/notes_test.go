package report

import (
	"fmt"
	"strings"
	"testing"

	"convoso-archiver/manifest"
)

// TestNotes takes the lines of a day that is not closed.
func TestNotes(t *testing.T) {
	const (
		recording = `{"v":1,"kind":"recording","recording_id":"1","outcome":"lost"}`
		window    = `{"v":1,"kind":"window","from":"2025-05-01 00:00:00"}`
		badWindow = `{"v":1,"kind":"window","rows":"many"}`
		closing   = `{"v":1,"kind":"day","day":"2025-05-01","closed":true}`
		filtered  = `{"v":1,"kind":"day","day":"2025-05-01","closed":true,"filter":"status=SALE"}`
	)
	for name, test := range map[string]struct {
		lines                  string
		windows                int
		bad                    int // line of the first window that cannot be read
		reopened, contradicted bool
	}{
		"nothing":                    {"", 0, 0, false, false},
		"never closed":               {recording + "\n" + window, 1, 0, false, false},
		"closed last":                {recording + "\n" + window + "\n" + closing, 1, 0, false, true},
		"lines after the day line":   {closing + "\n" + recording, 0, 0, true, false},
		"closed for a filter later":  {closing + "\n" + filtered, 0, 0, true, false},
		"closed for a filter alone":  {recording + "\n" + filtered, 0, 0, false, false},
		"a window cannot be read":    {window + "\n" + badWindow + "\n" + window, 2, 2, false, false},
		"closed, opened, and closed": {closing + "\n" + recording + "\n" + closing, 0, 0, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := notes{day: "2025-05-01"}
			for i, text := range strings.Split(test.lines, "\n") {
				if text == "" {
					continue
				}
				_, kind, _ := strings.Cut(text, `"kind":"`)
				kind, _, _ = strings.Cut(kind, `"`)
				n.take(manifest.Line{File: "manifest/2025-05-01.jsonl", Number: i + 1, Kind: kind, Raw: []byte(text)})
			}
			bad := 0
			if n.bad != nil {
				bad = n.bad.Line
			}
			reopened, contradicted := n.closing()
			got := fmt.Sprint(n.any, len(n.windows), bad, reopened, contradicted)
			want := fmt.Sprint(test.lines != "", test.windows, test.bad, test.reopened, test.contradicted)
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}
