package fetcher_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"convoso-archiver/fetcher"
)

// TestRedirectsArePaced opens links with redirects, at a rate known from the start.
func TestRedirectsArePaced(t *testing.T) {
	const (
		rate  = 50.0
		opens = 6
		hops  = 2 // of each
	)
	var requests atomic.Int64
	handle := func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if path := r.URL.Path; len(path) < len("/a")+hops {
			http.Redirect(w, r, path+"a", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "audio")
	}
	server := httptest.NewServer(http.HandlerFunc(handle))
	t.Cleanup(server.Close)
	hosts, err := fetcher.ParseAllowedHosts([]string{server.URL})
	if err != nil {
		t.Fatal(err)
	}
	client, _ := clientOn(t, http.NotFound, func(o *fetcher.Options) {
		o.AllowHosts, o.MediaRate = hosts, rate
		o.Learned = fetcher.Rates{"media " + strings.TrimPrefix(server.URL, "http://"): rate}
	})
	begun := time.Now()
	for range opens {
		audio, err := client.Open(t.Context(), t.Context(), fetcher.Secret(server.URL+"/a"), false)
		if err != nil {
			t.Fatal(err)
		}
		if err := audio.Close(); err != nil {
			t.Error(err)
		}
	}
	took := time.Since(begun)
	const starts = opens * (1 + hops)
	if got := client.Paces()[1].Starts; got != starts || requests.Load() != starts {
		t.Errorf("%d starts counted, %d requests, want %d", got, requests.Load(), starts)
	}
	// A late start may bring the next one forward, by at most one interval.
	if least := time.Duration(float64(starts-2) / rate * float64(time.Second)); took < least {
		t.Errorf("%d requests within %v at %v a second", starts, took, rate)
	}
}

// TestRefusalBehindARedirect slows down the host that refused, not the one that redirected to it.
func TestRefusalBehindARedirect(t *testing.T) {
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(busy.Close)
	first := httptest.NewServer(http.RedirectHandler(busy.URL+"/b", http.StatusFound))
	t.Cleanup(first.Close)
	hosts, err := fetcher.ParseAllowedHosts([]string{first.URL, busy.URL})
	if err != nil {
		t.Fatal(err)
	}
	client, _ := clientOn(t, http.NotFound, func(o *fetcher.Options) { o.AllowHosts = hosts })
	_, err = client.Open(t.Context(), t.Context(), fetcher.Secret(first.URL+"/a"), false)
	if refused, ok := errors.AsType[*fetcher.RefusedError](err); !ok || refused.RetryAfter != time.Second {
		t.Fatalf("%v", err)
	}
	for _, pace := range client.Paces()[1:] {
		want := int64(0)
		if strings.HasSuffix(busy.URL, pace.Host) {
			want = 1
		}
		if pace.Starts != 1 || pace.Refusals != want {
			t.Errorf("%s: %d starts, %d refusals", pace.Host, pace.Starts, pace.Refusals)
		}
	}
}
