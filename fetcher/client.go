// Package fetcher is the client of the Convoso call log: it lists the calls of a
// day with their recordings, proves that a listing is whole, and opens the audio
// behind a recording's link. It paces every host, so that no number of workers
// can overrun the vendor's limits.
//
// What the API is known to do comes from the vendor's page of log/retrieve and
// from public clients; nothing of it is promised. The package is built so that a
// wrong assumption leads to a clear error or an open day, never to a lost recording.
package fetcher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"convoso-archiver/internal/retry"
)

const (
	// MaxPageSize is the most rows that the API documents for one page.
	MaxPageSize = 500
	// DefaultOffsetCeiling is the largest offset that the API takes.
	DefaultOffsetCeiling = 40_000

	largestPage   = 64 << 20 // bytes of one answer
	mostHosts     = 64       // hosts with a pacer of their own; further ones share one
	unlikelyHost  = "other hosts"
	retrieveCalls = "list calls"
)

// Options configures a Client. Zero durations and counts take their defaults.
type Options struct {
	APIURL        string // base, without the endpoint: https://api.convoso.com/v1
	Token         Secret
	Zone          *time.Location // of the account's wall-clock times
	AllowHosts    AllowedHosts   // of links and redirects
	PageSize      int            // rows asked for per page; default [MaxPageSize]
	OffsetCeiling int            // default [DefaultOffsetCeiling]
	APIRate       float64        // most request starts a second, 0 for no limit
	MediaRate     float64        // likewise, for each host of links
	Learned       Rates          // rates that an earlier run ended with
	Workers       int            // most connections to a host of links; default 8
	Timeout       time.Duration  // until the first byte of an answer; default 60 s
	StallTimeout  time.Duration  // between two reads of a body; default 30 s
	Retry         retry.Policy   // for pages of the log
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
	// mediaHeader is that of every request for audio, which all share: net/http copies
	// it before it changes anything.
	mediaHeader http.Header

	mu     sync.Mutex
	pacers map[string]*Pacer

	requests   atomic.Int64
	answered   atomic.Bool  // the API has answered at least once
	lastAnswer atomic.Int64 // length of its last answer
	skew       atomic.Int64 // machine's clock minus the API's, nanoseconds
}

// New returns a client. It fails when the API's address is neither https nor on
// loopback, for the token would travel in the open.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.APIURL)
	if err != nil || base.Host == "" || base.RawQuery != "" || base.User != nil {
		return nil, errors.New("read API address: it is not of the form https://api.convoso.com/v1")
	}
	if base.Scheme != "https" && (base.Scheme != "http" || !onLoopback(base)) {
		return nil, errors.New("read API address: it must be https, or http on loopback: the token is sent with each request")
	}
	o.PageSize = orDefault(o.PageSize, MaxPageSize)
	o.OffsetCeiling = orDefault(o.OffsetCeiling, DefaultOffsetCeiling)
	o.Workers = orDefault(o.Workers, 8)
	o.Timeout = orDefault(o.Timeout, time.Minute)
	o.StallTimeout = orDefault(o.StallTimeout, 30*time.Second)
	o.Retry.Tries = orDefault(o.Retry.Tries, 10)
	o.Retry.Refusals = orDefault(o.Retry.Refusals, 12)
	o.Retry.Initial = orDefault(o.Retry.Initial, time.Second)
	o.Retry.Max = orDefault(o.Retry.Max, 30*time.Second)
	if o.Zone == nil {
		return nil, errors.New("make client: the account's time zone is missing")
	}
	c := &Client{
		options:  o,
		endpoint: strings.TrimSuffix(base.String(), "/") + "/log/retrieve",
		api:      newAPIClient(o),
		apiPacer: newPacer(base.Host, o.APIRate, o.Learned[apiKey(base.Host)]),
		pacers:   map[string]*Pacer{},

		mediaHeader: http.Header{"User-Agent": {o.UserAgent}, "Accept": {"audio/*, */*;q=0.5"}},
	}
	c.media = c.newMediaClient()
	return c, nil
}

// Close drops idle connections.
func (c *Client) Close() {
	c.api.CloseIdleConnections()
	c.media.CloseIdleConnections()
}

// Requests returns how many API requests were sent.
func (c *Client) Requests() int64 { return c.requests.Load() }

// ClockSkew returns how far the machine's clock is ahead of the API's, as the Date
// of its last answer tells, and whether an answer had one.
func (c *Client) ClockSkew() (time.Duration, bool) {
	skew := c.skew.Load()
	return time.Duration(skew), skew != 0
}

