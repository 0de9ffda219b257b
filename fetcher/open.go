// Requests a recording from a media host.

package fetcher

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Audio is an answer of a host of links. The body must be closed.
type Audio struct {
	io.Reader              // the body; unrequested gzip is decoded
	Status          int    // HTTP status
	ContentLength   int64  // of the decoded body, -1 if unknown
	EndKnown        bool   // truncation is an error of Read, because the body has a length, is chunked, or was gzip
	ContentType     string // as sent
	ContentEncoding string // as sent; the bytes decide
	Host            string // the last one, after redirects, with the port of the link if any

	body   *watchedBody
	cancel context.CancelCauseFunc
}

// Close closes the body and ends the request.
func (a *Audio) Close() error {
	err := a.body.Close()
	a.cancel(nil)
	return err
}

const gzipMagic = "\x1f\x8b\x08"

// undoGzip decodes a gzip body.
func (a *Audio) undoGzip() {
	buffered := bufio.NewReader(a.body)
	a.Reader = buffered
	if start, _ := buffered.Peek(len(gzipMagic)); string(start) != gzipMagic {
		return // the error occurs again when reading
	}
	if plain, err := gzip.NewReader(buffered); err == nil {
		a.Reader, a.ContentLength, a.EndKnown = plain, -1, true
	}
}

// RefusedError means that a host of links asked to slow down. Its pacer already slows down; a further attempt
// waits its turn. If RetryAfter is above [MaxRetryAfter], the recording cannot be downloaded in this run.
type RefusedError struct {
	Status     int
	RetryAfter time.Duration // 0 if the host sent none
}

// Error returns one lower-case line.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("get recording: the host answered %d", e.Status)
}

// Open requests the audio of a recording's link and returns the answer, with any status, once its header has
// arrived. The link is sent byte for byte as received from the API, without the token and without cookies. It may
// be called concurrently.
//
// It waits for the host's pace first; the context waiting ends only that wait, so a stopping run starts no new
// requests but lets active ones finish. With again, a further refusal does not slow down other requests: this
// recording was refused before, while others of its host were delivered.
//
// A 429 or 503 is a *RefusedError, or a *RetryLaterError if the host asks for a longer wait than a run accepts,
// for several consecutive recordings; a link or redirect to a disallowed place is [ErrNotAllowed]; at the maximum
// of requests it is [ErrMaxRequests]; anything else is a network failure. No error contains any part of the link.
func (c *Client) Open(ctx, waiting context.Context, link Secret, again bool) (*Audio, error) {
	const op = "get recording"
	address, err := exactURL(link)
	if err != nil {
		return nil, &transportError{op, ErrBadLink.Error(), ErrBadLink}
	}
	if !c.options.AllowHosts.allows(address) {
		return nil, &transportError{op, ErrNotAllowed.Error(), ErrNotAllowed}
	}
	host := &hop{pacer: c.pacer(hostPort(address))}
	if host.started, err = host.pacer.wait(waiting); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, hopKey{}, host))
	request := (&http.Request{
		Method: http.MethodGet, URL: address, Host: address.Host, Header: c.mediaHeader,
	}).WithContext(ctx)
	response, err := c.media.Do(request)
	if err != nil {
		err = withoutSecrets(op, err)
		cancel(nil)
		return nil, err
	}
	body := newWatchedBody(response.Body, c.options.StallTimeout, cancel, ctx, c.govern)
	audio := &Audio{
		Reader: body, body: body, cancel: cancel, Host: strings.ToLower(answeredBy(response, address).Host),
		Status: response.StatusCode, ContentLength: response.ContentLength,
		EndKnown:    response.ContentLength >= 0 || slices.Equal(response.TransferEncoding, []string{"chunked"}),
		ContentType: response.Header.Get("Content-Type"), ContentEncoding: response.Header.Get("Content-Encoding"),
	}
	if asksToWait(response.StatusCode) {
		defer audio.Close()
		after := retryAfter(response.Header, time.Now())
		bare := response.StatusCode == http.StatusServiceUnavailable && after == 0
		if err := host.pacer.refused(host.started, refusal{linkPath(link), after, bare, again}); err != nil {
			return nil, err
		}
		return nil, &RefusedError{Status: response.StatusCode, RetryAfter: after}
	}
	host.pacer.answered(host.started)
	if audio.ContentEncoding != "" {
		audio.undoGzip()
	}
	return audio, nil
}

// answeredBy returns the address of the last answer; address was requested first.
func answeredBy(response *http.Response, address *url.URL) *url.URL {
	if response.Request == nil { // a test's transport need not set it
		return address
	}
	return response.Request.URL
}

// hop is the last started request of a link; redirects add further ones.
type hop struct {
	pacer   *Pacer
	started ticket
}

// hopKey is the context key of a request's *hop.
type hopKey struct{}

// startOn waits for the pace of a redirect's target host, because a redirect is a request like any other.
func (c *Client) startOn(request *http.Request) error {
	last, _ := request.Context().Value(hopKey{}).(*hop)
	next := c.pacer(hostPort(request.URL))
	started, err := next.goOn(request.Context())
	if err != nil {
		return err
	}
	last.pacer.answered(last.started)
	*last = hop{next, started}
	return nil
}

// exactURL parses a link so that the request carries exactly its bytes, except a space, which no
// request can carry and is sent as %20. If net/url would encode the path or query differently, or
// cannot parse it, the raw text is set as the opaque part, which is sent unchanged.
func exactURL(link Secret) (*url.URL, error) {
	raw, _, _ := strings.Cut(link.Reveal(), "#")
	raw = strings.ReplaceAll(raw, " ", "%20")
	scheme, rest, _ := strings.Cut(raw, "://")
	host, target := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host, target = rest[:i], "/"+strings.TrimPrefix(rest[i:], "/")
	}
	if strings.ContainsFunc(target, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, ErrBadLink
	}
	u, err := url.Parse(scheme + "://" + host)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, ErrBadLink
	}
	path, query, asked := strings.Cut(target, "?")
	u.Path, u.RawQuery, u.ForceQuery = path, query, asked
	if parsed, err := u.Parse(target); err == nil && parsed.Host == u.Host && parsed.RequestURI() == target {
		return parsed, nil
	}
	if u.Opaque = path; strings.HasPrefix(path, "//") {
		return nil, ErrBadLink // an opaque part of this form would name another host
	}
	return u, nil
}
