// Identifies who sent a request: login, proxy header or nobody.

package web

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

type userKey struct{}

// userOf returns the user of a request, as set by identify.
func userOf(r *http.Request) *user {
	u, _ := r.Context().Value(userKey{}).(*user)
	if u == nil {
		u = &user{} // may do nothing
	}
	return u
}

// identify determines the user of a request, and refuses unknown users.
func (s *Server) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer := addressOf(r.RemoteAddr)
		isProxy := s.isTrusted(peer)
		u := &user{from: clientAddress(r, peer, isProxy, s.isTrusted)}
		named := ""
		if s.AuthHeader != "" {
			if values := r.Header.Values(s.AuthHeader); isProxy && len(values) == 1 {
				named = values[0]
			}
			r.Header.Del(s.AuthHeader)
		}
		known := false
		switch {
		case named != "":
			u.name = named
			u.Rights, known = s.rightsOf(named)
			if !known {
				s.refuse(w, r, http.StatusForbidden, "You may not see this archive.", "Ask the administrator of this page for access.")
				return
			}
			// A proxy without a login of its own would pass on any name that the client sends.
			if isBasic(r) && s.Users != nil && s.Users.hasPassword(named) && !s.login(w, r, u) {
				return
			}
		case s.Users != nil:
			if !s.login(w, r, u) {
				return
			}
		case s.AuthHeader != "":
			s.refuse(w, r, http.StatusUnauthorized, "You are not logged in.", "Open this page through the proxy that you log in to.")
			return
		default:
			u.Rights = s.Everybody
		}
		r.Header.Del("Authorization")
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, u)))
	})
}

// isBasic reports whether a request carries a name and password, even malformed ones: a proxy may read them differently.
func isBasic(r *http.Request) bool {
	const scheme = "basic"
	given := r.Header.Get("Authorization")
	return len(given) >= len(scheme) && strings.EqualFold(given[:len(scheme)], scheme)
}

// login checks the name and password of a request. It sets the name and rights of u; a name that u already has must be
// the same. On failure it has answered the request.
func (s *Server) login(w http.ResponseWriter, r *http.Request, u *user) (ok bool) {
	name, password, given := r.BasicAuth()
	given = given && (u.name == "" || u.name == name)
	if given {
		u.name = name
		u.Rights, ok = s.Users.proved(name, password)
	}
	if given && !ok {
		if wait := s.failures.enter(u.from, time.Now()); wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
			s.refuse(w, r, http.StatusTooManyRequests, "Too many logins failed from your address.", "Wait a little, then try again.")
			return false
		}
		if u.Rights, ok = s.Users.login(name, password); ok {
			s.failures.forgive(u.from)
		} else {
			s.Logger.Warn("a login failed", "from", u.from)
		}
	}
	if !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="convoso-archiver", charset="UTF-8"`)
		s.refuse(w, r, http.StatusUnauthorized, "Log in to see this archive.", "Load the page again and give your name and password.")
	}
	return ok
}

// rightsOf returns the rights of a user named by a proxy: those of the users file, otherwise those for everybody.
func (s *Server) rightsOf(name string) (Rights, bool) {
	if !isName(name) {
		return Rights{}, false
	}
	if s.Users != nil {
		if rights, ok := s.Users.find(name); ok {
			return rights, true
		}
	}
	return s.Everybody, s.Everybody.Listen || s.Everybody.Audit
}

func (s *Server) isTrusted(address netip.Addr) bool {
	for _, prefix := range s.TrustedProxies {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// addressOf returns the address of a connection, or the zero address.
func addressOf(remote string) netip.Addr {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return address.Unmap().WithZone("")
}

// clientAddress returns the address of the client: behind trusted proxies, the last address that is not one of them.
func clientAddress(r *http.Request, peer netip.Addr, isProxy bool, trusted func(netip.Addr) bool) string {
	if isProxy {
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for i := len(hops) - 1; i >= 0; i-- {
			address, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
			if err != nil {
				break
			}
			if address = address.Unmap().WithZone(""); !trusted(address) {
				return address.String()
			}
		}
	}
	return peer.String()
}

// Failed logins are counted per address. After freeFailures, each further failure makes the address wait
// longer.
const (
	freeFailures  = 5
	firstWait     = 2 * time.Second
	longestWait   = 5 * time.Minute
	failuresKept  = 15 * time.Minute
	maxAddresses  = 10_000
	bitsOfNetwork = 64 // of an IPv6 address: one client has the whole network
)

// failures counts failed logins. It is safe for concurrent use.
type failures struct {
	mu    sync.Mutex
	count map[string]failed
}

type failed struct {
	times int
	last  time.Time
}

func network(address string) string {
	if a, err := netip.ParseAddr(address); err == nil && a.Is6() {
		if prefix, err := a.Prefix(bitsOfNetwork); err == nil {
			return prefix.String()
		}
	}
	return address
}

// enter returns how long an address must wait before its next attempt, 0 if it may try now. An attempt counts as failed
// until it is forgiven, so parallel attempts count like sequential ones.
func (f *failures) enter(address string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := network(address)
	c := f.count[key]
	if now.Sub(c.last) > failuresKept {
		c.times = 0
	}
	if wait := c.last.Add(waitAfter(c.times)).Sub(now); c.times > 0 && wait > 0 {
		return wait
	}
	if f.count == nil {
		f.count = map[string]failed{}
	}
	if len(f.count) >= maxAddresses {
		f.drop(now)
	}
	f.count[key] = failed{c.times + 1, now}
	return 0
}

// forgive removes a successful attempt from the count. Earlier failures stay: a user with one valid password
// could guess others.
func (f *failures) forgive(address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := network(address)
	if c, ok := f.count[key]; ok && c.times > 0 {
		c.times--
		f.count[key] = c
	}
}

// waitAfter returns how long to wait after the given number of failures.
func waitAfter(times int) time.Duration {
	if times < freeFailures {
		return 0
	}
	return min(longestWait, firstWait<<min(times-freeFailures, 10))
}

// drop makes room: it removes old entries or, if there are too few, a quarter of all. Waiting does not stop an attacker
// with that many addresses anyway.
func (f *failures) drop(now time.Time) {
	for key, c := range f.count {
		if now.Sub(c.last) > failuresKept {
			delete(f.count, key)
		}
	}
	for key := range f.count {
		if len(f.count) <= maxAddresses*3/4 {
			return
		}
		delete(f.count, key)
	}
}
