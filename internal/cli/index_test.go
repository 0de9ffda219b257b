package cli

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"convoso-archiver/fetcher/convosotest"
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

// TestRelativeStateDir: find and serve keep their index in a folder with a relative path.
func TestRelativeStateDir(t *testing.T) {
	_, archive := account(t, convosotest.Config{CallsPerDay: 20, RecordedShare: 0.5, MedianSize: 20_000})
	r := newRunner(t, "CONVOSO_AUTH_TOKEN=simulator-token")
	t.Chdir(t.TempDir())
	if code, _, stderr := r.run(t.Context(), append(archive, "--dest", "archive")...); code != ExitDone {
		t.Fatalf("archive: code %d: %s", code, stderr)
	}
	hasIndex := func(stateDir string) bool {
		found, err := filepath.Glob(filepath.Join(stateDir, "index", "*.sqlite"))
		return err == nil && len(found) == 1
	}
	code, stdout, stderr := r.run(t.Context(), "find", "--dest", "archive", "--state-dir", "of-find", "--json")
	if code != ExitDone || strings.Count(stdout, "\n") != 20 || strings.Contains(stderr, "without an index") || !hasIndex("of-find") {
		t.Errorf("find: code %d, index %v: %s", code, hasIndex("of-find"), stderr)
	}
	ctx, stop := context.WithCancelCause(t.Context())
	read, write := io.Pipe()
	ended := make(chan int, 1)
	var talk strings.Builder // written to until serve has ended
	go func() {
		ended <- Run(ctx, []string{"serve", "--dest", "archive", "--listen", "127.0.0.1:0", "--state-dir", "of-serve"}, Env{Stdout: write, Stderr: &talk, Environ: r.env})
		_ = write.Close()
	}()
	if _, err := bufio.NewReader(read).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	stop(&SignalError{Signal: os.Interrupt})
	if code := <-ended; code != ExitInterrupted || strings.Contains(talk.String(), "without an index") || !hasIndex("of-serve") {
		t.Errorf("serve: code %d, index %v: %s", code, hasIndex("of-serve"), talk.String())
	}
}