// retrieve asks for one page, with retries.
func (c *Client) retrieve(ctx context.Context, q Query) (*page, error) {
	policy := c.options.Retry
	if !c.answered.Load() {
		// A host that never answered is more likely a mistake in the settings than
		// an outage, and a person is waiting to be told.
		policy.Tries = min(policy.Tries, 4)
	}
	var p *page
	err := retry.Do(ctx, policy, func(ctx context.Context) error {
		var err error
		p, err = c.retrieveOnce(ctx, q)
		return err
	})
	if err == nil {
		return p, nil
	}
	if ctx.Err() != nil {
		return nil, err
	}
	if apiError, ok := errors.AsType[*APIError](err); ok && !apiError.passing() {
		return nil, err
	}
	if _, ok := errors.AsType[*RetryLaterError](err); ok {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
}

func (c *Client) retrieveOnce(ctx context.Context, q Query) (*page, error) {
	started, err := c.apiPacer.wait(ctx)
	if err != nil {
		return nil, err
	}
	values := q.values()
	values.Set("auth_token", c.options.Token.Reveal())
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.endpoint+"?"+values.Encode(), nil)
	if err != nil {
		return nil, retry.Stop(withoutSecrets(retrieveCalls, err))
	}
	request.Header.Set("User-Agent", c.options.UserAgent)
	request.Header.Set("Accept", "application/json")
	c.requests.Add(1)
	response, err := c.api.Do(request)
	if err != nil {
		return nil, withoutSecrets(retrieveCalls, err)
	}
	body := newWatchedBody(response.Body, c.options.StallTimeout, cancel, ctx)
	defer body.Close()
	c.answered.Store(true)
	c.noteClock(response.Header)
	if asksToWait(response.StatusCode) {
		return nil, c.apiRefused(started, response, &APIError{Op: retrieveCalls, Status: response.StatusCode})
	}
	if response.StatusCode >= 300 && response.StatusCode < 400 {
		return nil, retry.Stop(&APIError{Op: retrieveCalls, Status: response.StatusCode, Text: "a redirect, which is not followed"})
	}
	data, err := c.readAnswer(body, response.ContentLength)
	if err != nil {
		return nil, withoutSecrets(retrieveCalls, err)
	}
	if len(data) > largestPage {
		return nil, retry.Stop(errors.New("list calls: a page is larger than 64 MiB: try a smaller --page-size"))
	}
	p, err := decodePage(retrieveCalls, response.StatusCode, data)
	apiError, failed := errors.AsType[*APIError](err)
	if failed {
		apiError.Text = shorten(c.scrub(apiError.Text, q))
	}
	switch {
	case failed && apiError.asksToWait():
		return nil, c.apiRefused(started, response, apiError)
	case failed && !apiError.passing():
		err = retry.Stop(apiError)
	}
	c.apiPacer.answered(started)
	return p, err
}

// readAnswer reads an answer of the given length, -1 for unknown, and at most one byte
// more than the largest that is taken. Memory is set aside for the length, or else for
// that of the answer before, since pages of one listing are about the same.
func (c *Client) readAnswer(body io.Reader, length int64) ([]byte, error) {
	if length < 0 {
		length = c.lastAnswer.Load()
		length += length / 16
	}
	var data bytes.Buffer
	data.Grow(int(min(length, largestPage)) + bytes.MinRead) // which ReadFrom wants to be free when it meets the end
	_, err := data.ReadFrom(io.LimitReader(body, largestPage+1))
	c.lastAnswer.Store(int64(data.Len()))
	return data.Bytes(), err
}

// apiRefused holds all requests to the API back, and returns what the retry loop
// is to do: come back, or give up where the API wants to be left alone for long.
func (c *Client) apiRefused(started ticket, response *http.Response, refusal *APIError) error {
	refusal.RetryAfter = retryAfter(response.Header, time.Now())
	if err := c.apiPacer.refused(started, refusal.RetryAfter); err != nil {
		return retry.Stop(err)
	}
	c.options.Logger.Info("the API asks to wait", "host", c.apiPacer.host, "status", refusal.Status, "code", refusal.Code)
	return retry.Refused(refusal)
}

// scrub removes the token and personal filter values from a text of the API, which
// may repeat what it was asked.
func (c *Client) scrub(said string, q Query) string {
	secrets := []string{c.options.Token.Reveal()}
	for _, p := range q.parameters() {
		if p.personal {
			secrets = append(secrets, p.value)
		}
	}
	var pairs []string
	for _, secret := range secrets {
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			if form != "" {
				pairs = append(pairs, form, redacted)
			}
		}
	}
	return strings.NewReplacer(pairs...).Replace(said)
}

func (c *Client) noteClock(header http.Header) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return
	}
	// A Date has whole seconds: half a second is its mean error.
	skew := time.Since(date.Add(500 * time.Millisecond))
	if skew == 0 {
		skew = 1
	}
	c.skew.Store(int64(skew))
}

// asksToWait reports whether a status, or a code of the API, asks to slow down.
func asksToWait(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}

// pacer returns the pacer of a host of links.
func (c *Client) pacer(host string) *Pacer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.pacers[host]; ok {
		return p
	}
	if len(c.pacers) >= mostHosts {
		host = unlikelyHost
		if p, ok := c.pacers[host]; ok {
			return p
		}
	}
	p := newPacer(host, c.options.MediaRate, c.options.Learned[mediaKey(host)])
	c.pacers[host] = p
	return p
}

// Paces returns a snapshot of the API's pace, first, and of each media host's.
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

// Rates returns the rates learned so far, to start a later run with.
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

func orDefault[T ~int | ~int64](value, standard T) T {
	if value == 0 {
		return standard
	}
	return value
}
