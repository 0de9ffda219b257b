package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
)

const (
	opStore  = "store object"
	opLookUp = "look up object"
)

// Put stores a body with one request that creates and never replaces, or in parts
// when it is very large. The error is ErrKeyTaken when all keys are taken, wraps
// ErrUnusable when no other body could be stored either, and may be retriable
// ([IsRetriable]): nothing here was tried twice. A Part given as Body is gone after
// success and as it was after an error.
func (s *S3) Put(ctx context.Context, o Object) (Stored, error) {
	if err := o.check(); err != nil {
		return Stored{}, err
	}
	size, err := o.Body.Seek(0, io.SeekEnd)
	if err != nil {
		return Stored{}, fmt.Errorf("read body: %w", err)
	}
	if size != o.Size {
		return Stored{}, fmt.Errorf("store object: the body has %d bytes, not %d", size, o.Size)
	}
	for _, key := range o.Keys {
		stored, err := s.putKey(ctx, key, o)
		if errors.Is(err, errTaken) {
			continue
		}
		if part, ok := o.Body.(*Part); ok && err == nil {
			part.Discard()
		}
		return stored, err
	}
	return Stored{}, ErrKeyTaken
}

// putKey stores a body under one key. It is errTaken when another recording has it.
func (s *S3) putKey(ctx context.Context, key string, o Object) (Stored, error) {
	if s.o.NoConditionalWrites {
		lock := s.lock(key)
		lock.Lock()
		defer lock.Unlock()
	}
	inParts := o.Size > s.o.MultipartThreshold
	if s.o.NoConditionalWrites || inParts { // a look costs less than sending a huge body in vain
		stored, err := s.existing(ctx, key, o.RecordingID)
		if !errors.Is(err, fs.ErrNotExist) {
			return stored, err
		}
	}
	put := s.putWhole
	if inParts {
		put = s.putParts
	}
	stored, err := put(ctx, key, o)
	if !errors.Is(err, fs.ErrExist) && !isUnanswered(err) {
		return stored, err
	}
	// What is there may be ours: of a run that was killed, or of a request whose reply
	// was lost. And a call without an answer may mean that the key is taken: a
	// server that says so and hangs up before it has all of the body looks to net/http
	// like a broken connection, however often one tries.
	found, lookErr := s.existing(ctx, key, o.RecordingID)
	switch {
	case lookErr == nil || errors.Is(lookErr, errTaken):
		return found, lookErr
	case isUnanswered(err):
		return Stored{}, err
	case errors.Is(lookErr, fs.ErrNotExist): // two writers at once: the other's shows in a moment, or it gave up
		return Stored{}, &failure{text: opStore + ": the key was taken and is not any more", retriable: true}
	}
	return Stored{}, lookErr
}

// existing adopts the object under a key. It is errTaken when that is another
// recording, and fs.ErrNotExist when there is none.
func (s *S3) existing(ctx context.Context, key, recordingID string) (Stored, error) {
	head, err := s.head(ctx, key)
	if err != nil {
		return Stored{}, err
	}
	sum, ok := sumIn(head.Metadata)
	size := aws.ToInt64(head.ContentLength)
	if !ok || size < 1 || head.Metadata[metaRecording] != metaValue(recordingID) {
		return Stored{}, errTaken
	}
	if s.o.SSE != "" && head.ServerSideEncryption == "" {
		return Stored{}, notEncrypted()
	}
	return Stored{
		Key: key, Adopted: true, Size: size, SHA256: sum,
		ETag: unquoted(head.ETag), VersionID: aws.ToString(head.VersionId),
	}, nil
}

// putWhole stores a body with one PutObject. It is fs.ErrExist when the key is
// taken.
func (s *S3) putWhole(ctx context.Context, key string, o Object) (Stored, error) {
	body := &lentBody{body: o.Body}
	defer body.takeBack()
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return Stored{}, fmt.Errorf("read body: %w", err)
	}
	checks, err := s.checksum.of(body, &o.SHA256)
	if err != nil {
		return Stored{}, err
	}
	in := &s3.PutObjectInput{
		Bucket: s.bucket(), Key: s.at(key), Body: body, ContentLength: aws.Int64(o.Size),
		ContentType: optional(o.ContentType), Metadata: metadataOf(o), IfNoneMatch: s.ifNew(),
		StorageClass: types.StorageClass(s.o.StorageClass), ServerSideEncryption: types.ServerSideEncryption(s.o.SSE),
		SSEKMSKeyId: optional(s.o.KMSKeyID), ChecksumSHA256: checks.sha256, ChecksumCRC64NVME: checks.crc64, ContentMD5: checks.md5,
	}
	attempt, cancel := context.WithTimeout(ctx, timeFor(o.Size))
	defer cancel()
	out, err := s.client.PutObject(attempt, in, once, signedWith(o.SHA256))
	if err != nil {
		return Stored{}, s3Failure(ctx, opStore, err)
	}
	if !s.encrypted(out.ServerSideEncryption) {
		return Stored{}, notEncrypted()
	}
	return Stored{
		Key: key, Size: o.Size, SHA256: o.SHA256, ETag: unquoted(out.ETag), VersionID: aws.ToString(out.VersionId),
	}, nil
}

// encrypted reports whether the server's answer confirms the encryption asked for.
// Some servers accept the header and do nothing.
func (s *S3) encrypted(answer types.ServerSideEncryption) bool {
	return s.o.SSE == "" || string(answer) == s.o.SSE
}

// ifNew is the condition that makes a write create only.
func (s *S3) ifNew() *string {
	if s.o.NoConditionalWrites {
		return nil
	}
	return aws.String("*")
}

// signedWith signs a body by its SHA-256, which is known. The SDK would read all of
// the body to compute it, or over TLS leave it out of the signature; with it the
// server checks the body whatever other checksum is sent.
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

// head asks for an object's headers.
func (s *S3) head(ctx context.Context, key string) (*s3.HeadObjectOutput, error) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := s.client.HeadObject(call, &s3.HeadObjectInput{Bucket: s.bucket(), Key: s.at(key)})
	if err != nil {
		return nil, s3Failure(ctx, opLookUp, err)
	}
	return out, nil
}

// timeFor is how long one attempt to send so many bytes may take.
func timeFor(size int64) time.Duration {
	return bodyTimeout + time.Duration(size/slowest)*time.Second
}

func unquoted(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return aws.String(s)
}

// lentBody lends a body to the HTTP client and takes it back. When a server answers
// early, or the context ends, the transport may go on reading after the call has
// returned, while the caller rewinds the body or gives its memory to another
// recording.
type lentBody struct {
	mu   sync.Mutex
	body io.ReadSeeker
}

var errTakenBack = errors.New("read body: the call is over")

// Read implements io.Reader.
func (l *lentBody) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.body == nil {
		return 0, errTakenBack
	}
	return l.body.Read(p)
}

// Seek implements io.Seeker.
func (l *lentBody) Seek(offset int64, whence int) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.body == nil {
		return 0, errTakenBack
	}
	return l.body.Seek(offset, whence)
}

// takeBack returns when nobody reads the body any more, nor will.
func (l *lentBody) takeBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.body = nil
}
