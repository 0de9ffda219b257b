package corpus

import (
	"os"
	"path/filepath"
	"testing"
)

// Check must find every way in which a tool's output can be wrong, or a table could
// praise a tool that does not do its work.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, folder string)
		good  bool
	}{
		"all is well":    {func(*testing.T, string) {}, true},
		"other names":    {func(t *testing.T, f string) { must(t, os.Rename(f+"/000001.mp3", f+"/x")) }, true},
		"its own things": {func(t *testing.T, f string) { must(t, os.WriteFile(f+"/manifest/x", nil, 0o600)) }, true},
		"one missing":    {func(t *testing.T, f string) { must(t, os.Remove(f+"/000002.mp3")) }, false},
		"one cut short":  {func(t *testing.T, f string) { must(t, os.Truncate(f+"/000002.mp3", 576)) }, false},
		"one too many":   {func(t *testing.T, f string) { must(t, os.WriteFile(f+"/x", []byte("x"), 0o600)) }, false},
		"one twice": {func(t *testing.T, f string) {
			must(t, os.Remove(f+"/000002.mp3"))
			must(t, os.Link(f+"/000001.mp3", f+"/000002.mp3"))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			corpus := New(8, Shape{Median: 14_000, Mean: 16_000})
			must(t, corpus.Write(root))
			folder := filepath.Join(root, plain)
			must(t, os.Mkdir(filepath.Join(folder, "manifest"), 0o700))
			c.spoil(t, folder)
			if err := corpus.Check(folder, "manifest"); c.good != (err == nil) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
