// Downloads one recording and judges the answer.

package archiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"convoso-archiver/archiver/audio"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// finding is the result of a request for a recording that returned no body to store, and that this run does not
// retry.
type finding struct {
	outcome manifest.Outcome // Pending, Failed or Rejected
	cause   string
	reason  string
	host    string // that got the request, "" for none
	moment  int64
}

// notFound and denied report the two findings whose repetition means an outage.
func (f *finding) notFound() bool { return f.cause == causeNotFound }
func (f *finding) denied() bool   { return f.cause == causeDenied }

// download is a complete body with audio.
type download struct {
	body  *body
	audio audio.Result
	host  string
}

// passing is a temporary failure: a further attempt may succeed.
type passing struct {
	finding  finding       // the result if no attempt is left
	refusing time.Duration // how long the host has answered only 429 or 503
	after    time.Duration // that the host asked the client to wait
	silent   time.Duration // how long no connection was possible
	err      error
}

// downloader makes requests for recordings. It is safe for concurrent use.
type downloader struct {
	source   Source
	evidence *evidence
	newPart  func() (*store.Part, error)
	received func(n int)
}

// get makes one request for a recording. Exactly one of its results is set, or the error: the run's
// end, a store without space, or an error that ends the run.
func (d *downloader) get(ctx, waiting context.Context, j *job, buffer []byte) (*download, *finding, *passing, error) {
	link := j.recording.Link
	host := fetcher.LinkHost(link)
	again := j.refusals > 0 && d.evidence.wellSince(host, j.refusedAt)
	answer, err := d.source.Open(ctx, waiting, link, again)
	if err != nil {
		return d.unanswered(ctx, waiting, link, err)
	}
	defer answer.Close()
	host = answer.Host
	reason := fmt.Sprintf("HTTP status %d", answer.Status)
	switch status := answer.Status; {
	case status == http.StatusOK:
	case status == http.StatusNotFound || status == http.StatusGone:
		return nil, d.found(host, manifest.Pending, causeNotFound, reason), nil, nil
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return nil, d.found(host, manifest.Failed, causeDenied, reason), nil, nil
	case status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooEarly:
		return nil, nil, d.failed(host, causeStatus, errors.New(reason)), nil
	default:
		return nil, d.found(host, manifest.Failed, causeStatus, reason), nil, nil
	}
	b := newBody(buffer, d.newPart)
	got, f, p, err := d.receive(b, answer)
	if got == nil {
		b.discard()
	}
	return got, f, p, err
}

func (d *downloader) found(host string, outcome manifest.Outcome, cause, reason string) *finding {
	return &finding{outcome: outcome, cause: cause, reason: reason, host: host, moment: d.evidence.refused(host)}
}

// failed returns a temporary failure of an answer or a connection.
func (d *downloader) failed(host, cause string, err error) *passing {
	f := finding{outcome: manifest.Failed, cause: cause, reason: reasonOf(err), host: host, moment: d.evidence.failed(host)}
	return &passing{finding: f, err: err}
}

// unanswered judges a request without a readable answer.
func (d *downloader) unanswered(ctx, waiting context.Context, link fetcher.Secret, err error) (*download, *finding, *passing, error) {
	if ctx.Err() != nil || waiting.Err() != nil {
		return nil, nil, nil, errStopping
	}
	host := fetcher.LinkHost(link)
	if errors.Is(err, fetcher.ErrBadLink) {
		return nil, &finding{outcome: manifest.Rejected, cause: causeBadLink, reason: "the link is not a valid URL"}, nil, nil
	}
	if errors.Is(err, fetcher.ErrNotAllowed) {
		if errors.Is(err, fetcher.ErrRedirected) {
			return nil, d.found(host, manifest.Rejected, causeHost, "a redirect points to a host that is not allowed"), nil, nil
		}
		origin := fetcher.LinkOrigin(link)
		d.evidence.forbidden(origin)
		return nil, &finding{outcome: manifest.Rejected, cause: causeHost, reason: "links to " + host + ": add --allow-host " + origin}, nil, nil
	}
	if _, ok := errors.AsType[*fetcher.RetryLaterError](err); ok {
		return nil, nil, nil, err
	}
	if refused, ok := errors.AsType[*fetcher.RefusedError](err); ok {
		f := finding{outcome: manifest.Failed, cause: causeRefused, reason: reasonOf(err), host: host}
		p := &passing{err: err}
		f.moment, p.refusing = d.evidence.askedToWait(host, d.source.Resumed())
		if refused.RetryAfter > fetcher.MaxRetryAfter {
			return nil, &f, nil, nil // not available in this run
		}
		p.finding, p.after = f, refused.RetryAfter
		return nil, nil, p, nil
	}
	if !isUnreached(err) {
		return nil, nil, d.failed(host, causeConnection, err), nil
	}
	p := &passing{finding: finding{outcome: manifest.Failed, cause: causeConnection, reason: reasonOf(err), host: host}, err: err}
	p.finding.moment, p.silent = d.evidence.unreached(host, d.source.Resumed())
	return nil, nil, p, nil
}

