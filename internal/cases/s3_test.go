package cases

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The behaviour of a server for conditional requests.
const (
	honour = iota // honours If-None-Match and If-Match
	ignore        // ignores them
	refuse        // answers 501, like Backblaze B2
)

// s3 is a small S3 server for path-style requests. It checks no signature.
type s3 struct {
	*httptest.Server
	mu          sync.Mutex // guards all below
	conditions  int
	objects     map[string]object // by bucket/key
	overwritten []string          // overwritten keys
}

type object struct {
	body    []byte
	header  http.Header // metadata and type
	changed time.Time
}

func newS3(t testing.TB, conditions int) *s3 {
	s := &s3{conditions: conditions, objects: map[string]object{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (o object) tag() string {
	digest := md5.Sum(o.body)
	return `"` + hex.EncodeToString(digest[:]) + `"`
}

// under returns the objects of the bucket below a prefix, by the rest of their keys.
func (s *s3) under(prefix string) map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := map[string][]byte{}
	for name, o := range s.objects {
		if rest, below := strings.CutPrefix(name, "bucket/"+prefix); below {
			files[rest] = bytes.Clone(o.body)
		}
	}
	return files
}

// put and remove change an object of the bucket without the program: without metadata, like a copy.
func (s *s3) put(key string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects["bucket/"+key] = object{body: bytes.Clone(body), header: http.Header{}, changed: time.Now()}
}

func (s *s3) remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, "bucket/"+key)
}

// change changes the server while it may get requests.
func (s *s3) change(how func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	how()
}

func (s *s3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	_, key, _ := strings.Cut(name, "/")
	switch {
	case r.Method == http.MethodPut:
		s.serveUpload(w, r, name)
	case r.Method == http.MethodDelete:
		s.mu.Lock()
		delete(s.objects, name)
		s.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	case key == "" && r.Method == http.MethodGet:
		s.serveList(w, strings.TrimSuffix(name, "/"), r.URL.Query())
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		s.mu.Lock()
		o, found := s.objects[name]
		s.mu.Unlock()
		if !found {
			refused(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		maps.Copy(w.Header(), o.header)
		w.Header().Set("ETag", o.tag())
		http.ServeContent(w, r, "", o.changed, bytes.NewReader(o.body))
	default:
		refused(w, http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
}

func refused(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>refused</Message></Error>", code)
}

func (s *s3) serveUpload(w http.ResponseWriter, r *http.Request, name string) {
	body, err := io.ReadAll(r.Body)
	if err != nil || strings.Contains(r.Header.Get("Content-Encoding"), "aws-chunked") {
		refused(w, http.StatusBadRequest, "IncompleteBody")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	older, exists := s.objects[name]
	create, replace := r.Header.Get("If-None-Match"), r.Header.Get("If-Match")
	if s.conditions == refuse && create+replace != "" {
		refused(w, http.StatusNotImplemented, "NotImplemented")
		return
	}
	if s.conditions == honour && (create == "*" && exists || replace != "" && replace != older.tag()) {
		refused(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	if exists && !bytes.Equal(older.body, body) {
		s.overwritten = append(s.overwritten, name)
	}
	o := object{body: body, header: http.Header{"Content-Type": r.Header["Content-Type"]}, changed: time.Now()}
	for field, values := range r.Header {
		if strings.HasPrefix(field, "X-Amz-Meta-") {
			o.header[field] = values
		}
	}
	s.objects[name] = o
	w.Header().Set("ETag", o.tag())
}

func (s *s3) serveList(w http.ResponseWriter, bucket string, query url.Values) {
	type contents struct {
		Key, ETag, LastModified, StorageClass string
		Size                                  int
	}
	type commonPrefix struct{ Prefix string }
	var list struct {
		XMLName                             xml.Name `xml:"ListBucketResult"`
		Name, Prefix, NextContinuationToken string
		KeyCount, MaxKeys                   int
		IsTruncated                         bool
		Contents                            []contents
		CommonPrefixes                      []commonPrefix
	}
	list.Name, list.Prefix, list.MaxKeys = bucket, query.Get("prefix"), 1000
	after, delimiter := query.Get("start-after"), query.Get("delimiter")
	if at := query.Get("continuation-token"); at != "" {
		after = at
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last := ""
	for _, name := range slices.Sorted(maps.Keys(s.objects)) {
		key, here := strings.CutPrefix(name, bucket+"/")
		if !here || !strings.HasPrefix(key, list.Prefix) || key <= after {
			continue
		}
		if delimiter != "" {
			if folder, _, deeper := strings.Cut(key[len(list.Prefix):], delimiter); deeper {
				folder = list.Prefix + folder + delimiter
				if folder == last || strings.HasPrefix(after, folder) {
					continue
				}
				if last, key = folder, folder; list.KeyCount < list.MaxKeys {
					list.CommonPrefixes = append(list.CommonPrefixes, commonPrefix{folder})
				}
			}
		}
		if list.KeyCount == list.MaxKeys {
			list.IsTruncated = true
			break
		}
		list.KeyCount++
		list.NextContinuationToken = key
		if o, ok := s.objects[bucket+"/"+key]; ok && key != last {
			list.Contents = append(list.Contents, contents{key, o.tag(), o.changed.UTC().Format("2006-01-02T15:04:05.000Z"), "STANDARD", len(o.body)})
		}
	}
	if !list.IsTruncated {
		list.NextContinuationToken = ""
	}
	w.Header().Set("Content-Type", "application/xml")
	text, err := xml.Marshal(list)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(append([]byte(xml.Header), text...))
}
