// Runs plain downloads, HEADs and syncs as baselines.

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"
)

// The baselines that this program starts as separate processes; the first argument selects one.
const (
	roleGet  = "get-loop"   // WORKERS LIST FOLDER
	rolePut  = "put-loop"   // WORKERS LIST ENDPOINT BUCKET
	roleHead = "head-loop"  // the same, of keys
	roleSync = "sync-files" // WORKERS FOLDER
)

// play runs the baseline that the arguments name.
func play(ctx context.Context, args []string) error {
	if len(args) != map[string]int{roleGet: 4, rolePut: 5, roleHead: 5, roleSync: 3}[args[0]] {
		return fmt.Errorf("%s: wrong number of arguments", args[0])
	}
	workers, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	switch args[0] {
	case roleGet:
		if err := os.Mkdir(args[3], 0o700); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
		return loop(ctx, workers, args[2], func(_ context.Context, number int, answer *http.Response) error {
			_, err := saveBody(filepath.Join(args[3], fileName(number)), answer.Body)
			return err
		})
	case rolePut:
		client := newS3Client(args[3], workers)
		return loop(ctx, workers, args[2], func(ctx context.Context, number int, answer *http.Response) error {
			return putBody(ctx, client, args[4], fileName(number), answer)
		})
	case roleHead:
		return headLoop(ctx, newS3Client(args[3], workers), workers, args[2], args[4])
	default:
		return syncFiles(workers, args[2])
	}
}

// fileName returns the output file of a link.
func fileName(number int) string { return fmt.Sprintf("%07d.mp3", number) }

// loop requests each link of a list with the given number of workers and passes each answer to a
// function. It checks nothing and records nothing.
func loop(ctx context.Context, workers int, list string, keep func(context.Context, int, *http.Response) error) error {
	text, err := os.ReadFile(list)
	if err != nil {
		return fmt.Errorf("read list: %w", err)
	}
	client := newClient(workers)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for number, link := range strings.Fields(string(text)) {
		group.Go(func() error {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
			if err != nil {
				return fmt.Errorf("make request: %w", err)
			}
			answer, err := client.Do(request)
			if err != nil {
				return fmt.Errorf("get: %w", err)
			}
			defer answer.Body.Close()
			return keep(ctx, number, answer)
		})
	}
	return group.Wait()
}

func newClient(connections int) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}}
}

func saveBody(name string, body io.Reader) (size int64, err error) {
	file, err := os.Create(name)
	if err != nil {
		return 0, fmt.Errorf("create file: %w", err)
	}
	size, err = io.Copy(file, body)
	return size, errors.Join(err, file.Close())
}

func newS3Client(endpoint string, connections int) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &endpoint, UsePathStyle: true, Region: region, HTTPClient: newClient(connections),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}, nil
		}),
	})
}

// headLoop sends a HEAD request for each key of a list.
func headLoop(ctx context.Context, client *s3.Client, workers int, list, bucket string) error {
	text, err := os.ReadFile(list)
	if err != nil {
		return fmt.Errorf("read list: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, key := range strings.Fields(string(text)) {
		group.Go(func() error {
			if _, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key}); err != nil {
				return fmt.Errorf("head: %w", err)
			}
			return nil
		})
	}
	return group.Wait()
}

// putBody reads the whole body into memory and puts it with one PutObject, with its
// length, SHA-256 and If-None-Match.
func putBody(ctx context.Context, client *s3.Client, bucket, key string, answer *http.Response) error {
	body := make([]byte, max(answer.ContentLength, 0))
	if _, err := io.ReadFull(answer.Body, body); err != nil {
		return fmt.Errorf("get: %w", err)
	}
	sum := sha256.Sum256(body)
	_, err := client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &bucket, Key: &key, Body: bytes.NewReader(body),
		ContentLength: aws.Int64(int64(len(body))), ContentType: aws.String("audio/mpeg"),
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])), IfNoneMatch: aws.String("*"),
	})
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	return nil
}

// syncFiles syncs the files of a folder and then the folder, so that the downloads of another tool
// survive a power failure too.
func syncFiles(workers int, folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("sync files: %w", err)
	}
	syncOne := func(name string) error {
		file, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("sync file: %w", err)
		}
		return errors.Join(file.Sync(), file.Close())
	}
	var group errgroup.Group
	group.SetLimit(workers)
	for _, entry := range entries {
		group.Go(func() error { return syncOne(filepath.Join(folder, entry.Name())) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return syncOne(folder)
}
