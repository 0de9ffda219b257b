package store

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// WithoutLinks makes a disk behave as one on a file system without hard links, and
// without a rename that does not replace either unless canRename.
func (d *Disk) WithoutLinks(canRename bool) {
	d.link = func(string, string) error { return errors.ErrUnsupported }
	if !canRename {
		d.renameNew = d.link
	}
}

// ContentType returns the media type that S3 has for an object.
func (s *S3) ContentType(ctx context.Context, key string) (string, error) {
	head, err := s.head(ctx, key)
	if err != nil {
		return "", err
	}
	return aws.ToString(head.ContentType), nil
}
