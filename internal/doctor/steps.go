// Records a request to a host step by step: name, connection, TLS, answer.

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
// those of the proxy.
type Steps struct {
	Target    string // requested host:port; "" if the request was not started
	Name      string // the name looked up; "" for an address
	Addresses int    // found for the name
	NameErr   error
	Dialled   string // the last address
	Connected string // the address, "" for none
	DialErr   error
	TLS       bool // the handshake was started
	TLSErr    error
	Expires   time.Time // end of the certificate
	Answered  bool      // a first byte arrived
	Err       error     // of the whole request
}

// steps records the steps of the requests of a context. They may continue in the background after the request.
type steps struct {
	mu   sync.Mutex
	seen Steps
}

// ended returns the steps of a request with its error.
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

// context returns a context that records its requests: those of the archiving client, with its real connections.
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

// ProxyOf returns host:port of the environment's proxy for an address, "" for none, and whether the variable is
// valid. The error omits its value, which may contain a password. A text without a scheme is read as a host
// name.
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
