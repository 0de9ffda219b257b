// Package s3test starts a real S3 server for tests: versitygw, whose buckets are folders and whose
// objects are files. `make tools` installs it. Tests that only need the protocol also run against
// other servers, see [FromEnv].
package s3test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// The account and region of servers started by Start.
const (
	AccessKey = "s3test-access"
	SecretKey = "s3test-secret"
	Region    = "us-east-1"
)

const (
	startTimeout = 30 * time.Second
	startTries   = 5
)

// Server is a running S3 server. A server of Start ends with its test.
type Server struct {
	Endpoint string         // URL, http or https
	Bucket   string         // the first bucket, an empty one
	Dir      string         // holds a folder for each bucket, with a file for each object; empty for one of FromEnv
	CAFile   string         // PEM file with the server's certificate authority; empty for http
	CAs      *x509.CertPool // its certificates; nil for http

	VersionedBucket   string // of FromEnv only
	IgnoresConditions bool   // likewise: a bucket that keeps versions ignores If-None-Match
	RemembersRemoved  bool   // likewise: a key whose versions are all removed cannot be created again in such a bucket

	region, accessKey, secretKey string // the defaults where empty
}

// FromEnv returns the server that the environment names, nil when it names none:
//
//	S3TEST_ENDPOINT         http://127.0.0.1:8333
//	S3TEST_REGION           default us-east-1
//	S3TEST_ACCESS_KEY, S3TEST_SECRET_KEY
//	S3TEST_BUCKET           default s3test
//	S3TEST_VERSIONED_BUCKET default s3test-versioned; it keeps versions
//	S3TEST_CA_FILE          PEM file, for https with a certificate of one's own
//	S3TEST_IGNORES_CONDITIONS  set where a bucket that keeps versions ignores If-None-Match
//	S3TEST_REMEMBERS_REMOVED   set where a key whose versions are all removed cannot be created again there
//
// Tests make the buckets when they are missing, and leave objects in them, each test
// below a prefix of its own.
func FromEnv(t testing.TB) *Server {
	t.Helper()
	s, err := Named()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Named is like FromEnv, outside of tests.
func Named() (*Server, error) {
	endpoint := os.Getenv("S3TEST_ENDPOINT")
	if endpoint == "" {
		return nil, nil
	}
	s := &Server{
		Endpoint: endpoint, Bucket: cmp.Or(os.Getenv("S3TEST_BUCKET"), "s3test"),
		VersionedBucket: cmp.Or(os.Getenv("S3TEST_VERSIONED_BUCKET"), "s3test-versioned"), CAFile: os.Getenv("S3TEST_CA_FILE"),
		IgnoresConditions: os.Getenv("S3TEST_IGNORES_CONDITIONS") != "", RemembersRemoved: os.Getenv("S3TEST_REMEMBERS_REMOVED") != "",
		region: os.Getenv("S3TEST_REGION"), accessKey: os.Getenv("S3TEST_ACCESS_KEY"), secretKey: os.Getenv("S3TEST_SECRET_KEY"),
	}
	if s.CAFile != "" {
		certificates, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, err
		}
		s.CAs = x509.NewCertPool()
		s.CAs.AppendCertsFromPEM(certificates)
	}
	return s, nil
}

// Start starts a server over an empty folder, with or without TLS. Without the server's program the
// test is skipped, or fails if CI or REQUIRE_S3 is set.
func Start(t testing.TB, withTLS bool) *Server {
	t.Helper()
	program := Program(t)
	s := &Server{Dir: t.TempDir()}
	s.Bucket = s.NewBucket(t, "recordings")
	var flags []string
	if withTLS {
		flags = s.makeCertificate(t)
	}
	for range startTries {
		if s.start(t, program, freeAddress(t), flags) {
			return s
		}
	}
	t.Fatalf("versitygw did not start in %d tries", startTries)
	return nil
}

// NewBucket makes another bucket and returns its name. It turns any text into a bucket name. On a
// server of FromEnv, the name is unique.
func (s *Server) NewBucket(t testing.TB, name string) string {
	t.Helper()
	name = strings.ToLower(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name))
	name = s.unique(strings.Trim("b-"+name[max(0, len(name)-50):], "-"))
	if s.Dir == "" {
		if _, err := s.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
			t.Fatal(err)
		}
		return name
	}
	if err := os.Mkdir(filepath.Join(s.Dir, name), 0o700); err != nil {
		t.Fatal(err)
	}
	return name
}

// unique makes a bucket name unique on a server that outlives a test.
func (s *Server) unique(name string) string {
	if s.Dir == "" {
		return fmt.Sprintf("%s-%d", name[:min(len(name), 40)], time.Now().UnixNano()) // 63 characters at most
	}
	return name
}

