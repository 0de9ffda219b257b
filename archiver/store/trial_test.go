package store_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"convoso-archiver/archiver/store"
	"convoso-archiver/internal/s3test"
)

// testTrial: a trial leaves no object and no version, and finds the probe of an earlier run.
func testTrial(t *testing.T, newPlace func(*testing.T) store.S3Options) {
	o := newPlace(t)
	s, conditional := openS3(t, o), !o.NoConditionalWrites
	want := store.Trial{Name: strings.TrimPrefix(strings.Trim(o.Prefix, "/")+"/manifest/conditional-write-probe", "/"), Honours: conditional}
	for range 2 {
		if trial, err := s.Try(t.Context()); err != nil || trial != want {
			t.Errorf("got %+v, %v; want %+v", trial, err, want)
		}
		if n, err := s.Versions(t.Context()); err != nil || n != 0 {
			t.Errorf("%d versions are left, %v", n, err)
		}
	}
	if !conditional {
		return
	}
	t.Run("the probe stands", func(t *testing.T) {
		s := openS3(t, newPlace(t))
		if err := s.ProveConditionalWrites(t.Context()); err != nil {
			t.Fatal(err)
		}
		if trial, err := s.Try(t.Context()); err != nil || !trial.Stood || !trial.Honours || trial.Left != nil {
			t.Errorf("got %+v, %v", trial, err)
		}
		if n, err := s.Versions(t.Context()); err != nil || n != 1 {
			t.Errorf("%d versions stand, %v", n, err)
		}
	})
}

// TestTrialOfServerThatIgnores: a real server behind a proxy that drops the condition. The probe of
// an earlier run stays unchanged.
func TestTrialOfServerThatIgnores(t *testing.T) {
	server := s3test.Start(t, false)
	server.Setenv(t)
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Header.Del("If-None-Match")
		signAnew(t, r.Out)
	}})
	t.Cleanup(front.Close)
	for name, c := range map[string]struct {
		versioned bool
		stands    int // existing probes of an earlier run
	}{"plain": {}, "versioned": {versioned: true}, "plain, with a probe": {stands: 1}, "versioned, with a probe": {versioned: true, stands: 1}} {
		t.Run(name, func(t *testing.T) {
			o := store.S3Options{Bucket: server.NewBucket(t, t.Name()), Endpoint: server.Endpoint}
			if c.versioned {
				keepVersions(t, o)
			}
			if c.stands > 0 {
				if err := openS3(t, o).ProveConditionalWrites(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			o.Endpoint = front.URL
			s := openS3(t, o)
			trial, err := s.Try(t.Context())
			if err != nil || trial.Honours || trial.Left != nil || trial.Stood != (c.stands > 0) {
				t.Errorf("got %+v, %v", trial, err)
			}
			if n, err := s.Versions(t.Context()); err != nil || n != c.stands {
				t.Errorf("%d versions, %v; want %d", n, err, c.stands)
			}
		})
	}
}

// signAnew signs a request again after changes of its headers.
func signAnew(t *testing.T, r *http.Request) {
	for _, name := range []string{"Authorization", "X-Forwarded-For", "Accept-Encoding"} {
		r.Header.Del(name)
	}
	account := aws.Credentials{AccessKeyID: s3test.AccessKey, SecretAccessKey: s3test.SecretKey}
	hash := r.Header.Get("X-Amz-Content-Sha256")
	if err := v4.NewSigner().SignHTTP(r.Context(), account, r, hash, "s3", s3test.Region, time.Now()); err != nil {
		t.Error(err)
	}
}

// TestTryDisk: a test leaves no name behind, and refuses what OpenDisk would refuse.
func TestTryDisk(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink(filepath.Join(dir, "gone"), filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	linked := filepath.Join(dir, "linked")
	if err := errors.Join(os.Mkdir(linked, 0o700), os.Symlink(t.TempDir(), filepath.Join(linked, "campaign"))); err != nil {
		t.Fatal(err)
	}
	spoiled := filepath.Join(dir, "spoiled")
	if err := errors.Join(os.Mkdir(spoiled, 0o700), os.WriteFile(filepath.Join(spoiled, "manifest"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(dir, "whole")
	for _, name := range []string{".tmp", "manifest", "calls"} {
		if err := os.MkdirAll(filepath.Join(whole, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		dir, nearest, says string
		is                 error
	}{
		"there":            {dir: whole, nearest: whole},
		"to be made":       {dir: filepath.Join(dir, "a", "b"), nearest: dir},
		"a file":           {dir: file, nearest: file, says: "is not a folder: choose another --dest"},
		"below a file":     {dir: filepath.Join(file, "a"), nearest: filepath.Join(file, "a"), says: "open folder"},
		"a dead link":      {dir: filepath.Join(dir, "link", "a"), nearest: filepath.Join(dir, "link"), says: "a broken symbolic link"},
		"a linked folder":  {dir: linked, nearest: linked, is: store.ErrLinkedFolder, says: "no links below the destination"},
		"manifest, a file": {dir: spoiled, nearest: spoiled, says: "write to folder"},
		"no name":          {says: "no name given"},
	} {
		t.Run(name, func(t *testing.T) {
			before := namesBelow(t, dir)
			nearest, err := store.TryDisk(c.dir)
			if nearest != c.nearest || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %q, %v", nearest, err)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
			if after := namesBelow(t, dir); after != before {
				t.Errorf("before:\n%safter:\n%s", before, after)
			}
		})
	}
}

func namesBelow(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		b.WriteString(path + " " + entry.Type().String() + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFreeSpace(t *testing.T) {
	free, err := store.FreeSpace(t.TempDir())
	if err != nil || free < 1<<20 || free > 1<<60 {
		t.Errorf("%d bytes, %v", free, err)
	}
	if _, err := store.FreeSpace(filepath.Join(t.TempDir(), "gone")); err == nil {
		t.Error("a folder that is not there has free space")
	}
}

func TestTold(t *testing.T) {
	(&s3test.Server{}).Setenv(t)
	wrong := openS3(t, store.S3Options{Bucket: "b", Endpoint: "http://127.0.0.1:1", Region: "us-east-1"})
	_, err := wrong.Try(t.Context())
	if what, try := store.Told(err); !strings.HasSuffix(what, "connection refused") || try != "" {
		t.Errorf("%q, %q", what, try)
	}
	_, err = store.TryDisk("/dev/null")
	if what, try := store.Told(fmt.Errorf("look: %w", err)); what != "look: open folder /dev/null: /dev/null is not a folder" || try != "choose another --dest" {
		t.Errorf("%q, %q", what, try)
	}
}
