// Tries a request to a host step by step: name, connection, TLS, answer.

package doctor

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Steps are the steps of a request to a host: name, connection, TLS, answer. Through a proxy, name and connection are
// the proxy's.
type Steps struct {
	Target    string // host:port that was asked for; "" where the request was not even begun
	Name      string // that was looked up; "" for an address
	Addresses int    // found for the name
	NameErr   error
	Dialled   string // the last address
	Connected string // the address, "" for none
	DialErr   error
	TLS       bool // it was begun
	TLSErr    error
	Expires   time.Time // end of the certificate
	Answered  bool      // a first byte came
	Err       error     // of the request as a whole
}

// steps notes the steps of the requests of a context. They may go on in the background when the request has ended.
type steps struct {
	mu   sync.Mutex
	seen Steps
}

// ended returns the steps of a request that ended so.
func (s *steps) ended(err error) Steps {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.Err = err
	return s.seen
}

func (s *steps) note(change func(*Steps)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.seen)
}

// context returns a context whose requests are noted: those of the client that archives, on the way that it takes.
func (s *steps) context(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:  func(target string) { s.note(func(seen *Steps) { seen.Target = target }) },
		DNSStart: func(i httptrace.DNSStartInfo) { s.note(func(seen *Steps) { seen.Name = i.Host }) },
		DNSDone: func(i httptrace.DNSDoneInfo) {
			s.note(func(seen *Steps) { seen.Addresses, seen.NameErr = len(i.Addrs), i.Err })
		},
		ConnectStart: func(_, address string) { s.note(func(seen *Steps) { seen.Dialled = address }) },
		ConnectDone: func(_, address string, err error) {
			s.note(func(seen *Steps) {
				if err == nil {
					seen.Connected = address
				}
				seen.DialErr = err
			})
		},
		TLSHandshakeStart: func() { s.note(func(seen *Steps) { seen.TLS = true }) },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			s.note(func(seen *Steps) {
				seen.TLSErr = err
				if len(state.PeerCertificates) > 0 {
					seen.Expires = state.PeerCertificates[0].NotAfter
				}
			})
		},
		GotFirstResponseByte: func() { s.note(func(seen *Steps) { seen.Answered = true }) },
	})
}

// ProxyOf returns host:port of the proxy that the environment names for an address, "" for none, and whether the
// variable can be read. What it holds is left out, for it may be a password. A text that is no address is read
// as a host by the name of its scheme.
func ProxyOf(address string) (host string, readable bool) {
	u, err := url.Parse(address)
	if err != nil {
		return "", true
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	switch {
	case err != nil:
		return "", false
	case proxy == nil:
		return "", true
	}
	return proxy.Host, proxy.Host != "" && !strings.HasSuffix(proxy.Host, ":")
}
