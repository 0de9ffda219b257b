package fetcher

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Audio is an answer of a host of links. The body must be closed.
type Audio struct {
	*watchedBody
	Status          int
	ContentLength   int64 // -1 where none was sent
	ContentType     string
	ContentEncoding string // should be empty: no encoding was asked for

	cancel context.CancelCauseFunc
}

// Close closes the body and ends the request.
func (a *Audio) Close() error {
	err := a.watchedBody.Close()
	a.cancel(nil)
	return err
}

// RefusedError says that a host of links asked to slow down. Its pacer already
// holds all requests back; a further attempt simply waits its turn.
type RefusedError struct {
	Status     int
	RetryAfter time.Duration // 0 where the host did not say
}

// Error returns one lower-case line.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("get recording: the host answered %d", e.Status)
}

// Open asks for the audio behind a recording's link and returns the answer,
// whatever its status, once its header is there. The link is sent byte for byte
// as the API gave it, without the token and without a cookie.
//
// It waits for the host's pace first; the context waiting ends that wait alone, so
// that a run that is asked to stop starts nothing more and lets what it has begun
// finish. A 429 or 503 is a *RefusedError, or a
// *RetryLaterError when the host asks for more than a run can wait; a link or
// redirect to a place that is not allowed is [ErrNotAllowed]; anything else is a
// failure of the network. No error holds any part of the link.
func (c *Client) Open(ctx, waiting context.Context, link Secret) (*Audio, error) {
	const op = "get recording"
	address, err := exactURL(link)
	if err != nil {
		return nil, &transportError{op, ErrBadLink.Error(), ErrBadLink}
	}
	if !c.options.AllowHosts.allows(address) {
		return nil, &transportError{op, ErrNotAllowed.Error(), ErrNotAllowed}
	}
	first := &hop{pacer: c.pacer(hostPort(address))}
	if first.started, err = first.pacer.wait(waiting); err != nil {
		return nil, err
	}
	route := &route{last: first}
	ctx = context.WithValue(ctx, routeKey{}, route)
	ctx, cancel := context.WithCancelCause(ctx)
	request := (&http.Request{
		Method: http.MethodGet, URL: address, Host: address.Host, Header: c.mediaHeader,
	}).WithContext(ctx)
	response, err := c.media.Do(request)
	if err != nil {
		err = withoutSecrets(op, err)
		cancel(nil)
		return nil, err
	}
	body := newWatchedBody(response.Body, c.options.StallTimeout, cancel, ctx)
	audio := &Audio{
		watchedBody: body, cancel: cancel,
		Status: response.StatusCode, ContentLength: response.ContentLength,
		ContentType: response.Header.Get("Content-Type"), ContentEncoding: response.Header.Get("Content-Encoding"),
	}
	host := route.last
	if asksToWait(response.StatusCode) {
		defer audio.Close()
		after := retryAfter(response.Header, time.Now())
		if err := host.pacer.refused(host.started, after); err != nil {
			return nil, err
		}
		c.options.Logger.Info("the media host asks to wait", "host", host.pacer.host, "status", response.StatusCode)
		return nil, &RefusedError{Status: response.StatusCode, RetryAfter: after}
	}
	host.pacer.answered(host.started)
	return audio, nil
}

// route is the way of one request for audio; redirects lead it on.
type route struct{ last *hop }

// hop is one request that a host has allowed to be started.
type hop struct {
	pacer   *Pacer
	started ticket
}

// routeKey is the context key of a request's *route.
type routeKey struct{}

// startOn waits until the host that a redirect leads to may be asked: a redirect
// is a request like any other.
func (c *Client) startOn(request *http.Request) error {
	way, _ := request.Context().Value(routeKey{}).(*route)
	next := &hop{pacer: c.pacer(hostPort(request.URL))}
	var err error
	if next.started, err = next.pacer.wait(request.Context()); err != nil {
		return err
	}
	way.last.pacer.answered(way.last.started)
	way.last = next
	return nil
}

// exactURL parses a link so that the request carries exactly its bytes. Where
// net/url would write the path or query in another way, the raw text is set as
// the opaque part, which is sent as it is.
func exactURL(link Secret) (*url.URL, error) {
	raw, _, _ := strings.Cut(link.Reveal(), "#")
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, ErrBadLink
	}
	_, rest, _ := strings.Cut(raw, "://")
	target := ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		target = rest[i:]
	}
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	if strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, ErrBadLink
	}
	path, query, asked := strings.Cut(target, "?")
	if cmp.Or(u.EscapedPath(), "/") != path || u.RawQuery != query || (u.ForceQuery || query != "") != asked {
		u.Opaque, u.RawQuery = path, query
		if strings.HasPrefix(path, "//") {
			return nil, ErrBadLink // an opaque part of this form would name another host
		}
	}
	return u, nil
}
