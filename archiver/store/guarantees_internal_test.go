package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"
)

// TestPutOrder watches the steps of storing on disk: the bytes are synced before they
// get their name, and the folder after it, also where another run has made the name
// and may have died before the sync. Where a sync fails, nothing is named, or nothing
// is called stored.
func TestPutOrder(t *testing.T) {
	errSync := errors.New("input/output error")
	for name, c := range map[string]struct {
		noLinks, again, badPart, badFolder bool
		want                               []string
	}{
		"a new recording":         {want: []string{"sync bytes", "name", "sync folder a/b"}},
		"without links":           {noLinks: true, want: []string{"sync bytes", "rename", "sync folder a/b"}},
		"adopted":                 {again: true, want: []string{"sync bytes", "name", "sync folder a/b"}},
		"bytes cannot be synced":  {badPart: true, want: []string{"sync bytes"}},
		"folder cannot be synced": {badFolder: true, want: []string{"sync bytes", "name", "sync folder a/b"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := openInternal(t)
			body := []byte("whole")
			object := Object{
				Keys: []string{"a/b/name.mp3"}, Body: bytes.NewReader(body), Size: int64(len(body)),
				SHA256: sha256.Sum256(body), RecordingID: "rec",
			}
			if c.again {
				if _, err := d.Put(t.Context(), object); err != nil {
					t.Fatal(err)
				}
			}
			var steps []string
			syncAll, link, rename := d.syncs.sync, d.link, d.renameNew
			d.syncs.sync = func(items []unsynced) []error {
				step, broken := "sync bytes", c.badPart
				if items[0].part == nil {
					step, broken = "sync folder "+items[0].folder, c.badFolder
				}
				steps = append(steps, step)
				if broken {
					return []error{errSync}
				}
				return syncAll(items)
			}
			d.link = func(oldName, newName string) error {
				if c.noLinks {
					return errors.ErrUnsupported
				}
				steps = append(steps, "name")
				return link(oldName, newName)
			}
			d.renameNew = func(oldName, newName string) error {
				steps = append(steps, "rename")
				return rename(oldName, newName)
			}
			stored, err := d.Put(t.Context(), object)
			if failed := err != nil; failed != (c.badPart || c.badFolder) || stored.Adopted != c.again {
				t.Errorf("adopted %v, error %v", stored.Adopted, err)
			}
			if !slices.Equal(steps, c.want) {
				t.Errorf("steps %q, want %q", steps, c.want)
			}
		})
	}
}
