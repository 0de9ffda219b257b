package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// ProbeKey is the object that [S3.ProveConditionalWrites] writes. It is fixed and
// stays: a bucket that keeps objects for years may not let anyone delete, two runs
// that remove each other's probes would get wrong answers, and the next proof costs
// one request instead of two. It stands among the archive's own objects, so that a
// policy for those covers it.
const ProbeKey = "manifest/conditional-write-probe"

const opWrite = "write object"

// Get opens one of the archive's own objects for reading; a missing one is
// fs.ErrNotExist. Unlike Open it allows every clean key.
func (s *S3) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := checkPath(key); err != nil {
		return nil, err
	}
	return s.get(ctx, key)
}

// ListKeys yields the keys that begin with prefix, ascending. Unlike List it leaves
// none out. An error ends it.
func (s *S3) ListKeys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for object, err := range s.list(ctx, prefix) {
			if !yield(strings.TrimPrefix(aws.ToString(object.Key), s.prefix), err) {
				return
			}
		}
	}
}

// PutObject writes one of the archive's own objects, a small one. Without overwrite
// the error is fs.ErrExist when it exists, also when it is there because the reply
// to an earlier try was lost: compare to tell. It goes to the bucket's default
// storage class, for it will be read again.
func (s *S3) PutObject(ctx context.Context, key string, body io.ReadSeeker, size int64, overwrite bool) error {
	if err := checkPath(key); err != nil {
		return err
	}
	if !overwrite && s.o.NoConditionalWrites {
		lock := s.lock(key)
		lock.Lock()
		defer lock.Unlock()
		_, err := s.head(ctx, key)
		if err == nil {
			return &failure{text: opWrite + ": " + fs.ErrExist.Error(), is: []error{fs.ErrExist}}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	var condition *string
	if !overwrite {
		condition = s.ifNew()
	}
	return s.putSmall(ctx, key, body, size, condition)
}

func (s *S3) putSmall(ctx context.Context, key string, content io.ReadSeeker, size int64, condition *string) error {
	body := &lentBody{body: content}
	defer body.takeBack()
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	checks, err := s.checksum.of(body, nil)
	if err != nil {
		return err
	}
	attempts, cancel := context.WithTimeout(ctx, sdkAttempts*timeFor(size))
	defer cancel()
	out, err := s.client.PutObject(attempts, &s3.PutObjectInput{
		Bucket: s.bucket(), Key: s.at(key), Body: body, ContentLength: aws.Int64(size),
		ContentType: aws.String(smallType(key)), IfNoneMatch: condition,
		ServerSideEncryption: types.ServerSideEncryption(s.o.SSE), SSEKMSKeyId: optional(s.o.KMSKeyID),
		ChecksumSHA256: checks.sha256, ChecksumCRC64NVME: checks.crc64, ContentMD5: checks.md5,
	})
	if err != nil {
		return s3Failure(ctx, opWrite, err)
	}
	if !s.encrypted(out.ServerSideEncryption) {
		return notEncrypted()
	}
	return nil
}

func smallType(key string) string {
	switch path.Ext(key) {
	case ".json":
		return "application/json"
	case ".jsonl":
		return "application/x-ndjson"
	}
	return "text/plain"
}

// ProveConditionalWrites proves that the server honours If-None-Match by creating
// [ProbeKey] twice. That the first attempt is refused, because an earlier proof
// left the object, is proof enough. It also shows at once whether objects can be
// written here at all, with the checksum and encryption asked for. The error wraps
// ErrUnusable when the second attempt is not refused. With NoConditionalWrites it
// does nothing.
func (s *S3) ProveConditionalWrites(ctx context.Context) error {
	if s.o.NoConditionalWrites {
		return nil
	}
	const text = "written to prove that this server honours If-None-Match\n"
	for range 2 {
		err := s.putSmall(ctx, ProbeKey, bytes.NewReader([]byte(text)), int64(len(text)), s.ifNew())
		if errors.Is(err, fs.ErrExist) || s3CodeOf(err) == codeConflict { // a conflict comes of the condition, too
			return nil
		}
		if err != nil {
			return fmt.Errorf("prove conditional writes: %w", err)
		}
	}
	return &failure{
		text: "prove conditional writes: the server ignores If-None-Match, so it could overwrite a recording",
		hint: "use --s3-no-conditional-writes, and let no two runs write to this archive at once",
		is:   []error{ErrUnusable},
	}
}
