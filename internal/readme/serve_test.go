package readme

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"convoso-archiver/internal/s3test"
)

var servePattern = regexp.MustCompile(`(?m)^convoso-archiver serve ((?:.*\\\n)*.*)$`)

// TestServe starts each serve of the page, at a free port and with files of the test, and asks it for a page.
func TestServe(t *testing.T) {
	s := newShell(t)
	store := s3test.Start(t, false)
	if err := os.Mkdir(filepath.Join(store.Dir, "my-bucket"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.env = append(append(s.env, store.Env()...), "AWS_ENDPOINT_URL_S3="+store.Endpoint)
	for _, dest := range []string{"archive", "s3://my-bucket/calls"} {
		s.run(t, "convoso-archiver archive --dest "+dest+" --start-time 2025-05-01 --end-time 2025-05-01 2>/dev/null")
	}
	writeServeFiles(t, s.dir)
	lines := servePattern.FindAllStringSubmatch(readPage(t), -1)
	if len(lines) < 4 {
		t.Fatalf("only %d commands", len(lines))
	}
	for _, found := range lines {
		line := strings.NewReplacer("\\\n", " ", "--dest recordings", "--dest archive", "/archive", "archive", configFolder, "./", "/var/log/calls", "log", "0.0.0.0:8443", "0.0.0.0:0").Replace(found[1])
		if !strings.Contains(line, "--listen") {
			line += " --listen 127.0.0.1:0"
		}
		s.serve(t, line)
	}
}

// TestCertificate makes the certificate of the page, serves with it, and opens the page as the page says: a client that
// trusts only this certificate accepts it for the address.
func TestCertificate(t *testing.T) {
	need(t, "openssl", "openssl")
	need(t, "curl", "curl")
	s := newShell(t)
	s.run(t, "convoso-archiver archive --dest archive --start-time 2025-05-01 --end-time 2025-05-01 2>/dev/null")
	writeServeFiles(t, s.dir)
	block := strings.ReplaceAll(theBlock(t, "docs/serve.md", "sh", "openssl req "), "192.0.2.2", "127.0.0.1")
	made, command, _ := strings.Cut(block, "convoso-archiver serve ")
	if said := s.run(t, "rm cert.pem key.pem; "+made); !strings.Contains(said, "Fingerprint=") {
		t.Errorf("the fingerprint is not printed: %s", said)
	}
	line := strings.NewReplacer("\\\n", " ", "/archive", "archive", configFolder, "./", "/var/log/calls", "log", "0.0.0.0:8443", "0.0.0.0:0").Replace(strings.TrimSpace(command))
	address, stop := s.background(t, line)
	if address == "" {
		return
	}
	defer stop()
	if !strings.HasPrefix(address, "https://127.0.0.1:") {
		t.Errorf("the address is %s", address)
	}
	check := regexp.MustCompile(`(?m)^curl .*$`).FindString(theBlock(t, "docs/serve.md", "sh", "# from another machine"))
	check = strings.ReplaceAll(check, "https://192.0.2.2:8443/", address)
	if said := s.run(t, check+" --silent --show-error --noproxy '*'"); said != "ok\n" {
		t.Errorf("%s: %q", check, said)
	}
}

// writeServeFiles writes a certificate, and the users file of the page.
func writeServeFiles(t *testing.T, dir string) {
	t.Helper()
	borrowed := httptest.NewTLSServer(nil)
	defer borrowed.Close()
	pair := borrowed.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"users":    []byte(theBlock(t, "docs/serve.md", "text", "# name:hash:rights")),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// serve runs one serve command, asks for its first page, and stops it.
func (s *shell) serve(t *testing.T, line string) {
	t.Helper()
	address, stop := s.background(t, line)
	if address == "" {
		return
	}
	defer stop()
	status, body := s.firstPage(t, address)
	switch {
	case strings.Contains(line, "--users"), strings.Contains(line, "--auth-header"):
		if status != http.StatusUnauthorized {
			t.Errorf("serve %s: status %d", line, status)
		}
	case status != http.StatusOK || !strings.Contains(body, "50 calls, newest first"):
		t.Errorf("serve %s: status %d", line, status)
	}
}

// background starts a serve command, and returns its address and a function that stops it. The address is empty if it
// does not start.
func (s *shell) background(t *testing.T, line string) (address string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "sh", "-c", "exec convoso-archiver serve "+line)
	cmd.Dir, cmd.Env = s.dir, s.env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	address, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		cancel()
		_ = cmd.Wait()
		t.Errorf("serve %s: %v\n%s", line, err, complaint.String())
		return "", func() {}
	}
	return strings.TrimSpace(address), func() {
		t.Helper()
		cancel()
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
			t.Errorf("serve %s: %v\n%s", line, err, complaint.String())
		}
	}
}

// firstPage asks for a page by the printed name, on loopback.
func (s *shell) firstPage(t *testing.T, address string) (status int, body string) {
	t.Helper()
	_, port, err := net.SplitHostPort(strings.TrimSuffix(address[strings.Index(address, "//")+2:], "/"))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the certificate is for another name
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}}
	answer, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}
