// Sets security headers and refuses foreign hosts.

package web

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// policy lets a page load resources only from this server, and forbids inline scripts.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// secured sets the security headers of every answer.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// knownHost answers 421 if the request is for another host. Otherwise a foreign page could read this server by DNS
// rebinding.
func (s *Server) knownHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isKnownHost(r.Host, s.origin, s.Hosts, r.TLS != nil) {
			http.Error(w, "This page does not accept the host name in its address. Start serve with --host NAME, where NAME is the name or IP address that you opened, without the port.",
				http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isKnownHost reports whether a Host header names this server: its address, a name of loopback with its port, or one of
// the configured names with any port, because a proxy may use another port.
func isKnownHost(host, listens string, names []string, isTLS bool) bool {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.Trim(host, "[]"), "80"
		if isTLS {
			port = "443"
		}
	}
	address, listenPort, err := net.SplitHostPort(listens)
	if err != nil || name == "" {
		return false
	}
	if slices.ContainsFunc(names, func(known string) bool { return strings.EqualFold(known, name) }) {
		return true
	}
	loopback := []string{"localhost", "127.0.0.1", "::1", address}
	return port == listenPort && slices.ContainsFunc(loopback, func(known string) bool { return strings.EqualFold(known, name) })
}

// ownSite refuses requests from pages of other sites where even a GET is written to the access log.
func (s *Server) ownSite(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if isFromElsewhere(r) {
			s.refuseElsewhere(w, r)
			return
		}
		next(w, r)
	}
}

// isFromElsewhere reports whether a page of another site sent the request.
func isFromElsewhere(r *http.Request) bool {
	from := r.Header.Get("Sec-Fetch-Site")
	return from == "cross-site" || from == "same-site"
}

func (s *Server) refuseElsewhere(w http.ResponseWriter, r *http.Request) {
	s.refuse(w, r, http.StatusForbidden, "This request came from another site.", "Open the page itself and try again there.")
}

// connections limits the number of connections: above the limit it closes the one that has been idle longest.
type connections struct {
	max  int
	mu   sync.Mutex
	open map[net.Conn]time.Time // start of the idle time; zero if it is in use
}

func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if closing := c.note(conn, state, time.Now()); closing != nil {
		_ = closing.Close() // idle, so nothing is lost
	}
}

// note records a state change and returns the connection to close, nil for none.
func (c *connections) note(conn net.Conn, state http.ConnState, now time.Time) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(c.open, conn)
		return nil
	case http.StateActive:
		c.open[conn] = time.Time{}
		return nil
	case http.StateIdle:
		c.open[conn] = now
		return nil
	}
	if c.open == nil {
		c.open = map[net.Conn]time.Time{}
	}
	c.open[conn] = now
	if len(c.open) <= c.max {
		return nil
	}
	oldest, since := conn, now
	for other, idle := range c.open {
		if !idle.IsZero() && idle.Before(since) {
			oldest, since = other, idle
		}
	}
	delete(c.open, oldest)
	return oldest
}
