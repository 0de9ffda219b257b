package store_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"convoso-archiver/archiver/store"
	"convoso-archiver/internal/s3test"
)

// frontOf returns the address of a proxy in front of a server, which calls before with each request: true means that
// it has answered.
func frontOf(t *testing.T, server *s3test.Server, before func(http.ResponseWriter, *http.Request) bool) string {
	t.Helper()
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		signAnew(t, r.Out)
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !before(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// TestTrialBesideAnother: another trial ends during this one and removes the object. The server is not misjudged, and
// nothing is left.
func TestTrialBesideAnother(t *testing.T) {
	server := s3test.Start(t, false)
	server.Setenv(t)
	for name, c := range map[string]struct {
		stands bool
		prove  bool     // as a run
		goes   []string // requests before which the object is removed: method and number, from 1
		left   bool
		says   string
	}{
		"the other's, before it is refused":     {stands: true, goes: []string{"PUT 1"}},
		"this one's, before it is refused":      {goes: []string{"PUT 2"}},
		"both, before they are refused":         {stands: true, goes: []string{"PUT 1", "PUT 2"}},
		"before it is read":                     {goes: []string{"GET 1"}},
		"the other's, before it is read":        {stands: true, goes: []string{"GET 1"}},
		"again and again":                       {goes: []string{"GET 1", "GET 2", "GET 3"}, says: "another doctor removed the object at the same time: run doctor again"},
		"a run's, before it is refused":         {prove: true, goes: []string{"PUT 2"}, left: true},
		"a run's, before it is refused, thrice": {prove: true, goes: []string{"PUT 2", "PUT 3"}, left: true},
	} {
		t.Run(name, func(t *testing.T) {
			o := store.S3Options{Bucket: server.NewBucket(t, t.Name()), Endpoint: server.Endpoint}
			direct := openS3(t, o)
			if c.stands {
				if err := direct.ProveConditionalWrites(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			probe := filepath.Join(server.Dir, o.Bucket, "manifest", "conditional-write-probe")
			n := map[string]int{}
			o.Endpoint = frontOf(t, server, func(_ http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/conditional-write-probe") {
					return false
				}
				n[r.Method]++
				for _, goes := range c.goes {
					if goes == r.Method+" "+string(rune('0'+n[r.Method])) {
						if err := direct.RemoveFile(t.Context(), "manifest/conditional-write-probe"); err != nil {
							t.Error(err)
						}
					}
				}
				return false
			})
			s := openS3(t, o)
			if c.prove {
				if err := s.ProveConditionalWrites(t.Context()); err != nil {
					t.Error(err)
				}
			} else {
				trial, err := s.Try(t.Context())
				if err != nil && (c.says == "" || !strings.Contains(err.Error(), c.says)) || err == nil && c.says != "" {
					t.Errorf("%v, want %q", err, c.says)
				}
				if !trial.Honours || !trial.Others || trial.Stood || trial.Left != nil {
					t.Errorf("%+v", trial)
				}
			}
			if _, err := os.Stat(probe); c.left != (err == nil) {
				t.Errorf("it is left: %v", err)
			}
		})
	}
}

// TestFolderThatGoes: versitygw reports a blocking folder while it removes the empty folder.
func TestFolderThatGoes(t *testing.T) {
	server := s3test.Start(t, false)
	server.Setenv(t)
	var left, asked atomic.Int64
	o := store.S3Options{Bucket: server.NewBucket(t, t.Name()), Endpoint: frontOf(t, server, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		asked.Add(1)
		if left.Add(-1) < 0 {
			return false
		}
		w.WriteHeader(http.StatusConflict)
		_, err := w.Write([]byte(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>ExistingObjectIsDirectory</Code><Message>in the way</Message></Error>`))
		return err == nil
	})}
	s := openS3(t, o)
	body := []byte("a recording")
	object := func(key string) store.Object {
		return store.Object{Key: key, RecordingID: "1", CallID: "2", Size: int64(len(body)), SHA256: sha256.Sum256(body), Body: bytes.NewReader(body)}
	}
	left.Store(2)
	if err := s.PutFile(t.Context(), "manifest/a.jsonl", []byte("{}\n"), ""); err != nil || asked.Load() != 3 {
		t.Errorf("a file: %v after %d requests", err, asked.Load())
	}
	left.Store(2)
	asked.Store(0)
	if _, err := s.Put(t.Context(), object("a/b.wav")); err != nil || asked.Load() != 3 {
		t.Errorf("a recording: %v after %d requests", err, asked.Load())
	}
	// A permanent folder must not cause a long wait.
	asked.Store(0)
	if _, err := s.Put(t.Context(), object("a")); err == nil || store.IsRetriable(err) || errors.Is(err, fs.ErrExist) || asked.Load() != 3 {
		t.Errorf("a recording whose name is a folder: %v after %d requests", err, asked.Load())
	}
}
