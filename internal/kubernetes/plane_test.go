package kubernetes

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// token is the token of the control plane's user.
const token = "kubernetes-test"

// start starts a control plane, which ends with the test, and returns a client of it.
func start(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	p := &plane{t: t, folder: t.TempDir()}
	etcd, peers, api := freeAddress(t), freeAddress(t), freeAddress(t)
	_, port, _ := net.SplitHostPort(api)
	p.write("tokens.csv", token+`,test,test,"system:masters"`+"\n")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p.write("accounts.pem", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	p.write("kubeconfig", fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: test,
clusters: [{name: test, cluster: {server: "https://%s", insecure-skip-tls-verify: true}}],
users: [{name: test, user: {token: %s}}], contexts: [{name: test, context: {cluster: test, user: test}}]}`, api, token))

	p.run("etcd", "--data-dir="+p.path("etcd"), "--listen-client-urls=http://"+etcd, "--advertise-client-urls=http://"+etcd,
		"--listen-peer-urls=http://"+peers, "--initial-advertise-peer-urls=http://"+peers, "--initial-cluster=default=http://"+peers,
		"--unsafe-no-fsync", "--log-level=error")
	p.run("kube-apiserver", "--etcd-servers=http://"+etcd, "--bind-address=127.0.0.1", "--secure-port="+port, "--cert-dir="+p.path("certificates"),
		"--token-auth-file="+p.path("tokens.csv"), "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24",
		// There are no service accounts, and nothing removes the taint of a new node.
		"--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+p.path("accounts.pem"),
		"--service-account-signing-key-file="+p.path("accounts.pem"))
	client, err := kubernetes.NewForConfig(&rest.Config{
		Host: "https://" + api, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, QPS: 200, Burst: 400,
	})
	if err != nil {
		t.Fatal(err)
	}
	p.await("the API server", func(ctx context.Context) bool {
		answer, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err == nil && string(answer) == "ok"
	})
	p.run("kube-controller-manager", "--kubeconfig="+p.path("kubeconfig"), "--leader-elect=false", "--secure-port=0",
		"--controllers=job-controller,pod-garbage-collector-controller,garbage-collector-controller", "--kube-api-qps=200", "--kube-api-burst=400")
	p.run("kube-scheduler", "--kubeconfig="+p.path("kubeconfig"), "--leader-elect=false", "--secure-port=0", "--kube-api-qps=200", "--kube-api-burst=400")
	p.await("the default namespace", func(ctx context.Context) bool {
		_, err := client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
		return err == nil
	})
	return client
}

// plane has the settings of a control plane.
type plane struct {
	t      *testing.T
	folder string
}

func (p *plane) path(name string) string { return filepath.Join(p.folder, name) }

func (p *plane) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(p.path(name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// run starts a component, which ends with the test.
func (p *plane) run(name string, args ...string) {
	p.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join("..", "..", ".tools", "kubernetes", name), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.folder}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		stop()
		p.t.Fatalf("start %s, which make test-kubernetes builds: %v", name, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // killed at the end
	}()
	p.t.Cleanup(func() {
		stop()
		<-ended
		if p.t.Failed() {
			lines := strings.Split(said.String(), "\n")
			p.t.Logf("%s said at its end:\n%s", name, strings.Join(lines[max(0, len(lines)-15):], "\n"))
		}
	})
}

// await waits until a condition holds.
func (p *plane) await(what string, isSo func(context.Context) bool) {
	p.t.Helper()
	await(p.t, 3*time.Minute, what, isSo)
}

func await(t *testing.T, most time.Duration, what string, isSo func(context.Context) bool) {
	t.Helper()
	for deadline := time.Now().Add(most); !isSo(t.Context()); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", most, what)
		}
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
