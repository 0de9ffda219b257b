// Requests timestamps for seals, and checks them.

package evidence

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	"github.com/notaryproject/tspclient-go"

	"convoso-archiver/internal/retry"
)

// TSA is a timestamping authority (RFC 3161). It stamps signatures, of which it gets only the SHA-256.
type TSA struct {
	URL    string
	Client *http.Client // nil: an ordinary one; each request has a timeout of 30 s
}

const (
	stampTries  = 3
	stampWait   = 30 * time.Second
	maxStamp    = 1 << 20 // bytes
	stampLeeway = time.Hour
)

func stampName(number int) string { return fmt.Sprintf("%s%06d.tsr", folder, number) }

// stamp requests a timestamp of a message, and returns the complete answer, which stock openssl ts can read. It checks
// everything but the signer.
func (t *TSA) stamp(ctx context.Context, message []byte) (answer []byte, err error) {
	request, err := tspclient.NewRequest(tspclient.RequestOptions{Content: message, HashAlgorithm: crypto.SHA256})
	if err != nil {
		return nil, err
	}
	query, err := request.MarshalBinary()
	if err != nil {
		return nil, err
	}
	err = retry.Do(ctx, retry.Policy{Tries: stampTries, Initial: time.Second, Max: 5 * time.Second}, func(ctx context.Context) error {
		answer, err = t.post(ctx, query)
		return err
	})
	if err != nil {
		return nil, err
	}
	var response tspclient.Response
	if err := response.UnmarshalBinary(answer); err != nil {
		return nil, errors.New("its answer is not a timestamp")
	}
	if err := response.Validate(request); err != nil {
		return nil, fmt.Errorf("its answer is not a timestamp of this seal: %w", err)
	}
	_, err = checkStamp(ctx, answer, message, nil)
	return answer, err
}

func (t *TSA) post(ctx context.Context, query []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, stampWait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(query))
	if err != nil {
		return nil, retry.Stop(withoutURL(err))
	}
	request.Header.Set("Content-Type", tspclient.MediaTypeTimestampQuery)
	client := t.Client
	if client == nil {
		client = &http.Client{}
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, withoutURL(err)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxStamp+1))
	_ = response.Body.Close() // already read, or failed
	switch {
	case err != nil:
		return nil, err
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("it answered with status %d", response.StatusCode)
	case len(answer) > maxStamp:
		return nil, errors.New("its answer is too long")
	}
	return answer, nil
}

// withoutURL removes the address, which may contain a password.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// errUnknownTSA means that a timestamp is valid, but from an unknown authority.
var errUnknownTSA = errors.New("its certificate does not chain to a root in --tsa-roots")

// checkStamp checks an answer of an authority: that it belongs to the message, its signature, and the certificate
// chain up to one of the roots at the stamped time. Without roots, it accepts any signer. It returns the time.
func checkStamp(ctx context.Context, answer, message []byte, roots *x509.CertPool) (at time.Time, err error) {
	var response tspclient.Response
	if err := response.UnmarshalBinary(answer); err != nil {
		return at, errors.New("it is not a timestamp")
	}
	token, err := response.SignedToken()
	if err != nil {
		return at, fmt.Errorf("it is not a timestamp: %w", err)
	}
	info, err := token.Info()
	if err != nil {
		return at, err
	}
	if _, err := info.Validate(message); err != nil {
		return at, errors.New("it belongs to another signature")
	}
	own := x509.NewCertPool()
	for _, c := range token.Certificates {
		own.AddCert(c)
	}
	if _, err := token.Verify(ctx, x509.VerifyOptions{Roots: own, CurrentTime: info.GenTime}); err != nil {
		return at, fmt.Errorf("its signature is not valid: %w", err)
	}
	if roots != nil {
		if _, err := token.Verify(ctx, x509.VerifyOptions{Roots: roots, CurrentTime: info.GenTime}); err != nil {
			return info.GenTime, errUnknownTSA
		}
	}
	return info.GenTime, nil
}

// ParseRoots reads certificates of timestamping authorities, in PEM.
func ParseRoots(text []byte) (*x509.CertPool, error) {
	pool, count := x509.NewCertPool(), 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("it contains data other than PEM certificates")
		}
		pool.AddCert(c)
		count++
	}
	if count == 0 {
		return nil, errors.New("it contains no PEM certificate")
	}
	return pool, nil
}

// stampSeals requests a timestamp for each seal without one, the oldest first. If that fails, the seals stay
// unchanged and the next run tries again.
func (s *Sealing) stampSeals(ctx context.Context, made *Sealed) error {
	objects := s.Ledger.Objects()
	seals, _, err := load(ctx, objects)
	if err != nil {
		return err
	}
	for i := range seals {
		if seals[i].stamp != nil {
			continue
		}
		if made.StampFailure != "" {
			made.Unstamped++
			continue
		}
		answer, err := s.TSA.stamp(ctx, seals[i].sig)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			made.Unstamped++
			made.StampFailure = err.Error()
			continue
		}
		if err := objects.PutFile(ctx, stampName(seals[i].Number), answer, ""); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("write the timestamp of seal %d: %w", seals[i].Number, err)
		}
		made.Stamped++
	}
	return nil
}

// checkStamps checks the timestamps of valid seals.
func (r *auditing) checkStamps(ctx context.Context, trusted []*stored) {
	for _, s := range trusted {
		if s.stamp == nil {
			continue
		}
		find := func(kind FindingKind, detail string) {
			r.find(Finding{Kind: kind, Seal: s.Number, File: stampName(s.Number), Detail: detail})
		}
		at, err := checkStamp(ctx, s.stamp, s.sig, r.TSARoots)
		switch {
		case errors.Is(err, errUnknownTSA):
			find(UnknownTSA, err.Error())
		case err != nil:
			find(BadStamp, err.Error())
		case s.Time.After(at.Add(stampLeeway)):
			find(SealTime, "the seal's time is later than its timestamp")
		default:
			r.sum.Stamped++
			r.sum.StampTime = &at
		}
	}
}
