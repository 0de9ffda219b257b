//go:build unix

package archiver

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"convoso-archiver/fetcher"
)

// TestDayThatCannotBeWritten leaves a day open whose segment is not writable, and continues with the other
// days.
func TestDayThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		for i := 3; i < 8; i++ {
			w.recordedCalls(w.ago(i), 40)
		}
		spoiled := false
		asked := 0
		vendor := &hooked{world: w, audio: func(r *http.Request, token string) (*http.Response, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if !spoiled {
				if names := w.segments(); len(names) > 0 {
					spoiled = true
					w.spoil(names[0])
				}
			} else {
				asked++
			}
			return nil, nil
		}}
		n := w.try(trial{vendor: vendor, config: spanOf(w.ago(7), w.ago(3))})
		noted := 0
		for i := 3; i < 8; i++ {
			noted += w.count(w.ago(i))
		}
		if n.err == nil && noted < 100 {
			t.Errorf("the other days did not go on, and the run did not end: %d requests for audio, %d recordings noted", asked, noted)
		}
	})
}

// segments returns the files of lines below manifest/.
func (w *world) segments() (names []string) {
	_ = filepath.WalkDir(filepath.Join(w.dir, "manifest"), func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.HasSuffix(name, ".jsonl") {
			names = append(names, name)
		}
		return nil
	})
	return names
}

// spoil makes writes to a segment fail with an error other than "disk full".
func (w *world) spoil(name string) {
	_ = os.Rename(name, name+".was")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		w.t.Error(err)
	}
}

func (w *world) count(day fetcher.Date) int {
	for _, name := range w.segments() {
		if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
			_ = os.Remove(name)
			_ = os.Rename(name+".was", name)
		}
	}
	opened, err := Open(context.Background(), Location{Folder: w.dir}, Read, "", slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	defer opened.Close(context.Background())
	d, err := opened.Ledger.Load(context.Background(), string(day))
	if err != nil {
		w.t.Error(err)
		return 0
	}
	return d.Count()
}
