// Starts a simulated account as the source of downloads.

package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

const firstDay = "2025-05-01" // long settled

// openAccount starts a simulated account whose calls are all recorded.
func openAccount(config convosotest.Config) (*convosotest.Server, error) {
	config.Seed, config.FirstDay = 1, cmp.Or(config.FirstDay, firstDay)
	config.RecordedShare = cmp.Or(config.RecordedShare, 1)
	account, err := convosotest.New(config)
	if err == nil {
		err = account.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start account: %w", err)
	}
	return account, nil
}

// source is the account to download. Its links lead to files on a host that is cheaper than the
// simulator's.
type source struct {
	*convosotest.Server
	media   *host
	links   []string
	list    string         // file of the links
	bodies  map[string]int // how many recordings have a body, by its SHA-256
	bytes   int64
	lastDay string
}

// startSource starts an account and its media host, which keeps the recordings below the folder
// root. Both delay each answer.
func startSource(ctx context.Context, config convosotest.Config, latency time.Duration, root string) (*source, error) {
	files := http.FileServer(http.Dir(root))
	s := &source{bodies: map[string]int{}, media: &host{latency: latency, handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "audio/mpeg")
		files.ServeHTTP(w, r)
	}}}
	if err := s.media.start(ctx); err != nil {
		return nil, err
	}
	config.MediaOrigin, config.APILatency = s.media.url, latency
	var err error
	if s.Server, err = openAccount(config); err == nil {
		err = s.fill(root)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// fill writes every recording to the path of its link.
func (s *source) fill(root string) error {
	for r := range s.Recordings() {
		link, err := url.Parse(r.Link())
		if err != nil {
			return fmt.Errorf("read link: %w", err)
		}
		name := filepath.Join(root, filepath.FromSlash(link.Path))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return fmt.Errorf("make folder of sources: %w", err)
		}
		size, err := saveBody(name, r.Body())
		if err != nil {
			return err
		}
		s.links, s.lastDay = append(s.links, r.Link()), r.Day
		s.bodies[r.SHA256()]++
		s.bytes += size
	}
	s.list = root + ".list"
	if err := os.WriteFile(s.list, []byte(strings.Join(s.links, "\n")), 0o600); err != nil {
		return fmt.Errorf("write list of links: %w", err)
	}
	return nil
}

func (s *source) close() error {
	err := s.media.server.Close()
	if s.Server != nil {
		err = errors.Join(err, s.Close())
	}
	return err
}

// check fails unless the files below a folder are exactly the recordings, regardless of their
// names. It ignores the program's other files.
func (s *source) check(folder string) error {
	missing, found := maps.Clone(s.bodies), 0
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && filepath.Dir(path) == folder && slices.Contains([]string{"manifest", "calls", ".tmp"}, entry.Name()) {
			return fs.SkipDir
		}
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sum := fmt.Sprintf("%x", sha256.Sum256(body))
		if missing[sum] == 0 {
			return fmt.Errorf("file %s is none of the source's, or there twice", entry.Name())
		}
		missing[sum]--
		found++
		return nil
	})
	if err == nil && found != len(s.links) {
		err = fmt.Errorf("%d of %d files are there", found, len(s.links))
	}
	if err != nil {
		return fmt.Errorf("check output: %w", err)
	}
	return nil
}

// host is an HTTP server on loopback that passes requests to its handler after a delay and counts
// them.
type host struct {
	url     string
	handler http.HandlerFunc
	latency time.Duration
	server  *http.Server

	mu   sync.Mutex
	open int // connections
	seen seen
}

// seen is the statistics of a host since the last look.
type seen struct {
	requests int
	maxOpen  int // connections in parallel
}

func (h *host) start(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	h.url = "http://" + listener.Addr().String()
	h.server = &http.Server{Handler: h, ConnState: h.connection, ReadHeaderTimeout: time.Minute}
	go func() { _ = h.server.Serve(listener) }() // returns when the server is closed
	return nil
}

func (h *host) connection(_ net.Conn, state http.ConnState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch state {
	case http.StateNew:
		h.open++
		h.seen.maxOpen = max(h.seen.maxOpen, h.open)
	case http.StateClosed, http.StateHijacked:
		h.open--
	}
}

// ServeHTTP implements http.Handler.
func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.seen.requests++
	h.mu.Unlock()
	select {
	case <-time.After(h.latency):
		h.handler(w, r)
	case <-r.Context().Done():
	}
}

// requests returns the number of requests since the last look.
func (h *host) requests() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen.requests
}

// look returns the statistics since the last look, once the last client's connections are closed.
func (h *host) look(ctx context.Context) (seen, error) {
	for {
		h.mu.Lock()
		if now := h.seen; h.open == 0 {
			h.seen = seen{}
			h.mu.Unlock()
			return now, nil
		}
		h.mu.Unlock()
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return seen{}, ctx.Err()
		}
	}
}

// archive returns the command that archives some days of an account, without rate limits.
func (b *bench) archive(account *convosotest.Server, mediaURL, home string, more ...string) command {
	return command{
		args: append([]string{b.program, "archive", "--json", "--log-level", "error", "--state-dir", filepath.Join(home, "state"),
			"--api-url", account.APIURL(), "--allow-host", mediaURL, "--api-rate", "0"}, more...),
		env: append(s3Env(), "CONVOSO_AUTH_TOKEN="+account.Token()), home: home,
	}
}
