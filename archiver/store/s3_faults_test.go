package store_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"convoso-archiver/archiver/store"
	"convoso-archiver/archiver/store/storetest"
	"convoso-archiver/internal/s3test"
)

// faulty opens a store on a server with scripted answers, and records the methods of its requests.
func faulty(t *testing.T, o store.S3Options, handle http.HandlerFunc) (*store.S3, *requests) {
	t.Helper()
	seen := &requests{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.add(r)
		w.Header().Set("Etag", `"e"`) // which every S3 server sends
		handle(w, r)
	}))
	t.Cleanup(server.Close)
	(&s3test.Server{}).Setenv(t)
	o.Bucket, o.Endpoint = "bucket", server.URL
	return openS3(t, o), seen
}

type requests struct {
	mu    sync.Mutex
	lines []string
}

func (s *requests) add(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, r.Method)
}

func (s *requests) want(t *testing.T, want ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.lines, want) {
		t.Errorf("the server saw %q, want %q", s.lines, want)
	}
	s.lines = nil
}

// refuse answers like S3, with the address in the message.
func refuse(w http.ResponseWriter, r *http.Request, status int, code string) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("X-Amz-Request-Id", "REQ123")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>trouble with %s</Message><Key>%s</Key></Error>", code, r.URL, r.URL.Path)
}

// keep remembers the headers of a stored object, and answers HEAD with it.
type keep struct{ header http.Header }

func (k *keep) put(r *http.Request) {
	n, _ := io.Copy(io.Discard, r.Body)
	k.header = http.Header{"Etag": {`"e"`}, "Content-Length": {fmt.Sprint(n)}}
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Amz-Meta-") {
			k.header[name] = values
		}
	}
}

func (k *keep) head(w http.ResponseWriter) {
	if k.header == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	for name, values := range k.header {
		w.Header()[name] = values
	}
}

func hangUp(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func object() store.Object {
	return storetest.Object("rec-1", storetest.Body(1, 1000), "CANARY.mp3")
}

func TestS3SlowDown(t *testing.T) {
	refusals := 1
	s, seen := faulty(t, store.S3Options{}, func(w http.ResponseWriter, r *http.Request) {
		if refusals--; refusals >= 0 {
			refuse(w, r, http.StatusServiceUnavailable, "SlowDown")
		}
	})
	_, err := s.Put(t.Context(), object())
	if !store.IsRetriable(err) || !strings.Contains(err.Error(), "SlowDown (status 503, request id REQ123)") {
		t.Errorf("put: %v", err)
	}
	seen.want(t, "PUT") // only the caller retries
	put(t, s, object())
	seen.want(t, "PUT")

	refusals = 1
	if err := s.PutFile(t.Context(), "manifest/x", []byte("x"), ""); err != nil {
		t.Error(err)
	}
	seen.want(t, "PUT", "PUT")
}

// The object was stored, but the reply was lost.
func TestS3LostReply(t *testing.T) {
	var mu sync.Mutex // the handler of a lost reply may still run when the call is over
	var kept keep
	lose := map[string]int{}
	s, seen := faulty(t, store.S3Options{}, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		exists := kept.header != nil
		if r.Method == http.MethodPut && !exists {
			kept.put(r)
		}
		switch {
		case lose[r.Method] > 0:
			lose[r.Method]--
			hangUp(w)
		case r.Method == http.MethodHead:
			kept.head(w)
		case exists:
			refuse(w, r, http.StatusPreconditionFailed, "PreconditionFailed")
		}
	})
	set := func(puts, heads int) {
		mu.Lock()
		defer mu.Unlock()
		lose["PUT"], lose["HEAD"] = puts, heads
	}
	set(1, 0)
	wantOurs(t, s)
	seen.want(t, "PUT", "HEAD")

	mu.Lock()
	kept.header = nil
	mu.Unlock()
	set(1, 9)
	_, err := s.Put(t.Context(), object())
	if !store.IsRetriable(err) || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("put: %v", err)
	}
	set(0, 0)
	wantOurs(t, s)
}

// wantOurs stores an existing object again.
func wantOurs(t *testing.T, s *store.S3) {
	t.Helper()
	_, err := s.Put(t.Context(), object())
	taken, ok := errors.AsType[*store.TakenError](err)
	if !ok || !taken.Same || !taken.Info.IsOf("rec-1") || taken.Info.Size != 1000 || taken.Info.ETag != "e" {
		t.Errorf("put: %v, %+v", err, taken)
	}
}

