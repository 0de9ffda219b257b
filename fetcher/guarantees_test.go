package fetcher_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"convoso-archiver/fetcher"
)

// TestTotalThatChangesProvesNothing has a total that falls between two pages of each pass to the
// number of received calls: a row has disappeared meanwhile, and it is unknown which row took its
// place.
func TestTotalThatChangesProvesNothing(t *testing.T) {
	row := func(id string) map[string]any {
		return map[string]any{"id": id, "call_date": string(someDay) + " 10:00:00", "call_length": "1", "recording": []any{}}
	}
	client, _ := clientOn(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("offset") {
		case "0":
			answer(w, 4, row("1"), row("2"))
		case "2":
			answer(w, 3, row("3"))
		default:
			answer(w, 3)
		}
	}, func(o *fetcher.Options) { o.PageSize = 2 })
	got, err := list(t, client, someDay, fetcher.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if w := got.windows[0]; w.Whole || len(got.doubts) == 0 || w.Calls != w.Total {
		t.Errorf("whole %v with %d calls of %d, doubts %v", w.Whole, w.Calls, w.Total, got.doubts)
	}
}

// TestRowsThatContradictTheFilter has one row in three from another campaign: too few to end the
// listing. All are used, but the listing proves nothing.
func TestRowsThatContradictTheFilter(t *testing.T) {
	row := func(id, campaign string) map[string]any {
		return map[string]any{"id": id, "campaign_id": campaign, "call_date": string(someDay) + " 10:00:00", "call_length": "1",
			"recording": []any{}}
	}
	client, _ := clientOn(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("offset") != "0" {
			answer(w, 3)
			return
		}
		answer(w, 3, row("1", "7"), row("2", "8"), row("3", "7"))
	}, nil)
	got, err := list(t, client, someDay, fetcher.Filter{CampaignID: "7"})
	if err != nil {
		t.Fatal(err)
	}
	if got.doubt(fetcher.DoubtContradicted) != 1 {
		t.Errorf("doubts %v", got.doubts)
	}
	if len(got.calls) != 3 {
		t.Errorf("calls to archive: %v", got.calls)
	}
}

// TestTokenStaysWithTheAPI lists, and opens a link that redirects, on a host that sets a cookie in
// every answer. Requests for recordings must not contain the token, a cookie, or the link that led
// there.
func TestTokenStaysWithTheAPI(t *testing.T) {
	const token = "test-token+Qx7"
	var mu sync.Mutex
	var asked []string // complete requests, except those to the API
	client, server := clientOn(t, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: token, Path: "/"})
		switch r.URL.Path {
		case "/log/retrieve":
			if got := r.URL.Query().Get("auth_token"); got != token {
				t.Errorf("the API was asked with token %q", got)
			}
			answer(w, 0)
			return
		case "/audio/first":
			http.Redirect(w, r, "/audio/second", http.StatusFound)
		}
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, fmt.Sprintf("%s %v", r.RequestURI, r.Header))
	}, func(o *fetcher.Options) { o.Token = token })
	if _, err := list(t, client, someDay, fetcher.Filter{}); err != nil {
		t.Fatal(err)
	}
	audio, err := client.Open(t.Context(), t.Context(), fetcher.Secret(server.URL+"/audio/first?link=secret"), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := audio.Close(); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 2 {
		t.Fatalf("%d requests for audio", len(asked))
	}
	for _, request := range asked {
		for _, secret := range []string{"test-token", "Qx7", "Cookie", "Authorization", "Referer"} {
			if strings.Contains(request, secret) {
				t.Errorf("a request for audio holds %s: %s", secret, request)
			}
		}
	}
}

// TestNoWayToWhatIsNotAllowed opens links that lead to a disallowed host, directly or by a
// redirect, and links to an allowed host name that resolves to this machine.
func TestNoWayToWhatIsNotAllowed(t *testing.T) {
	_, server := clientOn(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://other.invalid/audio", http.StatusFound)
	}, nil)
	hosts, err := fetcher.ParseAllowedHosts([]string{server.URL, "localhost", "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	client, _ := clientOn(t, func(http.ResponseWriter, *http.Request) {}, func(o *fetcher.Options) { o.AllowHosts = hosts })
	for name, test := range map[string]struct {
		link       string
		redirected bool
	}{
		"another host":                {"https://other.invalid/audio", false},
		"another scheme":              {"http://localhost/audio", false},
		"a redirect":                  {server.URL + "/audio", true},
		"a private address":           {"https://127.0.0.1/audio", false},
		"a name of a private address": {"https://localhost/audio", false},
	} {
		t.Run(name, func(t *testing.T) {
			err := openError(t, client, fetcher.Secret(test.link))
			if !errors.Is(err, fetcher.ErrNotAllowed) || errors.Is(err, fetcher.ErrRedirected) != test.redirected {
				t.Errorf("error %v", err)
			}
		})
	}
}
