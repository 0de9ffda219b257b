//go:build unix

package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func makePipe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPipes: a pipe like <(pass show token) can be read, and a pipe without a writer does not delay a stop.
func TestPipes(t *testing.T) {
	path := makePipe(t)
	go func() { // blocks until there is a reader
		if err := os.WriteFile(path, []byte("pipe-token\n"), 0o600); err != nil {
			t.Error(err)
		}
	}()
	flag := values{"auth-token-file": {items: []string{path}, source: onCommandLine}}
	if got, err := readToken(t.Context(), flag, nil, func(string) { t.Error("warned") }); got.Reveal() != "pipe-token" || err != nil {
		t.Errorf("%q, %v", got.Reveal(), err)
	}
	for _, flag := range []string{"--auth-token-file", "--config"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		r := newRunner(t)
		type result struct {
			code   int
			stderr string
		}
		ended := make(chan result)
		pipe := makePipe(t)
		go func() {
			code, _, stderr := r.run(ctx, "archive", "--dest", filepath.Join(t.TempDir(), "out"), "--last", "1d", flag, pipe)
			ended <- result{code, stderr}
		}()
		cancel(&SignalError{Signal: syscall.SIGTERM})
		if got := <-ended; got.code != ExitTerminated || !strings.Contains(got.stderr, "stopped by SIGTERM") {
			t.Errorf("%s: %+v", flag, got)
		}
	}
	if data, err := readSmallFile(t.Context(), t.TempDir(), 10); err == nil || !errors.Is(err, syscall.EISDIR) {
		t.Errorf("a folder: %q, %v", data, err)
	}
}
