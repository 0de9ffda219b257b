package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"convoso-archiver/manifest"
)

// A file system that does not answer is abandoned, at the time limit or when the caller stops.
func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		away := make(chan struct{})
		defer close(away)
		hang := func() int {
			<-away
			return 1
		}
		began := time.Now()
		if _, err := within(ctx, folderTime, hang); !errors.Is(err, ErrHangs) || time.Since(began) != folderTime {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		time.AfterFunc(time.Second, stop)
		began = time.Now()
		if _, err := within(ctx, folderTime, hang); !errors.Is(err, ErrHangs) || time.Since(began) != time.Second {
			t.Errorf("stopped: %v after %s", err, time.Since(began))
		}
		if got, err := within(t.Context(), folderTime, func() int { return 2 }); got != 2 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
	})
}

// All waits end within a minute: the API and then the media host, in parallel with the destination.
func TestTimesAreBounded(t *testing.T) {
	if all := max(apiTime+mediaTime, bucketTime, folderTime, pingTime) + 10*time.Second; all > time.Minute {
		t.Errorf("all looks together take %s", all)
	}
}

// The newest closed days determine the size of a day.
func TestLookAtFolder(t *testing.T) {
	dir := t.TempDir()
	if seen := LookAtFolder(t.Context(), filepath.Join(dir, "new")); seen.Err != nil || seen.Nearest != dir || !errors.Is(seen.Archive.Err, fs.ErrNotExist) || seen.Holder != "" || seen.LockErr != nil {
		t.Errorf("before the first run: %+v", seen)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	ledger, err := manifest.OpenDir(root, manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ledger.SaveArchive(t.Context(), manifest.Archive{APIURL: "https://api.convoso.com/v1", TimeZone: "UTC"}); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		day := time.Date(2025, 5, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, i).Format(time.DateOnly)
		line := fmt.Sprintf(`{"v":1,"kind":"day","day":"%s","closed":true,"filter":"","kept":["calls","recordings"],"listed_at":"2025-07-01T00:00:00Z","calls":1,"recordings":0,"by_outcome":{},"bytes":%d,"lines":0,"segments":[],"root":"","calls_segments":[],"calls_root":"","time":"2025-07-01T00:00:00Z","run":"20250701T000000Z-00000000"}`+"\n", day, 1000*(1+i/16))
		folder := filepath.Join(dir, "manifest", day)
		if err := errors.Join(os.MkdirAll(folder, 0o700), os.WriteFile(filepath.Join(folder, "closed.json"), []byte(line), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if seen := LookAtFolder(t.Context(), dir); seen.Err != nil || seen.Archive.Err != nil || seen.Archive.DayBytes != 2000 || seen.Holder == "" {
		t.Errorf("while a run works: %+v", seen)
	}
	if err := ledger.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if seen := LookAtFolder(t.Context(), dir); seen.Holder != "" || seen.LockErr != nil || seen.Free == 0 {
		t.Errorf("after it: %+v", seen)
	}
}
