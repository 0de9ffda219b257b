package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Find looks for a whole object of this recording under one of the keys, stored by a
// run that was killed before it could note it.
func (s *S3) Find(ctx context.Context, keys []string, recordingID string) (Stored, bool, error) {
	if err := checkKeys(keys); err != nil {
		return Stored{}, false, err
	}
	for _, key := range keys {
		stored, err := s.existing(ctx, key, recordingID)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errTaken) {
			continue
		}
		return stored, err == nil, err
	}
	return Stored{}, false, nil
}

// Stat describes the object under a key, with what its metadata tells; a missing one
// is fs.ErrNotExist.
func (s *S3) Stat(ctx context.Context, key string) (Info, error) {
	if err := checkKey(key); err != nil {
		return Info{}, err
	}
	head, err := s.head(ctx, key)
	if err != nil {
		return Info{}, err
	}
	sum, _ := sumIn(head.Metadata)
	return Info{
		Key: key, Size: aws.ToInt64(head.ContentLength), ModTime: aws.ToTime(head.LastModified),
		SHA256: sum, RecordingID: head.Metadata[metaRecording],
		ETag: unquoted(head.ETag), StorageClass: string(head.StorageClass),
	}, nil
}

// Open opens the object under a key for reading; a missing one is fs.ErrNotExist.
// Reading fails when no byte comes for a minute, and when ctx ends.
func (s *S3) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	return s.get(ctx, key)
}

func (s *S3) get(ctx context.Context, key string) (io.ReadCloser, error) {
	const op = "open object"
	call, cancel := context.WithCancel(ctx)
	out, err := s.client.GetObject(call, &s3.GetObjectInput{Bucket: s.bucket(), Key: s.at(key)})
	if err != nil {
		cancel()
		return nil, s3Failure(ctx, op, err)
	}
	return newWatched(ctx, out.Body, cancel), nil
}

// List yields the objects whose keys begin with prefix, those under quarantine
// included and the archive's own left out. An error ends it. It holds one page of
// 1,000 at a time.
func (s *S3) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for object, err := range s.list(ctx, prefix) {
			key := strings.TrimPrefix(aws.ToString(object.Key), s.prefix)
			if err == nil && reserved(key) {
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

// list yields objects as S3 lists them, in the order of their keys' bytes (except in
// directory buckets). An error ends it.
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
	return pages.NextPage(call)
}

// watched is a body that fails when it stalls.
type watched struct {
	ctx    context.Context // the caller's
	body   io.ReadCloser
	cancel context.CancelFunc
	timer  *time.Timer
}

func newWatched(ctx context.Context, body io.ReadCloser, cancel context.CancelFunc) *watched {
	w := &watched{ctx: ctx, body: body, cancel: cancel}
	w.timer = time.AfterFunc(stallTimeout, cancel)
	w.timer.Stop() // it runs during reads only
	return w
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(stallTimeout)
	n, err := w.body.Read(p)
	stalled := !w.timer.Stop()
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	case stalled && w.ctx.Err() == nil:
		return n, &failure{text: "read object: no byte for " + stallTimeout.String(), retriable: true}
	}
	return n, s3Failure(w.ctx, "read object", err)
}

// Close implements io.Closer.
func (w *watched) Close() error {
	w.timer.Stop()
	w.cancel()
	return w.body.Close()
}
