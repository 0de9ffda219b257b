package fetcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"code.dny.dev/ssrf"
)

const (
	dialTimeout   = 15 * time.Second
	tlsTimeout    = 15 * time.Second
	idleTimeout   = 90 * time.Second
	mostRedirects = 5
	drainTimeout  = 250 * time.Millisecond // for the rest of a body that nobody wants
)

// newTransport returns a transport for HTTP/1.1 alone: one connection for each
// worker carries bulk audio faster than the streams of one HTTP/2 connection.
func newTransport(o Options, connections int) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		Protocols:             protocols,
		DisableCompression:    true, // it would take the length away that proves a body whole
		MaxConnsPerHost:       connections,
		MaxIdleConnsPerHost:   connections,
		MaxIdleConns:          connections * 4,
		IdleConnTimeout:       idleTimeout,
		TLSHandshakeTimeout:   tlsTimeout,
		ResponseHeaderTimeout: o.Timeout,
		ExpectContinueTimeout: time.Second,
	}
}

// newAPIClient returns the client of the API, which follows no redirect: the
// token stands in the address, and would travel along.
func newAPIClient(o Options) *http.Client {
	return &http.Client{
		Transport:     newTransport(o, 4),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// newMediaClient returns the client of links. It follows redirects to allowed
// hosts only, and connects to public addresses only, whatever a name resolves to;
// an origin that was allowed by its whole name may be private.
func (c *Client) newMediaClient() *http.Client {
	o := c.options
	guard := ssrf.New(ssrf.WithAnyPort(), ssrf.WithNetworks("tcp4", "tcp6"))
	guarded := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Control: guard.Safe}
	open := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	transport := newTransport(o, o.Workers)
	var proxies sync.Map // addresses of proxies that the environment names
	transport.Proxy = func(request *http.Request) (*url.URL, error) {
		proxy, err := http.ProxyFromEnvironment(request)
		if proxy != nil {
			proxies.Store(hostPort(proxy), true)
		}
		return proxy, err
	}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if _, isProxy := proxies.Load(address); isProxy || o.AllowHosts.allowsDial(address) {
			return open.DialContext(ctx, network, address)
		}
		conn, err := guarded.DialContext(ctx, network, address)
		if err != nil && (errors.Is(err, ssrf.ErrProhibitedIP) || errors.Is(err, ssrf.ErrProhibitedNetwork)) {
			return nil, fmt.Errorf("%w: a private network", ErrNotAllowed)
		}
		return conn, err
	}
	return &http.Client{
		Transport: transport,
		CheckRedirect: func(request *http.Request, via []*http.Request) error {
			request.Header.Del("Referer") // net/http puts the whole link into it
			if len(via) >= mostRedirects {
				return fmt.Errorf("%w: %w number %d", ErrNotAllowed, ErrRedirected, len(via))
			}
			if !o.AllowHosts.allows(request.URL) {
				return fmt.Errorf("%w: %w", ErrNotAllowed, ErrRedirected)
			}
			return c.startOn(request)
		},
	}
}

// watchedBody cancels its request when no byte has come for a while. A total
// timeout would cut long recordings off that arrive well.
type watchedBody struct {
	body    io.ReadCloser
	timer   *time.Timer
	timeout time.Duration
	ctx     context.Context
	closed  atomic.Bool
}

func newWatchedBody(body io.ReadCloser, timeout time.Duration, cancel context.CancelCauseFunc, ctx context.Context) *watchedBody {
	timer := time.AfterFunc(timeout, func() { cancel(ErrStalled) })
	timer.Stop() // it runs while somebody reads: what a slow disk needs is not the host's fault
	return &watchedBody{body: body, timeout: timeout, timer: timer, ctx: ctx}
}

// Read implements io.Reader. After a stall it returns an error that is ErrStalled.
func (b *watchedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.timeout)
	n, err := b.body.Read(p)
	b.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(context.Cause(b.ctx), ErrStalled) {
		return n, ErrStalled
	}
	return n, err
}

// Close reads a little of what is left, so that the connection can be used again,
// and closes the body. It may be called more than once.
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
