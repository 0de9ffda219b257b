package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenIndex(t *testing.T) {
	state := t.TempDir()
	for _, of := range []struct{ id, location string }{{"a", "/x"}, {"b", "/x"}, {"a", "/y"}, {"a", "/x"}} {
		ix, err := openIndex(t.Context(), state, of.id, of.location)
		if err != nil {
			t.Fatal(err)
		}
		if err := ix.Close(); err != nil {
			t.Fatal(err)
		}
	}
	found, err := filepath.Glob(filepath.Join(state, "index", "*.sqlite"))
	if err != nil || len(found) != 3 {
		t.Errorf("three archives have the files %q, %v", found, err)
	}
	file := filepath.Join(state, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openIndex(t.Context(), file, "a", "/x"); err == nil || !strings.Contains(err.Error(), "--state-dir") {
		t.Errorf("below a file: %v", err)
	}
}