// The transport may still read a body after the server has answered. With the race detector this
// fails if anything reads the memory after Put.
func TestS3EarlyAnswer(t *testing.T) {
	s, _ := faulty(t, store.S3Options{}, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusServiceUnavailable)
		} else {
			w.WriteHeader(http.StatusNotFound)
		}
	})
	body := storetest.Body(1, 3<<19) // below the size for Expect: 100-continue
	for i := range 20 {
		if _, err := s.Put(t.Context(), storetest.Object("rec", body, "x.mp3")); !store.IsRetriable(err) {
			t.Errorf("put: %v", err)
		}
		for j := range body {
			body[j] = byte(i)
		}
	}
}

func TestS3Errors(t *testing.T) {
	for _, c := range []struct {
		status              int
		code                string
		unusable, retriable bool
		want                string
	}{
		{403, "AccessDenied", true, false, "s3:PutObject"},
		{404, "NoSuchBucket", true, false, "--dest"},
		{403, "InvalidAccessKeyId", true, false, "AWS_ACCESS_KEY_ID"},
		{403, "SignatureDoesNotMatch", true, false, "AWS_ACCESS_KEY_ID"},
		{400, "ExpiredToken", true, false, "renew"},
		{301, "PermanentRedirect", true, false, "--s3-region"},
		{400, "AuthorizationHeaderMalformed", true, false, "--s3-region"},
		{403, "RequestTimeTooSkewed", true, true, "clock"},
		{507, "XMinioStorageFull", true, false, "no room"},
		{400, "InvalidStorageClass", true, false, "--s3-storage-class"},
		{400, "KMS.NotFoundException", true, false, "--s3-kms-key-id"},
		{501, "NotImplemented", true, false, "--s3-no-conditional-writes"},
		{501, "NotImplemented", true, false, "--s3-checksum"},
		{400, "InvalidRequest", false, false, "--s3-checksum"},
		{409, "OperationAborted", false, true, ""},
		{400, "RequestTimeout", false, true, ""},
		{400, "BadDigest", false, true, ""},
		{400, "XAmzContentSHA256Mismatch", false, true, ""},
		{429, "TooManyRequests", false, true, ""},
		{500, "InternalError", false, true, ""},
		{503, "SlowDown", false, true, ""},
		{503, "UnheardOf", false, true, ""},
		{400, "KeyTooLongError", false, false, ""},
		{418, "/bucket/CANARY.mp3", false, false, "(status 418, request id REQ123)"},
	} {
		s, seen := faulty(t, store.S3Options{}, func(w http.ResponseWriter, r *http.Request) { refuse(w, r, c.status, c.code) })
		_, err := s.Put(t.Context(), object())
		if errors.Is(err, store.ErrUnusable) != c.unusable || store.IsRetriable(err) != c.retriable {
			t.Errorf("%s: %v is unusable %t, retriable %t", c.code, err, errors.Is(err, store.ErrUnusable), store.IsRetriable(err))
		}
		if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "trouble with") || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v does not say %q, or says too much", c.code, err, c.want)
		}
		seen.want(t, "PUT")
	}
}

// No failure puts the key into the error.
func TestS3ErrorsHoldNoKey(t *testing.T) {
	for name, handle := range map[string]http.HandlerFunc{
		"error page": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprintf(w, "<html><body>cannot reach %s</body></html>", r.URL)
		},
		"code": func(w http.ResponseWriter, r *http.Request) { refuse(w, r, http.StatusBadRequest, "No"+r.URL.Path) },
		"request id": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Amz-Request-Id", r.URL.Path)
			w.WriteHeader(http.StatusForbidden)
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1"+r.URL.Path, http.StatusTemporaryRedirect)
		},
		"moved": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other"+r.URL.Path, http.StatusMovedPermanently)
		},
		"hang up": func(w http.ResponseWriter, _ *http.Request) { hangUp(w) },
		"nonsense": func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				fmt.Fprintf(conn, "CANARY %s\r\n\r\n", r.URL.Path)
				_ = conn.Close()
			}
		},
		"broken xml": func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "<%s", r.URL.Path) },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := faulty(t, store.S3Options{}, handle)
			wantNoCanary(t, s)
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		(&s3test.Server{}).Setenv(t)
		s := openS3(t, store.S3Options{Bucket: "b", Endpoint: "http://127.0.0.1:1"})
		wantNoCanary(t, s)
		if _, err := s.Put(t.Context(), object()); !store.IsRetriable(err) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("put: %v", err)
		}
	})
}

