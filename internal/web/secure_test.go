package web

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestKnownHost(t *testing.T) {
	for _, test := range []struct {
		host, listens string
		names         []string
		tls, known    bool
	}{
		{"127.0.0.1:8480", "127.0.0.1:8480", nil, false, true},
		{"localhost:8480", "127.0.0.1:8480", nil, false, true},
		{"LOCALHOST:8480", "127.0.0.1:8480", nil, false, true},
		{"[::1]:8480", "[::1]:8480", nil, false, true},
		{"localhost", "127.0.0.1:80", nil, false, true},
		{"localhost", "127.0.0.1:443", nil, true, true},
		{"localhost", "127.0.0.1:8480", nil, false, false},
		{"localhost:8481", "127.0.0.1:8480", nil, false, false},
		{"evil.example:8480", "127.0.0.1:8480", nil, false, false},
		{"localhost.evil.example:8480", "127.0.0.1:8480", nil, false, false},
		{"127.0.0.1.evil.example:8480", "127.0.0.1:8480", nil, false, false},
		{"calls.example.com", "0.0.0.0:8480", []string{"calls.example.com"}, false, true},
		{"Calls.Example.com:444", "0.0.0.0:8480", []string{"calls.example.com"}, false, true},
		{"10.0.0.5:8480", "10.0.0.5:8480", nil, false, true},
		{"10.0.0.6:8480", "10.0.0.5:8480", nil, false, false},
		{"", "127.0.0.1:8480", nil, false, false},
		{":8480", "127.0.0.1:8480", nil, false, false},
	} {
		if got := isKnownHost(test.host, test.listens, test.names, test.tls); got != test.known {
			t.Errorf("%q at %s (%v): known %v", test.host, test.listens, test.names, got)
		}
	}
}

func TestHostOfAnother(t *testing.T) {
	s := serve(t, nil)
	for _, path := range []string{"/", "/calls", "/audio/2025-05-27/1", "/completeness", "/assets/style.css"} {
		got := s.get(path, "Host", "evil.example")
		got.want(t, http.StatusMisdirectedRequest, "does not accept the host name in its address. Start serve with --host NAME")
		wantNoNumbers(t, path, got.body)
	}
	s.get("/healthz", "Host", "evil.example").want(t, 200, "ok")
}

// TestForgery posts from another site, with the headers of old and new browsers.
func TestForgery(t *testing.T) {
	s := serve(t, nil)
	form := url.Values{"call": {stored(shared.world, "12").Day + "/" + stored(shared.world, "12").CallID}}
	for _, path := range []string{"/zip", "/csv", "/listen"} {
		for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
			got := s.ask("POST", path, form, headers...)
			got.want(t, http.StatusForbidden, "This request came from another site.")
		}
	}
	s.get(audioPath(stored(shared.world, "12")), "Sec-Fetch-Site", "cross-site").want(t, http.StatusForbidden)
	call := stored(shared.world, "12")
	open, details := "/calls?call="+url.QueryEscape(call.Day+"/"+call.CallID), "/call/"+call.Day+"/"+call.CallID
	s.get(details, "Sec-Fetch-Site", "cross-site").want(t, http.StatusForbidden)
	s.get(open, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "image").want(t, http.StatusForbidden)
	s.get(open, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "document").want(t, 200) // a link in an email
	s.get(audioPath(stored(shared.world, "12")), "Sec-Fetch-Site", "same-origin").want(t, 200, "RIFF")
	s.ask("POST", "/zip", form, "Sec-Fetch-Site", "same-origin").want(t, 200, "PK")
	s.ask("POST", "/zip", form, "Origin", s.url).want(t, 200, "PK")
}

func TestHeaders(t *testing.T) {
	s := serve(t, nil)
	r := stored(shared.world, "12")
	inline := regexp.MustCompile(`(?i)<style|<script[^>]*>[^<]|\son[a-z]+=|\sstyle=|javascript:|https?://`)
	for _, path := range []string{"/", "/calls?call=" + r.Day + "/" + r.CallID, "/completeness", "/nothing", audioPath(r), "/assets/script.js", "/healthz", "/calls?number=1"} {
		got := s.get(path)
		for name, want := range map[string]string{
			"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, got.header.Get(name))
			}
		}
		if cache := got.header.Get("Cache-Control"); cache != "no-store" && !strings.HasPrefix(path, "/assets/") {
			t.Errorf("%s: Cache-Control is %q", path, cache)
		}
		if strings.HasPrefix(got.header.Get("Content-Type"), "text/html") {
			if found := inline.FindString(got.body); found != "" {
				t.Errorf("%s: the page holds %q", path, found)
			}
		}
	}
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy lacks %s", part)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Error("the policy allows what is unsafe")
	}
}

