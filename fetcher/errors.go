// Defines the errors of API and media hosts, without secrets.

package fetcher

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// APIError is a failure that the API reported, by its HTTP status or by success:false in the body of any status.
type APIError struct {
	Op         string        // the operation
	Status     int           // HTTP status
	Code       int           // the API's own code, 0 if it sent none
	Text       string        // the API's own text, without secrets, shortened
	RetryAfter time.Duration // how long the API asked to wait, 0 if unknown
}

// Error returns one lower-case line.
func (e *APIError) Error() string {
	said := fmt.Sprintf("%s: the API answered %d", e.Op, e.Status)
	if e.Code != 0 {
		said += fmt.Sprintf(", code %d", e.Code)
	}
	if e.Text != "" {
		said += fmt.Sprintf(": %q", e.Text)
	}
	return said
}

// Refused reports whether the API refused the token: missing, invalid, or without
// the right to search call logs (codes 5001, 401 and 403 of the vendor's glossary;
// 4001 and 4002 were seen in one client). A 403 without such a code may be a gateway's.
func (e *APIError) Refused() bool {
	return e.Status == http.StatusUnauthorized || slices.Contains([]int{401, 403, 4001, 4002, 5001}, e.Code)
}

// Unknown returns the kind of a requested id that the API does not know, or "": list, campaign,
// user or queue (codes 6002, 6004, 6006, 6030).
func (e *APIError) Unknown() string {
	return map[int]string{6002: "list", 6004: "campaign", 6006: "user", 6030: "queue"}[e.Code]
}

// beyondCeiling reports whether the offset was over the API's limit.
func (e *APIError) beyondCeiling() bool { return e.Code == 7231 }

// asksToWait reports whether the API refused because of too many requests, by status or, with any
// status, by its own code.
func (e *APIError) asksToWait() bool { return asksToWait(e.Status) || asksToWait(e.Code) }

// isBare reports whether the only sign of a limit is a 503, which may also be a failure.
func (e *APIError) isBare() bool {
	return e.RetryAfter == 0 && e.Status != http.StatusTooManyRequests && e.Code != http.StatusTooManyRequests
}

// final reports whether a further attempt would have the same result.
func (e *APIError) final() bool { return e.Refused() || e.Unknown() != "" || e.beyondCeiling() }

// ErrUnreachable is wrapped by the error after Options.RetryFor without a good answer of the API.
var ErrUnreachable = errors.New("no usable answer from the API")

// WindowError means that the API's answer for one window cannot be decoded, after several attempts,
// while it answers for others.
type WindowError struct {
	Window Window
	Cause  error
}

// Error returns one lower-case line.
func (e *WindowError) Error() string { return fmt.Sprintf("list %s: %v", e.Window, e.Cause) }

// Unwrap returns the cause.
func (e *WindowError) Unwrap() error { return e.Cause }

// RetryLaterError means that a host asked to wait longer than a run should: the API, or a host of
// links for several recordings in a row.
type RetryLaterError struct {
	Host  string
	After time.Duration
}

// Error returns one lower-case line.
func (e *RetryLaterError) Error() string {
	return fmt.Sprintf("%s asks to wait for %s", e.Host, e.After.Round(time.Second))
}

// IgnoredParameterError means that more than half of the rows of a window's first page contradict
// the request, so the API must have ignored the parameter.
type IgnoredParameterError struct {
	Window    Window
	Parameter string
}

// Error returns one lower-case line.
func (e *IgnoredParameterError) Error() string {
	return fmt.Sprintf("list calls: the API ignored %s: more than half of the rows do not match the request", e.Parameter)
}

// ErrNotAllowed means that a link or a redirect points to a place that is not allowed: another
// host, another scheme, or a private network.
var ErrNotAllowed = errors.New("not an allowed host")

// ErrRedirected means, in addition to ErrNotAllowed, that the link was requested and redirected to a place that is
// not allowed.
var ErrRedirected = errors.New("a redirect")

// ErrStalled means that no byte arrived for longer than the stall timeout, or fewer than 500 bytes per second.
var ErrStalled = errors.New("no data arrived for too long")

// ErrBadLink means that a recording's link is not a valid URL.
var ErrBadLink = errors.New("the link is not a valid URL")

// transportError carries the cause of a failed request for errors.Is and As, and its own text:
// errors of net/http contain complete addresses, with the token or a link's secret, and data from
// the server.
type transportError struct {
	op, text string
	err      error
}

func (e *transportError) Error() string { return e.op + ": " + e.text }
func (e *transportError) Unwrap() error { return e.err }

var quotedPattern = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// withoutSecrets returns err with a text without any part of an address.
func withoutSecrets(op string, err error) error {
	inner := err
	if urlError, ok := errors.AsType[*url.Error](err); ok {
		inner = urlError.Err
	}
	for _, known := range []error{ErrNotAllowed, ErrStalled, ErrBadLink, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, known) {
			return &transportError{op, known.Error(), err}
		}
	}
	if errors.Is(err, errNotJSON) {
		return fmt.Errorf("%s: %w", op, err)
	}
	said := inner.Error()
	if strings.Contains(said, "Location header") {
		return &transportError{op, "a redirect to an address that cannot be read", errors.Join(ErrNotAllowed, ErrRedirected, err)}
	}
	said = withoutAddresses(said)
	said = quotedPattern.ReplaceAllString(said, `"…"`)
	return &transportError{op, said, err}
}
