// Measures how fast serve answers with its first page.

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// page measures how long serve takes for its first page, the complete HTML with the newest calls, with an existing
// index: right after the start, and repeatedly.
func (k *searching) page(ctx context.Context, archive string) (err error) {
	say("ask for the page of serve")
	serve := exec.CommandContext(ctx, k.program, "serve", "--dest", archive, "--state-dir", k.state(), "--listen", "127.0.0.1:0")
	serve.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + k.work}
	out, err := serve.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start serve: %w", err)
	}
	if err := serve.Start(); err != nil {
		return fmt.Errorf("start serve: %w", err)
	}
	defer func() { err = errors.Join(err, serve.Process.Kill(), ended(serve.Wait())) }()
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read the address of serve: %w", err)
	}
	var figures []float64
	for range k.values {
		took, err := get(ctx, strings.TrimSpace(address))
		if err != nil {
			return err
		}
		figures = append(figures, took)
	}
	k.report.add("first page of calls, right after the start: ms", 1, figures[:1], goal{})
	k.report.add("first page of calls: ms", 1, figures[1:], atMost(100))
	return nil
}

// get returns how many milliseconds an answer takes until its last byte.
func get(ctx context.Context, address string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, fmt.Errorf("ask for the page: %w", err)
	}
	begun := time.Now()
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask for the page: %w", err)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	took := float64(time.Since(begun).Microseconds()) / 1000
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return 0, fmt.Errorf("read the page: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("ask for the page: %s", answer.Status)
	}
	return took, nil
}

// ended is the result of a killed program.
func ended(err error) error {
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil
	}
	return err
}
