// Package fetcher is the client of the Convoso call log: it lists the calls of a day with their
// recordings, proves that a listing is whole, and opens the audio behind a recording's link. It
// paces every host, so that no number of workers can overrun the vendor's limits.
//
// The known behaviour of the API comes from the vendor's page of log/retrieve and from public
// clients, without any guarantee. A wrong assumption must lead to a clear error or an open day,
// never to a lost recording.
package fetcher

import (
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"convoso-archiver/internal/retry"
	"convoso-archiver/internal/schedule"
)

const (
	// MaxPageSize is the documented maximum of rows per page.
	MaxPageSize = 500
	// DefaultOffsetCeiling is the largest offset that the API accepts.
	DefaultOffsetCeiling = 40_000

	maxPage       = 16 << 20 // bytes of one answer
	retrieveCalls = "list calls"

	maxLongWaits = 3 // number of consecutive recordings of a host with a wait above [MaxRetryAfter] that end the run
)

// Options configures a Client. Zero durations and counts take their defaults.
type Options struct {
	APIURL        string // base, without the endpoint: https://api.convoso.com/v1
	Token         Secret
	Zone          *time.Location     // of the account's wall-clock times
	AllowHosts    AllowedHosts       // of links and redirects
	PageSize      int                // rows per page; default [MaxPageSize]
	OffsetCeiling int                // default [DefaultOffsetCeiling]
	APIRate       float64            // maximum request starts per second, 0 for no limit
	MediaRate     float64            // likewise, for each host of links
	Learned       Rates              // rates from an earlier run, for all shares together
	RateShares    int                // number of parallel clients that share the rates; default 1
	Workers       int                // maximum connections to a host of links; default 8
	Timeout       time.Duration      // until the first byte of an answer; default 60 s
	RetryFor      time.Duration      // how long to wait for an API without a good answer; default 10 minutes
	Transport     http.RoundTripper  // of the API and of links, for tests without a network; nil for the real ones
	StallTimeout  time.Duration      // between two reads of a body; default 30 s
	Schedule      *schedule.Schedule // nil for none
	MaxRequests   int64              // to API and hosts of links together, 0 for no limit
	Retry         retry.Policy       // for pages of the log
	UserAgent     string
	Logger        *slog.Logger // required
}

// Client talks to one account's API and to the hosts of its links. It is safe for
// concurrent use.
type Client struct {
	options  Options
	endpoint string
	api      *http.Client
	media    *http.Client
	apiPacer *Pacer
	govern   *governor
	// mediaHeader is the shared header of all requests for audio: net/http copies it before
	// modifying it.
	mediaHeader http.Header

	mu       sync.Mutex
	pacers   map[string]*Pacer
	outage   outage
	lastGood Window // span of the last good answer

	// first serialises requests until the API has given a good answer: one request is enough to detect a wrong token.
	first   chan struct{}
	refused error // guarded by first; refusal of the token

	requests atomic.Int64
	answers  atomic.Int64
	skew     atomic.Int64 // machine's clock minus the API's, nanoseconds
}

// New returns a client. It fails if the address of the API is neither https nor on loopback, because the token would
// be sent unencrypted.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.APIURL)
	if err != nil || base.Host == "" || base.RawQuery != "" || base.User != nil {
		return nil, errors.New("read API address: it is not of the form https://api.convoso.com/v1")
	}
	if base.Scheme != "https" && (base.Scheme != "http" || !onLoopback(base)) {
		return nil, errors.New("read API address: it must be https, or http on loopback, because each request contains the token")
	}
	o.PageSize = orDefault(o.PageSize, MaxPageSize)
	o.OffsetCeiling = orDefault(o.OffsetCeiling, DefaultOffsetCeiling)
	o.Workers = orDefault(o.Workers, 8)
	o.Timeout = orDefault(o.Timeout, time.Minute)
	o.StallTimeout = orDefault(o.StallTimeout, 30*time.Second)
	o.RetryFor = orDefault(o.RetryFor, 10*time.Minute)
	o.RateShares = orDefault(o.RateShares, 1)
	o.Retry.Tries = orDefault(o.Retry.Tries, 5)
	o.Retry.Refusals = orDefault(o.Retry.Refusals, 12)
	o.Retry.Initial = orDefault(o.Retry.Initial, time.Second)
	o.Retry.Max = orDefault(o.Retry.Max, time.Minute)
	if o.Zone == nil {
		return nil, errors.New("make client: the account's time zone is missing")
	}
	govern := newGovernor(o.Schedule, o.MaxRequests, o.Logger)
	c := &Client{
		options:  o,
		endpoint: strings.TrimSuffix(base.String(), "/") + "/log/retrieve",
		apiPacer: newPacer(base.Host, o.APIRate, o.Learned[apiKey(base.Host)], o.RateShares, 1, o.Logger, govern),
		govern:   govern,
		pacers:   map[string]*Pacer{},
		first:    make(chan struct{}, 1),

		mediaHeader: http.Header{"User-Agent": {o.UserAgent}, "Accept": {"audio/*, */*;q=0.5"}, "Accept-Encoding": {"identity"}},
	}
	ofAPI, ofLinks := o.Transport, o.Transport
	if o.Transport == nil {
		ofAPI, ofLinks = newTransport(o, 4), newMediaTransport(o, http.ProxyFromEnvironment)
	}
	// The token is in the address of the API, and a redirect would forward it.
	c.api = &http.Client{Transport: ofAPI, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	c.media = &http.Client{Transport: ofLinks, CheckRedirect: c.checkRedirect}
	return c, nil
}

// Close drops idle connections.
func (c *Client) Close() {
	c.api.CloseIdleConnections()
	c.media.CloseIdleConnections()
}

// Requests returns the number of API requests sent.
func (c *Client) Requests() int64 { return c.requests.Load() }

// Answers returns the number of good answers of the API: pages that could be decoded.
func (c *Client) Answers() int64 { return c.answers.Load() }

// ClockSkew returns how far the machine's clock is ahead of the API's, according to the Date of its
// last answer, and whether any answer had one.
func (c *Client) ClockSkew() (time.Duration, bool) {
	skew := c.skew.Load()
	return time.Duration(skew), skew != 0
}

func (c *Client) pacer(host string) *Pacer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.pacers[host]; ok {
		return p
	}
	p := newPacer(host, c.options.MediaRate, c.options.Learned[mediaKey(host)], c.options.RateShares, maxLongWaits, c.options.Logger, c.govern)
	c.pacers[host] = p
	return p
}

// Paces returns a snapshot of the paces: the API's first, then those of the media hosts.
func (c *Client) Paces() []Pace {
	paces := []Pace{c.apiPacer.snapshot()}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pacers {
		paces = append(paces, p.snapshot())
	}
	return paces
}

// Rates holds request rates learned by earlier runs, by kind and host.
type Rates map[string]float64

func apiKey(host string) string   { return "api " + host }
func mediaKey(host string) string { return "media " + host }

// Rates returns the rates learned so far, for a later run: those of all shares together, so that
// the later run may use another number of shares.
func (c *Client) Rates() Rates {
	rates := Rates{}
	if rate := c.apiPacer.learned(); rate > 0 {
		rates[apiKey(c.apiPacer.host)] = rate
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for host, p := range c.pacers {
		if rate := p.learned(); rate > 0 {
			rates[mediaKey(host)] = rate
		}
	}
	return rates
}

func onLoopback(u *url.URL) bool {
	if u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.Unmap().IsLoopback()
}

func orDefault[T ~int | ~int64](value, byDefault T) T {
	if value == 0 {
		return byDefault
	}
	return value
}
