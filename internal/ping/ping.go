// Package ping tells a service that watches jobs, in the style of healthchecks.io, that a run begins and how it
// ended.
//
// The address of such a service is a secret: anyone who has it can report success. It appears in no error and no log.
package ping

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"convoso-archiver/internal/retry"
)

// MaxBody is the number of bytes of a body that healthchecks.io keeps.
const MaxBody = 100_000

const (
	attemptTime = 10 * time.Second
	startTime   = 5 * time.Second  // for the rest of the first ping after the end of the run
	endTime     = 40 * time.Second // for everything after the end: three attempts
	stopTime    = 10 * time.Second // the same, after a stop
)

// Pinger reports one run. Its methods are for one goroutine.
type Pinger struct {
	url       *url.URL
	rid       string // connects the two pings of a run
	userAgent string
	client    *http.Client
	logger    *slog.Logger

	giveUp  context.CancelFunc // cancels the first ping
	started chan struct{}      // closed when the first ping has ended
}

// ParseURL parses the address of a check. The error does not repeat it.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Fragment != "" {
		return nil, errors.New("it is not an http or https URL")
	}
	return u, nil
}

// Start sends the first ping, and does not wait for it.
func Start(ctx context.Context, u *url.URL, userAgent string, logger *slog.Logger) *Pinger {
	transport := http.DefaultTransport.(*http.Transport).Clone() // with the proxies of the environment
	transport.DisableKeepAlives = true                           // the next ping is hours away
	p := &Pinger{
		url: u, rid: newRunID(), userAgent: userAgent, logger: logger, started: make(chan struct{}),
		client: &http.Client{
			Transport: transport,
			// A redirect would turn the POST into a GET, or send the secret to another host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	// A stopped run still reports its start.
	sending, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	p.giveUp = giveUp
	go func() {
		defer close(p.started)
		p.send(sending, "start", nil)
	}()
	return p
}

// End sends the last ping, and returns when it has arrived or time is up, which is sooner when ctx has ended or ends.
func (p *Pinger) End(ctx context.Context, code int, body []byte) {
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	forget := context.AfterFunc(ctx, func() { time.AfterFunc(stopTime, cancel) })
	defer forget()
	// The first ping must not arrive after the last one: the run would seem to be active for ever.
	wait := time.NewTimer(startTime)
	defer wait.Stop()
	select {
	case <-p.started:
	case <-wait.C:
	}
	p.giveUp()
	<-p.started
	p.send(ending, strconv.Itoa(code), body)
}

// send sends one ping, with retries.
func (p *Pinger) send(ctx context.Context, step string, body []byte) {
	policy := retry.Policy{Tries: 3, Initial: time.Second, Max: 4 * time.Second}
	err := retry.Do(ctx, policy, func(ctx context.Context) error { return p.attempt(ctx, step, body) })
	if err != nil {
		p.logger.Warn("a ping failed; the run continues", "ping", step, "err", err)
	}
}

func (p *Pinger) attempt(ctx context.Context, step string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.address(step), bytes.NewReader(body))
	if err != nil {
		return retry.Stop(errors.New("make the request: the address cannot be used"))
	}
	request.Header.Set("User-Agent", p.userAgent)
	if len(body) > 0 {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := p.client.Do(request)
	if err != nil {
		return withoutURL(err)
	}
	defer response.Body.Close() // the body is not needed
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 4096))
	err = fmt.Errorf("answered with HTTP status %d", response.StatusCode)
	switch {
	case response.StatusCode/100 == 2:
		return nil
	case response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests:
		return err
	}
	return retry.Stop(err)
}

// address keeps the query of the check's own address.
func (p *Pinger) address(step string) string {
	u := p.url.JoinPath(step)
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "rid=" + p.rid
	return u.String()
}

// withoutURL removes the address from an error of package http.
func withoutURL(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	return err
}

// newRunID returns a random UUID.
func newRunID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // it never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
