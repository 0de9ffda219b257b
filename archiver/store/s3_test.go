package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"convoso-archiver/archiver/store"
	"convoso-archiver/archiver/store/storetest"
	"convoso-archiver/internal/s3test"
)

func openS3(t *testing.T, o store.S3Options) *store.S3 {
	t.Helper()
	s := openUnclosedS3(t, o)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openUnclosedS3(t *testing.T, o store.S3Options) *store.S3 {
	t.Helper()
	if o.TempDir == "" {
		o.TempDir = t.TempDir()
	}
	s, err := store.OpenS3(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The suite on a real server.
func TestS3(t *testing.T) {
	for name, c := range map[string]struct {
		tls     bool
		options store.S3Options
	}{
		"http":                  {false, store.S3Options{}},
		"https":                 {true, store.S3Options{Prefix: "/a/prefix/"}},
		"md5":                   {true, store.S3Options{Checksum: store.ChecksumMD5}},
		"crc64nvme":             {true, store.S3Options{Checksum: store.ChecksumCRC64NVME}},
		"no checksum":           {false, store.S3Options{Checksum: store.ChecksumNone}},
		"multipart":             {true, store.S3Options{MultipartThreshold: 1, PartSize: 5 << 20}},
		"multipart md5":         {false, store.S3Options{MultipartThreshold: 1, PartSize: 5 << 20, Checksum: store.ChecksumMD5}},
		"no conditional writes": {false, store.S3Options{NoConditionalWrites: true}},
	} {
		t.Run(name, func(t *testing.T) {
			server := s3test.Start(t, c.tls)
			server.Setenv(t)
			storetest.Run(t, func(t *testing.T) storetest.Opener {
				o := c.options
				o.Bucket, o.Endpoint, o.TempDir = server.NewBucket(t, t.Name()), server.Endpoint, t.TempDir()
				t.Cleanup(func() { wantNoUploads(t, filepath.Join(server.Dir, o.Bucket)) })
				return func(t *testing.T, _ storetest.Owner) storetest.Store {
					return openUnclosedS3(t, o)
				}
			})
		})
	}
}

// wantNoUploads checks that no multipart upload was left. The server keeps them in a
// folder of the bucket.
func wantNoUploads(t *testing.T, bucket string) {
	t.Helper()
	for _, name := range files(t, bucket) {
		if strings.HasPrefix(name, ".") {
			t.Errorf("%s was left on the server", name)
		}
	}
}

// What the server has on its disk.
func TestS3Bytes(t *testing.T) {
	server := s3test.Start(t, true)
	server.Setenv(t)
	s := openS3(t, store.S3Options{
		Bucket: server.Bucket, Endpoint: server.Endpoint, Prefix: "p", RootCAs: server.CAs,
		MultipartThreshold: 6 << 20, PartSize: 5 << 20,
	})
	for name, size := range map[string]int{"one.mp3": 3 << 20, "parts.mp3": 11<<20 + 1} {
		body := storetest.Body(1, size)
		stored := put(t, s, storetest.Object("rec-"+name, body, "day/"+name))
		if stored.ETag == "" || strings.Contains(stored.ETag, `"`) {
			t.Errorf("the etag is %q", stored.ETag)
		}
		onDisk, err := os.ReadFile(filepath.Join(server.Dir, server.Bucket, "p", "day", name))
		if err != nil || !bytes.Equal(onDisk, body) {
			t.Errorf("the server has %d bytes of %s, %v", len(onDisk), name, err)
		}
		info, err := s.Stat(t.Context(), "day/"+name)
		if err != nil || info.RecordingID != "rec-"+name || info.SHA256 != stored.SHA256 || info.ETag != stored.ETag {
			t.Errorf("stat gives %+v, %v", info, err)
		}
		head, err := s.ContentType(t.Context(), "day/"+name)
		if err != nil || head != "audio/mpeg" {
			t.Errorf("the content type is %q, %v", head, err)
		}
	}
}

// The archive's own objects.
func TestS3SmallObjects(t *testing.T) {
	for _, c := range []struct{ tls, unconditional bool }{{false, false}, {true, false}, {false, true}} {
		t.Run(fmt.Sprintf("tls %t unconditional %t", c.tls, c.unconditional), func(t *testing.T) {
			server := s3test.Start(t, c.tls)
			server.Setenv(t)
			s := openS3(t, store.S3Options{
				Bucket: server.Bucket, Endpoint: server.Endpoint, Prefix: "p", NoConditionalWrites: c.unconditional,
			})
			testSmallObjects(t, s)
		})
	}
}

func testSmallObjects(t *testing.T, s *store.S3) {
	ctx := t.Context()
	write := func(key, text string, overwrite bool) error {
		body := strings.NewReader(text)
		if _, err := body.Seek(0, io.SeekEnd); err != nil { // PutObject must not care
			t.Fatal(err)
		}
		return s.PutObject(ctx, key, body, int64(len(text)), overwrite)
	}
	if _, err := s.Get(ctx, "manifest/archive.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get of a missing object: %v", err)
	}
	for _, key := range []string{"manifest/b/RUN-2.jsonl", "manifest/b/RUN-10.jsonl", "manifest/archive.json", "manifest/a", "calls/x.jsonl"} {
		if err := write(key, "first\n", false); err != nil {
			t.Fatal(err)
		}
	}
	if err := write("manifest/a", "second\n", false); !errors.Is(err, fs.ErrExist) || store.IsRetriable(err) {
		t.Errorf("put of an existing object: %v, want fs.ErrExist", err)
	}
	wantText(t, s, "manifest/a", "first\n")
	if err := write("manifest/a", "third\n", true); err != nil {
		t.Error(err)
	}
	wantText(t, s, "manifest/a", "third\n")
	if err := write("manifest/empty", "", false); err != nil {
		t.Error(err)
	}
	wantText(t, s, "manifest/empty", "")
	if err := write("../a", "x", true); !errors.Is(err, store.ErrBadKey) {
		t.Errorf("put outside: %v", err)
	}
	if _, err := s.Get(ctx, "../a"); !errors.Is(err, store.ErrBadKey) {
		t.Errorf("get outside: %v", err)
	}
	var keys []string
	for key, err := range s.ListKeys(ctx, "manifest/") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	want := []string{"manifest/a", "manifest/archive.json", "manifest/b/RUN-10.jsonl", "manifest/b/RUN-2.jsonl", "manifest/empty"}
	if !slices.Equal(keys, want) {
		t.Errorf("there are %q, want %q", keys, want)
	}
	for info, err := range s.List(ctx, "") {
		t.Errorf("they are listed as recordings: %+v, %v", info, err)
	}
}

func wantText(t *testing.T, s *store.S3, key, want string) {
	t.Helper()
	r, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || string(got) != want {
		t.Errorf("read %q, %v, want %q", got, err, want)
	}
}

func TestS3ListsManyPages(t *testing.T) {
	server := s3test.Start(t, false)
	server.Setenv(t)
	s := openS3(t, store.S3Options{Bucket: server.Bucket, Endpoint: server.Endpoint})
	const many = 1003 // a page has 1,000
	var want []string
	for i := range many {
		key := fmt.Sprintf("d/%05d", i)
		want = append(want, key)
		path := filepath.Join(server.Dir, server.Bucket, filepath.FromSlash(key))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for key, err := range s.ListKeys(t.Context(), "d/") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %d keys, want %d", len(got), many)
	}
}

func TestS3ProvesConditionalWrites(t *testing.T) {
	server := s3test.Start(t, false)
	server.Setenv(t)
	s := openS3(t, store.S3Options{Bucket: server.Bucket, Endpoint: server.Endpoint})
	for range 2 { // the second run finds the probe of the first
		if err := s.ProveConditionalWrites(t.Context()); err != nil {
			t.Error(err)
		}
	}
	wantFiles(t, filepath.Join(server.Dir, server.Bucket), store.ProbeKey)
	wrong := openS3(t, store.S3Options{Bucket: "no-such-bucket", Endpoint: server.Endpoint})
	if err := wrong.ProveConditionalWrites(t.Context()); !errors.Is(err, store.ErrUnusable) || !strings.Contains(err.Error(), "NoSuchBucket") {
		t.Errorf("a bucket that is not there: %v", err)
	}
}

func TestS3WrongCredentials(t *testing.T) {
	server := s3test.Start(t, false)
	server.Setenv(t)
	for name, want := range map[string]string{"AWS_SECRET_ACCESS_KEY": "SignatureDoesNotMatch", "AWS_ACCESS_KEY_ID": "AWS_ACCESS_KEY_ID"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "another")
			s := openS3(t, store.S3Options{Bucket: server.Bucket, Endpoint: server.Endpoint})
			_, err := s.Put(t.Context(), storetest.Object("rec", storetest.Body(1, 10), "CANARY.mp3"))
			if !errors.Is(err, store.ErrUnusable) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("put: %v, want %s", err, want)
			}
		})
	}
}

