package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"path"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// WithoutLinks makes a disk behave like a file system without hard links.
func (d *Disk) WithoutLinks() {
	d.link = func(string, string) error { return errors.ErrUnsupported }
}

// WithoutLinksElsewhere makes a disk behave as if another file system had no hard links.
func (d *Disk) WithoutLinksElsewhere() {
	d.link = func(oldName, newName string) error {
		if filepath.Dir(oldName) != tempFolder {
			return errors.ErrUnsupported
		}
		return d.root.Link(oldName, newName)
	}
}

// LeaveBeside leaves the files of a run killed while copying a part to the folder of a key.
func (d *Disk) LeaveBeside(ctx context.Context, key string, content []byte) error {
	part, err := d.NewPart()
	if err != nil {
		return err
	}
	return errors.Join(
		d.write(ctx, filepath.Join(tempFolder, part.name+besideSuffix), strings.NewReader(path.Dir(key))),
		d.write(ctx, filepath.Join(filepath.Dir(filepath.FromSlash(key)), besideName(part.name)), bytes.NewReader(content)),
		part.file.Close(),
	)
}

// ContentType returns the media type of an object in S3.
func (s *S3) ContentType(ctx context.Context, key string) (string, error) {
	head, err := s.head(ctx, key)
	if err != nil {
		return "", err
	}
	return aws.ToString(head.ContentType), nil
}

// PutForeign writes an object like other tools: overwriting, without metadata.
func (s *S3) PutForeign(ctx context.Context, key string, body []byte) error {
	_, err := s.put(ctx, "put", &s3.PutObjectInput{Key: s.at(key)}, bytes.NewReader(body), int64(len(body)), sha256.Sum256(body), 1)
	return err
}

// MakeBucket creates a missing bucket.
func (s *S3) MakeBucket(ctx context.Context) error {
	_, err := s.client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: s.bucket()})
	if code := s3Code(err); code == "BucketAlreadyOwnedByYou" || code == "BucketAlreadyExists" {
		return nil
	}
	return err
}

// KeepVersions enables versioning of the bucket.
func (s *S3) KeepVersions(ctx context.Context) error {
	_, err := s.client.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: s.bucket(), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	return err
}

// Versions returns the number of versions and delete markers below the prefix.
func (s *S3) Versions(ctx context.Context) (int, error) {
	out, err := s.client.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: s.bucket(), Prefix: s.at("")})
	if err != nil {
		return 0, err
	}
	return len(out.Versions) + len(out.DeleteMarkers), nil
}

// Client is the client of the bucket, for calls that the store itself never makes.
func (s *S3) Client() *s3.Client { return s.client }
