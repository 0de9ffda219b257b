package fetcher

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"code.dny.dev/ssrf"
)

// mediaHost is a host of links without a network.
type mediaHost func(*http.Request) *http.Response

// RoundTrip implements http.RoundTripper.
func (h mediaHost) RoundTrip(r *http.Request) (*http.Response, error) { return h(r), nil }

func (h mediaHost) client(t testing.TB) *Client {
	t.Helper()
	hosts, err := ParseAllowedHosts([]string{"*.convoso.com"})
	if err != nil {
		t.Fatal(err)
	}
	client, err := New(Options{
		APIURL: "https://api.convoso.com/v1", Token: "t", Zone: time.UTC, AllowHosts: hosts, Transport: h,
		MediaRate: 10, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

const aLink = Secret("https://Admin-DT.convoso.com/play/abc==?rlt=a+b/c")

// TestOpenReadsTheBytes combines every Content-Encoding with plain bytes and with gzip.
func TestOpenReadsTheBytes(t *testing.T) {
	plain := "\xff\xe3\x88\xc4" + strings.Repeat("frame", 1000)
	packed := string(zipped(t, plain))
	for name, test := range map[string]struct {
		encoding, body, want string
		length               int64
		known                bool
		fails                bool
	}{
		"plain":               {"", plain, plain, int64(len(plain)), true, false},
		"aws-chunked":         {"aws-chunked", plain, plain, int64(len(plain)), true, false},
		"UTF-8":               {"UTF-8", plain, plain, int64(len(plain)), true, false},
		"none":                {"none", plain, plain, int64(len(plain)), true, false},
		"binary":              {"binary", plain, plain, int64(len(plain)), true, false},
		"gzip, but is not":    {"gzip", plain, plain, int64(len(plain)), true, false},
		"gzip":                {"gzip", packed, plain, -1, true, false},
		"x-gzip":              {"x-gzip", packed, plain, -1, true, false},
		"gzip that is cut":    {"gzip", packed[:len(packed)-9], "", -1, true, true},
		"gzip behind nothing": {"", packed, packed, int64(len(packed)), true, false},
		"empty":               {"gzip", "", "", 0, true, false},
	} {
		client := mediaHost(func(r *http.Request) *http.Response {
			if got := r.Header.Get("Accept-Encoding"); got != "identity" {
				t.Errorf("asked for %q", got)
			}
			response := answerOf(200, test.body)
			response.Header.Set("Content-Encoding", test.encoding)
			return response
		}).client(t)
		audio, err := client.Open(t.Context(), t.Context(), aLink, false)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(audio)
		if (err != nil) != test.fails || err == nil && string(got) != test.want {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if audio.ContentLength != test.length || audio.EndKnown != test.known || audio.Host != "admin-dt.convoso.com" {
			t.Errorf("%s: %+v", name, audio)
		}
		if err := audio.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestEndOfBody distinguishes a body with a known end from one that ends with its connection.
func TestEndOfBody(t *testing.T) {
	for name, test := range map[string]struct {
		length int64
		coding []string
		known  bool
	}{"length": {3, nil, true}, "chunked": {-1, []string{"chunked"}, true}, "closed": {-1, nil, false}} {
		client := mediaHost(func(*http.Request) *http.Response {
			response := answerOf(200, "abc")
			response.ContentLength, response.TransferEncoding = test.length, test.coding
			return response
		}).client(t)
		audio, err := client.Open(t.Context(), t.Context(), aLink, false)
		if err != nil || audio.EndKnown != test.known || audio.ContentLength != test.length {
			t.Errorf("%s: %v, %+v", name, err, audio)
		}
		_ = audio.Close()
	}
}

// TestOddLinksAreSent sends links byte for byte, a space as %20, and a lone percent sign.
func TestOddLinksAreSent(t *testing.T) {
	var got string
	client := mediaHost(func(r *http.Request) *http.Response {
		var sent strings.Builder
		if err := r.Write(&sent); err != nil {
			t.Error(err)
		}
		_, got, _ = strings.Cut(sent.String(), "GET ")
		got, _, _ = strings.Cut(got, " HTTP/1.1\r\n")
		return answerOf(200, "")
	}).client(t)
	for target, want := range map[string]string{
		"/play/a b?rlt=x y":      "/play/a%20b?rlt=x%20y",
		"/play/100%?rlt=50%":     "/play/100%?rlt=50%",
		"/play/JTdC==?rlt=x+y/z": "/play/JTdC==?rlt=x+y/z",
		"/a|b^c/%7E%2f":          "/a|b^c/%7E%2f",
	} {
		audio, err := client.Open(t.Context(), t.Context(), Secret("https://a.convoso.com"+target), false)
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		if _ = audio.Close(); got != want {
			t.Errorf("%s was sent as %s", target, got)
		}
	}
}

// TestLongWaitOfARecording treats one recording's Retry-After of two hours as its own failure, and
// three consecutive ones as the host's.
func TestLongWaitOfARecording(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := mediaHost(func(r *http.Request) *http.Response {
			if strings.HasPrefix(r.URL.Path, "/bad") {
				response := answerOf(503, "")
				response.Header.Set("Retry-After", "7200")
				return response
			}
			return answerOf(200, "abc")
		}).client(t)
		open := func(path string) error {
			audio, err := client.Open(t.Context(), t.Context(), Secret("https://a.convoso.com"+path), false)
			if err == nil {
				err = audio.Close()
			}
			return err
		}
		begun := time.Now()
		for _, path := range []string{"/bad1", "/bad1", "/bad1", "/good", "/bad2", "/bad3", "/good"} {
			refused, ok := errors.AsType[*RefusedError](open(path))
			if ok != strings.HasPrefix(path, "/bad") || ok && refused.RetryAfter != 2*time.Hour {
				t.Errorf("%s: %v", path, refused)
			}
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("the good ones took %v", took)
		}
		for i := range 3 {
			_, ok := errors.AsType[*RetryLaterError](open(fmt.Sprintf("/bad%d", 4+i)))
			if ok != (i == 2) {
				t.Errorf("number %d in a row ends the run: %v", i+1, ok)
			}
		}
	})
}

// TestAllowPublic refuses connections to private addresses, also behind NAT64.
func TestAllowPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8:443": true, "[2606:4700::1111]:443": true, "[64:ff9b::808:808]:443": true, "8.8.8.8:8443": true,
		"127.0.0.1:443": false, "10.1.2.3:443": false, "169.254.169.254:80": false, "[::1]:443": false, "[fd00::1]:443": false,
		"[64:ff9b::7f00:1]:443": false, "[64:ff9b::a01:203]:443": false, "[64:ff9b::a9fe:a9fe]:80": false, "[64:ff9b:1::808:808]:443": false,
		"[::ffff:127.0.0.1]:443": false, "100.64.0.1:443": false,
	} {
		network := "tcp4"
		if netip.MustParseAddrPort(address).Addr().Is6() {
			network = "tcp6"
		}
		err := allowPublic(network, address, nil)
		if (err == nil) != want || err != nil && !errors.Is(err, ssrf.ErrProhibitedIP) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestProxies dials a proxy on a private address, in every notation of the environment.
func TestProxies(t *testing.T) {
	for proxy, want := range map[string]string{
		"http://PROXY.CORP.TEST:3128":  "proxy.corp.test:3128",
		"http://proxy.corp.test.:3128": "proxy.corp.test:3128",
		"http://Proxy.corp.test":       "proxy.corp.test:80",
		"https://proxy.corp.test":      "proxy.corp.test:443",
		"socks5://proxy.corp.test":     "proxy.corp.test:1080",
		"socks5h://[FD00::1]":          "[fd00::1]:1080",
	} {
		u, err := url.Parse(proxy)
		if err != nil {
			t.Fatal(err)
		}
		if got := hostPort(u); got != want {
			t.Errorf("%s: %s", proxy, got)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host
		w.WriteHeader(http.StatusBadGateway)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	proxy, err := url.Parse("http://LOCALHOST:" + port)
	if err != nil {
		t.Fatal(err)
	}
	transport := newMediaTransport(Options{Workers: 1}, http.ProxyURL(proxy))
	t.Cleanup(transport.CloseIdleConnections)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://a.convoso.com/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = transport.RoundTrip(request) // the proxy refuses
	if err == nil || errors.Is(err, ErrNotAllowed) {
		t.Fatalf("error %v", err)
	}
	if got := <-asked; got != "CONNECT a.convoso.com:443" {
		t.Errorf("the proxy was asked for %s", got)
	}
}
