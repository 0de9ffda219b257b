// Stores recordings in a bucket, without replacing anything.

package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
)

// maxPut is the maximum body of one S3 request: a week of the vendor's MP3.
const maxPut = 5 << 30

// Put stores a body with one create-only request. The error is a *[TakenError] if the key is taken,
// wraps [ErrUnusable] if other bodies would fail too, and may be retriable ([IsRetriable]), because
// Put makes a single attempt. After a lost reply, the next attempt finds the recording under the
// key: a TakenError with Same and with this recording's id. A Part given as Body is consumed on
// success and unchanged after an error. A body above 5 GiB is refused.
func (s *S3) Put(ctx context.Context, o Object) (Info, error) {
	if err := o.check(); err != nil {
		return Info{}, err
	}
	if o.Size > maxPut {
		return Info{}, fmt.Errorf("store object: the body has %d bytes, and S3 takes at most 5 GiB in one request", o.Size)
	}
	if s.o.NoConditionalWrites {
		defer s.lock(o.Key)()
		if err := s.taken(ctx, o); !errors.Is(err, fs.ErrNotExist) {
			return Info{}, err
		}
	}
	info, err := s.create(ctx, o)
	if err == nil {
		if part, ok := o.Body.(*Part); ok {
			part.Discard()
		}
		return info, nil
	}
	exists := errors.Is(err, fs.ErrExist)
	if !exists && !hasCode(err, codeConflict) && !hasCode(err, codeUnanswered) {
		return Info{}, err
	}
	// A call without an answer may mean that the key is taken: if a server says so and closes the
	// connection before it has the whole body, net/http reports a broken connection on every
	// attempt.
	found := s.taken(ctx, o)
	_, isTaken := errors.AsType[*TakenError](found)
	switch {
	case isTaken || ctx.Err() != nil:
		return Info{}, found
	case !exists:
		return Info{}, err
	case errors.Is(found, fs.ErrNotExist): // two concurrent writers: the other one's object appears soon, or it gave up
		return Info{}, goneAgain()
	}
	return Info{}, found
}

// taken describes what is stored under a key as a *TakenError. The error is fs.ErrNotExist if there
// is none.
func (s *S3) taken(ctx context.Context, o Object) error {
	head, err := s.head(ctx, o.Key)
	if err != nil {
		return err
	}
	taken := &TakenError{Info: headInfo(o.Key, head)}
	if taken.Info.Size != o.Size {
		return taken
	}
	if taken.Info.SHA256 == ([32]byte{}) { // it was copied
		body, _, err := s.get(ctx, o.Key, nil)
		if err != nil {
			return err
		}
		defer body.Close()
		if taken.Info.SHA256, err = hashOf(ctx, body); err != nil {
			return s3Failure(ctx, "compare object", err)
		}
	}
	taken.Same = taken.Info.SHA256 == o.SHA256
	if taken.Same && s.o.SSE != "" && head.ServerSideEncryption == "" {
		return notEncrypted()
	}
	return taken
}

// create stores a body with one PutObject. The error is fs.ErrExist if the key is taken.
func (s *S3) create(ctx context.Context, o Object) (Info, error) {
	in := &s3.PutObjectInput{
		Key: s.at(o.Key), ContentType: optional(o.ContentType), Metadata: metadataOf(o),
		StorageClass: types.StorageClass(s.o.StorageClass),
	}
	if o.LockMode != Unlocked {
		in.ObjectLockMode, in.ObjectLockRetainUntilDate = types.ObjectLockMode(o.LockMode), aws.Time(o.LockUntil.UTC())
	}
	if o.Class != "" {
		in.Tagging = aws.String(url.Values{tagRetention: {o.Class}}.Encode())
	}
	if !s.o.NoConditionalWrites {
		in.IfNoneMatch = aws.String("*")
	}
	out, err := s.put(ctx, opStore, in, o.Body, o.Size, o.SHA256, 1)
	if err != nil {
		return Info{}, err
	}
	info := o.info()
	info.ETag, info.StorageClass = unquoted(out.ETag), s.o.StorageClass
	return info, nil
}

// put sends a body with a maximum number of attempts, or sdkAttempts while a folder blocks the key.
func (s *S3) put(ctx context.Context, op string, in *s3.PutObjectInput, content io.ReadSeeker, size int64, sum [32]byte, attempts int) (*s3.PutObjectOutput, error) {
	body := &lentBody{body: content}
	defer body.takeBack()
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	if err := s.checksum.set(in, body, sum); err != nil {
		return nil, err
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	in.Bucket, in.Body, in.ContentLength = s.bucket(), body, aws.Int64(size)
	in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryption(s.o.SSE), optional(s.o.KMSKeyID)
	call, cancel := context.WithTimeout(ctx, time.Duration(attempts)*timeFor(size))
	defer cancel()
	out, err := s.client.PutObject(call, in, signedWith(sum), func(o *s3.Options) {
		o.RetryMaxAttempts = attempts
		if attempts == 1 {
			o.RetryMaxAttempts, o.Retryer = sdkAttempts, newRetryer(vanishingFolder())
		}
	})
	if err != nil {
		return nil, s3Failure(ctx, op, err)
	}
	if aws.ToString(out.ETag) == "" {
		return nil, notAnswered(op)
	}
	if s.o.SSE != "" && string(out.ServerSideEncryption) != s.o.SSE { // some servers accept the header and ignore it
		return nil, notEncrypted()
	}
	return out, nil
}

// signedWith signs a body by its SHA-256, which is known. The SDK would read the whole body to
// compute it, or over TLS omit it from the signature; with it, the server verifies the body
// independently of other checksums.
func signedWith(sum [32]byte) func(*s3.Options) {
	hash := hex.EncodeToString(sum[:])
	known := middleware.InitializeMiddlewareFunc("KnownPayloadHash",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
			middleware.InitializeOutput, middleware.Metadata, error,
		) {
			return next.HandleInitialize(v4.SetPayloadHash(ctx, hash), in)
		})
	return func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Initialize.Add(known, middleware.Before)
		})
	}
}

// timeFor returns the time limit of one attempt to send n bytes.
func timeFor(size int64) time.Duration {
	return bodyTimeout + time.Duration(size/minSpeed)*time.Second
}

func unquoted(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return aws.String(s)
}

// lentBody lends a body to the HTTP client and takes it back. If a server answers early, or the
// context ends, the transport may continue reading after the call has returned, while the caller
// rewinds the body or reuses its memory for another recording.
type lentBody struct {
	mu   sync.Mutex
	body io.ReadSeeker
}

// Read implements io.Reader.
func (l *lentBody) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.body.Read(p)
}

// Seek implements io.Seeker.
func (l *lentBody) Seek(offset int64, whence int) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.body.Seek(offset, whence)
}

// takeBack waits until the body is no longer read.
func (l *lentBody) takeBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.body = strings.NewReader("")
}
