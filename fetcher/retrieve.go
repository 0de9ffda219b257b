// Requests one page, with retries.

package fetcher

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"convoso-archiver/internal/retry"
)

// retrieve requests one page until there is a valid answer. If there is none after several
// attempts, although the API answers for another span, it returns a *WindowError; if the API
// answers for none, it waits, and finally returns [ErrUnreachable]. After [errBroken] the caller
// should request fewer rows.
func (c *Client) retrieve(ctx context.Context, span Window, filter Filter, limit, offset int) (p *page, err error) {
	policy := c.options.Retry
	policy.Tries, policy.Refusals = math.MaxInt, math.MaxInt // the bounds are below
	tries, refusals, broken, maxBroken := 0, 0, 0, 1
	if limit == c.options.PageSize {
		maxBroken = 2 // the network may have broken the first one
	}
	err = retry.Do(ctx, policy, func(ctx context.Context) (err error) {
		if p, err = c.ask(ctx, span, filter, limit, offset); err == nil || ctx.Err() != nil {
			return err
		}
		waitedEnough := c.outage.lasts(c.options.RetryFor, c.govern.resumedAt())
		switch {
		case isFinal(err):
			return retry.Stop(err)
		case errors.Is(err, errBroken):
			if broken++; broken >= maxBroken {
				return retry.Stop(err)
			}
			return err
		case asksToPause(err):
			if refusals++; refusals > c.options.Retry.Refusals {
				return retry.Stop(fmt.Errorf("%w at %s: %w", ErrUnreachable, c.apiPacer.host, err))
			}
			return retry.Refused(err)
		}
		if tries++; tries < c.options.Retry.Tries && !waitedEnough {
			if c.outage.isLong() { // each attempt may take a minute
				c.tellOutage(err)
			}
			return err
		}
		if c.answersElsewhere(ctx) {
			if p, err = c.ask(ctx, span, filter, limit, offset); err != nil { // but still not for this span
				return retry.Stop(&WindowError{span, err})
			}
			return nil
		}
		if waitedEnough {
			return retry.Stop(fmt.Errorf("%w at %s: %w", ErrUnreachable, c.apiPacer.host, err))
		}
		c.tellOutage(err)
		return err
	})
	return p, err
}

// tellOutage logs one warning for an outage.
func (c *Client) tellOutage(err error) {
	if c.outage.isNews() {
		c.options.Logger.Warn("no usable answer from the API, waiting for one", "host", c.apiPacer.host, "max", c.options.RetryFor.String(), "error", err)
	}
}

// isFinal reports whether a further attempt would have the same result.
func isFinal(err error) bool {
	_, later := errors.AsType[*RetryLaterError](err)
	apiError, told := errors.AsType[*APIError](err)
	return later || told && apiError.final() || errors.Is(err, ErrMaxRequests)
}

// asksToPause reports whether the API refused because of the number of requests: then its pacer delays all requests.
// A bare 503 may also be a failure.
func asksToPause(err error) bool {
	apiError, told := errors.AsType[*APIError](err)
	return told && apiError.asksToWait() && !apiError.isBare()
}

// answersElsewhere requests one row of the last span with a good answer, or of five minutes today,
// and reports whether the API answers at all.
func (c *Client) answersElsewhere(ctx context.Context) bool {
	c.mu.Lock()
	span := c.lastGood
	c.mu.Unlock()
	if span == (Window{}) {
		now := Wall(time.Now(), c.options.Zone)
		span = Window{now.Add(-10 * time.Minute), now.Add(-5 * time.Minute)}
	}
	_, err := c.ask(ctx, span, Filter{}, 1, 0)
	return err == nil
}

// ask sends one request for a page, when the API's pace allows it. Until the first good answer it
// sends one request at a time, and none after the token was refused.
func (c *Client) ask(ctx context.Context, span Window, filter Filter, limit, offset int) (*page, error) {
	if c.answers.Load() > 0 {
		return c.askNow(ctx, span, filter, limit, offset)
	}
	select {
	case c.first <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the first answer of the API: %w", context.Cause(ctx))
	}
	if c.answers.Load() > 0 { // meanwhile
		<-c.first
		return c.askNow(ctx, span, filter, limit, offset)
	}
	defer func() { <-c.first }()
	if c.refused != nil {
		return nil, c.refused
	}
	p, err := c.askNow(ctx, span, filter, limit, offset)
	if told, ok := errors.AsType[*APIError](err); ok && told.Refused() {
		c.refused = err
	}
	return p, err
}

