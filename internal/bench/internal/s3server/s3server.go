// Package s3server runs a real S3 server for the benchmarks, versitygw, whose
// buckets are folders and whose objects are files.
package s3server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"convoso-archiver/internal/bench/internal/origin"
)

// The one account of the server, and its region.
const (
	accessKey = "bench-access"
	secretKey = "bench-secret"
	Region    = "us-east-1"
)

const startTimeout = 30 * time.Second

// Server is a running S3 server.
type Server struct {
	Endpoint string // http, on loopback
	Dir      string // holds a folder for each bucket

	cmd    *exec.Cmd
	ended  chan struct{}
	output bytes.Buffer // read when it has ended
}

// Start starts program, versitygw, with its data and metadata below dir, which must
// be new.
func Start(ctx context.Context, program, dir string) (*Server, error) {
	address, err := origin.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	s := &Server{Endpoint: "http://" + address, Dir: filepath.Join(dir, "buckets"), ended: make(chan struct{})}
	sidecar := filepath.Join(dir, "sidecar") // so that no file system needs extended attributes
	for _, folder := range []string{s.Dir, sidecar} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, fmt.Errorf("make folder for the S3 server: %w", err)
		}
	}
	s.cmd = exec.CommandContext(ctx, program, "--port", address, "--region", Region, "--quiet", "--keep-alive", "posix", "--sidecar", sidecar, s.Dir)
	s.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+accessKey, "ROOT_SECRET_ACCESS_KEY="+secretKey)
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start versitygw: %w", err)
	}
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait() // it ends by a signal
	}()
	if err := s.await(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("%w: %s", err, s.output.String())
	}
	return s, nil
}

// await asks until the server answers anything.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint, nil)
		if err != nil {
			return fmt.Errorf("ask versitygw: %w", err)
		}
		if response, err := client.Do(request); err == nil {
			return response.Body.Close()
		}
		select {
		case <-s.ended:
			return errors.New("versitygw ended at once")
		case <-ctx.Done():
			return fmt.Errorf("start versitygw: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Bucket makes an empty bucket of that name and returns the folder of its objects.
func (s *Server) Bucket(name string) (string, error) {
	folder := filepath.Join(s.Dir, name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", fmt.Errorf("make bucket: %w", err)
	}
	return folder, nil
}

// Env is the environment for a program that is to use the server: the account's
// credentials and nothing of the machine's own configuration.
func (s *Server) Env() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_REGION=" + Region,
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
	}
}

// Close ends the server and waits for it.
func (s *Server) Close() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.ended:
	case <-time.After(startTimeout):
		_ = s.cmd.Process.Kill() // likewise
		<-s.ended
	}
}