func TestS3UnknownAuthority(t *testing.T) {
	server := s3test.Start(t, true)
	server.Setenv(t)
	t.Setenv("AWS_CA_BUNDLE", "")
	s := openS3(t, store.S3Options{Bucket: server.Bucket, Endpoint: server.Endpoint})
	_, err := s.Put(t.Context(), storetest.Object("rec", storetest.Body(1, 10), "CANARY.mp3"))
	if !errors.Is(err, store.ErrUnusable) || !strings.Contains(err.Error(), "AWS_CA_BUNDLE") || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("put: %v", err)
	}
}

func TestOpenS3Refuses(t *testing.T) {
	(&s3test.Server{}).Setenv(t)
	for name, c := range map[string]struct {
		spoil func(*store.S3Options)
		want  string
	}{
		"no bucket":       {func(o *store.S3Options) { o.Bucket = "" }, "no bucket"},
		"no folder":       {func(o *store.S3Options) { o.TempDir = "" }, "no folder"},
		"bad prefix":      {func(o *store.S3Options) { o.Prefix = "a/../b" }, "prefix"},
		"bad checksum":    {func(o *store.S3Options) { o.Checksum = "sha1" }, "sha1"},
		"bad encryption":  {func(o *store.S3Options) { o.SSE = "rot13" }, "rot13"},
		"key without kms": {func(o *store.S3Options) { o.SSE, o.KMSKeyID = "AES256", "key" }, "aws:kms"},
	} {
		o := store.S3Options{Bucket: "b", TempDir: t.TempDir(), Endpoint: "http://127.0.0.1:1"}
		c.spoil(&o)
		if _, err := store.OpenS3(t.Context(), o); err == nil || errors.Is(err, store.ErrUnusable) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := store.S3Options{Bucket: "b", TempDir: filepath.Join(t.TempDir(), "new")}
	t.Run("no region", func(t *testing.T) {
		t.Setenv("AWS_REGION", "")
		if _, err := store.OpenS3(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--s3-region") {
			t.Error(err)
		}
	})
	t.Run("no credentials", func(t *testing.T) {
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		if _, err := store.OpenS3(t.Context(), o); !errors.Is(err, store.ErrUnusable) || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
			t.Error(err)
		}
	})
	t.Run("folder is a file", func(t *testing.T) {
		o := o
		o.TempDir = filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(o.TempDir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.OpenS3(t.Context(), o); err == nil || !strings.Contains(err.Error(), o.TempDir) {
			t.Error(err)
		}
	})
}

// A part of a run that is killed must not stay.
func TestS3PartHasNoName(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows may keep the name of an open file")
	}
	(&s3test.Server{}).Setenv(t)
	dir := t.TempDir()
	s := openS3(t, store.S3Options{Bucket: "b", TempDir: dir, Endpoint: "http://127.0.0.1:1"})
	part, err := s.NewPart()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := part.Write([]byte("x")); n != 1 || err != nil {
		t.Error(n, err)
	}
	wantFiles(t, dir)
	part.Discard()
	if _, err := part.Write([]byte("x")); err == nil || strings.Contains(err.Error(), dir) {
		t.Errorf("write after discard: %v", err)
	}
}

func TestS3Cancelled(t *testing.T) {
	server := s3test.Start(t, false)
	server.Setenv(t)
	s := openS3(t, store.S3Options{Bucket: server.Bucket, Endpoint: server.Endpoint, MultipartThreshold: 1 << 20, PartSize: 5 << 20})
	ctx, cancel := context.WithCancel(t.Context())
	body := storetest.Body(1, 16<<20)
	object := storetest.Object("rec", body, "x.mp3")
	object.Body = &cancelling{Reader: bytes.NewReader(body), at: 12 << 20, cancel: cancel}
	if _, err := s.Put(ctx, object); !errors.Is(err, context.Canceled) || store.IsRetriable(err) {
		t.Errorf("put: %v", err)
	}
	wantFiles(t, filepath.Join(server.Dir, server.Bucket))
}

// cancelling cancels a context when it is read beyond an offset.
type cancelling struct {
	*bytes.Reader
	at     int64
	cancel context.CancelFunc
}

func (c *cancelling) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= c.at {
		c.cancel()
	}
	return c.Reader.ReadAt(p, offset)
}
