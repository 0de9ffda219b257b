package store_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"convoso-archiver/archiver/store"
)

// TestS3PageInPlaceOfAnAnswer: a proxy whose server is down may answer 200 with a page. That is not an empty
// list, an object or a confirmation, and the request is retried.
func TestS3PageInPlaceOfAnAnswer(t *testing.T) {
	for _, page := range []string{"", "<html><body>Down for maintenance</body></html>"} {
		s, _ := faulty(t, store.S3Options{}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Del("Etag")
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, page)
		})
		for name, call := range map[string]func(context.Context) error{
			"list":        func(ctx context.Context) error { return firstError(s.List(ctx, "")) },
			"list files":  func(ctx context.Context) error { return firstError(s.ListFiles(ctx, "evidence/")) },
			"names":       func(ctx context.Context) error { return firstError(s.Names(ctx, "")) },
			"locks":       func(ctx context.Context) error { _, err := s.Locks(ctx, "a.mp3"); return err },
			"lock":        func(ctx context.Context) error { _, _, err := s.LockOf(ctx, "a.mp3"); return err },
			"remove":      func(ctx context.Context) error { return s.Remove(ctx, "a.mp3") },
			"stat":        func(ctx context.Context) error { _, err := s.Stat(ctx, "a.mp3"); return err },
			"open":        func(ctx context.Context) error { _, err := s.Open(ctx, "a.mp3"); return err },
			"get file":    func(ctx context.Context) error { _, _, err := s.GetFile(ctx, "manifest/x"); return err },
			"put":         func(ctx context.Context) error { _, err := s.Put(ctx, object()); return err },
			"remove file": func(ctx context.Context) error { return s.RemoveFile(ctx, "calls.csv") },
			"put file":    func(ctx context.Context) error { return s.PutFile(ctx, "manifest/x", []byte("x"), "") },
		} {
			if err := call(t.Context()); !store.IsRetriable(err) {
				t.Errorf("%s, answered with %q: %v", name, page, err)
			}
		}
	}
}

// TestS3PageInPlaceOfARemoval: nothing was removed, and an erasure must not say so.
func TestS3PageInPlaceOfARemoval(t *testing.T) {
	deleted := 0
	s, _ := faulty(t, store.S3Options{}, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			deleted++
			if _, _ = io.WriteString(w, "<html><body>Down for maintenance</body></html>"); deleted > 1 {
				t.Error("it goes on")
			}
			return
		}
		_, _ = io.WriteString(w, `<ListVersionsResult><Name>bucket</Name><IsTruncated>false</IsTruncated>`+
			`<Version><Key>a.mp3</Key><VersionId>1</VersionId><IsLatest>true</IsLatest></Version></ListVersionsResult>`)
	})
	if err := s.Remove(t.Context(), "a.mp3"); !store.IsRetriable(err) || deleted != 1 {
		t.Errorf("%d deletions: %v", deleted, err)
	}
}

func firstError[T any](list func(func(T, error) bool)) (first error) {
	list(func(_ T, err error) bool {
		first = err
		return err == nil
	})
	return first
}
