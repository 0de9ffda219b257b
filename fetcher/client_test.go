package fetcher_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/internal/retry"
)

const someDay = fetcher.Date("2025-05-01")

// clientOn returns a client whose API and host of links are the test's own handler.
func clientOn(t *testing.T, handle http.HandlerFunc, change func(*fetcher.Options)) (*fetcher.Client, *httptest.Server) {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	hosts, err := fetcher.ParseAllowedHosts([]string{server.URL})
	if err != nil {
		t.Fatal(err)
	}
	options := fetcher.Options{
		APIURL: server.URL, Token: "test-token", Zone: time.UTC, AllowHosts: hosts,
		Retry: retry.Policy{Tries: 1, Initial: time.Millisecond, Max: time.Millisecond}, RetryFor: time.Second,
		Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&options)
	}
	client, err := fetcher.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client, server
}

// answer writes a page of rows.
func answer(w http.ResponseWriter, total int, rows ...map[string]any) {
	if rows == nil {
		rows = []map[string]any{}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client may have disconnected
		"success": true, "data": map[string]any{"total_found": total, "results": rows},
	})
}

// TestErrorTextIsScrubbedBeforeItIsCut makes the API repeat the token and a filter's value at every
// position around the limit of texts.
func TestErrorTextIsScrubbedBeforeItIsCut(t *testing.T) {
	const shown = 8 // bytes of a secret that must not be visible
	for name, token := range map[string]string{
		"short":           "canary0123456789abcdefghij",
		"longer than all": strings.Repeat("canary0123456789", 20),
		"to be escaped":   "canary+012/345=6789 abcdefghij",
	} {
		t.Run(name, func(t *testing.T) {
			var before atomic.Int64
			client, _ := clientOn(t, func(w http.ResponseWriter, r *http.Request) {
				query := r.URL.Query()
				said := strings.Repeat("x", int(before.Load()))
				for _, secret := range []string{query.Get("auth_token"), query.Get("phone_number")} {
					said += " " + secret + " " + url.QueryEscape(secret) + " " + url.PathEscape(secret)
				}
				_ = json.NewEncoder(w).Encode(map[string]any{"success": false, "code": 5001, "text": said})
			}, func(o *fetcher.Options) { o.Token = fetcher.Secret(token) })
			for n := range 220 {
				before.Store(int64(n))
				_, err := list(t, client, someDay, fetcher.Filter{PhoneNumber: "5550101234567"})
				refusal, ok := errors.AsType[*fetcher.APIError](err)
				if !ok {
					t.Fatal(err)
				}
				for _, secret := range []string{token, "5550101234567"} {
					for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
						if strings.Contains(refusal.Text, form[:shown]) {
							t.Fatalf("behind %d letters a secret is told", n)
						}
					}
				}
				if len([]rune(refusal.Text)) > 201 {
					t.Fatalf("a text of %d letters", len([]rune(refusal.Text)))
				}
			}
		})
	}
}

// TestCode429IsARefusal makes the API ask to slow down in the body of an HTTP 200.
func TestCode429IsARefusal(t *testing.T) {
	for _, code := range []any{429, "429", 503} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			var requests atomic.Int64
			client, _ := clientOn(t, func(w http.ResponseWriter, _ *http.Request) {
				if requests.Add(1) > 1 {
					answer(w, 0)
					return
				}
				w.Header().Set("Retry-After", "0.2")
				_ = json.NewEncoder(w).Encode(map[string]any{"success": false, "code": code, "text": "Too many requests"})
			}, nil)
			begun := time.Now()
			if _, err := list(t, client, someDay, fetcher.Filter{}); err != nil {
				t.Fatal(err)
			}
			pace := client.Paces()[0]
			if pace.Refusals != 1 || requests.Load() != 2 {
				t.Errorf("%d refusals counted, %d requests", pace.Refusals, requests.Load())
			}
			if waited := time.Since(begun); waited < 200*time.Millisecond {
				t.Errorf("asked again after %v", waited)
			}
		})
	}
}

// TestCode429WithALongWait ends the listing if the API asks for a long wait.
func TestCode429WithALongWait(t *testing.T) {
	client, _ := clientOn(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7200")
		_ = json.NewEncoder(w).Encode(map[string]any{"success": false, "code": 429})
	}, nil)
	_, err := list(t, client, someDay, fetcher.Filter{})
	if later, ok := errors.AsType[*fetcher.RetryLaterError](err); !ok || later.After != 2*time.Hour {
		t.Errorf("%v", err)
	}
}

// TestCountsAreOfAllPasses shows one call only in the first pass and another only in the second, so
// only both together prove the window complete.
func TestCountsAreOfAllPasses(t *testing.T) {
	call := func(id string) map[string]any {
		return map[string]any{"id": id, "call_date": string(someDay) + " 10:00:00", "call_length": "1",
			"recording": []map[string]any{{"recording_id": "9" + id, "public_url": "https://x.convoso.com/" + id}}}
	}
	var passes atomic.Int64
	client, _ := clientOn(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Query().Get("offset") != "0":
			answer(w, 3)
		case passes.Add(1) == 1:
			answer(w, 3, call("1"), call("2"), call("2"))
		default:
			answer(w, 3, call("1"), call("3"), call("3"))
		}
	}, nil)
	got, err := list(t, client, someDay, fetcher.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if w := got.windows[0]; len(got.doubts) > 0 || !w.Whole || w.Calls != 3 || w.DayCalls != 3 || w.Recordings != 3 {
		t.Errorf("whole %v, %d calls, %d of the day, %d recordings, doubts %v", w.Whole, w.Calls, w.DayCalls, w.Recordings, got.doubts)
	}
}