func (c *Client) askNow(ctx context.Context, span Window, filter Filter, limit, offset int) (*page, error) {
	started, err := c.apiPacer.wait(ctx)
	if err != nil {
		return nil, err
	}
	c.requests.Add(1)
	asked := time.Now()
	response, data, err := c.send(ctx, filter.values(span, limit, offset))
	if err != nil {
		c.outage.failed(asked)
		return nil, err
	}
	c.noteClock(response.Header)
	p, err := decodePage(retrieveCalls, response.StatusCode, data)
	apiError, told := errors.AsType[*APIError](err)
	if told {
		apiError.Text = shorten(c.scrub(apiError.Text, filter))
		apiError.RetryAfter = retryAfter(response.Header, time.Now())
	}
	if told && apiError.asksToWait() {
		err = cmp.Or(c.apiPacer.refused(started, refusal{of: span.String(), after: apiError.RetryAfter, bare: apiError.isBare()}), err)
	} else {
		c.apiPacer.answered(started)
	}
	if err != nil {
		if !isFinal(err) && !asksToPause(err) {
			c.outage.failed(asked)
		}
		return nil, err
	}
	p.age = ageOf(response.Header)
	c.answers.Add(1)
	c.mu.Lock()
	c.lastGood = span
	c.mu.Unlock()
	if lasted := c.outage.ended(); lasted > 0 {
		c.options.Logger.Info("the API answers again", "host", c.apiPacer.host, "after", lasted.Round(time.Second))
	}
	return p, nil
}

// send sends one request and returns the complete answer. No error contains the token.
func (c *Client) send(ctx context.Context, values url.Values) (*http.Response, []byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	values.Set("auth_token", c.options.Token.Reveal())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.endpoint+"?"+values.Encode(), nil)
	if err != nil {
		return nil, nil, withoutSecrets(retrieveCalls, err)
	}
	request.Header = http.Header{"User-Agent": {c.options.UserAgent}, "Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "Cache-Control": {"no-cache"}}
	response, err := c.api.Do(request)
	if err != nil {
		return nil, nil, withoutSecrets(retrieveCalls, err)
	}
	body := newWatchedBody(response.Body, c.options.StallTimeout, cancel, ctx, c.govern)
	defer body.Close()
	data, err := readAnswer(body)
	if err != nil {
		return nil, nil, withoutSecrets(retrieveCalls, err)
	}
	return response, data, nil
}

// readAnswer reads an answer, and decodes gzip, which some proxies apply without being asked.
func readAnswer(body io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, maxPage+1))
	if err == nil && bytes.HasPrefix(data, []byte(gzipMagic)) {
		var plain *gzip.Reader
		if plain, err = gzip.NewReader(bytes.NewReader(data)); err == nil {
			data, err = io.ReadAll(io.LimitReader(plain, maxPage+1))
		}
	}
	if len(data) > maxPage {
		return nil, fmt.Errorf("%w: it is larger than %d bytes", errBroken, maxPage)
	}
	return data, err
}

// scrub removes the token and personal filter values from a text of the API, which may repeat the
// request.
func (c *Client) scrub(said string, filter Filter) string {
	secrets := []string{c.options.Token.Reveal()}
	for _, p := range filter.parameters() {
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

// noteClock compares the machine's clock with an answer's Date, plus its age in caches.
func (c *Client) noteClock(header http.Header) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return
	}
	date = date.Add(ageOf(header))
	// A Date has whole seconds, so half a second is its mean error.
	skew := time.Since(date.Add(500 * time.Millisecond))
	if skew == 0 {
		skew = 1
	}
	c.skew.Store(int64(skew))
}

// ageOf returns how long caches have kept an answer.
func ageOf(header http.Header) time.Duration {
	seconds, err := strconv.ParseUint(header.Get("Age"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// outage tracks the time without a good answer of the API, for all goroutines.
type outage struct {
	mu     sync.Mutex
	asked  time.Time // when the first failed request was sent
	since  time.Time // of the first failure, zero if there is none
	warned bool
}

// failed notes an unusable or missing answer.
func (o *outage) failed(asked time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		o.asked, o.since = asked, time.Now()
	}
}

// tellAfter is the duration of an outage before a warning.
const tellAfter = 20 * time.Second

// isLong reports whether the outage has lasted long enough for a warning, independent of the number of
// attempts.
func (o *outage) isLong() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.since.IsZero() && time.Since(o.asked) >= tellAfter
}

// lasts reports whether there was no good answer for the given time, counted from the last pause of
// the schedule.
func (o *outage) lasts(atLeast time.Duration, resumed time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() && o.since.Before(resumed) {
		o.since = resumed
	}
	return !o.since.IsZero() && time.Since(o.since) >= atLeast
}

// isNews reports whether the outage was not reported yet, and marks it as reported.
func (o *outage) isNews() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	told := o.warned
	o.warned = true
	return !told
}

// ended notes a good answer, and returns how long a reported outage lasted.
func (o *outage) ended() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	lasted := time.Duration(0)
	if o.warned {
		lasted = max(time.Since(o.since), 1)
	}
	o.since, o.warned = time.Time{}, false
	return lasted
}
