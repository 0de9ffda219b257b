// Package putloop is the yardstick for archiving to S3: download and PutObject in
// the plainest loop, with nothing checked and nothing noted.
package putloop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"path"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"
)

// Run moves urls into a bucket at an S3 endpoint, as many at once as there are
// workers: GET the whole body into memory, then one PutObject with length, SHA-256
// and If-None-Match. Keys are the last parts of the paths.
func Run(ctx context.Context, endpoint, bucket string, workers int, urls []string) error {
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("configure S3: %w", err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: workers, MaxConnsPerHost: workers}
	client := s3.NewFromConfig(settings, func(o *s3.Options) {
		o.BaseEndpoint, o.UsePathStyle = aws.String(endpoint), true
		o.HTTPClient = &http.Client{Transport: transport.Clone()}
	})
	source := &http.Client{Transport: transport}
	work := make(chan string)
	group, ctx := errgroup.WithContext(ctx)
	for range workers {
		group.Go(func() error {
			for url := range work {
				if err := move(ctx, source, client, bucket, url); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(work)
		for _, url := range urls {
			select {
			case work <- url:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return group.Wait()
}

func move(ctx context.Context, source *http.Client, client *s3.Client, bucket, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("get: %w", err)
	}
	response, err := source.Do(request)
	if err != nil {
		return fmt.Errorf("get: %w", err)
	}
	defer response.Body.Close()
	body := make([]byte, max(response.ContentLength, 0))
	if _, err := io.ReadFull(response.Body, body); err != nil {
		return fmt.Errorf("get: %w", err)
	}
	sum := sha256.Sum256(body)
	_, err = client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &bucket, Key: aws.String(path.Base(request.URL.Path)), Body: bytes.NewReader(body),
		ContentLength: aws.Int64(int64(len(body))), ContentType: aws.String("audio/mpeg"),
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])), IfNoneMatch: aws.String("*"),
	})
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	return nil
}