// TestPathTricks tries path traversal and malformed values in every parameter.
func TestPathTricks(t *testing.T) {
	s := serve(t, nil)
	r := stored(shared.world, "12")
	tricks := []string{
		"..%2f..%2fmanifest%2farchive.json", "%2e%2e", "..", "....//", "%00", "a%00b", "%ff%fe", "manifest/archive.json", "C:%5Cwindows", "/etc/passwd",
		"-1", "9999-99-99", "2025-05-27%0d%0aX-Evil:1", strings.Repeat("a", 3000), "%F0%9F%98%80", "'; drop table calls; --", "<script>alert(1)</script>", "{{.}}",
	}
	for _, trick := range tricks {
		trick = strings.NewReplacer(" ", "%20", "<", "%3C", ">", "%3E", "{", "%7B", "}", "%7D").Replace(trick)
		for _, path := range []string{
			"/audio/" + trick + "/" + r.ID, "/audio/" + r.Day + "/" + trick, "/call/" + trick + "/" + r.CallID, "/call/" + r.Day + "/" + trick, "/assets/" + trick,
			"/calls?call=" + trick, "/calls?call=" + r.Day + "/" + trick, "/calls?t=" + trick + "&call=" + r.Day + "/" + r.CallID, "/calls?after=" + trick,
			"/calls?start-time=" + trick, "/calls?last=" + trick, "/calls?agent=" + trick, "/calls?sort=" + trick, "/calls?number=" + trick, "/calls?outcome=" + trick,
			"/completeness?month=" + trick, "/completeness?day=" + trick,
		} {
			got := s.get(path)
			switch {
			case got.status >= 500:
				t.Errorf("%s: status %d", path, got.status)
			case got.status == 200 && (strings.HasPrefix(path, "/audio/") || strings.HasPrefix(path, "/assets/")):
				t.Errorf("%s: it is answered", path)
			case got.header.Get("X-Evil") != "":
				t.Errorf("%s: it sets a header", path)
			case strings.Contains(got.body, "<script>alert"), strings.Contains(got.body, `"api_url"`):
				t.Errorf("%s: it comes back as it was given: %.200s", path, got.body)
			}
		}
		for _, form := range []url.Values{{"call": {trick}}, {"call": {r.Day + "/" + trick}}, {"day": {trick}, "recording": {r.ID}}, {"day": {r.Day}, "recording": {trick}}} {
			for _, path := range []string{"/zip", "/listen"} {
				if got := s.ask("POST", path, form); got.status < 400 || got.status >= 500 {
					t.Errorf("%s %v: status %d", path, form, got.status)
				}
			}
		}
	}
	if log := s.log.String(); strings.Contains(log, "panic") || strings.Contains(log, "level=ERROR") {
		t.Errorf("the log: %.500s", log)
	}
}

func TestMethodsAndBodies(t *testing.T) {
	s := serve(t, nil)
	for _, method := range []string{"PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} {
		if got := s.ask(method, "/calls", nil); got.status < 400 || got.status >= 500 {
			t.Errorf("%s: status %d", method, got.status)
		}
	}
	s.ask("GET", "/zip", nil).want(t, 404)
	s.ask("GET", "/calls", url.Values{"a": {"b"}}).want(t, 400, "This request must not have a body.")
	big := url.Values{"call": {strings.Repeat("x", maxFormBytes)}}
	s.ask("POST", "/zip", big).want(t, http.StatusRequestEntityTooLarge)
	many := url.Values{}
	for i := range maxSelected + 1 {
		many.Add("call", fmt.Sprintf("2025-05-27/%d", i))
	}
	s.ask("POST", "/zip", many).want(t, http.StatusRequestEntityTooLarge, "Select at most 1,000.")
	s.ask("POST", "/zip", url.Values{}).want(t, 400, "Nothing is selected.")
	if got := s.get("/calls?agent=" + strings.Repeat("a", 64<<10)); got.status != http.StatusRequestHeaderFieldsTooLarge && got.status != 400 && got.status != 414 {
		t.Errorf("a long address: status %d", got.status)
	}
}

// TestConnections checks that above the limit the connection that has been idle longest is closed, and never one in
// use.
func TestConnections(t *testing.T) {
	pipe := func() net.Conn { a, _ := net.Pipe(); return a }
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := &connections{max: 3}
	first, busy, third, fourth := pipe(), pipe(), pipe(), pipe()
	for i, conn := range []net.Conn{first, busy, third} {
		if closing := c.note(conn, http.StateNew, start.Add(time.Duration(i)*time.Second)); closing != nil {
			t.Fatal("one is closed though there is room")
		}
	}
	c.note(busy, http.StateActive, start)
	c.note(first, http.StateActive, start)
	c.note(first, http.StateIdle, start.Add(10*time.Second))
	if closing := c.note(fourth, http.StateNew, start.Add(11*time.Second)); closing != third {
		t.Error("not the one that was idle for longest is closed")
	}
	c.note(third, http.StateClosed, start)
	c.note(first, http.StateActive, start)
	c.note(fourth, http.StateActive, start)
	if last := pipe(); c.note(last, http.StateNew, start.Add(12*time.Second)) != last {
		t.Error("where all are in use, the new one has to go")
	}
}

// TestIdleConnections checks that requests are answered despite a thousand idle connections, some in the middle of a
// request.
func TestIdleConnections(t *testing.T) {
	s := serve(t, nil)
	address := strings.TrimPrefix(s.url, "http://")
	for i := range 1000 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 0 {
			_, _ = fmt.Fprintf(conn, "GET /calls HTTP/1.1\r\nHost: %s\r\nX-Slow: ", address) // the server may have closed it
		}
	}
	s.get("/calls").want(t, 200, "Next page")
	s.get(audioPath(stored(shared.world, "12"))).want(t, 200, "RIFF")
}
