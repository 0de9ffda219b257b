package cli

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"convoso-archiver/fetcher/convosotest"
)

// TestServeRefuses tests settings that would show the archive to unknown users, and impossible ones.
func TestServeRefuses(t *testing.T) {
	r := newRunner(t)
	users := filepath.Join(r.home, "users")
	if err := os.WriteFile(users, []byte("# the team\nanna:canary5551234\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ flags, says string }{
		{"--listen 0.0.0.0:8480", "without a login anybody who reaches this address could hear the recordings: give --users"},
		{"--listen :8480", "without a login anybody who reaches this address could hear the recordings"},
		{"--listen [::]:8480", "without a login anybody who reaches this address could hear the recordings"},
		{"--listen 10.0.0.5:8480", "without a login anybody who reaches this address could hear the recordings"},
		{"--listen example.com:8480", "without a login anybody who reaches this address could hear the recordings"},
		{"--listen 0.0.0.0:8480 --users USERS --access-log LOG", "passwords would be sent unencrypted: give --tls-cert"},
		{"--listen 8480", "it is not an address with a port: write it like 127.0.0.1:8480"},
		{"--users USERS", "--access-log is required with --users and --auth-header"},
		{"--auth-header X-User --access-log LOG", "--auth-header: anybody could send that header: give the proxy's address with --trusted-proxy"},
		{"--auth-header X-User --trusted-proxy 127.0.0.1", "--access-log is required"},
		{"--auth-header X_User:1 --trusted-proxy 127.0.0.1", "it is not the name of a header"},
		{"--trusted-proxy 0.0.0.0/0", "it includes every address"},
		{"--trusted-proxy proxy", "it is not an address or a network"},
		{"--host calls.example.com:8480", "it is not a host name"},
		{"--rights fly", "unknown right: give listen, download, numbers or audit"},
		{"--rights campaigns=12", "--rights: limits without a right allow nothing; put a right before them, as in listen;campaigns=5051"},
		{"--rights listen;campaigns=", "campaigns has no value"},
		{"--tls-cert cert.pem", "--tls-cert and --tls-key go together"},
		{"--tls-cert NONE --tls-key NONE", "read the certificate"},
		{"--users USERS --access-log LOG", "--users: read the users file: line 2: the hash is not a bcrypt hash"},
		{"--users NONE --access-log LOG", "--users: read the users file"},
		{"--access-log ftp://host/x", "only folders and s3:// are supported"},
		{"--access-log s3://", "the bucket is missing"},
		{"--listen 127.0.0.1:0", "there is no archive"},
	} {
		folder := t.TempDir()
		line := strings.NewReplacer("USERS", users, "LOG", filepath.Join(folder, "log"), "NONE", filepath.Join(folder, "none")).Replace(test.flags)
		code, stdout, stderr := r.run(t.Context(), append([]string{"serve", "--dest", folder}, strings.Fields(line)...)...)
		if code != ExitUsage || stdout != "" || !strings.Contains(stderr, test.says) {
			t.Errorf("%s: code %d, %q, %q, want %q", test.flags, code, stdout, stderr, test.says)
		}
		if strings.Contains(stderr, "canary") {
			t.Errorf("%s: the users file is repeated: %q", test.flags, stderr)
		}
	}
}

// archivedCalls archives an account of twenty calls into a folder.
func archivedCalls(t *testing.T) (r *runner, folder string) {
	t.Helper()
	_, archive := account(t, convosotest.Config{CallsPerDay: 20, RecordedShare: 0.5, MedianSize: 20_000})
	r = newRunner(t, "CONVOSO_AUTH_TOKEN=simulator-token")
	folder = filepath.Join(t.TempDir(), "archive")
	if code, _, stderr := r.run(t.Context(), append(archive, "--dest", folder)...); code != ExitDone {
		t.Fatalf("archive: code %d: %s", code, stderr)
	}
	return r, folder
}

// serve starts serve and returns the line with its address. stop interrupts it and returns its exit code and stderr.
func (r *runner) serve(t *testing.T, flags ...string) (line string, stop func() (code int, stderr string)) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	read, write := io.Pipe()
	ended := make(chan int, 1)
	var talk strings.Builder
	go func() {
		ended <- Run(ctx, append([]string{"serve", "--access-log", filepath.Join(r.home, "log")}, flags...), Env{Stdout: write, Stderr: &talk, Environ: r.env})
		_ = write.Close()
	}()
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line, func() (int, string) {
		cancel(&SignalError{Signal: os.Interrupt})
		code := <-ended
		return code, talk.String()
	}
}