// wantNoCanary makes every call with a key that must not show.
func wantNoCanary(t *testing.T, s *store.S3) {
	t.Helper()
	const key = "dir/CANARY +15550001111.mp3"
	calls := map[string]func(context.Context) error{
		"put": func(ctx context.Context) error {
			_, err := s.Put(ctx, storetest.Object("rec", storetest.Body(1, 10), key))
			return err
		},
		"get file": func(ctx context.Context) error {
			_, _, err := s.GetFile(ctx, key)
			return err
		},
		"list files": func(ctx context.Context) error {
			for _, err := range s.ListFiles(ctx, key) {
				return err
			}
			return nil
		},
		"stat": func(ctx context.Context) error {
			_, err := s.Stat(ctx, key)
			return err
		},
		"open": func(ctx context.Context) error {
			r, err := s.Open(ctx, key)
			if err != nil {
				return err
			}
			_, err = io.ReadAll(r)
			return errors.Join(err, r.Close())
		},
		"list": func(ctx context.Context) error {
			for _, err := range s.List(ctx, key) {
				return err
			}
			return nil
		},
		"put file": func(ctx context.Context) error {
			return s.PutFile(ctx, key, []byte("x"), "")
		},
	}
	for name, call := range calls {
		for _, ctx := range []context.Context{t.Context(), ended(t)} {
			err := call(ctx)
			if err == nil {
				continue
			}
			text := fmt.Sprintf("%v %+v %q", err, err, err)
			if strings.Contains(text, "CANARY") || strings.Contains(text, "5550001111") {
				t.Errorf("%s: the error holds the key: %v", name, err)
			}
		}
	}
}

func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestS3Encryption(t *testing.T) {
	for name, c := range map[string]struct {
		echo string
		ok   bool
	}{"echoed": {"aws:kms", true}, "ignored": {"", false}, "another": {"AES256", false}} {
		t.Run(name, func(t *testing.T) {
			var kept keep
			s, _ := faulty(t, store.S3Options{KMSKeyID: "key-1"}, func(w http.ResponseWriter, r *http.Request) {
				if c.echo != "" {
					w.Header().Set("X-Amz-Server-Side-Encryption", c.echo)
				}
				switch {
				case r.Method == http.MethodHead:
					kept.head(w)
				case kept.header != nil:
					refuse(w, r, http.StatusPreconditionFailed, "PreconditionFailed")
				default:
					if r.Header.Get("X-Amz-Server-Side-Encryption") != "aws:kms" ||
						r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") != "key-1" {
						t.Error("no encryption was asked for")
					}
					kept.put(r)
				}
			})
			for i := range 2 { // the second one finds the object of the first
				_, err := s.Put(t.Context(), object())
				if _, taken := errors.AsType[*store.TakenError](err); taken && i == 1 {
					err = nil
				}
				if c.ok != (err == nil) || err != nil && !errors.Is(err, store.ErrUnusable) {
					t.Errorf("put: %v", err)
				}
				if c.echo == "AES256" {
					return // encrypted by the bucket: it may be adopted
				}
			}
		})
	}
}

func TestS3ConditionsIgnored(t *testing.T) {
	s, seen := faulty(t, store.S3Options{}, func(http.ResponseWriter, *http.Request) {})
	err := s.ProveConditionalWrites(t.Context())
	if !errors.Is(err, store.ErrUnusable) || !strings.Contains(err.Error(), "--s3-no-conditional-writes") {
		t.Errorf("prove: %v", err)
	}
	seen.want(t, "PUT", "PUT", "PUT", "PUT", "GET") // doctor may have removed the earlier objects; then GET for versions, which may be the cause

	s, seen = faulty(t, store.S3Options{NoConditionalWrites: true}, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" {
			t.Error("a condition was sent")
		}
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusNotFound)
		}
	})
	if err := s.ProveConditionalWrites(t.Context()); err != nil {
		t.Error(err)
	}
	seen.want(t)
	put(t, s, object())
	if err := s.PutFile(t.Context(), "manifest/x", []byte("x"), ""); err != nil {
		t.Error(err)
	}
	seen.want(t, "HEAD", "PUT", "HEAD", "PUT")

	s, seen = faulty(t, store.S3Options{}, func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, http.StatusConflict, "ConditionalRequestConflict")
	})
	if err := s.ProveConditionalWrites(t.Context()); err != nil {
		t.Error(err)
	}
	seen.want(t, "PUT")
}

// Two concurrent writers: the other one's object is visible, or will be in a moment.
func TestS3Conflict(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
	}{{http.StatusConflict, "ConditionalRequestConflict"}, {http.StatusPreconditionFailed, "PreconditionFailed"}} {
		var kept keep
		s, seen := faulty(t, store.S3Options{}, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				kept.head(w)
			} else {
				refuse(w, r, c.status, c.code)
			}
		})
		if _, err := s.Put(t.Context(), object()); !store.IsRetriable(err) {
			t.Errorf("%s: %v", c.code, err)
		}
		seen.want(t, "PUT", "HEAD")
		kept.header = http.Header{"Content-Length": {"999"}, "Etag": {`"e"`}, "X-Amz-Meta-Recording-Id": {"rec-2"}}
		_, err := s.Put(t.Context(), object())
		taken, ok := errors.AsType[*store.TakenError](err)
		if !ok || taken.Same || !taken.Info.IsOf("rec-2") || taken.Info.Key != "CANARY.mp3" {
			t.Errorf("%s: %v, %+v", c.code, err, taken)
		}
		seen.want(t, "PUT", "HEAD")
	}
}

