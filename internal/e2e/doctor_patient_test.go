package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/internal/s3test"
)

// patient is a setup for doctor: healthy, until a test breaks it.
type patient struct {
	t      *testing.T
	source *convosotest.Server
	flags  map[string]string // without dashes; "" for none
	env    map[string]string
	bucket *bucket // of a destination in S3
	bound  bool    // permissions apply to the program, even if root runs the test
}

// onePatient returns a healthy setup.
func onePatient(t *testing.T, config convosotest.Config) *patient {
	t.Helper()
	config.Seed, config.FirstDay, config.Days, config.CallsPerDay = 12, daysAgo(3), 4, 40
	config.RecordedShare, config.MedianSize = 1, 4_000
	source := simulate(t, config)
	dir := t.TempDir()
	return &patient{t: t, source: source, flags: map[string]string{
		"dest": filepath.Join(dir, "dest"), "state-dir": filepath.Join(dir, "state"), "last": "2d",
		"api-url": source.APIURL(), "allow-host": source.MediaURL(), "api-rate": "0", "media-rate": "0",
	}, env: map[string]string{
		"PATH": os.Getenv("PATH"), "TMPDIR": "/nonexistent", "CONVOSO_AUTH_TOKEN": source.Token(), "GORACE": "halt_on_error=1 atexit_sleep_ms=0",
	}}
}

// inBucket moves the destination to a real S3 server.
func (p *patient) inBucket(withTLS bool) *patient {
	p.t.Helper()
	p.bucket = onS3(p.t, p.source, withTLS)
	p.flags["dest"], p.flags["s3-endpoint"] = p.bucket.dest, p.bucket.endpoint
	for _, pair := range p.bucket.env {
		name, value, _ := strings.Cut(pair, "=")
		p.env[name] = value
	}
	return p
}

