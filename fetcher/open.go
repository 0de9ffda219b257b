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
	io.Reader              // of the body; gzip, which was not asked for, is undone
	Status          int    // HTTP status
	ContentLength   int64  // of what is read, -1 where it is not known
	EndKnown        bool   // a body that is cut short is an error of Read: it has a length, is chunked, or was gzip
	ContentType     string // as sent
	ContentEncoding string // as sent: the bytes decide, whatever it says
	Host            string // that answered at last, with its port where the link has one

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
		return // an error comes again when it is read
	}
	if plain, err := gzip.NewReader(buffered); err == nil {
		a.Reader, a.ContentLength, a.EndKnown = plain, -1, true
	}
}

// RefusedError says that a host of links asked to slow down. Its pacer already slows down; a further attempt waits
// its turn. Where RetryAfter is above [MaxRetryAfter], the recording cannot be downloaded in this run.
type RefusedError struct {
	Status     int
	RetryAfter time.Duration // 0 if the host did not say
}

// Error returns one lower-case line.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("get recording: the host answered %d", e.Status)
}

// Open asks for the audio behind a recording's link and returns the answer,
// whatever its status, once its header is there. The link is sent byte for byte
// as the API gave it, without the token and without a cookie. It may be called
// concurrently.
//
// It waits for the host's pace first; the context waiting ends only that wait, so that a run that is asked to stop
// starts nothing more and lets what it has begun finish. With again, a further refusal does not slow down other
// requests: this recording was refused before, while others of its host were well.
//
// A 429 or 503 is a *RefusedError, or a *RetryLaterError when the host asks for more
// than a run can wait, for several recordings in a row; a link or redirect to a place
// that is not allowed is [ErrNotAllowed]; if no further request may be made it is
// [ErrMaxRequests]; anything else is a failure of the network. No error holds any part of the link.
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

// answeredBy returns the address that answered at last; address was asked first.
func answeredBy(response *http.Response, address *url.URL) *url.URL {
	if response.Request == nil { // a transport of a test need not set it
		return address
	}
	return response.Request.URL
}

// hop is the last request on the way of a link that a host has allowed to be started;
// redirects lead it on.
type hop struct {
	pacer   *Pacer
	started ticket
}

// hopKey is the context key of a request's *hop.
type hopKey struct{}

// startOn waits for the pace of the host that a redirect leads to, because a redirect is a request like any other.
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

// exactURL parses a link so that the request carries exactly its bytes, except a
// space, which no request can carry and is sent as %20. If net/url would write the
// path or query in another way, or cannot read it, the raw text is set as the opaque
// part, which is sent as it is.
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