// The requests on the wire.
func TestS3Headers(t *testing.T) {
	o := storetest.Object("rec ü", storetest.Body(1, 3<<20), "day/a b+c%.mp3")
	sum := sha256.Sum256(storetest.Body(1, 3<<20))
	for _, tls := range []bool{false, true} {
		for checksum, want := range map[store.Checksum]map[string]string{
			store.ChecksumAuto:      {"X-Amz-Checksum-Sha256": base64.StdEncoding.EncodeToString(sum[:]), "Content-Md5": ""},
			store.ChecksumCRC64NVME: {"X-Amz-Checksum-Crc64nvme": "?", "X-Amz-Checksum-Sha256": ""},
			store.ChecksumMD5:       {"Content-Md5": "?", "X-Amz-Checksum-Sha256": ""},
			store.ChecksumNone:      {"Content-Md5": "", "X-Amz-Checksum-Sha256": "", "X-Amz-Checksum-Crc64nvme": ""},
		} {
			t.Run(fmt.Sprintf("tls %t %s", tls, checksum), func(t *testing.T) {
				s, sent := capture(t, tls, store.S3Options{Checksum: checksum, StorageClass: "STANDARD_IA", Prefix: "p"})
				put(t, s, o)
				r := sent()
				want["If-None-Match"] = "*"
				want["Content-Type"] = "audio/mpeg"
				want["Content-Encoding"] = ""
				want["X-Amz-Trailer"] = ""
				want["X-Amz-Decoded-Content-Length"] = ""
				want["X-Amz-Storage-Class"] = "STANDARD_IA"
				want["X-Amz-Server-Side-Encryption"] = ""
				want["X-Amz-Meta-Recording-Id"] = "rec%20%C3%BC"
				want["X-Amz-Meta-Call-Id"] = "call-of-rec%20%C3%BC"
				want["X-Amz-Meta-Call-Day"] = "2025-05-01"
				want["X-Amz-Meta-Sha256"] = hex.EncodeToString(sum[:])
				want["X-Amz-Content-Sha256"] = hex.EncodeToString(sum[:])
				wantHeaders(t, r, want)
				if r.ContentLength != 3<<20 || len(r.TransferEncoding) > 0 || r.URL.EscapedPath() != "/bucket/p/day/a%20b%2Bc%25.mp3" {
					t.Errorf("the request is for %s, %d bytes, %v", r.URL.EscapedPath(), r.ContentLength, r.TransferEncoding)
				}

				if err := s.PutFile(t.Context(), "manifest/x.jsonl", []byte("x"), `"tag"`); err != nil {
					t.Fatal(err)
				}
				wantHeaders(t, sent(), map[string]string{
					"If-None-Match": "", "If-Match": "tag", "X-Amz-Storage-Class": "", "Content-Encoding": "",
				})
			})
		}
	}
}

// TestS3ReadsBodyOnce: a body whose SHA-256 is known is read only for sending.
func TestS3ReadsBodyOnce(t *testing.T) {
	for _, tls := range []bool{false, true} {
		s, _ := capture(t, tls, store.S3Options{})
		o := storetest.Object("rec", storetest.Body(1, 3<<20), "a.mp3")
		counted := &countedBody{ReadSeeker: o.Body}
		o.Body = counted
		put(t, s, o)
		if counted.read != 3<<20 {
			t.Errorf("with TLS %t, %d bytes were read of %d", tls, counted.read, 3<<20)
		}
	}
}

type countedBody struct {
	io.ReadSeeker
	read int
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadSeeker.Read(p)
	b.read += n
	return n, err
}

// capture opens a store on a server that keeps the last complete request.
func capture(t *testing.T, tls bool, o store.S3Options) (*store.S3, func() *http.Request) {
	t.Helper()
	var mu sync.Mutex
	var last *http.Request
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"e"`)
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		last = r
	})
	server := httptest.NewUnstartedServer(handler)
	if tls {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	(&s3test.Server{}).Setenv(t)
	o.Bucket, o.Endpoint = "bucket", server.URL
	if tls {
		o.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	}
	return openS3(t, o), func() *http.Request {
		mu.Lock()
		defer mu.Unlock()
		return last
	}
}

// wantHeaders checks headers; "?" stands for any value, "" for none.
func wantHeaders(t *testing.T, r *http.Request, want map[string]string) {
	t.Helper()
	for name, value := range want {
		got := r.Header.Get(name)
		if got != value && (value != "?" || got == "") {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
}
