package evidence

import (
	"bytes"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestOneChangeIsOneFinding: a changed line is one finding, although its file no longer matches closed.json
// either, and although two seals name the file. A change of closed.json itself is a separate finding.
func TestOneChangeIsOneFinding(t *testing.T) {
	const day = "2026-03-02" // closed and sealed twice: it has two files, and two seals name the first
	first := func(w *world, tree string) string {
		t.Helper()
		names, err := filepath.Glob(filepath.Join(w.dir, tree, day, "2*.jsonl"))
		if w.must(err); len(names) != 2 {
			t.Fatalf("%v", names)
		}
		return tree + "/" + day + "/" + filepath.Base(names[0])
	}
	digit := func(b []byte) []byte { return bytes.Replace(b, []byte(`"call_id":"c2`), []byte(`"call_id":"c3`), 1) }
	hash := func(list string) func(b []byte) []byte { // of the first file of a list in closed.json
		return func(b []byte) []byte {
			return regexp.MustCompile(`("`+list+`":\[\{"name":"[^"]*","bytes":)(\d)`).ReplaceAll(b, []byte("${1}9$2"))
		}
	}
	closed := "manifest/" + day + "/closed.json"
	for name, c := range map[string]struct {
		change func(w *world)
		want   []FindingKind
		says   string // the first finding
	}{
		"a line of manifest/":   {func(w *world) { w.change(first(w, "manifest"), digit) }, []FindingKind{LinesChanged}, "so closed.json does not fit it either"},
		"a line of calls/":      {func(w *world) { w.change(first(w, "calls"), digit) }, []FindingKind{LinesChanged}, "so closed.json does not fit it either"},
		"a size in closed.json": {func(w *world) { w.change(closed, hash("segments")) }, []FindingKind{ClosingChanged}, "differ from the files in the archive"},
		"bytes, but no line": {func(w *world) {
			w.change(first(w, "manifest"), func(b []byte) []byte { return bytes.TrimSuffix(b, []byte("\n")) })
		}, []FindingKind{ClosingChanged}, "differ from the files in the archive"},
		"a line and a size of another file": {func(w *world) {
			w.change(first(w, "manifest"), digit)
			w.change(closed, hash("calls_segments"))
		}, []FindingKind{LinesChanged, ClosingChanged}, "so closed.json does not fit it either"},
		"a line and a count": {func(w *world) {
			w.change(first(w, "manifest"), digit)
			w.change(closed, func(b []byte) []byte { return bytes.Replace(b, []byte(`"calls":`), []byte(`"calls":1`), 1) })
		}, []FindingKind{LinesChanged, ClosingChanged}, "its lines, or their order, differ"},
		"a line, and closed.json made to fit": {func(w *world) {
			name := first(w, "manifest")
			var was, is string
			w.change(name, func(b []byte) []byte {
				changed := digit(b)
				was, is = hashOf(b), hashOf(changed)
				return changed
			})
			w.change(closed, func(b []byte) []byte { return bytes.Replace(b, []byte(was), []byte(is), 1) })
		}, []FindingKind{LinesChanged}, "its lines, or their order, differ from the sealed ones"},
	} {
		t.Run(name, func(t *testing.T) {
			w := three(t)
			c.change(w)
			got := w.audit(w.dir)
			var kinds []FindingKind
			said := ""
			for _, f := range got.Findings {
				if kinds = append(kinds, f.Kind); f.Kind == c.want[0] {
					said = f.Detail
				}
			}
			if slices.Sort(kinds); !slices.Equal(kinds, slices.Sorted(slices.Values(c.want))) {
				t.Errorf("%+v", got.Findings)
			}
			if !strings.HasSuffix(said, c.says) && !strings.HasPrefix(said, c.says) {
				t.Errorf("%q", said)
			}
		})
	}
}
