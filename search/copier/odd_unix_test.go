//go:build unix

package copier

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestOddFolders refuses a copy if a pipe has the name of a table, or the copy's own folder is a link to other files.
func TestOddFolders(t *testing.T) {
	for _, name := range []string{IndexFile, PlaylistFile} {
		dir := t.TempDir()
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := openFolder(dir)
		if err == nil {
			err = errors.Join(f.checkTables(), f.close())
		}
		if !errors.Is(err, ErrForeign) {
			t.Errorf("%s is a pipe: %v", name, err)
		}
	}
	dir := t.TempDir()
	kept := filepath.Join(dir, "sub", "0")
	if err := errors.Join(os.Mkdir(filepath.Dir(kept), 0o700), os.WriteFile(kept, []byte("x"), 0o600), os.Symlink("sub", filepath.Join(dir, ownFolder))); err != nil {
		t.Fatal(err)
	}
	if _, err := openFolder(dir); err == nil {
		t.Error("a link is taken for the folder of the copier")
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("a file of others is gone: %v", err)
	}
}
