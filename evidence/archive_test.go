package evidence

import (
	"os"
	"path/filepath"
	"testing"

	"convoso-archiver/manifest"
)

// TestArchiveOf removes archive.json, and then the newest seal too.
func TestArchiveOf(t *testing.T) {
	w := three(t)
	var before manifest.Archive
	of := func() (about manifest.Archive, found bool) {
		w.write(func(l *manifest.Ledger) {
			var err error
			about, found, err = ArchiveOf(t.Context(), l.Objects())
			w.must(err)
		})
		return about, found
	}
	w.write(func(l *manifest.Ledger) {
		var err error
		before, err = l.Archive(t.Context())
		w.must(err)
	})
	w.must(os.Remove(filepath.Join(w.dir, "manifest", "archive.json")))
	for _, number := range []int{3, 2, 1} {
		got, found := of()
		if !found || got.ID != before.ID || got.AccountID != before.AccountID || got.APIURL != before.APIURL || got.TimeZone != before.TimeZone {
			t.Errorf("seal %d: %+v, want %+v", number, got, before)
		}
		w.change(sealName(number), func([]byte) []byte { return []byte("{") })
	}
	if got, found := of(); found {
		t.Errorf("no seal can be read: %+v", got)
	}
}
