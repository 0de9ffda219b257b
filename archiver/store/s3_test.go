package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
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
		tls, versioned bool
		options        store.S3Options
	}{
		"http":                  {options: store.S3Options{}},
		"https":                 {tls: true, options: store.S3Options{Prefix: "/a/prefix/"}},
		"versioned":             {versioned: true},
		"md5":                   {tls: true, options: store.S3Options{Checksum: store.ChecksumMD5}},
		"crc64nvme":             {tls: true, options: store.S3Options{Checksum: store.ChecksumCRC64NVME}},
		"no checksum":           {options: store.S3Options{Checksum: store.ChecksumNone}},
		"no conditional writes": {options: store.S3Options{NoConditionalWrites: true}},
	} {
		t.Run(name, func(t *testing.T) {
			server := s3test.Start(t, c.tls)
			server.Setenv(t)
			testS3(t, func(t *testing.T) store.S3Options {
				o := c.options
				o.Bucket, o.Endpoint = server.NewBucket(t, t.Name()), server.Endpoint
				if c.versioned {
					keepVersions(t, o)
				}
				return o
			}, c.versioned) // versitygw keeps the metadata of removed versions
		})
	}
}

// The suite on the server named in the environment. Whether it needs --s3-path-style depends on
// S3TEST_ENDPOINT being an address or a name.
func TestS3FromEnv(t *testing.T) {
	server := s3test.FromEnv(t)
	if server == nil {
		return // make test-s3 sets it
	}
	server.Setenv(t)
	for _, bucket := range []string{server.Bucket, server.VersionedBucket} {
		t.Run(bucket, func(t *testing.T) {
			o := store.S3Options{Bucket: bucket, Endpoint: server.Endpoint, Checksum: store.Checksum(os.Getenv("S3TEST_CHECKSUM"))}
			if err := openS3(t, o).MakeBucket(t.Context()); err != nil {
				t.Fatal(err)
			}
			if bucket == server.VersionedBucket {
				keepVersions(t, o)
			}
			if err := openS3(t, o).ProveConditionalWrites(t.Context()); err != nil {
				if !errors.Is(err, store.ErrUnusable) || !strings.Contains(err.Error(), "--s3-no-conditional-writes") {
					t.Fatal(err)
				}
				t.Logf("this server does not honour conditions here, so it is used without: %v", err)
				o.NoConditionalWrites = true
			}
			testS3(t, func(*testing.T) store.S3Options {
				o := o
				o.Prefix = rand.Text()
				return o
			}, server.RemembersRemoved && bucket == server.VersionedBucket)
			testManyPages(t, openS3(t, o))
		})
	}
}

func TestS3ManyPages(t *testing.T) {
	server := s3test.Start(t, false)
	server.Setenv(t)
	testManyPages(t, openS3(t, store.S3Options{Bucket: server.Bucket, Endpoint: server.Endpoint}))
}

