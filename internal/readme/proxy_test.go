package readme

import (
	"context"
	"fmt"
	"net"
	"net/http"
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
	s.run(t, "echo officer:-:audit > users; echo secret | htpasswd -i -B users cleo 2>&1")
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
		headers := http.Header{"X-Remote-User": {test.header}}
		answer := askProxy(t, client, http.MethodGet, "/calls", test.name, test.password, headers)
		if answer.StatusCode != test.status {
			t.Errorf("%+v: status %d", test, answer.StatusCode)
		}
		if asks := answer.Header.Get("WWW-Authenticate"); test.status == http.StatusUnauthorized && asks != `Basic realm="Calls"` {
			t.Errorf("%+v: it is not nginx that asks for the login: %q", test, asks)
		}
	}
	for _, password := range []string{"", "-"} {
		if answer := askProxy(t, client, http.MethodGet, "/completeness", "officer", password, nil); answer.StatusCode < 400 {
			t.Errorf("a user without a password is logged in with %q: status %d", password, answer.StatusCode)
		}
	}

	// An nginx without a login, as the page had it: the users file still protects those with a hash.
	open := startNginx(t, regexp.MustCompile(`(?m)^ *auth_.*\n`).ReplaceAllString(block, ""))
	for password, status := range map[string]int{"secret": http.StatusOK, "WRONG": http.StatusUnauthorized} {
		if answer := askProxy(t, open, http.MethodGet, "/calls", "cleo", password, nil); answer.StatusCode != status {
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

// askProxy sends a request to the proxy under the name of the page.
func askProxy(t *testing.T, client *http.Client, method, path, name, password string, headers http.Header) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://calls.example.com:18080"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for header, values := range headers {
		for _, value := range values {
			if value != "" {
				r.Header.Add(header, value)
			}
		}
	}
	if name != "" {
		r.SetBasicAuth(name, password)
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(fmt.Errorf("%s %s: %w", method, path, err))
	}
	_ = answer.Body.Close()
	return answer
}
