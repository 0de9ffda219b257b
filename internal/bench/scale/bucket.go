package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/internal/bench/internal/s3server"
	"convoso-archiver/manifest"
)

const (
	bucketName = "recordings"
	prefix     = "archive"
)

// bucket is an archive in a bucket of a server on this machine: again the ledger alone.
type bucket struct {
	shape
	dir    string // holds everything; removed by close
	server *s3server.Server
	store  *store.S3
	bytes  atomic.Int64 // of all segments
}

// openBucket starts a server over an empty folder below dir and makes the archive in it.
func openBucket(ctx context.Context, versitygw, dir string, s shape) (*bucket, error) {
	b := &bucket{shape: s}
	err := b.open(ctx, versitygw, dir)
	if err == nil {
		err = b.each(func(i int) error { return b.putDay(ctx, i) })
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make archive: %w", err), b.close())
	}
	return b, nil
}

func (b *bucket) open(ctx context.Context, versitygw, dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		b.dir, err = os.MkdirTemp(dir, "bucket-*")
	}
	if err != nil {
		return err
	}
	if b.server, err = s3server.Start(ctx, versitygw, b.dir); err != nil {
		return err
	}
	if _, err := b.server.Bucket(bucketName); err != nil {
		return err
	}
	for _, pair := range b.env() { // the SDK in this process reads it, too
		name, value, _ := strings.Cut(pair, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	b.store, err = store.OpenS3(ctx, store.S3Options{
		Bucket: bucketName, Prefix: prefix, Endpoint: b.server.Endpoint, PathStyle: true, TempDir: filepath.Join(b.dir, "tmp"), Workers: 2,
	})
	return err
}

// close ends the server and removes everything.
func (b *bucket) close() error {
	var err error
	if b.store != nil {
		err = b.store.Close()
	}
	if b.server != nil {
		b.server.Close()
	}
	if b.dir == "" {
		return err
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

func (b *bucket) env() []string { return b.server.Env() }
func (b *bucket) facts() facts  { return facts{b.shape, "S3", b.bytes.Load()} }

func (b *bucket) flags() []string {
	return []string{"--dest", "s3://" + bucketName + "/" + prefix, "--s3-endpoint", b.server.Endpoint, "--s3-path-style"}
}

func (b *bucket) put(ctx context.Context, key string, data []byte) error {
	return b.store.PutObject(ctx, key, bytes.NewReader(data), int64(len(data)), true)
}

func (b *bucket) putDay(ctx context.Context, i int) error {
	d, err := b.makeDay(i)
	if err != nil {
		return err
	}
	from := 0
	for n, end := range d.ends {
		d.closing.LastSegment = fmt.Sprintf("%s-%06d.jsonl", runID, n+1)
		if err := b.put(ctx, "manifest/"+d.day+"/"+d.closing.LastSegment, d.lines[from:end]); err != nil {
			return err
		}
		b.bytes.Add(int64(end - from))
		from = end
	}
	d.closing.Segments = len(d.ends)
	closing, err := d.closingLine()
	if err != nil {
		return err
	}
	// Call rows are not read here. That they are there is, in listing the days.
	if err := b.put(ctx, "calls/"+d.day+"/"+d.closing.LastSegment, []byte("\n")); err != nil {
		return err
	}
	return b.put(ctx, "manifest/"+d.day+"/closed.json", closing)
}

// belongTo makes the archive one of the account at apiURL.
func (b *bucket) belongTo(ctx context.Context, apiURL string) error {
	line, err := appendLine(nil, "archive", struct {
		ID        string    `json:"id"`
		AccountID string    `json:"account_id"`
		APIURL    string    `json:"api_url"`
		TimeZone  string    `json:"time_zone"`
		Created   time.Time `json:"created"`
	}{"bench", accountID, apiURL, zone, time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	return b.put(ctx, "manifest/archive.json", line)
}

// prove reads a few days through package manifest.
func (b *bucket) prove(ctx context.Context) error {
	ledger, err := manifest.OpenObjects(ctx, b.store, manifest.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	return errors.Join(b.proveDays(ctx, ledger), ledger.Close(ctx))
}

// reopen adds a segment of one line to every day. The bucket is not used again for anything that wants
// closed days.
func (b *bucket) reopen(ctx context.Context) error {
	line, err := waitingLine(time.Now())
	if err != nil {
		return err
	}
	return b.each(func(i int) error {
		return b.put(ctx, "manifest/"+b.day(i)+"/"+runID+"-999999.jsonl", line)
	})
}

// forget leaves everything as it is: nothing in the program can take an object away.
func (b *bucket) forget([]string) error { return nil }
