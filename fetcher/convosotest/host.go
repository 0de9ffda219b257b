// Limits and counts the requests to a simulated host.

package convosotest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Limits of the data for Stats.
const (
	mostStarts  = 200_000
	mostWindows = 20_000
)

// host is the common part of the API and the media host: a limit and counts.
type host struct {
	bucket bucket

	handlers sync.WaitGroup // requests being answered

	mu             sync.Mutex
	closed         bool // no more requests are answered
	stats          HostStats
	concurrent     int
	openConnection int
}

// begin notes a request that starts now; the returned function notes its end.
func (h *host) begin() (end func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		panic(http.ErrAbortHandler)
	}
	h.handlers.Add(1)
	h.stats.Requests++
	h.concurrent++
	h.stats.MaxConcurrent = max(h.stats.MaxConcurrent, h.concurrent)
	if len(h.stats.Starts) < mostStarts {
		h.stats.Starts = append(h.stats.Starts, time.Now())
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.concurrent--
		h.handlers.Done()
	}
}

// stop refuses further requests and waits for active ones.
func (h *host) stop() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.handlers.Wait()
}

// count adds one to a counter protected by the host's lock.
func (h *host) count(counter *int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*counter++
}

// connection notes a connection that was opened (1) or closed (-1).
func (h *host) connection(change int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.openConnection += change
	if change > 0 {
		h.stats.Connections++
		h.stats.MaxOpenConnections = max(h.stats.MaxOpenConnections, h.openConnection)
	}
}

func (h *host) snapshot() HostStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	stats := h.stats
	stats.Starts = append([]time.Time(nil), stats.Starts...)
	stats.OpenConnections = h.openConnection
	return stats
}

func (h *host) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stats = HostStats{MaxConcurrent: h.concurrent, MaxOpenConnections: h.openConnection}
}

// writeLimit answers a request above the hidden limit.
func (h *host) writeLimit(w http.ResponseWriter, wait time.Duration, now time.Time) {
	h.refuse(w, h.bucket.current(), wait, now)
}

// refuse answers 429 with the header defined by rate.
func (h *host) refuse(w http.ResponseWriter, rate Rate, wait time.Duration, now time.Time) {
	h.count(&h.stats.Refused)
	if rate.Wait > 0 {
		wait = rate.Wait
	}
	setRetryAfter(w, rate.RetryAfter, wait, now)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusTooManyRequests)
	_, _ = w.Write([]byte(`{"success":false,"code":429,"text":"Too many requests"}`)) // the client may have disconnected
}

// setRetryAfter rounds up, so that a client that obeys the header is never too early.
func setRetryAfter(w http.ResponseWriter, form RetryAfter, wait time.Duration, now time.Time) {
	switch form {
	case RetrySeconds:
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	case RetryDate:
		w.Header().Set("Retry-After", now.Add(wait+time.Second-1).UTC().Format(http.TimeFormat))
	}
}

// bucket is a token bucket.
type bucket struct {
	mu     sync.Mutex
	rate   Rate
	tokens float64
	last   time.Time
}

// set changes the rate; afterwards the bucket is full.
func (b *bucket) set(rate Rate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rate = rate
	b.tokens = float64(max(1, rate.Burst))
	b.last = time.Now()
}

func (b *bucket) current() Rate {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rate
}

// take takes a token, or returns the time until the next one.
func (b *bucket) take() (wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate.PerSecond <= 0 {
		return 0, true
	}
	now := time.Now()
	b.tokens += now.Sub(b.last).Seconds() * b.rate.PerSecond
	b.tokens = min(b.tokens, float64(max(1, b.rate.Burst)))
	b.last = now
	if b.tokens >= 1 {
		b.tokens--
		return 0, true
	}
	return time.Duration((1 - b.tokens) / b.rate.PerSecond * float64(time.Second)), false
}

// hostTime returns the time of the hosts' clocks.
func (s *Server) hostTime() time.Time { return s.config.Now().Add(time.Duration(s.skew.Load())) }

func (s *Server) date() string { return s.hostTime().UTC().Format(http.TimeFormat) }

// pause waits, and reports whether the client and the server are still connected.
func (s *Server) pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-s.closing:
	}
	return false
}

// hang waits until the client disconnects or the server closes.
func (s *Server) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.closing:
	}
}

// closeConnection ends the request's connection without a further byte; a reset discards unread
// data. If the connection cannot be taken over, the request is aborted.
func (s *Server) closeConnection(w http.ResponseWriter, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = conn.Close() }() // errors do not matter here
	if !reset {
		return
	}
	raw := conn
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		raw = secured.NetConn()
	}
	if counted, ok := raw.(*countedConn); ok {
		raw = counted.Conn
	}
	if plain, ok := raw.(*net.TCPConn); ok {
		_ = plain.SetLinger(0) // fails only on a closed connection
	}
	_ = raw.Close() // before TLS sends close_notify
}

func flush(w http.ResponseWriter) {
	_ = http.NewResponseController(w).Flush() // fails only if the client has disconnected
}

// countedConn notifies its host when closed.
type countedConn struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// countingListener notes every connection with a host.
type countingListener struct {
	net.Listener
	host *host
}

// Accept implements net.Listener.
func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.host.connection(1)
	return &countedConn{Conn: conn, closed: sync.OnceFunc(func() { l.host.connection(-1) })}, nil
}

func listen() (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen on loopback: %w", err)
	}
	return listener, nil
}

// ignoreClosed drops the error of a server that was asked to close.
func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
