// Removes all versions of a recording from a bucket.

package store

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Remove removes all versions and delete markers under a key. A key without any is not an error. The error
// wraps [ErrLocked] if the server refuses to delete a version.
func (s *S3) Remove(ctx context.Context, key string) error {
	if err := checkRemoval(key); err != nil {
		return err
	}
	return s.removeAll(ctx, key)
}

// RemoveAside removes, with all versions, a copy that was moved aside from a day's segments, as defined by
// [IsAside].
func (s *S3) RemoveAside(ctx context.Context, name string) error {
	if err := checkAside(name); err != nil {
		return err
	}
	return s.removeAll(ctx, name)
}

// RemoveOlder removes the old versions of a name, or of all names below one that ends in a slash, and every delete
// marker with the versions under it.
func (s *S3) RemoveOlder(ctx context.Context, name string) error {
	if checkPath(strings.TrimSuffix(name, "/")) != nil {
		return ErrBadKey
	}
	from := s.under(ctx, name)
	if strings.HasSuffix(name, "/") {
		from = s.versionsBelow(ctx, name)
	}
	return s.sweep(ctx, func(yield func(version, error) bool) {
		for v, err := range from {
			if (err != nil || !v.latest || v.marker) && !yield(v, err) {
				return
			}
		}
	})
}

// Names yields every name below a prefix with any version or delete marker, ascending. It includes the archive's
// own files.
func (s *S3) Names(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		last := ""
		for v, err := range s.versionsBelow(ctx, prefix) {
			name := strings.TrimPrefix(v.key, s.o.Prefix)
			if err == nil && (name == last || checkPath(name) != nil) {
				continue
			}
			if last = name; !yield(name, err) {
				return
			}
		}
	}
}

// removeAll removes everything stored under one name.
func (s *S3) removeAll(ctx context.Context, name string) error {
	return s.sweep(ctx, s.under(ctx, name))
}

// under yields the versions of one name.
func (s *S3) under(ctx context.Context, name string) iter.Seq2[version, error] {
	return func(yield func(version, error) bool) {
		for v, err := range s.versionsBelow(ctx, name) {
			if err == nil && v.key != s.o.Prefix+name || !yield(v, err) { // it sorts before all names with this prefix
				return
			}
		}
	}
}

// version is a version of an object, or a delete marker.
type version struct {
	key, id        string // the full key
	latest, marker bool
}

// sweep removes versions. It removes hidden versions before their delete marker, and older versions before
// the newest: a kill in between makes nothing visible again.
func (s *S3) sweep(ctx context.Context, versions iter.Seq2[version, error]) error {
	var last []version
	for v, err := range versions {
		if err == nil && v.latest {
			last = append(last, v)
			continue
		}
		if err == nil {
			err = s.removeVersion(ctx, v)
		}
		if err != nil {
			return err
		}
	}
	for _, v := range last {
		if err := s.removeVersion(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

func (s *S3) removeVersion(ctx context.Context, v version) error {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := s.client.DeleteObject(call, &s3.DeleteObjectInput{Bucket: s.bucket(), Key: &v.key, VersionId: optional(v.id)})
	if err == nil {
		return confirmed(opRemove, out)
	}
	err = s3Failure(ctx, opRemove, err)
	if errors.Is(err, fs.ErrNotExist) || hasCode(err, "NoSuchVersion") {
		return nil
	}
	if f, ok := errors.AsType[*failure](err); ok && isRefusal(f.code) {
		return &failure{
			text: f.text, is: []error{ErrLocked}, code: f.code,
			hint: "it is under retention or legal hold, or the credentials lack s3:DeleteObject and s3:DeleteObjectVersion",
		}
	}
	return err
}

// confirmed fails when an answer to a deletion is not that of an S3 server, which has no body, or names the request.
func confirmed(op string, out *s3.DeleteObjectOutput) error {
	answer, ok := middleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response)
	if ok && answer.StatusCode != http.StatusNoContent && answer.Header.Get("X-Amz-Request-Id") == "" {
		return notAnswered(op)
	}
	return nil
}

// isRefusal reports whether an answer to a deletion means that a lock or a policy forbids it.
func isRefusal(code string) bool {
	switch code {
	case "AccessDenied", "ObjectLocked", "InvalidRequest", "MethodNotAllowed":
		return true
	}
	return false
}

// versionsBelow yields the versions and delete markers below a prefix, page by page in the order of their keys. On a
// server without versions it yields the objects.
func (s *S3) versionsBelow(ctx context.Context, prefix string) iter.Seq2[version, error] {
	return func(yield func(version, error) bool) {
		pages := s3.NewListObjectVersionsPaginator(s.client, &s3.ListObjectVersionsInput{Bucket: s.bucket(), Prefix: s.at(prefix)})
		for pages.HasMorePages() {
			page, err := nextVersions(ctx, pages)
			if err != nil {
				err = s3Failure(ctx, "list versions", err)
				if hasCode(err, "NotImplemented") {
					s.unversioned(ctx, prefix, yield)
					return
				}
				yield(version{}, err)
				return
			}
			for _, v := range merged(page) {
				if !yield(v, nil) {
					return
				}
			}
		}
	}
}

func nextVersions(ctx context.Context, pages *s3.ListObjectVersionsPaginator) (*s3.ListObjectVersionsOutput, error) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	page, err := pages.NextPage(call)
	if err == nil && page.Name == nil && page.IsTruncated == nil { // as in nextPage
		err = notAnswered("list versions")
	}
	return page, err
}

func merged(page *s3.ListObjectVersionsOutput) (all []version) {
	isBefore := func(v types.ObjectVersion, m types.DeleteMarkerEntry) bool {
		return aws.ToString(v.Key) <= aws.ToString(m.Key)
	}
	versions, markers := page.Versions, page.DeleteMarkers
	for len(versions)+len(markers) > 0 {
		if len(markers) == 0 || len(versions) > 0 && isBefore(versions[0], markers[0]) {
			v := versions[0]
			all = append(all, version{aws.ToString(v.Key), aws.ToString(v.VersionId), aws.ToBool(v.IsLatest), false})
			versions = versions[1:]
			continue
		}
		m := markers[0]
		all = append(all, version{aws.ToString(m.Key), aws.ToString(m.VersionId), aws.ToBool(m.IsLatest), true})
		markers = markers[1:]
	}
	return all
}

// unversioned yields the objects below a prefix, for deletion without a version id.
func (s *S3) unversioned(ctx context.Context, prefix string, yield func(version, error) bool) {
	for object, err := range s.list(ctx, prefix) {
		if err != nil {
			yield(version{}, err)
			return
		}
		if !yield(version{key: aws.ToString(object.Key), latest: true}, nil) {
			return
		}
	}
}
