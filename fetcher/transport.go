// Makes the HTTP transport and checks redirects and addresses.

package fetcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

const (
	dialTimeout  = 15 * time.Second
	tlsTimeout   = 15 * time.Second
	idleTimeout  = 90 * time.Second
	maxRedirects = 5
	drainTimeout = 250 * time.Millisecond // for the rest of an unused body
)

// newTransport returns a transport for HTTP/1.1 only: one connection per worker transfers bulk audio faster than
// the streams of one HTTP/2 connection.
func newTransport(o Options, connections int) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		Protocols:             protocols,
		DisableCompression:    true, // it would remove the length, which proves that a body is complete
		MaxConnsPerHost:       connections,
		MaxIdleConnsPerHost:   connections,
		MaxIdleConns:          connections * 4,
		IdleConnTimeout:       idleTimeout,
		TLSHandshakeTimeout:   tlsTimeout,
		ResponseHeaderTimeout: o.Timeout,
	}
}

// checkRedirect permits redirects of links only to allowed hosts.
func (c *Client) checkRedirect(request *http.Request, via []*http.Request) error {
	request.Header.Del("Referer") // net/http puts the whole link into it
	if len(via) >= maxRedirects {
		return fmt.Errorf("%w: %w number %d", ErrNotAllowed, ErrRedirected, len(via))
	}
	if !c.options.AllowHosts.allows(request.URL) {
		return fmt.Errorf("%w: %w", ErrNotAllowed, ErrRedirected)
	}
	return c.startOn(request)
}

// newMediaTransport returns a transport that connects to public addresses only, no matter what a
// name resolves to; explicitly allowed origins and the proxies of findProxy may be private.
func newMediaTransport(o Options, findProxy func(*http.Request) (*url.URL, error)) *http.Transport {
	transport := newTransport(o, o.Workers)
	dial, guarded := transport.DialContext, &net.Dialer{Timeout: dialTimeout, Control: allowPublic}
	var proxies sync.Map // host:port of each proxy
	transport.Proxy = func(request *http.Request) (*url.URL, error) {
		proxy, err := findProxy(request)
		if proxy != nil {
			proxies.Store(hostPort(proxy), true)
		}
		return proxy, err
	}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if _, isProxy := proxies.Load(normalAddress(address)); isProxy || o.AllowHosts.allowsDial(address) {
			return dial(ctx, network, address)
		}
		conn, err := guarded.DialContext(ctx, network, address)
		if err != nil && (errors.Is(err, ssrf.ErrProhibitedIP) || errors.Is(err, ssrf.ErrProhibitedNetwork)) {
			return nil, fmt.Errorf("%w: a private network", ErrNotAllowed)
		}
		return conn, err
	}
	return transport
}

// allowPublic fails for an address that is not public. For NAT64 addresses, used by networks
// without IPv4, the embedded IPv4 address decides.
func allowPublic(network, address string, conn syscall.RawConn) error {
	nat64 := netip.MustParsePrefix("64:ff9b::/96")
	if at, err := netip.ParseAddrPort(address); err == nil && nat64.Contains(at.Addr()) {
		bytes := at.Addr().As16()
		network, address = "tcp4", netip.AddrPortFrom(netip.AddrFrom4([4]byte(bytes[12:])), at.Port()).String()
	}
	return ssrf.New(ssrf.WithAnyPort()).Safe(network, address, conn)
}

// minBytesPerSecond is the minimum rate of a body. Audio has 8,000 bytes a second.
const minBytesPerSecond = 500

// watchedBody cancels its request when no byte has arrived for a while, or fewer bytes come than the minimum
// rate. A total timeout would abort long recordings that arrive normally.
type watchedBody struct {
	body     io.ReadCloser
	timer    *time.Timer
	timeout  time.Duration
	patience time.Duration // remaining total waiting time
	ctx      context.Context
	govern   *governor
	closed   atomic.Bool
}

func newWatchedBody(body io.ReadCloser, timeout time.Duration, cancel context.CancelCauseFunc, ctx context.Context, govern *governor) *watchedBody {
	timer := time.AfterFunc(timeout, func() { cancel(ErrStalled) })
	timer.Stop() // it runs only during a read, because a slow disk is not the host's fault
	return &watchedBody{body: body, timeout: timeout, patience: 2 * timeout, timer: timer, ctx: ctx, govern: govern}
}

// Read implements io.Reader. After a stall it returns an error that is ErrStalled. Waiting for the
// bandwidth limit does not count, because it is not the host's fault either.
func (b *watchedBody) Read(p []byte) (int, error) {
	if b.govern.schedule != nil {
		p = p[:min(len(p), int(b.govern.part.Load()))]
	}
	began := time.Now()
	b.timer.Reset(max(min(b.timeout, b.patience), 1))
	n, err := b.body.Read(p)
	b.timer.Stop()
	b.patience += time.Duration(n)*time.Second/minBytesPerSecond - time.Since(began)
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(context.Cause(b.ctx), ErrStalled) {
		return n, ErrStalled
	}
	b.govern.pay(b.ctx, n)
	return n, err
}

// Close reads a little of the rest, so that the connection can be reused, and closes the body. It
// may be called more than once.
func (b *watchedBody) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	defer b.timer.Stop()
	const worthReading = 64 << 10
	b.timer.Reset(drainTimeout)
	_, _ = io.CopyN(io.Discard, b.body, worthReading)
	return b.body.Close()
}
