// Starts an S3 server for benchmarks.

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// The account and the region of the S3 server.
const (
	accessKey = "bench-access"
	secretKey = "bench-secret"
	region    = "us-east-1"
)

// s3server is a running versitygw, whose buckets are folders and whose objects are
// files.
type s3server struct {
	endpoint string // http, on loopback
	dir      string // each folder in it is a bucket
	cancel   context.CancelFunc
	ended    chan error
}

// startS3 starts the server with its data below the benchmark's folder.
func (b *bench) startS3(ctx context.Context) (*s3server, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	s := &s3server{endpoint: "http://" + address, dir: filepath.Join(b.work, "buckets"), ended: make(chan error, 1)}
	sidecar := filepath.Join(b.work, "sidecar") // so that no file system needs extended attributes
	if err := errors.Join(os.MkdirAll(s.dir, 0o700), os.MkdirAll(sidecar, 0o700)); err != nil {
		return nil, fmt.Errorf("make folder for the S3 server: %w", err)
	}
	ctx, s.cancel = context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, b.versitygw, "--port", address, "--region", region, "--quiet", "--keep-alive", "posix", "--sidecar", sidecar, s.dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+accessKey, "ROOT_SECRET_ACCESS_KEY="+secretKey)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		s.cancel()
		return nil, fmt.Errorf("start versitygw, which make tools installs: %w", err)
	}
	go func() { s.ended <- cmd.Wait() }()
	if err := s.await(ctx, address); err != nil {
		s.cancel()
		return nil, fmt.Errorf("start versitygw: %w", err)
	}
	return s, nil
}

// await connects until the server listens.
func (s *s3server) await(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if connection, err := new(net.Dialer).DialContext(ctx, "tcp", address); err == nil {
			return connection.Close()
		}
		select {
		case err := <-s.ended:
			return errors.Join(errors.New("it ended at once"), err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// close stops the server and waits for it.
func (s *s3server) close() {
	s.cancel()
	<-s.ended //nolint:errcheck // it was killed
}

// s3Flags are the program's flags for a bucket of the server, or of a proxy in front of it.
func s3Flags(endpoint, bucket string) []string {
	return []string{"--dest", "s3://" + bucket, "--s3-endpoint", endpoint, "--s3-region", region, "--s3-path-style"}
}

// s3Env is the environment of a program that uses the server: the account's credentials, without
// the machine's own AWS configuration.
func s3Env() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_REGION=" + region,
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
	}
}

// startProxy forwards requests to the server after a delay, like a distant store.
func (s *s3server) startProxy(ctx context.Context, latency time.Duration) (*host, error) {
	target, err := url.Parse(s.endpoint)
	if err != nil {
		return nil, fmt.Errorf("read endpoint: %w", err)
	}
	forward := &httputil.ReverseProxy{
		Transport: &http.Transport{MaxIdleConnsPerHost: 256},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is part of the signature
		},
	}
	proxy := &host{latency: latency, handler: forward.ServeHTTP}
	return proxy, proxy.start(ctx)
}