func keepVersions(t *testing.T, o store.S3Options) {
	t.Helper()
	if err := openS3(t, o).KeepVersions(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// testS3 runs all tests that involve the server, each in a new location.
func testS3(t *testing.T, newPlace func(t *testing.T) store.S3Options, remembersRemoved bool) {
	storetest.Run(t, func(t *testing.T) storetest.Place {
		o := newPlace(t)
		open := func(t *testing.T) storetest.Store { return openUnclosedS3(t, o) }
		return storetest.Place{Open: open, OneRun: o.NoConditionalWrites, RemembersRemoved: remembersRemoved}
	})
	t.Run("files", func(t *testing.T) { testFiles(t, openS3(t, newPlace(t))) })
	t.Run("replaced files", func(t *testing.T) { testReplace(t, openS3(t, newPlace(t))) })
	t.Run("file races", func(t *testing.T) { testFileRace(t, openS3(t, newPlace(t))) })
	t.Run("foreign", func(t *testing.T) { testForeign(t, openS3(t, newPlace(t))) })
	t.Run("trial", func(t *testing.T) { testTrial(t, newPlace) })
	t.Run("versions removed", func(t *testing.T) { testVersionsRemoved(t, openS3(t, newPlace(t))) })
	t.Run("proof", func(t *testing.T) {
		s := openS3(t, newPlace(t))
		for range 2 { // the second run finds the probe of the first
			if err := s.ProveConditionalWrites(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// The server's files on disk.
func TestS3Bytes(t *testing.T) {
	server := s3test.Start(t, true)
	server.Setenv(t)
	s := openS3(t, store.S3Options{Bucket: server.Bucket, Endpoint: server.Endpoint, Prefix: "p", RootCAs: server.CAs})
	body := storetest.Body(1, 3<<20)
	info := put(t, s, storetest.Object("rec-1", body, "day/one.mp3"))
	if info.ETag == "" || strings.Contains(info.ETag, `"`) {
		t.Errorf("the etag is %q", info.ETag)
	}
	onDisk, err := os.ReadFile(filepath.Join(server.Dir, server.Bucket, "p", "day", "one.mp3"))
	if err != nil || !bytes.Equal(onDisk, body) {
		t.Errorf("the server has %d bytes, %v", len(onDisk), err)
	}
	found, err := s.Stat(t.Context(), "day/one.mp3")
	if err != nil || found.RecordingID != "rec-1" || found.CallID != "call-of-rec-1" || found.CallDay != "2025-05-01" ||
		found.SHA256 != info.SHA256 || found.ETag != info.ETag {
		t.Errorf("stat gives %+v, %v", found, err)
	}
	head, err := s.ContentType(t.Context(), "day/one.mp3")
	if err != nil || head != "audio/mpeg" {
		t.Errorf("the content type is %q, %v", head, err)
	}
}

// The archive's own files.
func testFiles(t *testing.T, s *store.S3) {
	ctx := t.Context()
	if _, _, err := s.GetFile(ctx, "manifest/archive.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get of a missing file: %v", err)
	}
	for _, name := range []string{"manifest/b/RUN-2.jsonl", "manifest/b/RUN-10.jsonl", "manifest/archive.json", "manifest/a", "calls/x.jsonl"} {
		if err := s.PutFile(ctx, name, []byte("first\n"), ""); err != nil {
			t.Fatal(err)
		}
	}
	wantExist := func(err error) {
		t.Helper()
		if !errors.Is(err, fs.ErrExist) || store.IsRetriable(err) || errors.Is(err, store.ErrUnusable) {
			t.Errorf("put: %v, want fs.ErrExist", err)
		}
	}
	wantExist(s.PutFile(ctx, "manifest/a", []byte("second\n"), ""))
	first := wantText(t, s, "manifest/a", "first\n")
	if err := s.PutFile(ctx, "manifest/a", []byte("third\n"), first); err != nil {
		t.Error(err)
	}
	wantExist(s.PutFile(ctx, "manifest/a", []byte("fourth\n"), first))
	wantExist(s.PutFile(ctx, "manifest/missing", []byte("fourth\n"), first))
	wantText(t, s, "manifest/a", "third\n")
	if err := s.PutFile(ctx, "manifest/empty", nil, ""); err != nil {
		t.Error(err)
	}
	wantText(t, s, "manifest/empty", "")
	if err := s.PutFile(ctx, "../a", []byte("x"), ""); !errors.Is(err, store.ErrBadKey) {
		t.Errorf("put outside: %v", err)
	}
	if _, _, err := s.GetFile(ctx, "../a"); !errors.Is(err, store.ErrBadKey) {
		t.Errorf("get outside: %v", err)
	}
	var names []string
	for info, err := range s.ListFiles(ctx, "manifest/") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name())
		want := int64(6)
		if info.Name() == "manifest/empty" {
			want = 0
		}
		if info.Size() != want || info.ModTime().IsZero() || !info.Mode().IsRegular() || info.IsDir() || info.Sys() != nil {
			t.Errorf("%s has size %d, time %v, mode %v", info.Name(), info.Size(), info.ModTime(), info.Mode())
		}
	}
	want := []string{"manifest/a", "manifest/archive.json", "manifest/b/RUN-10.jsonl", "manifest/b/RUN-2.jsonl", "manifest/empty"}
	if !slices.Equal(names, want) {
		t.Errorf("there are %q, want %q", names, want)
	}
	for info, err := range s.List(ctx, "") {
		t.Errorf("they are listed as recordings: %+v, %v", info, err)
	}
}

func wantText(t *testing.T, s *store.S3, name, want string) (tag string) {
	t.Helper()
	r, tag, err := s.GetFile(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || string(got) != want || tag == "" {
		t.Errorf("read %q with tag %q, %v, want %q", got, tag, err, want)
	}
	return tag
}

// testFileRace lets several writers replace one file: exactly one succeeds.
func testFileRace(t *testing.T, s *store.S3) {
	if err := s.PutFile(t.Context(), "manifest/x", []byte("0"), ""); err != nil {
		t.Fatal(err)
	}
	tag := wantText(t, s, "manifest/x", "0")
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		wg.Go(func() {
			for range 50 {
				errs[i] = s.PutFile(t.Context(), "manifest/x", fmt.Append(nil, i+1), tag)
				if !store.IsRetriable(errs[i]) {
					return
				}
			}
		})
	}
	wg.Wait()
	winner := slices.Index(errs, nil)
	if winner < 0 {
		t.Fatal(errs)
	}
	wantText(t, s, "manifest/x", fmt.Sprint(winner+1))
	for i, err := range errs {
		if i != winner && !errors.Is(err, fs.ErrExist) {
			t.Errorf("writer %d: %v, want fs.ErrExist", i, err)
		}
	}
}

// testForeign stores recordings that other tools have already copied, without metadata.
func testForeign(t *testing.T, s *store.S3) {
	body, other := storetest.Body(1, 1000), storetest.Body(2, 1000)
	for key, content := range map[string][]byte{"same.mp3": body, "other.mp3": other, "short.mp3": other[1:], "folder/": nil} {
		if err := s.PutForeign(t.Context(), key, content); err != nil {
			t.Fatal(err)
		}
	}
	for key, same := range map[string]bool{"same.mp3": true, "other.mp3": false, "short.mp3": false} {
		_, err := s.Put(t.Context(), storetest.Object("rec", body, key))
		taken, ok := errors.AsType[*store.TakenError](err)
		if !ok || taken.Same != same || taken.Info.RecordingID != "" || taken.Info.IsOf("") || taken.Info.IsOf("rec") {
			t.Errorf("put of %s: %v, %+v", key, err, taken)
		}
	}
	count := 0
	for info, err := range s.List(t.Context(), "") {
		if count++; err != nil || strings.HasSuffix(info.Key, "/") {
			t.Errorf("listed %+v, %v", info, err)
		}
	}
	if count != 3 {
		t.Errorf("%d objects are listed, want 3", count)
	}
}

func testManyPages(t *testing.T, s *store.S3) {
	t.Helper()
	const many = 1003 // a page has 1,000
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < many; i += 8 {
				if err := s.PutForeign(t.Context(), fmt.Sprintf("many/%05d", i), []byte("x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	next := 0
	for info, err := range s.ListFiles(t.Context(), "many/") {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("many/%05d", next); info.Name() != want {
			t.Fatalf("listed %s, want %s", info.Name(), want)
		}
		next++
	}
	if next != many {
		t.Errorf("listed %d files, want %d", next, many)
	}
}

func TestS3ProvesConditionalWrites(t *testing.T) {
	server := s3test.Start(t, false)
	server.Setenv(t)
	s := openS3(t, store.S3Options{Bucket: server.Bucket, Endpoint: server.Endpoint})
	if err := s.ProveConditionalWrites(t.Context()); err != nil {
		t.Error(err)
	}
	wantFiles(t, filepath.Join(server.Dir, server.Bucket), "manifest/conditional-write-probe")
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

// A part of a killed run must not stay.
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

// Commands that only read need no folder for parts.
func TestS3WithoutTempDir(t *testing.T) {
	(&s3test.Server{}).Setenv(t)
	s, err := store.OpenS3(t.Context(), store.S3Options{Bucket: "b", Endpoint: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if part, err := s.NewPart(); err == nil {
		t.Errorf("made the part %v", part)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestS3Cancelled(t *testing.T) {
	server := s3test.Start(t, false)
	server.Setenv(t)
	s := openS3(t, store.S3Options{Bucket: server.Bucket, Endpoint: server.Endpoint})
	ctx, cancel := context.WithCancel(t.Context())
	body := storetest.Body(1, 16<<20)
	object := storetest.Object("rec", body, "x.mp3")
	object.Body = &cancelling{ReadSeeker: bytes.NewReader(body), after: 12 << 20, cancel: cancel}
	if _, err := s.Put(ctx, object); !errors.Is(err, context.Canceled) || store.IsRetriable(err) {
		t.Errorf("put: %v", err)
	}
	for info, err := range s.List(t.Context(), "") {
		t.Errorf("listed %+v, %v", info, err)
	}
}

// cancelling cancels a context after a number of bytes read.
type cancelling struct {
	io.ReadSeeker
	after  int
	cancel context.CancelFunc
}

func (c *cancelling) Read(p []byte) (int, error) {
	n, err := c.ReadSeeker.Read(p)
	if c.after -= n; c.after < 0 {
		c.cancel()
	}
	return n, err
}

// A body too large for one S3 request is refused before it is sent.
func TestS3TooLarge(t *testing.T) {
	(&s3test.Server{}).Setenv(t)
	s := openS3(t, store.S3Options{Bucket: "b", Endpoint: "http://127.0.0.1:1"})
	object := storetest.Object("rec", []byte("x"), "CANARY.mp3")
	object.Size = 5<<30 + 1
	object.Body = io.NewSectionReader(strings.NewReader(""), 0, object.Size)
	if _, err := s.Put(t.Context(), object); err == nil || store.IsRetriable(err) || !strings.Contains(err.Error(), "5 GiB") {
		t.Errorf("put: %v", err)
	}
}