// NewLockBucket makes another bucket, with Object Lock, and returns its name. days is the default governance lock of
// objects, 0 for none.
func (s *Server) NewLockBucket(t testing.TB, name string, days int32) string {
	t.Helper()
	client := s.Client()
	name = s.unique(name)
	_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name, ObjectLockEnabledForBucket: aws.Bool(true)})
	if err == nil && days > 0 {
		_, err = client.PutObjectLockConfiguration(t.Context(), &s3.PutObjectLockConfigurationInput{
			Bucket: &name,
			ObjectLockConfiguration: &types.ObjectLockConfiguration{
				ObjectLockEnabled: types.ObjectLockEnabledEnabled,
				Rule:              &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{Mode: types.ObjectLockRetentionModeGovernance, Days: &days}},
			},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// Client is a client of the server with all rights, for calls that the program itself never makes.
func (s *Server) Client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &s.Endpoint, UsePathStyle: true, Region: cmp.Or(s.region, Region),
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.CAs}}},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: cmp.Or(s.accessKey, AccessKey), SecretAccessKey: cmp.Or(s.secretKey, SecretKey)}, nil
		}),
	})
}

// Env returns the environment for a program, or a test's own SDK, that uses the server: the
// account's credentials, without the machine's own AWS configuration.
func (s *Server) Env() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + cmp.Or(s.accessKey, AccessKey), "AWS_SECRET_ACCESS_KEY=" + cmp.Or(s.secretKey, SecretKey), "AWS_SESSION_TOKEN=",
		"AWS_REGION=" + cmp.Or(s.region, Region), "AWS_PROFILE=", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
		"AWS_ENDPOINT_URL=", "AWS_ENDPOINT_URL_S3=", "AWS_CA_BUNDLE=" + s.CAFile,
	}
}

// Setenv sets Env in the test's own process.
func (s *Server) Setenv(t testing.TB) {
	t.Helper()
	for _, pair := range s.Env() {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
}

// Program returns the path of versitygw. Without it the test is skipped, or fails if CI or REQUIRE_S3 is set.
func Program(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("VERSITYGW"); path != "" {
		return path
	}
	if root := moduleRoot(); root != "" {
		if path, err := exec.LookPath(filepath.Join(root, ".tools", "bin", "versitygw")); err == nil {
			return path
		}
	}
	path, err := exec.LookPath("versitygw")
	if err == nil {
		return path
	}
	const missing = "versitygw was not found: `make tools` installs it, or set VERSITYGW to its path"
	if os.Getenv("CI") != "" || os.Getenv("REQUIRE_S3") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// moduleRoot is the folder of go.mod, found from the test's working folder.
func moduleRoot() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// start runs the program at an address. It returns false if the program ended, for example because
// the port was taken in between.
func (s *Server) start(t testing.TB, program, address string, flags []string) bool {
	t.Helper()
	args := append([]string{"--port", address, "--region", Region, "--quiet", "--keep-alive"}, flags...)
	// The sidecar stores the metadata, so that no file system needs extended attributes.
	args = append(args, "posix", "--sidecar", t.TempDir(), "--versioning-dir", t.TempDir(), s.Dir)
	var output lockedBuffer
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+AccessKey, "ROOT_SECRET_ACCESS_KEY="+SecretKey)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		stop()
		t.Fatalf("start %s: %v", program, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // killed at the end
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		if t.Failed() {
			t.Logf("versitygw said:\n%s", output.String())
		}
	})
	s.Endpoint = "http://" + address
	if s.CAs != nil {
		s.Endpoint = "https://" + address
	}
	return s.await(t, ended) && s.isOwn(t)
}

// isOwn reports whether it is this server that answers: another test's server may have taken the port first.
func (s *Server) isOwn(t testing.TB) bool {
	t.Helper()
	bucket := "own-" + strings.ToLower(rand.Text())
	folder := filepath.Join(s.Dir, bucket)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	_, answer := s.Client().HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: &bucket})
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	return answer == nil
}

// await waits until the server answers. It returns false if the server ended first.
func (s *Server) await(t testing.TB, ended <-chan struct{}) bool {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.CAs}, DisableKeepAlives: true}
	client := &http.Client{Transport: transport}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint, nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := client.Do(request); err == nil {
			_ = response.Body.Close()
			return strings.EqualFold(response.Header.Get("Server"), "versitygw")
		}
		select {
		case <-ended:
			return false
		case <-ctx.Done():
			t.Fatalf("versitygw did not answer within %s", startTimeout)
		case <-tick.C:
		}
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().(*net.TCPAddr)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(address.Port))
}

// makeCertificate makes a self-signed certificate and returns the server flags for it.
func (s *Server) makeCertificate(t testing.TB) []string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "s3test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s.CAFile = writePEM(t, dir, "cert.pem", "CERTIFICATE", certificate)
	keyFile := writePEM(t, dir, "key.pem", "PRIVATE KEY", private)
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		t.Fatal(err)
	}
	s.CAs = x509.NewCertPool()
	s.CAs.AddCert(parsed)
	return []string{"--cert", s.CAFile, "--key", keyFile}
}

func writePEM(t testing.TB, dir, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// lockedBuffer collects the server's output for concurrent reads.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write implements io.Writer.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

// String returns what was written.
func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
