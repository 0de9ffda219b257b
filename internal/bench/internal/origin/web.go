package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Web is a web server over a folder, which counts what it serves.
type Web struct {
	URL  string // http, on loopback, without a path
	Kind string // the program's name

	child *Child
	nginx *exec.Cmd
	ended chan error
}

const statusPath = "/status"

// StartWeb serves folder root: by nginx where it is installed, else by this program
// in a process of its own, started with the arguments that lead it to [ServeFiles].
// Files of the server's own go below work, which must be new.
func StartWeb(ctx context.Context, root, work string, serveFiles ...string) (*Web, error) {
	if program, err := exec.LookPath("nginx"); err == nil {
		return startNginx(ctx, program, root, work)
	}
	child, err := StartSelf(ctx, append(serveFiles, root)...)
	if err != nil {
		return nil, err
	}
	return &Web{URL: child.Line, Kind: "net/http", child: child}, nil
}

// The access log is off: what was served is read from stub_status. keepalive_requests
// is nginx's default, 1000, so that every client makes its connections anew as it
// would elsewhere.
const nginxConfig = `daemon off;
pid %[1]s/pid;
error_log %[1]s/error.log;
worker_processes auto;
%[4]s
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  types { audio/mpeg mp3; }
  default_type audio/mpeg;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  server {
    listen %[2]s backlog=1024;
    location = ` + statusPath + ` { stub_status; }
    location / { root %[3]s; }
  }
}
`

func startNginx(ctx context.Context, program, root, work string) (*Web, error) {
	address, err := FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return nil, fmt.Errorf("make folder for nginx: %w", err)
	}
	user := "" // started by root, its workers would else be somebody who may not read the files
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	name := filepath.Join(work, "nginx.conf")
	if err := os.WriteFile(name, fmt.Appendf(nil, nginxConfig, work, address, root, user), 0o600); err != nil {
		return nil, fmt.Errorf("write nginx configuration: %w", err)
	}
	w := &Web{URL: "http://" + address, Kind: "nginx", ended: make(chan error, 1)}
	w.nginx = exec.CommandContext(ctx, program, "-c", name, "-p", work, "-e", filepath.Join(work, "error.log"))
	w.nginx.Cancel = func() error { return w.nginx.Process.Signal(syscall.SIGTERM) } // the master ends its workers
	if err := w.nginx.Start(); err != nil {
		return nil, fmt.Errorf("start nginx: %w", err)
	}
	go func() { w.ended <- w.nginx.Wait() }()
	if err := w.await(ctx); err != nil {
		text, _ := os.ReadFile(filepath.Join(work, "error.log")) // it may not have come so far
		return nil, errors.Join(err, fmt.Errorf("nginx said: %s", text), w.Close())
	}
	return w, nil
}

// await asks until the server answers.
func (w *Web) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if _, err := w.Counts(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("start web server: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Counts are what a server has seen since it started.
type Counts struct{ Connections, Requests int64 }

// Counts asks the server, which takes one connection and one request that are not
// counted.
func (w *Web) Counts(ctx context.Context) (Counts, error) {
	text, err := get(ctx, w.URL+statusPath)
	if err != nil {
		return Counts{}, fmt.Errorf("read counts: %w", err)
	}
	var active, handled int64
	var c Counts
	const form = "Active connections: %d\nserver accepts handled requests\n%d %d %d"
	text = strings.NewReplacer(" \n", "\n", "\n ", "\n").Replace(text)
	if _, err := fmt.Sscanf(text, form, &active, &c.Connections, &handled, &c.Requests); err != nil {
		return Counts{}, fmt.Errorf("read counts: %w", err)
	}
	return c, nil
}

// Since returns what was seen between two calls of Counts, without the second call
// itself.
func (c Counts) Since(before Counts) Counts {
	return Counts{Connections: c.Connections - before.Connections - 1, Requests: c.Requests - before.Requests - 1}
}

// get asks once, over a connection of its own.
func get(ctx context.Context, url string) (string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("answer %d", response.StatusCode)
	}
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

// Close ends the server.
func (w *Web) Close() error {
	if w.child != nil {
		return w.child.Close()
	}
	_ = w.nginx.Process.Signal(syscall.SIGTERM) // it may have ended
	if err := <-w.ended; err != nil {
		if _, ended := errors.AsType[*exec.ExitError](err); !ended {
			return fmt.Errorf("end nginx: %w", err)
		}
	}
	return nil
}
