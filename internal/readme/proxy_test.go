package readme

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestProxyConfiguration serves as on the page behind an nginx with the block of the page, and logs in through it.
func TestProxyConfiguration(t *testing.T) {
	need(t, "nginx", "nginx-light")
	need(t, "htpasswd", "apache2-utils")
	s := newShell(t)
	s.run(t, "convoso-archiver archive --dest archive --start-time 2025-05-01 --end-time 2025-05-01 2>/dev/null")
	writeServeFiles(t, s.dir)
	s.run(t, "echo officer:-:audit > users; echo secret | htpasswd -i -B users cleo 2>&1; sed -i '/^cleo/s/$/:listen,download/' users")
	pageText, err := os.ReadFile(inRoot("docs/serve.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(pageText), "## Behind a proxy")
	command := servePattern.FindStringSubmatch(section)
	if command == nil {
		t.Fatal("the page has no command")
	}
	const address = "127.0.0.1:8480"
	line := strings.NewReplacer("\\\n", " ", "/archive", "archive", configFolder, "./", "/var/log/calls", "log", address, "127.0.0.1:0").Replace(command[1])
	served, stop := s.background(t, line)
	if served == "" {
		return
	}
	defer stop()
	served = strings.Trim(strings.TrimPrefix(served, "http://"), "/")
	block := strings.NewReplacer(address, served, configFolder, s.dir+"/").Replace(theBlock(t, "docs/serve.md", "nginx", "location "))
	client := startNginx(t, block)
	for _, test := range []struct {
		name, password, header string
		status                 int
	}{
		{"cleo", "secret", "", http.StatusOK},
		{"cleo", "WRONG", "", http.StatusUnauthorized},
		{"cleo", "", "", http.StatusUnauthorized},
		{"nobody", "secret", "", http.StatusUnauthorized},
		{"", "", "", http.StatusUnauthorized},
		{"", "", "cleo", http.StatusUnauthorized},
		{"cleo", "WRONG", "cleo", http.StatusUnauthorized},
	} {
		headers := http.Header{}
		if test.header != "" {
			headers.Set("X-Remote-User", test.header)
		}
		answer, _ := askProxy(t, client, "/calls", nil, test.name, test.password, headers)
		if answer.StatusCode != test.status {
			t.Errorf("%+v: status %d", test, answer.StatusCode)
		}
		if asks := answer.Header.Get("WWW-Authenticate"); test.status == http.StatusUnauthorized && asks != `Basic realm="Calls"` {
			t.Errorf("%+v: it is not nginx that asks for the login: %q", test, asks)
		}
	}
	for _, password := range []string{"", "-"} {
		if answer, _ := askProxy(t, client, "/completeness", nil, "officer", password, nil); answer.StatusCode < 400 {
			t.Errorf("a user without a password is logged in with %q: status %d", password, answer.StatusCode)
		}
	}

	// The selection is a form of the page itself, at a port of the proxy; another site's page must not send it.
	_, list := askProxy(t, client, "/calls?outcome=archived", nil, "cleo", "secret", nil)
	ref := regexp.MustCompile(`data-ref="([^"]+)"`).FindStringSubmatch(list)
	if ref == nil {
		t.Fatalf("no call: %s", list)
	}
	for origin, status := range map[string]int{"http://" + proxyHost: http.StatusOK, "http://evil.example.com:18080": http.StatusForbidden} {
		answer, body := askProxy(t, client, "/zip", url.Values{"call": {ref[1]}}, "cleo", "secret", http.Header{"Origin": {origin}})
		if answer.StatusCode != status || (status == http.StatusOK) != strings.HasPrefix(body, "PK") {
			t.Errorf("a form of %s: status %d: %.200s", origin, answer.StatusCode, body)
		}
	}

	// An nginx without a login, as the page had it: the users file still protects those with a hash.
	open := startNginx(t, regexp.MustCompile(`(?m)^ *auth_.*\n`).ReplaceAllString(block, ""))
	for password, status := range map[string]int{"secret": http.StatusOK, "WRONG": http.StatusUnauthorized} {
		if answer, _ := askProxy(t, open, "/calls", nil, "cleo", password, nil); answer.StatusCode != status {
			t.Errorf("without a login in nginx, with the password %s: status %d", password, answer.StatusCode)
		}
	}
}

// startNginx starts nginx with a location, and returns a client whose connections all go to it.
func startNginx(t *testing.T, location string) *http.Client {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "nginx.sock") // needs no free port
	config := "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n"
	for _, folder := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		config += folder + "_temp_path " + folder + ";\n"
	}
	config += "server {\nlisten unix:" + socket + ";\n" + location + "}\n}\n"
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "nginx", "-p", dir, "-c", file)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	for {
		conn, err := dial(t.Context(), "", "")
		if err == nil {
			_ = conn.Close()
			break
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("nginx: %v\n%s", err, complaint.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

const proxyHost = "calls.example.com:18080"

// askProxy sends a request, or a form, to the proxy under the name of the page, and returns the answer and its body.
func askProxy(t *testing.T, client *http.Client, path string, form url.Values, name, password string, headers http.Header) (*http.Response, string) {
	t.Helper()
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+proxyHost+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if headers != nil {
		r.Header = headers
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if name != "" {
		r.SetBasicAuth(name, password)
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}
