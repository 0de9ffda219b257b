// Describes, opens and lists the recordings in a bucket.

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Stat describes the object under a key, with its metadata; the error for a missing one is
// fs.ErrNotExist.
func (s *S3) Stat(ctx context.Context, key string) (Info, error) {
	if err := checkKey(key); err != nil {
		return Info{}, err
	}
	head, err := s.head(ctx, key)
	if err != nil {
		return Info{}, err
	}
	return headInfo(key, head), nil
}

func (s *S3) head(ctx context.Context, key string) (*s3.HeadObjectOutput, error) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := s.client.HeadObject(call, &s3.HeadObjectInput{Bucket: s.bucket(), Key: s.at(key)})
	if err != nil {
		return nil, s3Failure(ctx, opLookUp, err)
	}
	if out.ETag == nil && out.LastModified == nil {
		return nil, notAnswered(opLookUp)
	}
	return out, nil
}

func headInfo(key string, head *s3.HeadObjectOutput) Info {
	return Info{
		Key: key, Size: aws.ToInt64(head.ContentLength), ModTime: aws.ToTime(head.LastModified),
		SHA256:      sumIn(head.Metadata),
		RecordingID: textIn(head.Metadata, metaRecording),
		CallID:      textIn(head.Metadata, metaCall),
		CallDay:     textIn(head.Metadata, metaDay),
		ETag:        unquoted(head.ETag), StorageClass: string(head.StorageClass),
	}
}

// Open opens the object under a key for reading; the error for a missing one is fs.ErrNotExist.
// Reading fails after a minute without a byte, and when ctx ends.
func (s *S3) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	body, _, err := s.get(ctx, key, nil)
	if err != nil {
		return nil, err
	}
	return body, nil
}

// OpenRange opens length bytes of the object under a key, from an offset; fewer at its end. It
// requests no more than that. The error for a missing object is fs.ErrNotExist; an offset outside
// of the object is an error.
func (s *S3) OpenRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if offset < 0 || length < 1 || offset > math.MaxInt64-length {
		return nil, errRange()
	}
	body, out, err := s.get(ctx, key, aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)))
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(aws.ToString(out.ContentRange), fmt.Sprintf("bytes %d-", offset)) {
		return nil, errors.Join(&failure{text: "open object: the server sent another range than requested"}, body.Close())
	}
	return body, nil
}

func (s *S3) get(ctx context.Context, key string, byteRange *string) (*watched, *s3.GetObjectOutput, error) {
	call, cancel := context.WithCancel(ctx)
	out, err := s.client.GetObject(call, &s3.GetObjectInput{Bucket: s.bucket(), Key: s.at(key), Range: byteRange})
	if err != nil {
		cancel()
		return nil, nil, s3Failure(ctx, opOpen, err)
	}
	if out.ETag == nil && out.LastModified == nil { // versitygw has no tag of a file that was copied into its folder
		cancel()
		return nil, nil, errors.Join(notAnswered(opOpen), out.Body.Close())
	}
	return &watched{ctx: ctx, body: out.Body, cancel: cancel}, out, nil
}

// List yields the objects whose keys begin with prefix, including those in quarantine. It skips the
// archive's own files, invalid keys, and empty objects, which some tools create for folders. An
// error ends it. It keeps one page of 1,000 in memory.
func (s *S3) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for object, err := range s.list(ctx, prefix) {
			key := strings.TrimPrefix(aws.ToString(object.Key), s.o.Prefix)
			if err == nil && (checkKey(key) != nil || aws.ToInt64(object.Size) < 1) {
				continue
			}
			info := Info{
				Key: key, Size: aws.ToInt64(object.Size), ModTime: aws.ToTime(object.LastModified),
				ETag: unquoted(object.ETag), StorageClass: string(object.StorageClass),
			}
			if !yield(info, err) {
				return
			}
		}
	}
}

// list yields objects in S3's order, by the bytes of their keys (except in directory buckets). An
// error ends it.
func (s *S3) list(ctx context.Context, prefix string) iter.Seq2[types.Object, error] {
	return func(yield func(types.Object, error) bool) {
		pages := s3.NewListObjectsV2Paginator(s.client,
			&s3.ListObjectsV2Input{Bucket: s.bucket(), Prefix: s.at(prefix)},
			func(o *s3.ListObjectsV2PaginatorOptions) { o.StopOnDuplicateToken = true })
		for pages.HasMorePages() {
			page, err := nextPage(ctx, pages)
			if err != nil {
				yield(types.Object{}, s3Failure(ctx, "list objects", err))
				return
			}
			for _, object := range page.Contents {
				if !yield(object, nil) {
					return
				}
			}
		}
	}
}

func nextPage(ctx context.Context, pages *s3.ListObjectsV2Paginator) (*s3.ListObjectsV2Output, error) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	page, err := pages.NextPage(call)
	if err == nil && page.Name == nil && page.IsTruncated == nil { // the SDK takes any other text for an empty list
		err = notAnswered("list objects")
	}
	return page, err
}

// watched is a body that fails if it stalls.
type watched struct {
	ctx    context.Context // the caller's
	body   io.ReadCloser
	cancel context.CancelFunc
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	timer := time.AfterFunc(stallTimeout, w.cancel)
	n, err := w.body.Read(p)
	stalled := !timer.Stop()
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	case stalled && w.ctx.Err() == nil:
		return n, &failure{text: "read object: no data for " + stallTimeout.String(), retriable: true}
	}
	return n, s3Failure(w.ctx, "read object", err)
}

// Close implements io.Closer.
func (w *watched) Close() error {
	w.cancel()
	return w.body.Close()
}
