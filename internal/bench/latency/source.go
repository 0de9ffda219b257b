package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/internal/bench/internal/origin"
)

const (
	firstDay   = "2025-05-01"
	mostOfADay = 20_000 // rows
)

// serveSource serves the API and the media until the parent lets go. The media host
// sends one body from memory for every link: making audio would cost more than
// sending it.
func serveSource(ctx context.Context, count int, share float64, latency time.Duration, size int64) error {
	media := &mediaHost{latency: latency}
	origins, err := media.listen(ctx)
	if err != nil {
		return err
	}
	rows := int(float64(count) / share)
	days := (rows + mostOfADay - 1) / mostOfADay
	account, err := convosotest.New(convosotest.Config{
		Seed: 1, FirstDay: firstDay, Days: days, CallsPerDay: rows / days, RecordedShare: share,
		MedianSize: size, MinSize: size, MaxSize: size, APILatency: latency, MediaOrigin: origins,
	})
	if err != nil {
		return err
	}
	said := source{Media: origins, Token: account.Token(), First: firstDay}
	for r := range account.Recordings() {
		if media.body == nil {
			if media.body, err = io.ReadAll(r.Body()); err != nil {
				return fmt.Errorf("make audio: %w", err)
			}
		}
		said.Recordings++
		said.Last = r.Day
	}
	said.Size = int64(len(media.body))
	if err := account.Start(); err != nil {
		return err
	}
	said.API = account.APIURL()
	go media.serve()
	line, err := json.Marshal(said)
	if err != nil {
		return err
	}
	return errors.Join(origin.ServeUntilEOF(string(line)), account.Close(), media.server.Close())
}

// mediaHost answers every request with the same body, after a while.
type mediaHost struct {
	latency  time.Duration
	body     []byte
	listener net.Listener
	server   *http.Server

	mu   sync.Mutex
	open int
	seen seen
}

// seen is what the media host saw since it was last asked.
type seen struct{ Requests, MostOpen int }

const seenPath = "/seen"

func (h *mediaHost) listen(ctx context.Context) (url string, err error) {
	h.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("serve media: %w", err)
	}
	h.server = &http.Server{Handler: h, ConnState: h.connection, ReadHeaderTimeout: time.Minute}
	return "http://" + h.listener.Addr().String(), nil
}

func (h *mediaHost) serve() { _ = h.server.Serve(h.listener) } // until it is closed

// connection counts connections. The one that asks for counts is closed before
// anything else connects.
func (h *mediaHost) connection(_ net.Conn, state http.ConnState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch state {
	case http.StateNew:
		h.open++
		h.seen.MostOpen = max(h.seen.MostOpen, h.open)
	case http.StateClosed, http.StateHijacked:
		h.open--
	}
}

// ServeHTTP implements http.Handler.
func (h *mediaHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == seenPath {
		h.mu.Lock()
		now := h.seen
		h.seen = seen{}
		h.mu.Unlock()
		w.Header().Set("Connection", "close")
		_ = json.NewEncoder(w).Encode(now) // the parent may have gone
		return
	}
	h.mu.Lock()
	h.seen.Requests++
	h.mu.Unlock()
	timer := time.NewTimer(h.latency)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		return
	}
	w.Header().Set("Content-Type", "audio/mpeg")
	w.Header().Set("Content-Length", strconv.Itoa(len(h.body)))
	_, _ = io.Copy(w, bytes.NewReader(h.body)) // likewise
}

// seen asks the media host what it saw, which begins to count anew.
func (s *source) seen(ctx context.Context) (seen, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Media+seenPath, nil)
	if err != nil {
		return seen{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return seen{}, fmt.Errorf("ask for counts: %w", err)
	}
	defer response.Body.Close()
	var now seen
	if err := json.NewDecoder(response.Body).Decode(&now); err != nil {
		return seen{}, fmt.Errorf("read counts: %w", err)
	}
	return now, nil
}