// command returns a command with the settings of the setup, not started yet.
func (p *patient) command(ctx context.Context, name string, more ...string) *exec.Cmd {
	args := []string{name}
	for flag, value := range p.flags {
		if value != "" {
			args = append(args, "--"+flag, value)
		}
	}
	args = append(args, more...)
	cmd := exec.CommandContext(ctx, binary, args...)
	if p.bound && os.Geteuid() == 0 {
		cmd = exec.CommandContext(ctx, "setpriv", slices.Concat([]string{"--bounding-set=-dac_override,-dac_read_search", "--", binary}, args)...)
	}
	cmd.Env = []string{}
	for name, value := range p.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// diagnosis is the output of doctor.
type diagnosis struct {
	code     int
	stdout   string
	stderr   string
	ExitCode int `json:"exit_code"`
	Error    string
	Checks   []struct{ Name, State, Saw, Do string }
}

// examine runs doctor, and looks for secrets and numbers in its whole output.
func (p *patient) examine(more ...string) diagnosis {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := p.command(ctx, "doctor", append([]string{"--json"}, more...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	_ = cmd.Run()
	d := diagnosis{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
	if took := time.Since(began); took > time.Minute {
		p.t.Errorf("it took %s", took)
	}
	if err := json.Unmarshal(stdout.Bytes(), &d); err != nil || d.ExitCode != d.code {
		p.t.Fatalf("exit code %d, stdout is not its object: %v\n%s%s", d.code, err, d.stdout, d.stderr)
	}
	if said := d.stdout + d.stderr; strings.Contains(said, canary) || strings.Contains(said, "Authorization") {
		p.t.Errorf("it tells a secret: %s", said)
	}
	for call := range p.source.Calls() {
		for _, secret := range []string{call.PhoneNumber, call.NumberDialed, call.FirstName + " " + call.LastName} {
			if strings.Contains(d.stdout+d.stderr, secret) {
				p.t.Fatalf("it tells %q", secret)
			}
		}
	}
	return d
}

// want fails unless a check has the given state and words.
func (d diagnosis) want(t *testing.T, name, state string, words ...string) {
	t.Helper()
	for _, c := range d.Checks {
		said := c.Saw + ": " + c.Do
		if c.Name == name && c.State == state && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(said, word) }) {
			return
		}
	}
	t.Errorf("no line says %s %s %q:\n%s", state, name, words, d.stdout)
}

// bad returns the checks that are neither ok nor skipped, without duplicates, with the first letter
// of their state.
func (d diagnosis) bad() string {
	var names []string
	for _, c := range d.Checks {
		if name := c.State[:1] + " " + c.Name; (c.State == "failed" || c.State == "warning") && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// treeOf returns the content of a folder, without the S3 server's own files.
func treeOf(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if entry.Name() == ".sgwtmp" || entry.Name() == ".vgwlocks" {
			return fs.SkipDir
		}
		info, err := entry.Info()
		if err != nil {
			t.Error(err)
			return nil
		}
		if entry.IsDir() { // a temporary file changes the folder's time
			fmt.Fprintln(&b, path, info.Mode())
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintln(&b, path, info.Mode(), info.ModTime(), string(data))
		return nil
	})
	return b.String()
}

// file makes a file and returns its name.
func (p *patient) file(name, text string, mode fs.FileMode) string {
	p.t.Helper()
	name = filepath.Join(p.t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		p.t.Fatal(err)
	}
	return name
}

// listener is a service that must not get a request.
func (p *patient) listener(withTLS bool) *httptest.Server {
	p.t.Helper()
	service := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { p.t.Errorf("%s was sent", r.Method) }))
	service.Config.ErrorLog = log.New(io.Discard, "", 0) // the client aborts a handshake
	if withTLS {
		service.StartTLS()
	} else {
		service.Start()
	}
	p.t.Cleanup(service.Close)
	return service
}

// lockUp makes the folder of a flag, and makes it read-only.
func (p *patient) lockUp(flag string) {
	p.t.Helper()
	p.bound = true
	dir := p.flags[flag]
	if err := os.MkdirAll(dir, 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
}

func (p *patient) link() {
	p.t.Helper()
	if err := os.Mkdir(p.flags["dest"], 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Symlink(p.t.TempDir(), filepath.Join(p.flags["dest"], "campaign")); err != nil {
		p.t.Fatal(err)
	}
}

// archive fills the destination.
func (p *patient) archive() {
	p.t.Helper()
	if out, err := p.command(p.t.Context(), "archive", "--quiet").CombinedOutput(); err != nil {
		p.t.Fatalf("archive: %v\n%s", err, out)
	}
}

// change modifies archive.json.
func (p *patient) change(from, to string) {
	p.t.Helper()
	name := filepath.Join(p.flags["dest"], "manifest", "archive.json")
	data, err := os.ReadFile(name)
	if err != nil {
		p.t.Fatal(err)
	}
	changed := strings.Replace(string(data), from, to, 1)
	if changed == string(data) {
		p.t.Fatalf("archive.json has no %s: %s", from, data)
	}
	if err := os.WriteFile(name, []byte(changed), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// unmount leaves an empty folder, like an unmounted disk.
func (p *patient) unmount() {
	p.t.Helper()
	p.archive()
	dest := p.flags["dest"]
	if err := os.Rename(dest, dest+" of another disk"); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Mkdir(dest, 0o700); err != nil {
		p.t.Fatal(err)
	}
}

// mount puts a small file system under the destination.
func (p *patient) mount(size string) {
	p.t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		p.t.Skip("mounting a tmpfs needs Linux and root")
	}
	dest := p.flags["dest"]
	if err := os.Mkdir(dest, 0o700); err != nil {
		p.t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dest).CombinedOutput(); err != nil {
		p.t.Fatalf("mount: %v: %s", err, out)
	}
	p.t.Cleanup(func() { _ = exec.Command("umount", "-l", dest).Run() })
}

// hideCalls leaves an account without calls.
func (p *patient) hideCalls() {
	p.t.Helper()
	for call := range p.source.Calls() {
		if err := p.source.SetCallListed(call.ID, false); err != nil {
			p.t.Fatal(err)
		}
	}
}

// ignoreConditions makes the store accept every PUT: a proxy removes the condition, and signs the request again.
func (p *patient) ignoreConditions() {
	p.bucket.trouble(func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Method == http.MethodPut {
			r.Header.Del("If-None-Match")
			signAnew(p.t, r)
		}
		return false
	})
}

// signAnew signs a request with changed headers.
func signAnew(t *testing.T, r *http.Request) {
	account := aws.Credentials{AccessKeyID: s3test.AccessKey, SecretAccessKey: s3test.SecretKey}
	// Only signed headers matter; a ReverseProxy adds and drops other headers.
	signed := r.Clone(r.Context())
	signed.URL.Host, signed.Header = r.Host, http.Header{}
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Amz-") || strings.HasPrefix(name, "Content-") {
			signed.Header[name] = values
		}
	}
	err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(r.Context(), account, signed, r.Header.Get("X-Amz-Content-Sha256"), "s3", s3test.Region, time.Now())
	if err != nil {
		t.Error(err)
	}
	for _, name := range []string{"Authorization", "X-Amz-Date"} {
		r.Header.Set(name, signed.Header.Get(name))
	}
}

// refuse answers a method like S3 without the permission.
func refuse(w http.ResponseWriter, r *http.Request, method string) bool {
	if r.Method != method {
		return false
	}
	w.WriteHeader(http.StatusForbidden)
	_, _ = w.Write([]byte("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"))
	return true
}

// certificate makes a self-signed certificate for an address, valid for the given time.
func certificate(t *testing.T, ends time.Duration, address string) (made struct {
	server *tls.Config
	x509   *x509.Certificate
}) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "doctor"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(ends),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.ParseIP(address)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if made.x509, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	made.server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return made
}
