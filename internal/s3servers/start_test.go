//go:build s3servers && linux

package s3servers

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	accessKey = "s3servers"
	secretKey = "s3servers-secret"
	region    = "us-east-1"
)

// server is a running S3 server, which ends with its test.
type server struct {
	endpoint string
	// versionsIgnoreConditions says that a bucket with versions ignores If-None-Match.
	versionsIgnoreConditions bool
	// versionsShortenKeys says that a bucket with versions stores them in a folder KEY.versions, so
	// the last part of a key may have only 246 instead of 255 bytes.
	versionsShortenKeys bool
	// versionsRemember says that in a bucket with versions, a key whose versions were all removed cannot be created
	// again.
	versionsRemember bool
}

// tools is the folder of tools built by make.
func tools(name string) string { return filepath.Join("..", "..", ".tools", "bin", name) }

func startVersitygw(t *testing.T) server {
	address := freeAddress(t)
	data, sidecar, versions := t.TempDir(), t.TempDir(), t.TempDir()
	run(t, []string{"ROOT_ACCESS_KEY_ID=" + accessKey, "ROOT_SECRET_ACCESS_KEY=" + secretKey},
		tools("versitygw"), "--port", address, "--region", region, "--quiet", "posix", "--sidecar", sidecar, "--versioning-dir", versions, data)
	return server{endpoint: "http://" + address, versionsRemember: true}
}

func startSeaweedFS(t *testing.T) server {
	folder := t.TempDir()
	config := filepath.Join(folder, "s3.json")
	write(t, config, fmt.Sprintf(`{"identities":[{"name":"test","credentials":[{"accessKey":%q,"secretKey":%q}],"actions":["Admin","Read","Write","List","Tagging"]}]}`,
		accessKey, secretKey))
	address := freeAddress(t)
	args := []string{"server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-dir=" + folder, "-master.volumeSizeLimitMB=64", "-volume.max=0",
		"-master.telemetry=false", "-s3", "-s3.config=" + config, "-s3.port=" + portOf(address)}
	for _, flag := range []string{"master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port.grpc"} {
		args = append(args, "-"+flag+"="+portOf(freeAddress(t)))
	}
	run(t, nil, tools("weed"), args...)
	return server{endpoint: "http://" + address, versionsShortenKeys: true}
}

// startCeph starts the smallest cluster, a monitor, a manager and one OSD in memory,
// and a RADOS gateway.
func startCeph(t *testing.T) server {
	folder, err := os.MkdirTemp("", "ceph-") // a short path: a socket's has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) }) // a leftover is in a temporary folder
	const cluster, osd = "0b3f3c1e-7a3f-4a8e-9d0c-3f6f0e6a1f01", "0b3f3c1e-7a3f-4a8e-9d0c-3f6f0e6a1f02"
	monitor, address := freeAddress(t), freeAddress(t)
	config := filepath.Join(folder, "ceph.conf")
	write(t, config, fmt.Sprintf(`[global]
fsid = %[1]s
mon host = [v1:%[2]s]
auth cluster required = none
auth service required = none
auth client required = none
ms bind msgr2 = false
mon allow pool size one = true
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 1073741824
osd class update on start = false
osd crush update on start = false
mon data = %[3]s/mon
mgr data = %[3]s/mgr
osd data = %[3]s/osd
run dir = %[3]s
admin socket = %[3]s/$name.asok
log file = %[3]s/$name.log
pid file = %[3]s/$name.pid
[client.rgw]
rgw frontends = beast endpoint=%[4]s
`, cluster, monitor, folder, address))
	for _, name := range []string{"mon", "mgr", "osd"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	monmap := filepath.Join(folder, "monmap")
	do(t, "monmaptool", "--create", "--addv", "a", "[v1:"+monitor+"]", "--fsid", cluster, monmap)
	do(t, "ceph-mon", "-c", config, "--mkfs", "-i", "a", "--monmap", monmap)
	run(t, nil, "ceph-mon", "-c", config, "-f", "-i", "a")
	do(t, "ceph", "-c", config, "--connect-timeout", "60", "osd", "new", osd)
	run(t, nil, "ceph-mgr", "-c", config, "-f", "-i", "x")
	do(t, "ceph-osd", "-c", config, "-i", "0", "--mkfs", "--osd-uuid", osd)
	run(t, nil, "ceph-osd", "-c", config, "-f", "-i", "0")
	do(t, "ceph", "-c", config, "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=h")
	run(t, nil, "radosgw", "-c", config, "-f", "-n", "client.rgw")
	do(t, "radosgw-admin", "-c", config, "user", "create", "--uid=test", "--display-name=test", "--access-key="+accessKey, "--secret-key="+secretKey)
	return server{endpoint: "http://" + address, versionsIgnoreConditions: true}
}

// run starts a program that ends with the test.
func run(t *testing.T, env []string, program string, args ...string) {
	t.Helper()
	var output strings.Builder // read after the program has ended
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // killed
		if t.Failed() {
			t.Logf("%s said:\n%s", program, output.String()[max(0, output.Len()-2000):])
		}
	})
}

// do runs a program to its end.
func do(t *testing.T, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// client returns a client of the server, when it answers.
func (s server) client(t *testing.T) *s3.Client {
	t.Helper()
	client := s3.New(s3.Options{
		BaseEndpoint: &s.endpoint, UsePathStyle: true, Region: region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}, nil
		}),
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		_, err := client.ListBuckets(ctx, &s3.ListBucketsInput{})
		if err == nil {
			return client
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the server does not answer: %v", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