// isUnreached reports whether no connection to the host was made: the host or the network is down. A broken
// connection may concern only one recording.
func isUnreached(err error) bool {
	operation, ok := errors.AsType[*net.OpError](err)
	if ok && operation.Op == "dial" {
		return true
	}
	_, ok = errors.AsType[*net.DNSError](err)
	return ok
}

// receive reads an answer with status 200 to its end and judges it.
func (d *downloader) receive(b *body, answer *fetcher.Audio) (*download, *finding, *passing, error) {
	host, inspector := answer.Host, audio.NewInspector()
	if err := d.copy(b, inspector, answer); err != nil {
		if _, ok := errors.AsType[*holdError](err); ok {
			return nil, nil, nil, err
		}
		return nil, nil, d.failed(host, causeConnection, readError(err)), nil
	}
	result := inspector.Finish()
	if !answer.EndKnown && result.Cut {
		err := errors.New("the audio is cut off, and the server sent no length")
		return nil, nil, d.failed(host, causeConnection, err), nil
	}
	switch result.Verdict {
	case audio.Audio:
		return &download{body: b, audio: result, host: host}, nil, nil, nil
	case audio.Empty:
		return nil, d.found(host, manifest.Rejected, causeNotAudio, "an empty body"), nil, nil
	case audio.HTML:
		return nil, d.found(host, manifest.Rejected, causeNotAudio, "an HTML page"), nil, nil
	case audio.JSON, audio.Text:
		if result.NotFound {
			return nil, d.found(host, manifest.Pending, causeNotFound, "the body says not found"), nil, nil
		}
		return nil, d.found(host, manifest.Rejected, causeNotAudio, "text instead of audio"), nil, nil
	}
	f := d.found(host, manifest.Rejected, causeNotAudio, "an unknown format")
	return &download{body: b, audio: result, host: host}, f, nil, nil
}

// holdError says that this machine had no space for a body.
type holdError struct{ error }

func (e *holdError) Unwrap() error { return e.error }

// maxText is how much of a text page is read; text is never stored.
const maxText = 64 << 10

// copy moves an answer into b, through the inspector. It inspects text but never writes it to a file, because an
// error page may contain the requested link.
func (d *downloader) copy(b *body, inspector *audio.Inspector, answer io.Reader) error {
	var chunk [32 << 10]byte
	for total := 0; ; {
		n, err := answer.Read(chunk[:])
		d.received(n)
		total += n
		_, _ = inspector.Write(chunk[:n]) // never fails before Finish
		if !inspector.IsText() {
			if _, err := b.Write(chunk[:n]); err != nil {
				return &holdError{fmt.Errorf("buffer recording: %w", err)}
			}
		} else if total > maxText {
			return nil
		}
		if errors.Is(err, io.EOF) {
			if err := b.end(); err != nil {
				return &holdError{fmt.Errorf("buffer recording: %w", err)}
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readError names the cause that ended a body early. Errors of reading a body contain no link.
func readError(err error) error {
	switch {
	case errors.Is(err, fetcher.ErrStalled):
		return fetcher.ErrStalled
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the body is shorter than its Content-Length")
	case errors.Is(err, syscall.ECONNRESET):
		return errors.New("the connection was reset")
	}
	return err
}

// remark returns a remark about an unusual stored recording.
func (d *download) remark(callLength string) string {
	remarks := slices.Clone(d.audio.Oddities)
	if off := lengthOff(d.audio.Duration, callLength); off != 0 {
		remarks = append(remarks, fmt.Sprintf("plays %d s, call_length is %s s", int(d.audio.Duration.Seconds()), callLength))
	}
	return strings.Join(remarks, "; ")
}

// lengthOff returns by how much audio plays longer than call_length says, 0 if the difference is small or
// unknown.
func lengthOff(plays time.Duration, callLength string) time.Duration {
	seconds, err := strconv.Atoi(callLength)
	if err != nil || plays <= 0 {
		return 0
	}
	length := time.Duration(seconds) * time.Second
	if off := plays - length; off.Abs() > max(5*time.Second, length/10) {
		return off
	}
	return 0
}

// reasonOf returns the part of an error that may be in the manifest.
func reasonOf(err error) string {
	const maxReason = 160
	reason := strings.ToValidUTF8(err.Error(), "?")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	return reason
}
