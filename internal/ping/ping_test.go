package ping

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
)

const secret = "canary-5c1f"

// check is a service that receives pings.
type check struct {
	mu     sync.Mutex
	pings  []string // path, query and body
	agents []string
	answer func(n int) int // status for the n-th ping; nil for 200
}

func (c *check) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pings = append(c.pings, r.Method+" "+r.URL.RequestURI()+" "+string(body))
	c.agents = append(c.agents, r.UserAgent())
	if c.answer != nil {
		w.Header().Set("Location", "https://elsewhere.invalid/")
		w.WriteHeader(c.answer(len(c.pings)))
	}
}

func (c *check) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string{}, c.pings...)
}

// tell sends both pings of a run, and returns the log.
func tell(t *testing.T, address string, code int, body string) string {
	t.Helper()
	u, err := ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	p := Start(t.Context(), u, "convoso-archiver/1", slog.New(slog.NewTextHandler(&logged, nil)))
	<-p.started
	p.End(t.Context(), code, []byte(body))
	if strings.Contains(logged.String(), secret) {
		t.Errorf("the log holds the address: %s", logged.String())
	}
	return logged.String()
}

func TestPings(t *testing.T) {
	c := &check{}
	server := httptest.NewServer(c)
	defer server.Close()
	if logged := tell(t, server.URL+"/ping/"+secret+"?create=1", 3, `{"exit_code":3}`); logged != "" {
		t.Errorf("logged %s", logged)
	}
	got := strings.Join(c.all(), "\n")
	found := regexp.MustCompile(`^POST /ping/canary-5c1f/start\?create=1&rid=([0-9a-f-]{36}) \nPOST /ping/canary-5c1f/3\?create=1&rid=([0-9a-f-]{36}) \{"exit_code":3\}$`).FindStringSubmatch(got)
	if found == nil || found[1] != found[2] || !regexp.MustCompile(`^.{14}4.{4}[89ab]`).MatchString(found[1]) {
		t.Errorf("pings:\n%s", got)
	}
	if c.agents[0] != "convoso-archiver/1" {
		t.Errorf("user agent %q", c.agents[0])
	}
	tell(t, server.URL, 0, "")
	if got := c.all(); !strings.HasPrefix(got[2], "POST /start?rid=") || !strings.HasPrefix(got[3], "POST /0?rid=") || got[2] == got[0] {
		t.Errorf("without path and query: %q", got[2:])
	}
}

// TestAnswers: temporary failures are retried, three attempts in total; permanent ones, and redirects,
// are not.
func TestAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(n int) int
		pings  int
		says   []string
	}{
		"well after two failures": {func(n int) int { return map[bool]int{true: 503, false: 204}[n < 3] }, 4, nil},
		"unknown":                 {func(int) int { return 404 }, 2, []string{"ping=start", "ping=1", "status 404"}},
		"moved":                   {func(int) int { return 301 }, 2, []string{"status 301"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &check{answer: test.answer}
			server := httptest.NewServer(c)
			defer server.Close()
			logged := tell(t, server.URL+"/"+secret, 1, "x")
			if got := c.all(); len(got) != test.pings {
				t.Errorf("pings %q", got)
			}
			for _, part := range test.says {
				if !strings.Contains(logged, part) {
					t.Errorf("logged %q, want %q", logged, part)
				}
			}
			if test.says == nil && logged != "" {
				t.Errorf("logged %q", logged)
			}
		})
	}
}

// TestErrors: no failure puts the address into the log.
func TestErrors(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for name, address := range map[string]string{
		"nobody listens": "http://127.0.0.1:1/" + secret,
		"no TLS":         strings.Replace(plain.URL, "http:", "https:", 1) + "/" + secret,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if logged := tell(t, address, 0, ""); strings.Count(logged, "a ping failed") != 2 {
				t.Errorf("logged %s", logged)
			}
		})
	}
}

func TestParseURL(t *testing.T) {
	for _, good := range []string{"https://hc-ping.com/" + secret, "http://10.0.0.1:8000/ping/x/y?create=1", "https://user:pw@host/"} {
		if _, err := ParseURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", secret, "ftp://host/" + secret, "https://", "https:///" + secret, "https://host/" + secret + "#a", "https://host:port/" + secret, "http://ho st/" + secret, "https://h/%zz" + secret} {
		if _, err := ParseURL(bad); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestWithoutURL(t *testing.T) {
	err := withoutURL(&url.Error{Op: "Post", URL: "https://host/" + secret, Err: io.ErrUnexpectedEOF})
	if !errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), secret) {
		t.Errorf("%v", err)
	}
}
