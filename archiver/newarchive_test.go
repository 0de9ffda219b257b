package archiver

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// blindBucket acknowledges what it is given, and shows nothing of it at first.
type blindBucket struct {
	*memoryBucket
	hides int // that many looks for archive.json; below 0 for all
	looks int
}

func (b *blindBucket) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if strings.HasSuffix(key, "archive.json") {
		b.looks++
		if b.hides < 0 || b.looks <= b.hides {
			return nil, fs.ErrNotExist
		}
	}
	return b.memoryBucket.Get(ctx, key)
}

// TestUnseenArchive gives a run a store that has taken archive.json and does not show
// it: it looks once more, and ends with an error that says so.
func TestUnseenArchive(t *testing.T) {
	const day = fetcher.Date("2025-05-10")
	for name, test := range map[string]struct {
		taken  bool // by another run, a moment ago
		hides  int
		failed bool
	}{
		"shown at once":              {hides: 2}, // this run looks, and again before it saves
		"never shown":                {hides: -1, failed: true},
		"another run's, never shown": {hides: -1, taken: true, failed: true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newVendor(t).archive(t)
			s := a.open()
			s.Config.Span = spanOf(t, day, day)
			bucket := &blindBucket{memoryBucket: &memoryBucket{objects: map[string][]byte{}}, hides: test.hides}
			if test.taken {
				bucket.objects["manifest/archive.json"] = []byte("{}")
			}
			ledger, err := manifest.OpenObjects(t.Context(), bucket, manifest.Options{Run: s.Config.Run, SpoolDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			onDisk := s.Ledger
			t.Cleanup(func() {
				if err := errors.Join(ledger.Close(context.Background()), onDisk.Close(context.Background())); err != nil {
					t.Error(err)
				}
			})
			s.Ledger = ledger
			err = s.Run(t.Context())
			if errors.Is(err, errUnseenArchive) != test.failed || !test.failed && err != nil {
				t.Errorf("got %v", err)
			}
			const most = 6 // looks: by the run, within saving, and to fill in the account
			if bucket.looks > most {
				t.Errorf("looked %d times", bucket.looks)
			}
		})
	}
}