// TestServe serves an archive until it is stopped.
func TestServe(t *testing.T) {
	r, folder := archivedCalls(t)
	line, stop := r.serve(t, "--dest", folder, "--listen", "127.0.0.1:0")
	_, told, _ := r.run(t.Context(), "report", "--dest", folder)
	told, _, _ = strings.Cut(told, "\n")
	judged, told, _ := strings.Cut(told, ": ")
	told, _, _ = strings.Cut(told, "; last run")
	if !strings.HasPrefix(judged, "complete") && judged != "not complete" || !strings.Contains(told, "recordings archived") {
		t.Fatalf("the report says %q %q", judged, told)
	}
	for path, want := range map[string]string{
		"": "20 calls, newest first", "completeness": "The last run wrote", "completeness?": ">" + strings.ToUpper(judged[:1]) + judged[1:] + "</h1>",
		"completeness?day=": "<p>" + told + ", ", "healthz": "ok",
	} {
		answer, err := http.Get(strings.TrimSpace(line) + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: status %d, %v: it lacks %q", path, answer.StatusCode, err, want)
		}
	}
	if code, talk := stop(); code != ExitInterrupted || !strings.Contains(talk, "stopped by SIGINT") {
		t.Errorf("it ended with %d: %s", code, talk)
	}
}

// TestDemoServe opens the page of a demo, like a user without an account.
func TestDemoServe(t *testing.T) {
	r := newRunner(t)
	ctx, stop := context.WithCancelCause(t.Context())
	read, write := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- Run(ctx, []string{"demo", "--serve", "--dest", filepath.Join(r.home, "demo")}, Env{Stdout: write, Stderr: io.Discard, Environ: r.env})
		_ = write.Close()
	}()
	said, address := bufio.NewScanner(read), ""
	for address == "" && said.Scan() {
		if strings.HasPrefix(said.Text(), "http://") {
			address = said.Text()
		}
	}
	answer, err := http.Get(address)
	if err != nil {
		t.Fatalf("%q: %v", address, err)
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil || answer.StatusCode != 200 || !strings.Contains(string(body), "50 calls, newest first; more follow") {
		t.Errorf("status %d, %v", answer.StatusCode, err)
	}
	stop(&SignalError{Signal: os.Interrupt})
	if code := <-ended; code != ExitInterrupted {
		t.Errorf("it ended with %d", code)
	}
	if code, _, stderr := r.run(t.Context(), "demo", "--serve", "--json"); code != ExitUsage {
		t.Errorf("with --json: code %d, %s", code, stderr)
	}
}

func TestServeAddress(t *testing.T) {
	for _, test := range []struct {
		listens string
		hosts   []string
		isTLS   bool
		want    string
		unnamed bool
	}{
		{"127.0.0.1:8480", nil, false, "http://127.0.0.1:8480/", false},
		{"[::1]:8480", []string{"calls.example.com"}, false, "http://[::1]:8480/", false},
		{"192.0.2.2:8443", nil, true, "https://192.0.2.2:8443/", false},
		{"0.0.0.0:8443", []string{"calls.example.com"}, true, "https://calls.example.com:8443/", false},
		{"[::]:8443", []string{"2001:db8::1"}, true, "https://[2001:db8::1]:8443/", false},
		{"[::]:8443", nil, true, "https://HOST:8443/", true},
		{"0.0.0.0:8480", nil, false, "http://HOST:8480/", true},
	} {
		j := &serveJob{}
		j.config.Hosts = test.hosts
		if got, unnamed := j.address(test.listens, test.isTLS); got != test.want || unnamed != test.unnamed {
			t.Errorf("%s, %q: %s, %v", test.listens, test.hosts, got, unnamed)
		}
	}
}

// TestServeWithoutHost listens on all addresses: the log asks for --host, and the page is refused by an address.
func TestServeWithoutHost(t *testing.T) {
	r, folder := archivedCalls(t)
	line, stop := r.serve(t, "--dest", folder, "--listen", "0.0.0.0:0", "--auth-header", "X-User", "--trusted-proxy", "127.0.0.1")
	port := strings.TrimSuffix(strings.TrimPrefix(line, "http://HOST:"), "/\n")
	if port == line {
		t.Fatalf("%q", line)
	}
	for host, status := range map[string]int{"192.0.2.2": 421, "localhost": 401} {
		ask, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port, nil)
		if err != nil {
			t.Fatal(err)
		}
		ask.Host = host + ":" + port
		answer, err := http.DefaultClient.Do(ask)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != status || status == 421 && !strings.Contains(string(body), "--host NAME") {
			t.Errorf("%s: status %d, %v, %s", host, answer.StatusCode, err, body)
		}
	}
	if code, talk := stop(); code != ExitInterrupted || !strings.Contains(talk, "can open the page: give --host") {
		t.Errorf("it ended with %d: %s", code, talk)
	}
}
